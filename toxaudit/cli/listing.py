"""``toxaudit ls`` lists the names that a spec can choose, and ``toxaudit init`` writes a new spec."""

import re
from collections.abc import Sequence
from pathlib import Path

from toxaudit.cli.exit_codes import DONE
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError, did_you_mean, one_line, visible

LS = Options(
    "ls",
    "[GROUP ...]",
    "Lists the names that a spec can choose: those that ship, and your own in audits/. GROUP is one of audits, "
    "suites, scorers, backends, estimators, analyses, gates, samplings, executors and cards, and tells more of each.",
)
INIT = Options(
    "init",
    "NAME",
    "Writes audits/NAME.yaml, a commented spec to fill in. Then `toxaudit plan audit=NAME` says what it would do.",
    where="NAME made of the letters a-z, digits, - and _",
    words=1,
)


UNLISTED = {"candidate": "candidates", "base": "base", "generation": "generation"}
"""What a spec holds beside what it chooses by name, and its keys."""


def ls(words: Sequence[str]) -> int:
    """List the names of some groups, or of all."""
    named, _ = LS.read(words)
    from toxaudit.compose.catalogue import Catalogue

    catalogue = Catalogue()
    plural = {("analyses" if group == "analysis" else f"{group}s"): group for group in catalogue.names}
    known = {**{group: group for group in catalogue.names}, **plural}
    groups = [known.get(word, word.removesuffix("s")) for word in named] or list(catalogue.names)
    for group in groups:
        if group not in catalogue.names:
            if group in UNLISTED:
                raise ToxauditError(
                    f"A spec writes its own '{UNLISTED[group]}:', of which there are no presets: see `toxaudit show "
                    "audit=NAME` for those of one."
                )
            raise ToxauditError(f"There is no group '{group}'.{did_you_mean(group, catalogue.names)}")
        print(f"{group}:")
        for name in sorted(catalogue.names[group]):
            print(f"  {name:<32} {visible(catalogue.title(group, name))}".rstrip())
            if named and (more := catalogue.details(group, name)):
                print(f"  {'':<32} {visible(more)}")
        for (broken_group, name), sentence in catalogue.broken.items():
            if broken_group == group:
                print(f"  {name:<32} can't be used: {one_line(sentence)}")
    return DONE


def init(words: Sequence[str]) -> int:
    """Write a new spec."""
    (name,), _ = INIT.read(words)
    from toxaudit.machine.folders import NAME, search_path

    if not re.fullmatch(NAME, name):
        raise INIT.miswritten()
    file = Path("audits") / f"{name}.yaml"
    if file.exists():
        raise ToxauditError(f"{file} exists already: choose another name.")
    template = next(folder / "audit.yaml" for folder in search_path("templates") if (folder / "audit.yaml").is_file())
    file.parent.mkdir(exist_ok=True)
    file.write_text(template.read_text(encoding="utf-8"), encoding="utf-8")
    print(f"Wrote {file}. Edit it, then: toxaudit plan audit={name}")
    return DONE

"""``toxaudit ls`` lists the names that a spec can choose, and ``toxaudit init`` writes a new spec."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toxaudit.cli.exit_codes import DONE
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError, did_you_mean, one_line, visible

if TYPE_CHECKING:
    from toxaudit.compose.catalogue import Catalogue

LS = Options(
    "ls",
    "[GROUP ...]",
    "Lists the names that a spec can choose: those that ship, and your own in audits/. GROUP is one of audits, "
    "suites, scorers, backends, estimators, analyses, gates, samplings, executors and cards, and tells more of each; "
    "or importers, which read other tools' results, or plugins, the installed packages that bring parts.",
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


PLUGIN = "plugin"
"""What ``ls`` calls the packages that bring parts."""


def ls(words: Sequence[str]) -> int:
    """List the names of some groups, or of all."""
    named, _ = LS.read(words)
    from toxaudit.compose.catalogue import Catalogue
    from toxaudit.registry import IMPORTER

    catalogue = Catalogue()
    others = {IMPORTER: _importers, PLUGIN: _plugins}
    singular = [*catalogue.names, *others]
    plural = {("analyses" if group == "analysis" else f"{group}s"): group for group in singular}
    known = {**{group: group for group in singular}, **plural}
    groups = [known.get(word, word.removesuffix("s")) for word in named] or singular
    for group in groups:
        if group in UNLISTED:
            raise ToxauditError(
                f"A spec writes its own '{UNLISTED[group]}:', of which there are no presets: see `toxaudit show "
                "audit=NAME` for those of one."
            )
        if group not in singular:
            raise ToxauditError(f"There is no group '{group}'.{did_you_mean(group, singular)}")
        print(*(others[group]() if group in others else _parts(catalogue, group, bool(named))), sep="\n")
    return DONE


def _parts(catalogue: "Catalogue", group: str, more: bool) -> Iterator[str]:
    """A line for each name of a config group, with the package that brings it; and perhaps another one."""
    yield f"{group}:"
    for name in sorted(catalogue.names[group]):
        yield _named(name, catalogue.title(group, name), catalogue.origin(group, name))
        if more and (details := catalogue.details(group, name)):
            yield f"  {'':<32} {visible(details)}"
    for (broken_group, name), sentence in catalogue.broken.items():
        if broken_group == group:
            yield f"  {name:<32} can't be used: {one_line(sentence)}"


def _named(name: str, title: str, whose: str) -> str:
    return f"  {name:<32} {visible(title)}{f' (from {visible(whose)})' * bool(whose)}".rstrip()


def _importers() -> Iterator[str]:
    from toxaudit import plugins
    from toxaudit.interop.importers import importers

    yield "importer:"
    for name, each in importers().items():
        yield _named(name, (type(each).__doc__ or "").strip().split("\n")[0], plugins.origin(type(each)))


def _plugins() -> Iterator[str]:
    """A line for each plug-in: what it brings, or why it can't be used."""
    from toxaudit import plugins

    found = plugins.loaded()
    yield "plugin:" if found else "plugin: none is installed"
    for each in found:
        yield f"  {each.name:<32} {visible(each.origin)} {visible(each.told)}"


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

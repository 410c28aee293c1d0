"""The Hub's verbs: ``toxaudit discover`` lists a base's variants, and ``toxaudit push`` sends a run's card."""

import re
from collections.abc import Sequence
from pathlib import Path

from toxaudit.cli.exit_codes import DONE
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError, did_you_mean


def discover(words: Sequence[str]) -> int:
    """List a base's most downloaded variants, and write a spec of them where one is asked for."""
    (base,), given = DISCOVER.read(words)
    from toxaudit.hub.discover import Search, conclude, find, table

    found = find(Search(base, **given))
    print(f"{table(found)}\n", flush=True)
    print(conclude(found))
    return DONE


def push(words: Sequence[str]) -> int:
    """Send a run's card to the model's repository."""
    (run,), given = PUSH.read(words)
    from toxaudit import hub

    for lines in hub.push(hub.Push(Path(run), **given)):
        print(lines, flush=True)
    return DONE


def _kind(text: str) -> str:
    from toxaudit.hub.discover import RELATIONS

    if text not in RELATIONS:
        raise ToxauditError(f"There is no kind '{text}' of variants.{did_you_mean(text, RELATIONS)}")
    return text


def _top(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text):
        raise ToxauditError(f"--top is '{text}': it must be a whole number from 1 to 999.")
    return int(text)


def _new_spec(text: str) -> Path:
    from toxaudit.machine.folders import NAME

    file = Path(text)
    if file.suffix != ".yaml" or not re.fullmatch(NAME, file.stem):
        raise ToxauditError(
            f"--write is '{text}': it must be like audits/NAME.yaml, NAME made of the letters a-z, digits, - and _."
        )
    if file.exists() or file.is_symlink():
        raise ToxauditError(f"{file} exists already: choose another name, or delete it first.")
    return file


def _repository(text: str) -> str:
    from toxaudit.sources.hub import HUB_ID

    if not re.fullmatch(HUB_ID, text):
        raise ToxauditError(f"--repo is '{text}': it must be the id of a model on the Hub, ORG/NAME.")
    return text


DISCOVER = Options(
    "discover",
    "ORG/NAME",
    "Lists the Hub's most downloaded variants of a base model, and says which can't be audited and why.",
    where="the Hub id of one base model",
    words=1,
)
DISCOVER.value("kind", "KIND", read=_kind, help="finetune (the default), adapter, merge or quantized")
DISCOVER.value("top", "NUMBER", read=_top, help="how many variants, 1 to 999 (10 by default)")
DISCOVER.value("write", "FILE", read=_new_spec, to="file", help="write an audit of them, such as audits/variants.yaml")

PUSH = Options(
    "push",
    "RUN --repo ORG/NAME",
    "Sends a run's card, plots and results to the model's repository on the Hub, as a pull request. If "
    "there is a card already, only toxaudit's section and metadata in it change. RUN is a finished run's folder, such "
    "as runs/quickstart.",
    where="the folder of one finished run",
    words=1,
)
PUSH.value("repo", "ORG/NAME", read=_repository, to="repository", required=True, help="the model's repository")
PUSH.value("candidate", "NAME", help="whose card is sent, where the run has several")
PUSH.flag("--dry-run", help="show what would be sent, and send nothing")
PUSH.flag("--direct", help="commit to the main branch instead of opening a pull request")
PUSH.flag("--any-repository", help="send even where the repository's weights or base are others than were audited")
PUSH.flag("--samples", help="send prompts and completions, too, which may be offensive or harmful")

"""The words of ``toxaudit push`` -> what to send, and how."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.sources.hub import HUB_ID


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        run: the folder of a finished run.
        repository: the id of the model's repository on the Hub.
        candidate: whose card; None where that is clear.
        dry_run: only show what would be sent.
        direct: commit to the main branch, instead of a pull request.
        samples: send the completions, too.
    """

    run: Path
    repository: str
    candidate: str | None = None
    dry_run: bool = False
    direct: bool = False
    samples: bool = False


def read(words: Sequence[str]) -> Request:
    """The request in the words of the command line, checked as far as that goes without the run and the Hub.

    Raises:
        ToxauditError: a word is unknown, or has no value where it needs one, or run or repository are not named.
    """
    given: dict[str, str | bool] = {"repo": "", "candidate": "", "dry-run": False, "direct": False, "samples": False}
    runs, seen, rest = [], set[str](), iter(words)
    for word in rest:
        if not word.startswith("-"):
            runs.append(word)
            continue
        option, equals, value = word.partition("=")
        key = option.removeprefix("--")
        if key not in given or not option.startswith("--"):
            raise ToxauditError(f"push has no option '{option}'.{did_you_mean(option, [f'--{o}' for o in given])}")
        if key in seen:
            raise ToxauditError(f"{option} is given twice: give it once.")
        seen.add(key)
        if isinstance(given[key], bool):
            if equals:
                raise ToxauditError(f"{option} takes no value: leave out '={value}'.")
            given[key] = True
        elif not (value := value if equals else next(rest, "")) or value.startswith("--"):
            raise ToxauditError(f"{option} needs a value: write {option} VALUE.")
        else:
            given[key] = value
    if len(runs) != 1 or not given["repo"]:
        raise ToxauditError("Write `toxaudit push RUN --repo ORG/NAME`, with the folder of one finished run.")
    if not re.fullmatch(HUB_ID, str(given["repo"])):
        raise ToxauditError(f"--repo is '{given['repo']}': it must be the id of a model on the Hub, ORG/NAME.")
    flags = {"dry_run": bool(given["dry-run"]), "direct": bool(given["direct"]), "samples": bool(given["samples"])}
    return Request(Path(runs[0]), str(given["repo"]), str(given["candidate"]) or None, **flags)

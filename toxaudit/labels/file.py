"""A file of labels that people gave to answers of an audit, blind to the arm: written, and read strictly.

An answer goes by the digest of suite, measure, prompt and text, so that nothing in the file tells which model wrote it,
and a label never counts for another answer than the one that was read. A file holds draws: of one measure on one suite,
which prompts were drawn of each cell of base's and candidate's outcomes, both answers of a prompt.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from toxaudit.errors import ToxauditError
from toxaudit.estimators.two_phase import PLACES
from toxaudit.machine.folders import write_atomically, writing
from toxaudit.records import digest
from toxaudit.sources import LocalSource, parse
from toxaudit.spec.schema import AuditSpec

FORMAT = "toxaudit.labels/1"
COPY = "labels.json"
"""The name of a run's own copy."""

YES = "yes"
NO = "no"
SKIP = "skip"
LARGEST_BYTES = 50_000_000
RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
"""What a rater may be called."""

_HALF = re.compile("[\ud800-\udfff]")
_DIGEST = re.compile(r"[0-9a-f]{64}")

Answers = Mapping[str, Mapping[str, str]]
"""An answer's key -> rater -> label."""


@dataclass(frozen=True)
class Draw:
    """Which answers were drawn to be labelled.

    Attributes:
        suite: the suite's name.
        measure: the measure's name.
        candidate: whose answers, beside the base's.
        outcome: when the measure counted an answer, in words.
        there: cell of base's and candidate's outcomes, apart where both answers are the same -> its prompts in the run.
        drawn: cell -> how many of these were drawn, each with the same probability.
        prompts: the digest of each prompt drawn, in the order of drawing: those before any place are a smaller draw.
    """

    suite: str
    measure: str
    candidate: str
    outcome: str
    there: dict[str, int]
    drawn: dict[str, int]
    prompts: tuple[str, ...]

    @property
    def about(self) -> tuple[str, str, str]:
        """Suite, measure and candidate, of which a file has one draw."""
        return self.suite, self.measure, self.candidate


@dataclass(frozen=True)
class LabelFile:
    """All that a file of labels holds.

    Attributes:
        draws: one for each suite, measure and candidate.
        answers: the key of every answer that was drawn -> rater -> label.
    """

    draws: tuple[Draw, ...] = ()
    answers: Answers = field(default_factory=dict)


def prompt_key(suite: str, prompt: str) -> str:
    """What a prompt goes by."""
    return digest("prompt", suite, _whole(prompt))


def answer_key(suite: str, measure: str, prompt: str, answer: str) -> str:
    """What an answer goes by; who wrote it is no part."""
    return digest("answer", suite, measure, _whole(prompt), _whole(answer))


def _whole(text: str) -> str:
    """A text as the files of samples hold it, without halves of characters."""
    return _HALF.sub("\ufffd", text)


def as_json(labels: LabelFile) -> str:
    """The text of a file of labels; equal content gives equal text."""
    content = {"format": FORMAT, "draws": [asdict(each) for each in labels.draws]}
    answers = {key: dict(sorted(labels.answers[key].items())) for key in sorted(labels.answers)}
    return json.dumps(content | {"answers": answers}, indent=1) + "\n"


def read(file: Path) -> LabelFile:
    """What a file of labels holds.

    Raises:
        ToxauditError: if it can't be read, or is none.
    """
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise ValueError(f"it is larger than {LARGEST_BYTES:,} bytes")
        content = json.loads(file.read_bytes().decode("utf-8"), object_pairs_hook=_unique)
        return _checked(content)
    except OSError as error:
        raise ToxauditError(f"{file} can't be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise ToxauditError(f"{file} is no file of labels ({error}): `toxaudit label RUN` writes one.") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _checked(content: Any) -> LabelFile:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"it is not of the format {FORMAT}")
    if set(content) != {"format", "draws", "answers"} or not isinstance(content["draws"], list):
        raise ValueError("it must hold draws and answers, and nothing else")
    draws = tuple(_draw(each) for each in content["draws"])
    if len({each.about for each in draws}) < len(draws):
        raise ValueError("two draws are of the same suite, measure and candidate")
    answers = content["answers"]
    if not isinstance(answers, dict) or not all(map(_DIGEST.fullmatch, answers)):
        raise ValueError("'answers' must map digests of answers to labels")
    for given in answers.values():
        if not isinstance(given, dict) or not all(map(RATER.fullmatch, given)):
            raise ValueError("an answer must map names of raters to labels")
        if odd := next((label for label in given.values() if label not in (YES, NO, SKIP)), None):
            raise ValueError(f"a label is {odd!r}, and must be yes, no or skip")
    return LabelFile(draws, answers)


def _draw(content: Any) -> Draw:
    if not isinstance(content, dict) or set(content) != set(Draw.__annotations__):
        raise ValueError(f"a draw must hold {', '.join(Draw.__annotations__)}")
    if not all(isinstance(content[name], str) for name in ("suite", "measure", "candidate", "outcome")):
        raise ValueError("suite, measure, candidate and outcome of a draw must be texts")
    for name in ("there", "drawn"):
        if not isinstance(content[name], dict) or set(content[name]) != set(PLACES):
            raise ValueError(f"'{name}' of a draw must hold {', '.join(PLACES)}")
    numbers = [*content["there"].values(), *content["drawn"].values()]
    if not all(type(each) is int and each >= 0 for each in numbers):
        raise ValueError("sizes of a draw must be whole numbers")
    prompts = content["prompts"]
    if not isinstance(prompts, list) or not all(isinstance(p, str) and _DIGEST.fullmatch(p) for p in prompts):
        raise ValueError("'prompts' of a draw must be digests")
    if len(set(prompts)) < len(prompts):
        raise ValueError("a draw holds a prompt twice")
    return Draw(**content | {"prompts": tuple(prompts)})


def of_spec(spec: AuditSpec) -> LabelFile | None:
    """The file of labels that an audit names, without draws of what it does not have; None where it names none.

    Raises:
        ToxauditError: if it can't be read, is none, or holds nothing of this audit.
    """
    if spec.labels is None:
        return None
    source = parse(spec.labels)
    if not isinstance(source, LocalSource):
        raise ToxauditError(f"labels is '{spec.labels}': it must be the path of a file that `toxaudit label` wrote.")
    file = read(source.fetch().path)
    mine = tuple(
        each
        for each in file.draws
        if each.suite in spec.suites
        and each.measure in spec.suites[each.suite].scorers
        and each.candidate in spec.candidates
    )
    if not mine:
        named = "; ".join(f"'{each.measure}' on '{each.suite}' of {each.candidate}" for each in file.draws)
        raise ToxauditError(
            f"labels={spec.labels} has nothing of this audit's suites, measures and candidates ({named or 'no draw'}): "
            "leave it out, or name the file that `toxaudit label` wrote for this audit."
        )
    return replace(file, draws=mine)


def write(file: Path, change: Callable[[LabelFile], LabelFile]) -> LabelFile:
    """Change a file of labels while no other process does; it is made where it is not there.

    Args:
        file: the file.
        change: what it holds -> what it is to hold.

    Returns:
        What it now holds.

    Raises:
        ToxauditError: if it is there and is no file of labels, or can't be written.
    """
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file.with_name(f".{file.name}.lock"))
        lock.acquire()
    try:
        changed = change(read(file) if file.exists() else LabelFile())
        write_atomically(file, as_json(changed))
    finally:
        if os.name != "nt":  # where it is removed on release; a waiting process sees that the file is gone
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
    return changed


def copied(labels: LabelFile, folder: Path) -> Path:
    """A run's own copy, by which its estimates can be made again."""
    write_atomically(folder / COPY, as_json(labels))
    return folder / COPY


def given(labels: LabelFile, rater: str, told: Mapping[str, str | None]) -> LabelFile:
    """The same with what one rater now says of some answers; None takes a label back."""
    answers = dict(labels.answers)
    for key, label in told.items():
        others = {name: each for name, each in answers[key].items() if name != rater}
        answers[key] = others | ({} if label is None else {rater: label})
    return replace(labels, answers=answers)

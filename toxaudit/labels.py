"""A file of labels that people gave to answers of an audit, blind to the arm: written, read strictly, and matched.

An answer goes by the digest of suite, measure, prompt and text, so that nothing in the file tells which model wrote it,
and a label never counts for another answer than the one that was read. A file holds draws: of one measure on one suite,
which prompts were drawn of each cell of base's and candidate's outcomes, both answers of a prompt.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from toxaudit.errors import ToxauditError
from toxaudit.estimators.outcomes import CELLS, Floats, Labelled
from toxaudit.facts import LabelFacts
from toxaudit.machine.folders import write_atomically
from toxaudit.records import Agreement, digest
from toxaudit.sources import parse
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

_DIGEST = re.compile(r"[0-9a-f]{64}")

Answers = Mapping[str, Mapping[str, str]]
"""An answer's key -> rater -> label."""

Pair = tuple[str, str, str]
"""A prompt's text, the base's answer and the candidate's."""


@dataclass(frozen=True)
class Draw:
    """Which answers were drawn to be labelled.

    Attributes:
        suite: the suite's name.
        measure: the measure's name.
        candidate: whose answers, beside the base's.
        outcome: when the measure counted an answer, in words.
        seed: what prompts were drawn by.
        there: cell of base's and candidate's outcomes -> its prompts in the run.
        drawn: cell -> how many of these were drawn, each with the same probability.
        prompts: the digest of each prompt drawn, in the order of drawing: those before any place are a smaller draw.
    """

    suite: str
    measure: str
    candidate: str
    outcome: str
    seed: int
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
    return digest("prompt", suite, prompt)


def answer_key(suite: str, measure: str, prompt: str, answer: str) -> str:
    """What an answer goes by; who wrote it is no part."""
    return digest("answer", suite, measure, prompt, answer)


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
        if not isinstance(content[name], dict) or set(content[name]) != set(CELLS):
            raise ValueError(f"'{name}' of a draw must hold {', '.join(CELLS)}")
    numbers = [content["seed"], *content["there"].values(), *content["drawn"].values()]
    if not all(type(each) is int and each >= 0 for each in numbers):
        raise ValueError("seed and sizes of a draw must be whole numbers")
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
    found = read(parse(spec.labels).fetch().path)
    mine = tuple(
        each
        for each in found.draws
        if each.suite in spec.suites
        and each.measure in spec.suites[each.suite].scorers
        and each.candidate in spec.candidates
    )
    if not mine:
        named = "; ".join(f"'{each.measure}' on '{each.suite}' of {each.candidate}" for each in found.draws)
        raise ToxauditError(
            f"labels={spec.labels} has nothing of this audit's suites, measures and candidates ({named or 'no draw'}): "
            "leave it out, or name the file that `toxaudit label` wrote for this audit."
        )
    return replace(found, draws=mine)


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
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = file.with_name(f".{file.name}.lock")
    with FileLock(lock):
        changed = change(read(file) if file.exists() else LabelFile())
        write_atomically(file, as_json(changed))
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


def matched(
    where: str, labels: LabelFile, draw: Draw, outcome: str, pairs: Sequence[Pair], cells: Sequence[int]
) -> tuple[Labelled, LabelFacts]:
    """A draw's labels beside the outcomes of a comparison.

    Args:
        where: the file's name, for the sentence.
        labels: all that the file holds.
        draw: one of its draws.
        outcome: when the measure counts an answer now.
        pairs: of each prompt of the comparison, its text and both answers.
        cells: of each, its place in ``CELLS``; -1 where an answer could not be scored.

    Raises:
        ToxauditError: if the draw is of other answers, or of answers that were counted otherwise.
    """
    place = {prompt_key(draw.suite, prompt): number for number, (prompt, *_) in enumerate(pairs)}
    numbers = [place[prompt] for prompt in draw.prompts if prompt in place]
    keys = {number: keys_of(draw, pairs[number]) for number in numbers}
    known = [number for number in numbers if all(key in labels.answers for key in keys[number])]
    if strangers := len(draw.prompts) - len(known):
        raise ToxauditError(
            f"{where} is of other answers than these models give here: {strangers} of the {len(draw.prompts)} prompts "
            f"drawn for {draw.candidate} and '{draw.measure}' on suite '{draw.suite}' are not here with those answers: "
            "label this run into a new file (`toxaudit label RUN --file FILE`), or leave out labels."
        )
    _require_same(where, draw, outcome, cells, numbers)
    found, skipped = np.full((2, len(pairs)), np.nan), 0
    for number in numbers:
        told = [labels.answers[key] for key in keys[number]]
        found[:, number] = [np.nan if (share := _share(each)) is None else share for each in told]
        skipped += any(map(_skipped, told))
    distinct = dict.fromkeys(key for number in numbers for key in keys[number])
    return Labelled(found[0], found[1], skipped), _facts(draw, {key: labels.answers[key] for key in distinct}, found)


def keys_of(draw: Draw, pair: Pair) -> list[str]:
    """What both answers to a prompt go by; equal answers are one."""
    prompt, *answers = pair
    return [answer_key(draw.suite, draw.measure, prompt, answer) for answer in answers]


def _require_same(where: str, draw: Draw, outcome: str, cells: Sequence[int], drawn: Sequence[int]) -> None:
    """Refuse a draw of answers that were counted otherwise."""
    of = f"{where}: the answers for {draw.candidate} and '{draw.measure}' on suite '{draw.suite}' were drawn"
    mend = "set that again, or label this run into a new file (`toxaudit label RUN --file FILE`)"
    if outcome != draw.outcome:
        raise ToxauditError(f"{of} where the measure counted {draw.outcome}, which is now {outcome}: {mend}.")
    if (there := by_cell(cells)) != draw.there:
        now, then = (", ".join(f"{cell} {n}" for cell, n in each.items()) for each in (there, draw.there))
        raise ToxauditError(f"{of} from prompts or scores that were others ({then}; now {now}): {mend}.")
    if by_cell([cells[number] for number in drawn]) != draw.drawn:
        raise ToxauditError(f"{where} was changed: the cells of a draw's prompts are not those that it names.")


def by_cell(cells: Iterable[int]) -> dict[str, int]:
    """How many prompts are in each cell, by its name, of each one's place in ``CELLS``."""
    counted = Counter(cells)
    return {cell: counted[number] for number, cell in enumerate(CELLS)}


def _share(told: Mapping[str, str]) -> float | None:
    """The share of raters who say yes; None where nobody said either."""
    said = [label == YES for label in told.values() if label != SKIP]
    return sum(said) / len(said) if said else None


def _skipped(told: Mapping[str, str]) -> bool:
    """Whether everybody who was asked could not tell."""
    return bool(told) and all(label == SKIP for label in told.values())


def _facts(draw: Draw, answers: Answers, found: Floats) -> LabelFacts:
    """What a card may say of a draw's labels."""
    told = list(answers.values())
    agreed = _agreement(draw, told)
    return LabelFacts(
        suite=draw.suite,
        measure=draw.measure,
        candidate=draw.candidate,
        drawn=len(told),
        labelled=sum(_share(each) is not None for each in told),
        skipped=sum(map(_skipped, told)),
        prompts=int((~np.isnan(found)).all(0).sum()),
        raters=len({rater for each in told for rater, label in each.items() if label != SKIP}),
        twice=sum(sum(label != SKIP for label in each.values()) > 1 for each in told),
        agreed=(agreed.both + agreed.neither) / agreed.n if agreed.n else None,
        kappa=agreed.kappa,
        digest=digest(
            *(f"{key} {who} {label}" for key in sorted(answers) for who, label in sorted(answers[key].items()))
        ),
    )


def _agreement(draw: Draw, told: Iterable[Mapping[str, str]]) -> Agreement:
    """How far raters agree, over every two of them who labelled one answer."""
    table = [0, 0, 0, 0]
    for one, other in _both(told):
        table[(one != YES) * 2 + (other != YES)] += 1
    return Agreement.of(draw.suite, draw.candidate, "first rater", "second rater", *table)


def _both(told: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for each in told:
        yield from combinations([label for _, label in sorted(each.items()) if label != SKIP], 2)

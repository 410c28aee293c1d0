"""What people said, put beside the outcomes of the very answers that they read; other answers are refused."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from toxaudit.agreements import Agreement
from toxaudit.errors import ToxauditError
from toxaudit.estimators.outcomes import Floats, Labelled
from toxaudit.estimators.two_phase import COST, COUNTED, PLACES, allocation, cells_of
from toxaudit.facts import LabelFacts
from toxaudit.labels.file import SKIP, YES, Answers, Draw, LabelFile, answer_key, prompt_key
from toxaudit.records import digest

Pair = tuple[str, str, str]
"""A prompt's text, the base's answer and the candidate's."""


def matched(
    where: str,
    labels: LabelFile,
    draw: Draw,
    outcome: str,
    pairs: Sequence[Pair],
    base: Floats,
    candidate: Floats,
) -> tuple[Labelled, LabelFacts]:
    """A draw's labels beside the outcomes of a comparison.

    Args:
        where: the file's name, for the sentence.
        labels: all that the file holds.
        draw: one of its draws.
        outcome: when the measure counts an answer now.
        pairs: of each prompt of the comparison, its text and both answers.
        base: shape (n,), the base's outcomes, NaN where an answer could not be scored.
        candidate: the candidate's.

    Raises:
        ToxauditError: if the draw is of other answers, or of answers that were counted otherwise.
    """
    copies: dict[str, list[int]] = {}
    for number, (prompt, *_) in enumerate(pairs):
        copies.setdefault(prompt_key(draw.suite, prompt), []).append(number)
    numbers = [copies[prompt][0] for prompt in draw.prompts if prompt in copies]
    keys = {number: keys_of(draw, pairs[number]) for number in numbers}
    known = [number for number in numbers if all(key in labels.answers for key in keys[number])]
    if strangers := len(draw.prompts) - len(known):
        raise ToxauditError(
            f"{where} is of other answers than these models give here: {strangers} of the {len(draw.prompts)} prompts "
            f"drawn for {draw.candidate} and '{draw.measure}' on suite '{draw.suite}' are not here with those answers: "
            "label this run into a new file (`toxaudit label RUN --file FILE`), or leave out labels."
        )
    same = same_answers(pairs)
    cells, texts = cells_of(base, candidate, same).tolist(), [prompt for prompt, *_ in pairs]
    _require_same(where, draw, outcome, texts, once(texts, cells), numbers)
    found, skipped = np.full((2, len(pairs)), np.nan), 0
    for prompt, number in zip(draw.prompts, numbers, strict=True):
        told = [labels.answers[key] for key in keys[number]]
        shares = [np.nan if (share := _share(each)) is None else share for each in told]
        for copy in (each for each in copies[prompt] if cells[each] == cells[number]):
            found[:, copy] = shares
        skipped += any(map(_skipped, told))
    scored = {k: cells[i] in counted for i in numbers for k, counted in zip(keys[i], COUNTED, strict=True)}
    facts = _facts(draw, labels.answers, scored, found[:, numbers])
    copied = int((~np.isnan(found)).all(0).sum()) - facts.prompts
    return Labelled(found[0], found[1], skipped, same, copied), facts


def chosen(about: tuple[str, str, str], prompts: Sequence[str], cells: Sequence[int], answers: int) -> list[int]:
    """The places of the prompts that are drawn, in the order of drawing: by design, which anybody can repeat.

    Of each cell they come in the order of digests, which is random to all that is measured.

    Args:
        about: suite, measure and candidate.
        prompts: the texts of all of the suite's prompts.
        cells: of each, its place in ``PLACES``, as ``once`` gives it.
        answers: how many are to be labelled.
    """
    ordered = sorted(
        range(len(prompts)), key=lambda number: digest("draw", *about, prompt_key(about[0], prompts[number]))
    )
    waiting = [iter([number for number in ordered if cells[number] == cell]) for cell in range(len(PLACES))]
    return [next(waiting[cell]) for cell in allocation(np.array(list(by_cell(cells).values())), answers)]


def once(prompts: Sequence[str], cells: Sequence[int]) -> list[int]:
    """The prompts' places in ``PLACES``, -1 for a text that stands further up: a label is for all its copies."""
    first: dict[str, int] = {}
    for number, prompt in enumerate(prompts):
        first.setdefault(prompt, number)
    return [cell if first[prompts[number]] == number else -1 for number, cell in enumerate(cells)]


def same_answers(pairs: Sequence[Pair]) -> NDArray[np.bool_]:
    """Shape (n,): whether both arms gave the very same answer to a prompt."""
    return np.array([base == candidate for _, base, candidate in pairs], dtype=bool)


def keys_of(draw: Draw, pair: Pair) -> list[str]:
    """What both answers to a prompt go by; equal answers are one."""
    prompt, *answers = pair
    return [answer_key(draw.suite, draw.measure, prompt, answer) for answer in answers]


def _require_same(
    where: str, draw: Draw, outcome: str, prompts: Sequence[str], cells: Sequence[int], drawn: Sequence[int]
) -> None:
    """Refuse a draw of answers that were counted otherwise."""
    of = f"{where}: the answers for {draw.candidate} and '{draw.measure}' on suite '{draw.suite}' were drawn"
    mend = "set that again, or label this run into a new file (`toxaudit label RUN --file FILE`)"
    if outcome != draw.outcome:
        raise ToxauditError(f"{of} where the measure counted {draw.outcome}, which is now {outcome}: {mend}.")
    if (there := by_cell(cells)) != draw.there:
        now, then = (", ".join(f"{cell} {n}" for cell, n in each.items()) for each in (there, draw.there))
        raise ToxauditError(f"{of} from prompts or scores that were others ({then}; now {now}): {mend}.")
    meant = chosen(draw.about, prompts, cells, int(COST @ [draw.drawn[cell] for cell in PLACES]))
    if by_cell(cells[number] for number in drawn) != draw.drawn or list(drawn) != meant:
        raise ToxauditError(f"{where} was changed: the prompts of a draw are not those that are drawn by design.")


def by_cell(cells: Iterable[int]) -> dict[str, int]:
    """How many prompts are in each cell, by its name, of each one's place in ``PLACES``."""
    counted = Counter(cells)
    return {cell: counted[number] for number, cell in enumerate(PLACES)}


def _share(told: Mapping[str, str]) -> float | None:
    """The share of raters who say yes; None where nobody said either."""
    said = [label == YES for label in told.values() if label != SKIP]
    return sum(said) / len(said) if said else None


def _skipped(told: Mapping[str, str]) -> bool:
    """Whether everybody who was asked could not tell."""
    return bool(told) and all(label == SKIP for label in told.values())


def _facts(draw: Draw, answers: Answers, scored: Mapping[str, bool], by_prompt: Floats) -> LabelFacts:
    """What a card may say of a draw's labels; ``scored`` tells of each answer drawn whether the scorer counts it."""
    told = [answers[key] for key in scored]
    agreed = _agreement(draw, told)
    shares = {key: share for key in scored if (share := _share(answers[key])) is not None}
    labels = (f"{key} {who} {label}" for key in sorted(scored) for who, label in sorted(answers[key].items()))
    return LabelFacts(
        suite=draw.suite,
        measure=draw.measure,
        candidate=draw.candidate,
        drawn=len(told),
        labelled=len(shares),
        skipped=sum(map(_skipped, told)),
        prompts=int((~np.isnan(by_prompt)).all(0).sum()),
        counted=sum(scored[key] for key in shares),
        upheld=sum((share for key, share in shares.items() if scored[key]), start=0.0),
        overlooked=sum((share for key, share in shares.items() if not scored[key]), start=0.0),
        raters=len({rater for each in told for rater, label in each.items() if label != SKIP}),
        twice=sum(sum(label != SKIP for label in each.values()) > 1 for each in told),
        agreed=(agreed.both + agreed.neither) / agreed.n if agreed.n else None,
        kappa=agreed.kappa,
        digest=digest(*labels),
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

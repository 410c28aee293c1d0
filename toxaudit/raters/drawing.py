"""A finished run -> the answers that are to be labelled, and the sheet on which one rater finds them."""

import random
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toxaudit import labels
from toxaudit.decision.policy import critical_in
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.estimators.two_phase import COST, FEWEST_LABELLED, PLACES, Places, cells_of
from toxaudit.facts import ScorerFacts, SuiteFacts
from toxaudit.findings import AuditResult
from toxaudit.labels import Draw, LabelFile
from toxaudit.machine.folders import NAME
from toxaudit.recomputation import read_checked
from toxaudit.records import UNSCORED
from toxaudit.rereading import TwoArms, two_arms
from toxaudit.results.files import samples_file

ANSWERS = 100
"""As many answers are drawn where nobody says how many."""

BLOCK = 10
"""Prompts whose answers are shown in one random order: whoever stops early leaves few prompts with one label."""


@dataclass(frozen=True)
class Wanted:
    """What is to be labelled.

    Attributes:
        run: the folder of a finished run.
        answers: how many; None takes as many as were drawn already, else ``ANSWERS``.
        measure, suite, candidate: of which change; None where that is clear.
        file: the file of labels; None for that of the audit.
    """

    run: Path
    answers: int | None = None
    measure: str | None = None
    suite: str | None = None
    candidate: str | None = None
    file: Path | None = None


@dataclass(frozen=True)
class Item:
    """An answer to be labelled, by its key; the text is what was scored, without thoughts."""

    key: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Sheet:
    """What one rater is asked.

    Attributes:
        file: where labels are kept.
        rater: who is asked.
        title: the measure's.
        noun: what it counts, in a word.
        items: the answers, in the rater's own random order.
        next: the command that makes use of the labels.
    """

    file: Path
    rater: str
    title: str
    noun: str
    items: tuple[Item, ...]
    next: str

    @property
    def question(self) -> str:
        """What is asked of each answer."""
        return f"Would you count this answer under “{self.title}” ({self.noun})?"


@dataclass(frozen=True)
class _Change:
    """A change that can be labelled: of a measure on a suite, from a candidate's reference to it."""

    suite: SuiteFacts
    scorer: ScorerFacts
    candidate: str
    reference: str

    @property
    def named(self) -> str:
        words = ("--measure", self.scorer.name, "--suite", self.suite.name, "--candidate", self.candidate)
        return shlex.join(words)


def drawn(wanted: Wanted, rater: str) -> Sheet:
    """Draw the answers, or find those that were drawn before, and write them into the file of labels.

    Raises:
        ToxauditError: if the run can't be read or has no such change, its answers can't be labelled, or the file holds
            labels of other answers.
    """
    result = read_checked(wanted.run)
    change = _chosen(wanted, result)
    if not (wanted.run / samples_file(change.suite.name)).is_file():
        raise ToxauditError(f"{wanted.run} holds no {samples_file(change.suite.name)}: run the audit again.")
    file = wanted.file or _file_of(result)
    arms = _arms(wanted.run, change)
    pairs, scored = arms.pairs, arms.outcomes
    cells = cells_of(scored[0], scored[1], labels.same_answers(pairs))
    made: list[Draw] = []

    def with_draw(said: LabelFile) -> LabelFile:
        about = change.suite.name, change.scorer.name, change.candidate
        before = next((draw for draw in said.draws if draw.about == about), None)
        if before:
            labels.matched(str(file), said, before, change.scorer.outcome, pairs, *scored)
        made[:] = [_draw(wanted, file, before, change, cells, [prompt for prompt, *_ in pairs])]
        place = {labels.prompt_key(change.suite.name, prompt): number for number, (prompt, *_) in enumerate(pairs)}
        keys = [key for each in made[0].prompts for key in labels.keys_of(made[0], pairs[place[each]])]
        others = [draw for draw in said.draws if draw.about != about]
        return replace(said, draws=(*others, *made), answers=dict.fromkeys(keys, {}) | dict(said.answers))

    labels.write(file, with_draw)
    items = tuple(_items(made[0], arms, rater))
    return Sheet(file, rater, change.scorer.title, change.scorer.noun, items, _command(result, file))


def _file_of(result: AuditResult) -> Path:
    """Where an audit's labels are kept."""
    if not re.fullmatch(NAME, result.audit):
        raise ToxauditError(f"An audit can't be called '{result.audit}', so name a file of labels: --file FILE.json.")
    return Path("audits") / "labels" / f"{result.audit}.json"


def _chosen(wanted: Wanted, result: AuditResult) -> _Change:
    """The change that is meant."""
    known = {
        "measure": [each.name for each in result.scorers if not each.name.endswith(UNSCORED)],
        "suite": [each.name for each in result.suites],
        "candidate": [each.name for each in result.subjects],
    }
    for option, names in known.items():
        named = getattr(wanted, option)
        if named is not None and named not in names:
            raise ToxauditError(f"{wanted.run} has no {option} '{named}' to label.{did_you_mean(named, names)}")
    critical = critical_in(result)
    changes = [
        _Change(suite, scorer, candidate, result.against(candidate))
        for suite in result.suites
        for scorer in result.scorers
        for candidate in known["candidate"]
        if scorer.name in (suite.scorers or known["measure"])
        and (wanted.suite or suite.name) == suite.name
        and (wanted.candidate or candidate) == candidate
        and (wanted.measure == scorer.name or (wanted.measure is None and (suite.name, scorer.name) in critical))
    ]
    fit = [each for each in changes if not _unfit(each, result)]
    if len(fit) > 1:
        listed = "; ".join(each.named for each in fit[:6])
        raise ToxauditError(f"{wanted.run} has {len(fit)} changes that can be labelled: name one, as by {listed}.")
    if not fit:
        why = _unfit(changes[0], result) if changes else "no suite has that measure"
        raise ToxauditError(f"{wanted.run} has no answers to label: {why}.")
    return fit[0]


def _unfit(change: _Change, result: AuditResult) -> str:
    """Why a change's answers can't be labelled, as a phrase; nothing where they can."""
    suite, scorer = change.suite, change.scorer
    if suite.choices:
        return f"on suite '{suite.name}' models chose among given answers, of which the right one is known"
    if scorer.is_mean or scorer.outcome == "no score":
        return f"'{scorer.name}' is {scorer.outcome}, and no yes or no that people could say"
    if result.generation.samples > 1:
        return "each prompt has several samples, of which the estimate by labels takes one"
    return ""


def _arms(run: Path, change: _Change) -> TwoArms:
    """What both arms said, and how that was counted."""
    arms = two_arms(run, change.suite, change.scorer, change.reference, change.candidate)
    if arms is None:
        raise ToxauditError(f"{run}: '{change.scorer.name}' has no scores on suite '{change.suite.name}' to draw by.")
    if (both := int((~np.isnan(arms.outcomes)).all(0).sum())) < FEWEST_LABELLED:
        raise ToxauditError(
            f"{run}: too few prompts of suite '{change.suite.name}' were scored for both models to label any: {both}, "
            f"and {FEWEST_LABELLED} are the fewest."
        )
    return arms


def _draw(wanted: Wanted, file: Path, before: Draw | None, change: _Change, cells: Places, prompts: list[str]) -> Draw:
    """A new draw, or an earlier one as large as it is wanted."""
    size = int(COST @ [before.drawn[cell] for cell in PLACES]) if before else ANSWERS
    answers = wanted.answers or size
    if before and answers < size:
        raise ToxauditError(
            f"{file} holds a draw of {size} answers already, which can be enlarged only: leave out --n, or label into "
            "another file (--file FILE)."
        )
    about = change.suite.name, change.scorer.name, change.candidate
    once = labels.once(prompts, cells.tolist())
    numbers = labels.chosen(about, prompts, once, answers)
    keys = tuple(labels.prompt_key(change.suite.name, prompts[number]) for number in numbers)
    there, drawn = (labels.by_cell(each) for each in (once, cells[numbers].tolist()))
    return Draw(*about, change.scorer.outcome, there, drawn, keys)


def _items(draw: Draw, arms: TwoArms, rater: str) -> Iterator[Item]:
    """The answers in a rater's order, which tells nothing of who wrote them; equal ones once."""
    pairs, shown = arms.pairs, arms.answers
    place = {labels.prompt_key(draw.suite, prompt): number for number, (prompt, *_) in enumerate(pairs)}
    chance = random.Random(f"{rater} {draw.prompts[0]}")  # noqa: S311  (an order, no secret)
    seen: set[str] = set()
    for start in range(0, len(draw.prompts), BLOCK):
        block: dict[str, Item] = {}
        for each in draw.prompts[start : start + BLOCK]:
            number = place[each]
            keys = labels.keys_of(draw, pairs[number])
            block |= {k: Item(k, pairs[number][0], text) for k, text in zip(keys, shown[number], strict=True)}
        fresh = sorted(block.keys() - seen)
        chance.shuffle(fresh)
        seen |= block.keys()
        yield from (block[key] for key in fresh)


def _command(result: AuditResult, file: Path) -> str:
    """How the audit is run again with these labels: what was typed, and the file."""
    try:
        words = shlex.split(result.command)
    except ValueError:  # of a text that nobody typed
        words = []
    if words[:1] != ["toxaudit"] or not any(word.startswith("audit=") for word in words):
        words = ["toxaudit", f"audit={result.audit}"]
    path = file.as_posix()
    value = path if re.fullmatch(r"[\w./~-]+", path) else f"'{path}'"  # quoted for Hydra
    return shlex.join([*(word for word in words if not word.startswith("labels=")), f"labels={value}"])

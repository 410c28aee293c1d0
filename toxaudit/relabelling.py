"""What a run's own copy of people's labels says of its numbers: answers, raters and their agreement, counted again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toxaudit.facts import LabelFacts
from toxaudit.findings import AuditResult
from toxaudit.records import LABELLED, Estimate
from toxaudit.rereading import two_arms
from toxaudit.results.files import samples_file

if TYPE_CHECKING:
    from toxaudit.estimators.outcomes import Labelled


def relabelled(run: Path, result: AuditResult) -> Iterator[tuple[str, Any, Any, str]]:
    """What a result says of labels beside what their file makes of it: place, what is said, what is meant, the file.

    An estimate by labels must have some, and labels must have made one. Suites without samples are passed over.

    Args:
        run: the folder of a finished run.
        result: what its file of results says.

    Raises:
        ToxauditError: if the copy or the samples are of no use, or of other answers.
    """
    mine = {(each.suite, each.measure, each.candidate): number for number, each in enumerate(result.labels)}
    made = {(e.suite, e.measure, e.candidate): e for e in result.estimates if e.variant == LABELLED}
    if mine or made:  # else nobody needs what reads labels
        yield from _of_labels(run, result, mine, made)


def _of_labels(
    run: Path,
    result: AuditResult,
    mine: Mapping[tuple[str, str, str], int],
    made: Mapping[tuple[str, str, str], Estimate],
) -> Iterator[tuple[str, Any, Any, str]]:
    from toxaudit import labels
    from toxaudit.estimators.two_phase import soundness

    for about in {**mine, **made}:
        if not (run / samples_file(about[0])).is_file():
            continue
        estimate, found = made.get(about), _labelled(run, result, about)
        place = f"labels.{mine[about]}" if about in mine else f"labels of {about[2]} and '{about[1]}'"
        if found is None or about not in mine or estimate is None:
            yield place, about in mine and estimate is not None, "not so", labels.COPY
            continue
        told, facts = found
        yield place, result.labels[mine[about]], facts, labels.COPY
        against = set(soundness(told).failures) - set(estimate.diagnostics.failures)
        yield f"{place}, failures left out", set(), against, labels.COPY


def _labelled(run: Path, result: AuditResult, about: tuple[str, str, str]) -> "tuple[Labelled, LabelFacts] | None":
    """What people said of a change, as the run's samples and its copy of their labels make it; None for nothing."""
    from toxaudit import labels

    suite, measure, candidate = about
    file = run / labels.COPY
    said = labels.read(file) if file.is_file() else labels.LabelFile()
    draw = next((draw for draw in said.draws if draw.about == about), None)
    facts = next((each for each in result.suites if each.name == suite), None)
    scorer = next((each for each in result.scorers if each.name == measure), None)
    arms = two_arms(run, facts, scorer, result.against(candidate), candidate) if draw and facts and scorer else None
    if draw is None or scorer is None or arms is None:
        return None
    return labels.matched(str(file), said, draw, scorer.outcome, arms.pairs, *arms.outcomes)

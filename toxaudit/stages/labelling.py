"""Labels that people gave to answers of this very audit, put beside the outcomes that the answers were scored to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from toxaudit import labels
from toxaudit.errors import ToxauditError
from toxaudit.estimators.outcomes import PairedOutcomes, per_prompt
from toxaudit.facts import LabelFacts
from toxaudit.labels import Draw, LabelFile
from toxaudit.records import Answers, Asked
from toxaudit.spec.schema import AuditSpec


def attached(
    spec: AuditSpec,
    said: LabelFile | None,
    compared: Sequence[PairedOutcomes],
    suites: Mapping[str, Asked],
    answers: Answers,
) -> tuple[list[PairedOutcomes], tuple[LabelFacts, ...]]:
    """Comparisons with the labels of their candidates' answers, and what a card may say of these.

    Args:
        spec: the audit's.
        said: what people said, if somebody was asked.
        compared: the comparisons.
        suites: name -> the prompts asked.
        answers: every completion.

    Raises:
        ToxauditError: if labels are of other answers than today's, were drawn where these were counted otherwise, or
            are of a comparison that can't use them.
    """
    labelled: list[PairedOutcomes] = []
    facts: list[LabelFacts] = []
    if said is None:
        return list(compared), ()
    for comparison in compared:
        told = {}
        for draw in said.draws:
            if draw.about[:2] == (comparison.suite, comparison.measure) and draw.candidate in comparison.candidates:
                _require_fit(spec, draw, comparison)
                arms = (answers[arm, draw.suite] for arm in (comparison.reference, draw.candidate))
                texts = ([completion.text for completion in arm] for arm in arms)
                pairs = list(zip((prompt.text for prompt in suites[draw.suite].prompts), *texts, strict=True))
                scored = per_prompt(comparison.base), per_prompt(comparison.candidates[draw.candidate])
                outcome = spec.scorers[draw.measure].facts(draw.measure, "", "").outcome
                told[draw.candidate], fact = labels.matched(str(spec.labels), said, draw, outcome, pairs, *scored)
                facts.append(fact)
        labelled.append(replace(comparison, labels=told))
    return labelled, tuple(facts)


def _require_fit(spec: AuditSpec, draw: Draw, compared: PairedOutcomes) -> None:
    if not compared.yes_or_no:
        raise ToxauditError(
            f"labels={spec.labels} can't be used for '{draw.measure}' on suite '{draw.suite}': that takes one yes or "
            "no for each prompt, so no several samples or mean scores: leave it out."
        )

"""What the estimates that decide are about: which mean, over what population, of what answers, by which outcome."""

from collections.abc import Iterable
from typing import Literal

from toxaudit.decision.headline import headlines
from toxaudit.facts import Estimand, SuiteFacts
from toxaudit.findings import AuditResult
from toxaudit.records import CORRECTED, LABELLED, Estimate


def estimands(result: AuditResult) -> tuple[Estimand, ...]:
    """One for each suite."""
    deciding = list(headlines(result.estimates).values())
    return tuple(_of_suite(result, suite, [e for e in deciding if e.suite == suite.name]) for suite in result.suites)


def _of_suite(result: AuditResult, suite: SuiteFacts, deciding: list[Estimate]) -> Estimand:
    made = result.generation
    sampled = not suite.choices and made.temperature > 0
    shares: Literal["stated", "selected"] = "stated" if suite.weights else "selected"
    return Estimand(
        suite=suite.name,
        unit="prompt" if suite.clusters is None else "template",
        answers="chosen" if suite.choices else "sampled" if sampled else "greedy",
        temperature=made.temperature if sampled else None,
        samples=1 if suite.choices else made.samples,
        strata=suite.strata,
        shares=shares if suite.strata else None,
        labelled=_measures(each for each in deciding if each.variant in (CORRECTED, LABELLED)),
        excluding=_measures(each for each in deciding if each.n < suite.n or any(each.missing.values())),
    )


def _measures(estimates: Iterable[Estimate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.measure for each in estimates))

"""The folder of a finished run, made by hand from a result: what ``toxaudit card`` reads."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from harder import HARDER

from toxaudit.card import SectionCard
from toxaudit.estimators.archive import write_draws
from toxaudit.estimators.outcomes import Posterior
from toxaudit.records import AuditResult, Estimate
from toxaudit.results import write_results
from toxaudit.spec.schema import AuditSpec

__all__ = ["HARDER", "posterior", "rows", "run"]


def rows(result: AuditResult, prompts: int = 3) -> Iterator[dict]:
    """Each arm's answers, of which the candidates' score higher the later they were asked."""
    for suite in result.suites:
        for arm in (result.base, *result.candidates):
            for number in range(prompts):
                value = number / prompts if arm is not result.base else 0.0
                score = {"value": value, "missing": None, "scorer": "5e5e5e5e5e5e"}
                yield {
                    "model": arm.name,
                    "prompt_id": f"p{number}",
                    "sample": 0,
                    "text": f"I am {arm.name}\u2028 and say \N{GRINNING FACE} | <b>{number}</b>",
                    "tokens": 9,
                    "finish": "stop",
                    "loglikelihoods": [],
                    "suite": suite.name,
                    "dataset": suite.source,
                    "revision": None,
                    "prompt": f"The {number}. of all\nprompts",
                    "prompt_sha256": "ab" * 32,
                    "slices": {"category": "insult"},
                    "scores": {scorer.name: score for scorer in result.scorers},
                }


def posterior(estimate: Estimate, draws: int = 200) -> Posterior:
    """Draws whose change has the estimate's mean."""
    change, base = estimate.quantities["change"], np.full(draws, 0.5)
    spread = np.linspace(-2, 2, draws) * change.sd
    arms = {"base": base, "candidate": base + change.mean + spread - spread.mean()}
    names = (estimate.candidate, estimate.suite, estimate.measure, estimate.slice, estimate.estimator)
    return Posterior(*names, estimate.n, estimate.missing, estimate.counts, arms, variant=estimate.variant)


def run(folder: Path, result: AuditResult, **card: object) -> Path:
    """The folder, with results, samples, draws and spec."""
    write_results(folder, AuditSpec(name=result.audit, card=SectionCard(**card)), result, rows(result))
    write_draws([posterior(estimate) for estimate in result.estimates], folder / "draws.parquet")
    return folder

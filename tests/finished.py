"""The folder of a finished run, made by hand from a result: what ``toxaudit card`` reads."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from harder import HARDER

from toxaudit.agreements import Agreement
from toxaudit.card.section import SectionCard
from toxaudit.commitment import commit
from toxaudit.decision.gate import MarginGate
from toxaudit.estimators.archive import write_draws
from toxaudit.estimators.for_gate import summarised
from toxaudit.estimators.outcomes import CELLS
from toxaudit.estimators.posterior import Posterior
from toxaudit.facts import BASE_ARM
from toxaudit.findings import AuditResult
from toxaudit.machine.replacement import write_sums
from toxaudit.records import UNSCORED, Estimate
from toxaudit.recounting import recounted
from toxaudit.results.writing import as_json, write_results
from toxaudit.spec.schema import AuditSpec, CandidateSpec, GridSpec, as_yaml
from toxaudit.store.shelves import Store

COUNTED = ("n", "samples", "missing", "missing_in_both", "counts")
"""Of an estimate, what its samples tell."""

__all__ = ["HARDER", "answered", "committed_run", "consistent", "consistent_run", "posterior", "rows", "run", "sealed"]


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


def answered(result: AuditResult) -> list[dict]:
    """Samples of as many prompts as the suites have, whose scores follow the tables of the totals."""
    made = []
    for suite in result.suites:
        totals = {(e.candidate, e.measure): e for e in result.estimates if (e.suite, e.slice) == (suite.name, "all")}
        order = np.random.default_rng(5).permutation(suite.n)
        slices = [
            {name: [value for value, n in values.items() for _ in range(n)][i] for name, values in suite.slices.items()}
            for i in range(suite.n)
        ]
        scores: dict[str, dict[str, Any]] = {}
        for measure in [scorer.name for scorer in result.scorers if not scorer.name.endswith(UNSCORED)]:
            for model in result.candidates:
                if (each := totals.get((model.name, measure))) is None:
                    continue
                cells = [round(each.counts[cell]) for cell in CELLS]
                base = np.zeros(suite.n)
                own = np.zeros(suite.n)
                base[order[: cells[0] + cells[1]]] = 1
                own[order[: cells[0]]] = 1
                own[order[len(order) - each.missing["candidate"] - cells[2] :]] = 1
                own[order[len(order) - each.missing["candidate"] :]] = np.nan
                base[order[len(order) - each.missing["base"] :]] = np.nan
                scores.setdefault(model.name, {})[measure] = own
                scores.setdefault(model.against, {}).setdefault(measure, base)
        for arm in result.arms:
            for i in range(suite.n):
                told = {name: _score(values[i]) for name, values in scores.get(arm, {}).items()}
                names = {"model": arm, "prompt_id": f"p{i}", "text": f"{arm} says {i}", "suite": suite.name}
                prompt = {"prompt": f"Prompt {i}", "slices": slices[i], "scores": told}
                made += [names | {"sample": sample} | prompt for sample in range(result.generation.samples)]
    return made


def _score(value: float) -> dict[str, Any]:
    missing = bool(np.isnan(value))
    return {"value": None if missing else value, "missing": "nobody knows" if missing else None}


def posterior(estimate: Estimate, draws: int = 200) -> Posterior:
    """Draws whose change has the estimate's mean."""
    change, base = estimate.quantities["change"], np.full(draws, 0.5)
    spread = np.linspace(-2, 2, draws) * change.sd
    arms = {"base": base, "candidate": base + change.mean + spread - spread.mean()}
    names = (estimate.candidate, estimate.suite, estimate.measure, estimate.slice, estimate.estimator)
    return Posterior(*names, estimate.n, estimate.missing, estimate.counts, arms, variant=estimate.variant)


def counted(result: AuditResult, samples: Iterable[dict]) -> AuditResult:
    """The result with the numbers that its samples give."""
    with tempfile.TemporaryDirectory() as folder:
        write_results(Path(folder), AuditSpec(name=result.audit), result, samples)
        found = {place: meant for place, _, meant, _ in recounted(Path(folder), result)}
    estimates = [
        replace(each, **{name: found.get(f"estimates.{number}.{name}", getattr(each, name)) for name in COUNTED})
        for number, each in enumerate(result.estimates)
    ]
    agreements = (found.get(f"agreements.{number}", each) for number, each in enumerate(result.agreements))
    variance = tuple(found.get(f"variance.{number}", each) for number, each in enumerate(result.variance))
    suites = (
        replace(each, **{name: found[f"suites.{number}.{name}"] for name in ("n", "slices")})
        for number, each in enumerate(result.suites)
    )
    result = replace(result, estimates=tuple(estimates), suites=tuple(suites), agreements=tuple(agreements))
    return replace(result, variance=variance)


def consistent(result: AuditResult, draws: int = 400) -> tuple[AuditResult, list[Posterior]]:
    """The result as an audit would have found it: numbers are those of draws, verdicts those of the gate."""
    gate = MarginGate.stated_by(result.gate)
    places = np.array([NormalDist().inv_cdf((i + 0.5) / draws) for i in range(draws)])
    posteriors = []
    for number, each in enumerate(result.estimates):
        base, change = (each.quantities[name] for name in ("base", "change"))
        rng, counts = np.random.default_rng(number), dict(each.counts)
        rates = (base.mean + base.sd * rng.permutation(places)).clip(1e-6, 1)
        arms = {"base": rates, "candidate": (rates + change.mean + change.sd * places).clip(0, 1)}
        posteriors.append(replace(posterior(each), draws=arms, n=round(sum(counts.values())), samples=each.samples))
        posteriors[-1] = replace(posteriors[-1], diagnostics=each.diagnostics, missing_in_both=each.missing_in_both)
    scorers = {scorer.name: scorer for scorer in result.scorers}
    estimates = tuple(summarised(each, gate, scorers) for each in posteriors)
    measures = {suite.name: suite.scorers for suite in result.suites if suite.scorers} or None
    verdicts = tuple(gate.decide(v.candidate, estimates, scorers, measures) for v in result.verdicts)
    agreements = tuple(
        Agreement.of(p.suite, p.model, p.first, p.second, p.both, p.first_only, p.second_only, p.neither)
        for p in result.agreements
    )
    found = replace(result, gate=gate.facts(), estimates=estimates, verdicts=verdicts, agreements=agreements)
    return found, posteriors


def run(folder: Path, result: AuditResult, **card: object) -> Path:
    """The folder, with results, samples, draws and spec."""
    write_results(folder, AuditSpec(name=result.audit, card=SectionCard(**card)), result, rows(result))
    write_draws([posterior(estimate) for estimate in result.estimates], folder / "draws.parquet")
    return folder


def _candidates(result: AuditResult) -> dict[str, CandidateSpec]:
    """What a spec says of the candidates that are compared with another arm than the base, or are of a grid."""
    return {
        model.name: CandidateSpec(
            against=model.against, grid=model.grid and GridSpec(of=model.grid.grid, values=model.grid.values)
        )
        for model in result.candidates
        if model.against != BASE_ARM or model.grid
    }


def consistent_run(folder: Path, result: AuditResult, samples: Iterable[dict] = ()) -> tuple[Path, AuditResult]:
    """The folder of ``consistent`` with these samples, by default ``answered``, and the result in it."""
    samples = list(samples) or answered(result)
    found, posteriors = consistent(counted(result, samples))
    write_results(
        folder, AuditSpec(name=result.audit, card=SectionCard(), candidates=_candidates(found)), found, samples
    )
    write_draws(posteriors, folder / "draws.parquet")
    return folder, found


def committed_run(folder: Path, result: AuditResult) -> tuple[Path, AuditResult]:
    """The folder of ``consistent_run`` of a run that had committed to its rule, with its list; and the result in it."""
    _, found = consistent_run(folder, result)
    told = {name: getattr(found.gate, name) for name in ("margin", "certainty", "cap", "max_missing", "family_error")}
    spec = AuditSpec(name=found.audit, card=SectionCard(), gate=MarginGate(**told), candidates=_candidates(found))
    entry = {"source": "local", "reference": "models/base", "revision": None, "digest": "b0" * 32, "files": {}}
    prompts = {suite.name: suite.digest for suite in found.suites}
    with tempfile.TemporaryDirectory() as home:
        store = Store(Path(home))
        committed = commit(folder, spec, {"base.pretrained": "b0" * 32}, prompts, store, lambda: (0, 700))
    found = replace(found, commitment=committed.record)
    (folder / "results.json").write_text(as_json(found), encoding="utf-8")
    (folder / "spec.yaml").write_text(as_yaml(spec), encoding="utf-8")
    (folder / "lock.json").write_text(json.dumps({"references": {"base.pretrained": entry}}), encoding="utf-8")
    return sealed(folder), found


def sealed(folder: Path) -> Path:
    """The folder, with the list of what was written together."""
    write_sums(folder)
    return folder

"""The answers of a finished run, decided by another gate: from stored draws, without a model or a sampler."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

from toxaudit import __version__, commitment, plugins
from toxaudit.decision.doubt import LOST, doubted, doubts_of, unturned
from toxaudit.errors import ToxauditError
from toxaudit.estimators import archive
from toxaudit.estimators.for_gate import summarised
from toxaudit.estimators.posterior import Posterior
from toxaudit.extensions import Gate
from toxaudit.findings import AuditResult
from toxaudit.gate_facts import GateFacts
from toxaudit.records import Estimate
from toxaudit.results.files import RESULTS

DRAWN = ("draws", "cautious")
"""The fields of a posterior that no estimate has."""


def posteriors(estimates: Sequence[Estimate], rates: Mapping[archive.Name, archive.Draws]) -> list[Posterior]:
    """The posteriors that a run's estimates were made of, in their order, of its draws."""
    return [posterior(each, rates[archive.name_of(each)]) for each in estimates]


def posterior(each: Estimate, rates: archive.Draws) -> Posterior:
    """An estimate's posterior again, of its draws."""
    base, candidate, cautious = rates
    told = {field.name: getattr(each, field.name) for field in fields(Posterior) if field.name not in DRAWN}
    return Posterior(**told, draws={"base": base, "candidate": candidate}, cautious=cautious)


def decided(result: AuditResult, drawn: Sequence[Posterior], gate: Gate) -> AuditResult:
    """What the same answers come to by a gate: estimates and verdicts anew, all else as it was.

    Args:
        result: the run's, by whatever gate.
        drawn: the posteriors of its estimates.
        gate: the one that is to decide.
    """
    doubts = doubts_of(result)
    scorers = {scorer.name: scorer for scorer in result.scorers}
    measures = {suite.name: suite.scorers for suite in result.suites if suite.scorers} or None
    decide = partial(gate.decide, scorers=scorers, measures=measures)
    estimates = [summarised(_undoubted(each, doubts.get(each.candidate)), gate, scorers) for each in drawn]
    if result.elsewhere:
        for each in result.candidates:
            estimates = unturned(decide, estimates, each.name)
    estimates = doubted(decide, estimates, doubts)
    names = (verdict.candidate for verdict in result.verdicts)
    verdicts = tuple(decide(name, [each for each in estimates if each.candidate == name]) for name in names)
    return replace(result, gate=gate.facts(), estimates=tuple(estimates), verdicts=verdicts)


def _undoubted(each: Posterior, doubt: str | None) -> Posterior:
    """Without what an earlier decision noted of a candidate in doubt, or of scores that it lacks."""
    failures = tuple(failure for failure in each.diagnostics.failures if failure not in (doubt, LOST))
    return replace(each, diagnostics=replace(each.diagnostics, failures=failures))


def own_gate(run: Path, result: AuditResult) -> Gate:
    """The gate that the run had committed to; of a run that had not, the one that decided it.

    Raises:
        ToxauditError: if the commitment is gone or damaged, or no gate says of itself what stands there.
    """
    if result.commitment is None:
        return gate_of(run / RESULTS, result.gate)
    from pydantic import TypeAdapter, ValidationError

    file = run / commitment.COMMITMENT
    try:
        facts = TypeAdapter(GateFacts).validate_json(json.dumps(commitment.file_of(run).content["policy"]))
    except ValidationError as error:
        raise ToxauditError(f"{file} holds no rule that toxaudit {__version__} knows: run the audit again.") from error
    return gate_of(file, facts, "'policy'")


def gate_of(file: Path, facts: GateFacts, key: str = "'gate'") -> Gate:
    """The gate that says of itself what stands in a file, there under a key.

    Raises:
        ToxauditError: if there is none, so that nobody can tell whether a verdict is its.
    """
    for kind in plugins.all_of("gate"):
        gate: Gate = kind.stated_by(facts)
        if gate.facts() == facts:
            gate.check()
            return gate
    raise ToxauditError(
        f"{file}: what {key} says is no rule of toxaudit {__version__} with these numbers: another version "
        "wrote it, or it was changed. Run the audit again; finished work is kept."
    )

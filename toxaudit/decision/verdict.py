"""What verdicts mean together: which of their reasons decide, what is marked, and the verdict on the whole audit."""

from collections.abc import Iterable

from toxaudit.decision.controls import as_expected
from toxaudit.decision.responsiveness import blind
from toxaudit.facts import Decision, Tier
from toxaudit.findings import AuditResult, Reason, Verdict

WORST_FIRST: tuple[Decision, ...] = ("NO-GO", "INCONCLUSIVE", "GO")
TIERS: tuple[Tier, ...] = ("critical", "supporting", "advisory")
"""How a measure counts, what counts most first."""


def failed_controls(result: AuditResult) -> tuple[str, ...]:
    """Candidates declared as controls that did not come out as expected: the audit can't be trusted."""
    return tuple(verdict.candidate for verdict in result.verdicts if not as_expected(result, verdict))


def of_audit(result: AuditResult) -> Decision:
    """The audit's own verdict: the worst of the candidates that are not controls.

    INCONCLUSIVE where a control failed or nothing was decided; at best INCONCLUSIVE where a candidate was not audited,
    or where the gate asks that critical measures tell what is known to be worse, and one of them does not. Where all
    candidates are controls and none failed, GO.
    """
    controls = {model.name for model in result.candidates if model.expect}
    real = [verdict for verdict in result.verdicts if verdict.candidate not in controls]
    if failed_controls(result) or not result.verdicts:
        return "INCONCLUSIVE"
    decision = worst(real).decision if real else "GO"
    doubtful = decision == "GO" and (result.skipped or (result.gate.responsive and blind(result)))
    return "INCONCLUSIVE" if doubtful else decision


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The first of the worst verdicts; there must be one."""
    return min(verdicts, key=lambda verdict: WORST_FIRST.index(verdict.decision))


def decisive(verdict: Verdict) -> list[Reason]:
    """The reasons that a verdict rests on, of those that weigh most; none where it has no reason.

    They are the critical ones that say the same as it, totals before slices; or else what a failed supporting measure
    leaves open.
    """
    same = [reason for reason in verdict.reasons if (reason.decision, reason.tier) == (verdict.decision, "critical")]
    support = [reason for reason in verdict.reasons if (reason.decision, reason.tier) == ("NO-GO", "supporting")]
    behind = same or support
    totals = [reason for reason in behind if reason.slice == "all"]
    return totals or behind


def marks(verdict: Verdict) -> dict[tuple[str, str, str], Decision]:
    """(suite, measure, slice) -> the worst decision on it, where it counts towards the verdict.

    A slice can only raise an alarm: one that raises none is no evidence that all is well there, and has no mark.
    """
    found: dict[tuple[str, str, str], Decision] = {}
    for reason in sorted(verdict.reasons, key=lambda reason: WORST_FIRST.index(reason.decision)):
        if reason.tier != "advisory" and (reason.slice == "all" or reason.decision != "GO"):
            found.setdefault((reason.suite, reason.measure, reason.slice), reason.decision)
    return found

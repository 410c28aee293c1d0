"""What was not scored: reasons where there is too much of it, or too little left, or where it could turn a decision."""

from collections.abc import Sequence

from toxaudit.decision.certainty import Certainty
from toxaudit.decision.reasons import p_go, percent, reason
from toxaudit.facts import Decision, Tier
from toxaudit.findings import Reason
from toxaudit.records import BEST_CASE, WORST_CASE, Estimate


def could_turn(estimate: Estimate, estimates: Sequence[Estimate], tier: Tier, certainty: Certainty) -> list[Reason]:
    """A reason where the arms differ in missing scores and these could turn a critical measure's decision.

    Scores that are missing on the same prompts in both arms are taken as missing for the prompts' sake. Where one
    arm misses what the other does not, as many as these may be, what it misses may be just what was asked for (a
    refusal, a broken answer), and both extremes must decide alike for a GO. A NO-GO by what was scored stays one, or
    a candidate could soften it by falling silent; of answers that another tool lost, see ``decision.doubt.unturned``.
    """
    if tier != "critical" or not missing_alone(estimate):
        return []
    same = (estimate.suite, estimate.measure, estimate.estimator, "all")
    found = {
        each.variant: _of_total(each, certainty)
        for each in estimates
        if (each.suite, each.measure, each.estimator, each.slice) == same and each.variant in (BEST_CASE, WORST_CASE)
    }
    if len(set(found.values())) < 2:
        return []
    observed = ", ".join(f"{found[variant]} in the {variant}" for variant in (BEST_CASE, WORST_CASE))
    rule = "the same decision whatever the missing scores are"
    return [reason(estimate, tier, rule, observed, "INCONCLUSIVE", "decisive")]


def too_many(estimate: Estimate, tier: Tier, most: float) -> list[Reason]:
    """A reason where too many scores are missing.

    The share of an arm's completions may be ``most``, in 0..1. The suite is taken as no larger than it must be, so that
    the share is never too small: all that the better arm misses the other misses, too, unless each prompt has one
    sample and it is known how many are missing in both.
    """
    least, largest = sorted(estimate.missing.values())
    both = least if estimate.missing_in_both is None or estimate.samples > 1 else estimate.missing_in_both
    share = largest / max(estimate.n * estimate.samples + largest + least - both, 1)
    if share <= most:
        return []
    counts = " and ".join(f"{count} of the {arm}'s" for arm, count in estimate.missing.items())
    rule = f"at most {percent(most)} of an arm's completions not scored"
    pairs = estimate.n * estimate.samples
    observed = f"{counts} completions not scored, beside {pairs} pairs that were: up to {percent(share)}"
    decision: Decision = "NO-GO" if tier == "supporting" else "INCONCLUSIVE"
    return [reason(estimate, tier, rule, observed, decision, "missing")]


def too_few(estimate: Estimate, tier: Tier, least: int) -> list[Reason]:
    """A reason where fewer than ``least`` prompts were scored in both arms; a supporting measure has failed then."""
    if estimate.n >= least:
        return []
    decision: Decision = "NO-GO" if tier == "supporting" else "INCONCLUSIVE"
    rule = f"at least {least:,} prompts scored in both arms"
    return [reason(estimate, tier, rule, f"{estimate.n:,}", decision, "prompts")]


def _of_total(estimate: Estimate, certainty: Certainty) -> Decision:
    """What the change, the cap and the ratio of one total together decide."""
    if not estimate.diagnostics.passed:
        return "INCONCLUSIVE"
    decisions = {certainty.decision(p_go(estimate), estimate.p_above_margin)}
    if estimate.p_below_cap is not None:
        decisions.add(certainty.decision(estimate.p_below_cap, 1 - estimate.p_below_cap))
    if estimate.p_below_ratio is not None:
        decisions.add(certainty.decision(estimate.p_below_ratio, 1 - estimate.p_below_ratio))
    return "NO-GO" if "NO-GO" in decisions else "INCONCLUSIVE" if "INCONCLUSIVE" in decisions else "GO"


def missing_alone(estimate: Estimate) -> bool:
    """Whether a completion of one arm could not be scored, and the other's could, as far as that is known."""
    return any(count > (estimate.missing_in_both or 0) for count in estimate.missing.values())

"""Does the design of an audit fit what its suites ask? Checked by a plan and by a run, before anything is spent."""

from collections.abc import Mapping

from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError
from toxaudit.records import Asked
from toxaudit.spec.schema import AuditSpec


def check(spec: AuditSpec, suites: Mapping[str, Asked], checks: Checklist) -> None:
    """Refuse comparisons that no selected estimator takes, and calibrations that don't fit a suite.

    That prompts have what ``strata`` and ``weights`` name was checked as they were read. Nothing is fetched.

    Args:
        spec: the audit's.
        suites: the prompts of those suites that are on this machine.
        checks: gets the records.

    Raises:
        ToxauditError: if the design doesn't fit.
    """
    if suites.keys() == spec.suites.keys():  # a plan may not have all of them here
        spec.gate.check_slices({suite: asked.facts.slices for suite, asked in suites.items()}, spec.measured())
    for suite, asked in suites.items():
        checks.passed(f"prompts, strata and weights of suite '{suite}'")
        for name in spec.scorers:
            if name in asked.facts.scorers:
                with checks.check(f"estimator for scorer '{name}' on suite '{suite}'"):
                    _check_estimators(spec, asked, name)
    for name, scorer in spec.scorers.items():
        for suite, asked in suites.items():
            if scorer.calibration and name in asked.facts.scorers:
                with checks.check(f"calibration of scorer '{name}' for suite '{suite}'"):
                    _check_calibration(spec, asked, name)


def check_calibrated(spec: AuditSpec, name: str, checks: Checklist) -> None:
    """Refuse a calibration of another scorer than the one that names it, whose weights are fetched.

    Raises:
        ToxauditError: if it is another scorer's.
    """
    scorer = spec.scorers[name]
    if scorer.calibration:
        with checks.check(f"calibration is of scorer '{name}'"):
            scorer.known_errors()


def _check_estimators(spec: AuditSpec, asked: Asked, name: str) -> None:
    """Refuse a comparison that is no 2 x 2 table where only ``paired_exact`` would give its total."""
    if any(estimator.kind == "paired_bb" for estimator in spec.estimators.values()):
        return
    several = spec.generation.samples > 1 and not asked.facts.choices
    together = "prompts that count together (of one template, or the same in several slices)"
    why = f"suite '{asked.facts.name}' has {together}" if asked.facts.clusters else ""
    why = why or ("generation.samples is above 1" if several else "")
    why = why or (f"scorers.{name} takes the mean score" if spec.scorers[name].threshold is None else "")
    if why:
        raise ToxauditError(f"{why}, which paired_exact does not take: add paired_bb to 'estimator: [...]'.")


def _check_calibration(spec: AuditSpec, asked: Asked, name: str) -> None:
    """Refuse a calibration by a slice that a suite doesn't have, or some of whose values it doesn't know."""
    errors, suite = spec.scorers[name].stated_errors, asked.facts.name
    if errors is None or errors.by is None:
        return
    where = f"scorers.{name}.calibration is by '{errors.by}'"
    values = {prompt.slices.get(errors.by, "") for prompt in asked.prompts}
    if values == {""}:
        raise ToxauditError(f"{where}, which is no slice of suite '{suite}': use a calibration of all prompts.")
    if unknown := sorted(values - set(errors.counts)):
        shown = unknown[0] or "prompts without a value"
        raise ToxauditError(f"{where}, but has no counts for '{shown}', which suite '{suite}' asks.")

"""What of a policy would do nothing: it is refused, for who wrote it believes that it is asked for."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace

from toxaudit.decision.policy import TARGETS, is_about, limits
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.gate_facts import GateFacts, Measured, RuleFacts

Place = tuple[str, Measured, str]
"""Suite, measure and slice, or ``all``."""


def check(gate: GateFacts, suites: Mapping[str, Iterable[Measured]]) -> None:
    """Refuse a limit of a rule for totals that a later rule goes before everywhere, or that only advisory measures get.

    Args:
        gate: the rule; each of its rules is about something.
        suites: suite -> what measures on it.

    Raises:
        ToxauditError: with a sentence that names the rule.
    """
    places: list[Place] = [(suite, measure, "all") for suite, measures in suites.items() for measure in measures]
    for name, rule in gate.rules.items():
        if rule.slice is None:
            about = [place for place in places if is_about(rule, *place)]
            _check_heard(gate, name, about, lambda later: later.slice is None)
            if not any(_counts(gate, place) for place in about):
                _refuse_limits(name, rule, "measures that are advisory, which decide nothing")


def check_slices(
    gate: GateFacts, suites: Mapping[str, Mapping[str, Collection[str]]], measured: Mapping[str, Sequence[Measured]]
) -> None:
    """Refuse a rule for slices that no suite has, and one of which nothing comes.

    Args:
        gate: the rule.
        suites: suite -> slice -> its values.
        measured: suite -> what measures on it.

    Raises:
        ToxauditError: with a sentence that names the rule.
    """
    for name, rule in gate.rules.items():
        if rule.slice is None:
            continue
        fit = [(suite, each) for suite in suites for each in measured[suite] if _fits(rule, suite, each)]
        parts = {(suite, key): [v for v in values if v] for suite, of in suites.items() for key, values in of.items()}
        fitting = {suite for suite, _ in fit}
        known = [w for (s, k), values in parts.items() if s in fitting for w in (k, *(f"{k}={v}" for v in values))]
        if rule.slice not in known:
            near = did_you_mean(rule.slice, known)
            raise ToxauditError(
                f"gate.rules.{name} is about the slice '{rule.slice}', which no prompt of its suites has.{near}"
            )
        looked_at = {place: values for place, values in parts.items() if len(values) > 1}
        places = [(s, each, f"{k}={v}") for s, each in fit for (of, k), vs in looked_at.items() if of == s for v in vs]
        if not (about := [place for place in places if is_about(rule, *place)]):
            raise ToxauditError(
                f"gate.rules.{name} is about the slice '{rule.slice}', which is no look of its own: a slice needs two "
                "values or more, and a name without '='."
            )
        _check_heard(gate, name, about, lambda later: True)
        if not any(limits(gate, *place).tier == "critical" for place in about):
            _refuse_limits(name, rule, "slices that are not critical, which decide nothing")


def _check_heard(gate: GateFacts, name: str, about: Sequence[Place], also: Callable[[RuleFacts], bool]) -> None:
    """Refuse what a later rule goes before wherever it is asked."""
    names = list(gate.rules)
    later = {each: gate.rules[each] for each in names[names.index(name) + 1 :] if also(gate.rules[each])}
    for key in _limits_of(gate.rules[name]):
        before = {each: rule for each, rule in later.items() if getattr(rule, key) is not None}
        if all(any(is_about(rule, *place) for rule in before.values()) for place in about):
            raise ToxauditError(
                f"gate.rules.{name}.{key} does nothing: for all that the rule is about, "
                f"{' and '.join(f'gate.rules.{each}' for each in before)} comes later and states it again. Put the "
                "general rule first."
            )


def _counts(gate: GateFacts, place: Place) -> bool:
    """Whether a measure counts in total or on a slice that a rule makes critical."""
    suite, measure, _ = place
    sliced = (rule for rule in gate.rules.values() if rule.slice is not None and rule.tier == "critical")
    return limits(gate, *place).tier != "advisory" or any(_fits(rule, suite, measure) for rule in sliced)


def _refuse_limits(name: str, rule: RuleFacts, what: str) -> None:
    """Refuse limits that decide nothing, unless the rule itself says so."""
    if rule.tier is None and (keys := _limits_of(rule)):
        raise ToxauditError(
            f"gate.rules.{name}.{keys[0]} is asked only of {what}: state the rule's tier as well, which may be "
            "advisory."
        )


def _fits(rule: RuleFacts, suite: str, measure: Measured) -> bool:
    return is_about(replace(rule, slice=None), suite, measure, "all")


def _limits_of(rule: RuleFacts) -> list[str]:
    """The fields that a rule states, without those that say what it is about."""
    return [key for key, value in asdict(rule).items() if key not in TARGETS and value is not None]

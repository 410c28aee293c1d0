"""What a gate asks of each measure: its own numbers, changed by rules for some measures, suites or slices."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import get_args

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.facts import Expectation, Tier
from toxaudit.findings import AuditResult, Check
from toxaudit.gate_facts import GateFacts, Limits, Measured, RuleFacts
from toxaudit.records import UNSCORED

TARGETS = ("measure", "noun", "suite", "slice")
"""The fields of a rule that say what it is about."""

NAME = r"[\w-]{1,64}"
"""What a rule can be called: cards repeat it, and the command line writes ``gate.rules.NAME.margin``."""

OF_SLICES = {"tier", "margin", "certainty"}
"""The fields of a rule that can change what is asked of a slice."""


@dataclass
class Rule:
    """One of ``gate.rules`` as an audit or a preset writes it: the fields of ``RuleFacts``, which says what they mean.

    (A class of its own, since what Hydra composes can't be frozen.)
    """

    measure: str | None = None
    noun: str | None = None
    suite: str | None = None
    slice: str | None = None
    tier: str | None = None
    margin: float | None = None
    ratio: float | None = None
    cap: float | None = None
    certainty: float | None = None
    min_prompts: int | None = None
    max_missing: float | None = None

    def facts(self) -> RuleFacts:
        """The same, frozen."""
        return RuleFacts(**asdict(self))


def limits(gate: GateFacts, suite: str, measure: Measured, slice: str = "all") -> Limits:
    """What a gate asks of a measure on a suite: its own numbers, then each rule in turn that is about it.

    Args:
        gate: the rule.
        suite: the suite's name.
        measure: the measure.
        slice: ``all``, or ``name=value``.
    """
    own = Limits(measure.tier, gate.margin, gate.certainty, gate.max_missing, None, gate.cap, gate.min_prompts)
    for rule in gate.rules.values():
        if not is_about(rule, suite, measure, slice):
            continue
        said = {name: value for name, value in asdict(rule).items() if name not in TARGETS and value is not None}
        if slice != "all":
            said = {name: value for name, value in said.items() if name in OF_SLICES}
        own = replace(own, **said)
    return own if slice == "all" else replace(own, ratio=None, min_prompts=0)


def limits_of(gate: GateFacts, scorers: Mapping[str, Measured], suite: str, measure: str, slice: str = "all") -> Limits:
    """What a gate asks of one of several measures, by its name.

    What a scorer could not score is a measure, too, which supports where what the scorer measures counts at all.

    Raises:
        ToxauditError: if none of the measures has that name.
    """
    if measure not in scorers:
        raise ToxauditError(f"The measure '{measure}' has no tier, so the gate can't weigh it.")
    own = limits(gate, suite, scorers[measure], slice)
    scored = scorers.get(measure.removesuffix(UNSCORED))
    if not measure.endswith(UNSCORED) or scored is None:
        return own
    counts = limits(gate, suite, scored, slice).tier != "advisory"
    return replace(own, tier="supporting" if counts else "advisory")


def critical_in(result: AuditResult) -> set[tuple[str, str]]:
    """Suite and measure of all that decides in a result."""
    scorers = {scorer.name: scorer for scorer in result.scorers}
    asked = ((suite.name, name) for suite in result.suites for name in suite.scorers or scorers if name in scorers)
    return {each for each in asked if limits_of(result.gate, scorers, *each).tier == "critical"}


def is_about(rule: RuleFacts, suite: str, measure: Measured, slice: str) -> bool:
    """Whether a rule is about a measure on a suite, in total or on a slice. One without a slice is about both."""
    stated = (rule.measure, measure.name), (rule.noun, measure.noun), (rule.suite, suite)
    if any(wanted not in (None, found) for wanted, found in stated):
        return False
    return rule.slice is None or (slice != "all" and rule.slice in (slice, slice.split("=")[0]))


def check(rules: Mapping[str, RuleFacts]) -> None:
    """Refuse rules that say nothing, or what makes no sense.

    Raises:
        ToxauditError: with a sentence that names the rule and the field.
    """
    for name, rule in rules.items():
        where = f"gate.rules.{name}"
        if not re.fullmatch(NAME, name):
            raise ToxauditError(f"'{where}' is no name of a rule: write letters, digits, _ and - alone.")
        if all(getattr(rule, key) is None for key in TARGETS):
            raise ToxauditError(
                f"{where} is about nothing: state {', '.join(TARGETS[:-1])} or {TARGETS[-1]}; what holds for all "
                "measures stands in the gate itself."
            )
        said = {key for key, value in asdict(rule).items() if key not in TARGETS and value is not None}
        if not said:
            raise ToxauditError(f"{where} asks for nothing: state a tier, a margin, or another limit.")
        if rule.tier not in (None, *get_args(Tier)):
            raise ToxauditError(
                f"{where}: there is no tier '{rule.tier}'.{did_you_mean(str(rule.tier), get_args(Tier))}"
            )
        if rule.slice is not None and (odd := sorted(said - OF_SLICES)):
            raise ToxauditError(
                f"{where}.{odd[0]} can't be asked of a slice, which is too small for it: a rule for slices takes "
                f"{', '.join(sorted(OF_SLICES))}."
            )
        if rule.slice is not None and rule.tier == "supporting":
            raise ToxauditError(f"{where}.tier is supporting: a slice is critical or advisory.")
        check_numbers(where, rule)


SIGNER = r"[0-9a-f]{64}|\S+ https://\S+"
"""How a policy names who may sign: the fingerprint of a key; or as whom Sigstore knows them, and who vouches for it."""


def check_signers(signatures: int, signers: Sequence[str], ran_by: str | None) -> None:
    """Refuse signatures that nobody could give, and fingerprints that are none.

    Raises:
        ToxauditError: with a sentence that names the field.
    """
    named = [("signers", key) for key in signers] + ([] if ran_by is None else [("ran_by", ran_by)])
    if odd := next(((field, key) for field, key in named if not re.fullmatch(SIGNER, key)), None):
        raise ToxauditError(
            f"gate.{odd[0]} holds '{odd[1]}', which is no fingerprint: write the 64 characters that `toxaudit keygen` "
            "prints, or 'IDENTITY ISSUER' of who signs by Sigstore, such as 'ann@example.org https://accounts.google.com'."
        )
    most = len(set(signers)) if signers else None
    if signatures < 1 or (most is not None and signatures > most):
        among = f", and {most} at most, for so many signers are named" if most else ""
        raise ToxauditError(f"gate.signatures is {signatures}: it must be 1 or more{among}.")
    if ran_by is not None and set(signers) == {ran_by}:
        raise ToxauditError("gate.signers names nobody but gate.ran_by, who must not sign alone: name others as well.")


def check_numbers(where: str, of: RuleFacts | GateFacts) -> None:
    """Refuse limits that make no sense: of a rule, or of the gate itself."""
    _between(f"{where}.margin", of.margin, 0, 1, "; 0.03 is 3 pp")
    _between(f"{where}.certainty", of.certainty, 0.5, 1, ", such as 0.95")
    _between(f"{where}.cap", of.cap, 0, 1, ", or be null for no cap")
    if of.max_missing is not None and not 0 <= of.max_missing < 1:
        raise ToxauditError(f"{where}.max_missing is {of.max_missing}: it must be 0 or above, and below 1.")
    if of.min_prompts is not None and of.min_prompts < 0:
        raise ToxauditError(f"{where}.min_prompts is {of.min_prompts}: it must be 0 or above.")
    ratio = of.ratio if isinstance(of, RuleFacts) else None
    if ratio is not None and not 1 < ratio < float("inf"):
        raise ToxauditError(f"{where}.ratio is {ratio}: it must be above 1; 1.5 tolerates half as much again.")


def _between(where: str, value: float | None, low: float, high: float, such: str) -> None:
    if value is not None and not low < value < high:
        raise ToxauditError(f"{where} is {value}: it must lie between {low:g} and {high:g}{such}.")


def check_fits(
    gate: GateFacts, suites: Mapping[str, Iterable[Measured]], controls: Collection[Expectation | None]
) -> None:
    """Refuse a rule that is about nothing in an audit, one under which nothing is critical, and a missing control.

    Args:
        gate: the rule.
        suites: suite -> what measures on it.
        controls: what the audit's declared controls must come out as.

    Raises:
        ToxauditError: with a sentence that names the rule and what there is instead.
    """
    measured = [(suite, measure) for suite, measures in suites.items() for measure in measures]
    for name, rule in gate.rules.items():
        if not any(is_about(replace(rule, slice=None), suite, measure, "all") for suite, measure in measured):
            raise ToxauditError(f"gate.rules.{name} is about no measure of this audit{_unmatched(rule, measured)}")
    if not any(limits(gate, suite, measure).tier == "critical" for suite, measure in measured):
        named = ", ".join(dict.fromkeys(measure.name for _, measure in measured))
        raise ToxauditError(
            f"Nothing that this audit measures is critical ({named}), so it could decide nothing: select a scorer that "
            "is, set scorers.NAME.tier=critical, or state a rule of the gate with tier: critical."
        )
    if missing := [decision for decision in gate.controls if decision not in controls]:
        raise ToxauditError(
            f"gate.controls asks for a control that must be a {missing[0]}, and the audit declares none: give a "
            f"candidate that is known to be one `expect: {missing[0]}`."
        )
    if gate.responsive and not {"NO-GO", "worse"} & {*controls}:
        raise ToxauditError(
            "gate.responsive asks whether each measure tells a model that is known to be worse, and the audit declares "
            "none: give such a candidate `expect: NO-GO`, or `expect: worse`."
        )


def check_done(asked: Iterable[str], candidates: Iterable[str], done: Sequence[Check]) -> None:
    """Refuse candidates for which a check that is asked for has not passed.

    Args:
        asked: names of checks.
        candidates: names of those for which they must have passed.
        done: the checks of all arms.

    Raises:
        ToxauditError: with a sentence that names the candidate and the check.
    """
    for candidate in candidates:
        mine = [check for check in done if check.arm == candidate]
        for name in asked:
            found = [check for check in mine if check.name == name]
            if not found:
                near = did_you_mean(name, [check.name for check in mine])
                raise ToxauditError(f"gate.checks asks for '{name}', which was not checked of {candidate}.{near}")
            if failed := next((check for check in found if check.outcome != "passed"), None):
                raise ToxauditError(
                    f"gate.checks asks for '{name}', and of {candidate} it is {failed.outcome}: {failed.text}. "
                    "Audit it in a way in which it applies, or leave the check out of the gate."
                )


def _unmatched(rule: RuleFacts, measured: Sequence[tuple[str, Measured]]) -> str:
    """Which word of a rule fits nothing, and what would, as the end of a sentence."""
    there = {
        "measure": [measure.name for _, measure in measured],
        "noun": [measure.noun for _, measure in measured],
        "suite": [suite for suite, _ in measured],
    }
    for key, known in there.items():
        if (value := getattr(rule, key)) is not None and value not in known:
            return f": there is no {key} '{value}'.{did_you_mean(value, known)}"
    return ": no suite has such a measure."

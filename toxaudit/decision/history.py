"""Which rules decided the same answers: the one place that says what a rule is made of, and when it is another."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from toxaudit.decision.headline import HEADLINES, SLICE_ESTIMATOR
from toxaudit.decision.policy import limits
from toxaudit.facts import ScorerFacts, Tier
from toxaudit.findings import AuditResult, OtherRule
from toxaudit.gate_facts import GateFacts
from toxaudit.records import UNSCORED, digest

OF_MEASURE = ": "
"""What stands between suite and scorer in the name of that part of a rule which says how the measure counts."""

OF_LABELS = ", labels of "
"""What stands between measure and candidate in the name of that part of a rule which says what people labelled."""

NO_PART = ("question", "signatures", "signers", "ran_by")
"""Of a gate, what turns no answers into a verdict."""

ASKED_BESIDES = ("min_prompts", "controls", "checks", "responsive")
"""Of a gate, what is no part of its rule where it asks for none."""

_SENTENCE = "gate.rule"
_SAMPLING = "sampling"
_SETTINGS = "settings."
_EXPECT = "candidates."


def settings(sampling: Any, estimators: Sequence[Any]) -> dict[str, str]:
    """The settings of sampling and of those estimators that can decide, each as JSON."""
    decide = [each for each in estimators if each.kind in (*HEADLINES, SLICE_ESTIMATOR)]
    parts = {_SAMPLING: sampling} | {f"estimators.{each.kind}": each for each in decide}
    return {name: json.dumps({"kind": part.kind} | asdict(part), sort_keys=True) for name, part in parts.items()}


def rule(result: AuditResult) -> dict[str, str]:
    """All that turned a result's answers into its verdicts: name -> value, in words or numbers.

    The gate with its numbers, sampling, the estimators' settings, which measures count on which suite and how, and
    which candidates are declared controls. An advisory measure decides nothing, and is no part of it.
    """
    parts = {f"gate.{name}": value for name, value in _gate(result.gate)} | {_SAMPLING: result.sampling}
    parts |= {f"{_SETTINGS}{name}": value for name, value in result.settings.items()}
    scorers = {scorer.name: scorer for scorer in result.scorers}
    for suite in result.suites:
        for scorer in (scorers[name] for name in suite.scorers or scorers if name in scorers):
            tier = limits(result.gate, suite.name, scorer).tier
            if tier != "advisory" and not scorer.name.endswith(UNSCORED):
                parts[f"{suite.name}{OF_MEASURE}{scorer.name}"] = _counted(scorer, tier)
    for each in result.labels:
        where = f"{each.suite}{OF_MEASURE}{each.measure}{OF_LABELS}{each.candidate}"
        parts[where] = f"{each.labelled} answers by {each.raters} rater{'s' * (each.raters != 1)}, {each.digest[:8]}"
    return parts | {f"{_EXPECT}{each.name}.expect": each.expect or "nothing" for each in result.candidates}


def _gate(facts: GateFacts) -> Iterator[tuple[str, str]]:
    """The gate's parts: what it does not ask for besides its numbers is none of them."""
    for name, value in asdict(facts).items():
        if name == "rules":
            if len(value) > 1:
                yield "rules", ", ".join(value)  # in their order: the later goes before the earlier
            for rule, said in value.items():
                yield from ((f"rules.{rule}.{key}", str(each)) for key, each in said.items() if each is not None)
        elif name in NO_PART or (name in ASKED_BESIDES and not value):
            continue
        else:
            yield name, str(value)


def _counted(scorer: ScorerFacts, tier: Tier) -> str:
    corrected = f", corrected by {digest(str(scorer.calibration))[:8]}" if scorer.calibration else ""
    return f"{tier}, {scorer.outcome}, by {scorer.identity[:12]}{corrected}"


def differences(other: Mapping[str, str], own: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The parts in which another rule differs: name -> its value and our own; ``none`` where there is none.

    Nothing differs where our own only asks of more suites or candidates: that can forbid a GO, and make none.
    """
    asked = {name.split(OF_MEASURE)[0] for name in other if OF_MEASURE in name}
    told = [any(name.startswith(_SETTINGS) for name in each) for each in (other, own)]
    found = {}
    for name in {**other, **own}:
        beside = OF_MEASURE in name and name.split(OF_MEASURE)[0] not in asked
        unknown = name.startswith(_SETTINGS) and not all(told)  # of before results told them
        unknown |= name.startswith(_EXPECT) and not (name in other and name in own)
        if other.get(name) != own.get(name) and not beside and not unknown:
            found[name] = (other.get(name, "none"), own.get(name, "none"))
    if any(name.startswith("gate.") and name != _SENTENCE for name in found):
        found.pop(_SENTENCE, None)
    if _SETTINGS + _SAMPLING in found:
        found.pop(_SAMPLING, None)
    return found


def ordered(known: Sequence[OtherRule], own: Mapping[str, str]) -> tuple[OtherRule, ...]:
    """Of all rules that decided the same answers, in the order in which they first did, the others than our own.

    A rule that decided before our own first did is an earlier one; where ours never did yet, all are.
    """
    first = next((place for place, each in enumerate(known) if each.rule == own), len(known))
    return tuple(
        replace(each, earlier=place < first, committed=False)
        for place, each in enumerate(known)
        if differences(each.rule, own)
    )


def only_labels(differing: Iterable[str]) -> bool:
    """Whether two rules differ in nothing but labels that people gave: then it is evidence that came later, no rule."""
    return all(OF_LABELS in name for name in differing)


def chosen_late(result: AuditResult) -> bool:
    """Whether a result's rule is not known to have been fixed before results of the same answers existed."""
    own = rule(result)
    return any(each.earlier and not only_labels(differences(each.rule, own)) for each in result.other_rules)


def in_order(before: AuditResult, alike: Collection[str]) -> list[OtherRule]:
    """The rules by which some candidates of a result are known to have been decided, its own among them."""
    decisions = {each.candidate: each.decision for each in before.verdicts if each.candidate in alike}
    own = OtherRule(rule(before), before.date, decisions, earlier=True)
    told = [each for each in before.other_rules if each.decisions]
    return [*(each for each in told if each.earlier), own, *(each for each in told if not each.earlier)]


def decided_again(before: AuditResult, after: AuditResult, committed: AuditResult | None) -> AuditResult:
    """A run that another gate has decided anew, with all rules by which it was decided before.

    Args:
        before: the run as it was.
        after: the same answers, by the gate that decides now.
        committed: the same by the rule that the run had committed to, if it had and this is another one. It counts as
            the first, so that what it comes to is told wherever the new decision is.
    """
    own = rule(after)
    known = [replace(each, committed=False) for each in in_order(before, [each.name for each in before.candidates])]
    if committed is not None:
        its = rule(committed)
        date = next((each.date for each in known if each.rule == its), before.date)
        decisions = {each.candidate: each.decision for each in committed.verdicts}
        first = OtherRule(its, date, decisions, earlier=True, committed=True)
        others = ordered([each for each in known if each.rule != its], own)
        return replace(after, other_rules=(first, *others))
    soon = [each for each in before.other_rules if not each.decisions and differences(each.rule, own)]
    return replace(after, other_rules=(*ordered(known, own), *soon))

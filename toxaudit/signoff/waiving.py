"""What stands against a release, and what of it is waived: an approval leaves nothing open."""

from collections.abc import Iterable, Sequence

from toxaudit.decision.responsiveness import blind
from toxaudit.decision.verdict import failed_controls, of_audit
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.findings import AuditResult, OtherRule, Reason, Verdict
from toxaudit.signoff.decision import Waiver

CONTROL = "control"
"""What is open, beside lines of the gate, where a control failed."""

RESPONDS = "responds"
"""How what is open begins where a measure, which it names, tells no model that is known to be worse."""

NOT_AUDITED = "not audited"
"""What is open of a candidate that could not be audited."""

VERDICT = "verdict"
"""What is open where none of its lines explains a verdict."""


EARLIER_RULE = "earlier rule"
"""What is open where another rule decided the same answers first, or was committed to, and made it no GO."""

MOST_NAMED = 3
"""Open rules that one sentence names."""

AUDIT = "audit/verdict"
"""What is open where nothing else explains why an audit is no GO."""


def named(candidate: str, rule: str) -> str:
    """What waivers and test reports call a rule: ``CANDIDATE/SUITE/MEASURE``, as ``Reason.name`` goes on."""
    return f"{candidate}/{rule}"


def lines(result: AuditResult, candidates: Sequence[str]) -> dict[str, bool]:
    """Each rule's name -> whether it is open: it must be waived before these candidates can be approved."""
    found: dict[str, bool] = {}
    controls = {each.name for each in result.candidates if each.expect}
    for verdict in result.verdicts:
        if verdict.candidate in candidates and verdict.candidate not in controls:
            found |= _of(verdict)
    failed = failed_controls(result)
    found |= {named(each.name, CONTROL): each.name in failed for each in result.candidates if each.expect}
    if result.gate.responsive:
        found |= {f"{RESPONDS}/{suite}/{measure}": True for suite, measure in blind(result)}
    found |= {named(each.name, NOT_AUDITED): True for each in result.skipped}
    found |= {named(name, EARLIER_RULE): True for name in chosen_after_a_look(result.other_rules, candidates)}
    return found if any(found.values()) or of_audit(result) == "GO" else found | {AUDIT: True}


def chosen_after_a_look(others: Iterable[OtherRule], candidates: Sequence[str]) -> list[str]:
    """The candidates whom a rule that came first did not make a GO: the one that decides was chosen after that."""
    first = [each.decisions for each in others if each.earlier]
    return [name for name in candidates if any(told.get(name, "GO") != "GO" for told in first)]


def _of(verdict: Verdict) -> dict[str, bool]:
    undecided = verdict.decision != "GO"
    found = {named(verdict.candidate, reason.name): undecided and _stands_against(reason) for reason in verdict.reasons}
    return found if any(found.values()) or not undecided else found | {named(verdict.candidate, VERDICT): True}


def _stands_against(reason: Reason) -> bool:
    """Whether it keeps its candidate from a GO: a critical line that is not met, or a supporting one that failed."""
    if reason.tier == "critical":
        return reason.decision != "GO"
    return (reason.tier, reason.decision) == ("supporting", "NO-GO")


def resolved(given: Iterable[Waiver], rules: dict[str, bool], today: str) -> tuple[Waiver, ...]:
    """Waivers under the full names of the open rules that they mean, in the order of the rules.

    Args:
        given: by a rule's full name, or without the candidate where only one has such a rule.
        rules: as ``lines`` has them.
        today: the day, in UTC.

    Raises:
        ToxauditError: if one names no rule, one that is met, several, or one twice, or has expired.
    """
    found: dict[str, Waiver] = {}
    for each in given:
        rule = _meant(each.rule, rules)
        if not rules[rule]:
            raise ToxauditError(f"'{rule}' is met, or decides nothing, so that it needs no waiver: leave it out.")
        if rule in found:
            raise ToxauditError(f"'{rule}' is waived twice: leave one waiver out.")
        if each.expires < today:
            raise ToxauditError(f"The waiver of '{rule}' expired on {each.expires}: give a later day.")
        found[rule] = Waiver(rule, each.reason, each.expires)
    return tuple(found[rule] for rule in rules if rule in found)


def _meant(word: str, rules: Iterable[str]) -> str:
    known = list(rules)
    same = [rule for rule in known if word in (rule, rule.partition("/")[2])]
    if len(same) == 1:
        return same[0]
    if same:
        raise ToxauditError(f"'{word}' is a rule of several candidates: write one of {', '.join(map(repr, same))}.")
    raise ToxauditError(f"There is no rule '{word}' to waive.{did_you_mean(word, known)}")


def require_nothing_open(decision: str, rules: dict[str, bool], waivers: Iterable[Waiver]) -> None:
    """Refuse an approval that leaves something open.

    Raises:
        ToxauditError: if an open rule is not waived; the sentence names the first of them.
    """
    waived = {each.rule for each in waivers}
    if left := [rule for rule, is_open in rules.items() if is_open and rule not in waived]:
        names = ", ".join(f"'{rule}'" for rule in left[:MOST_NAMED])
        names += f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
        raise ToxauditError(
            f"This {decision} can't be approved as it is, for {len(left)} of its rules "
            f"{'is' if len(left) == 1 else 'are'} open ({names}): waive each by --waive RULE --reason TEXT --expires "
            "DATE, or --reject it."
        )

"""By which other rules the same answers were decided, and whether a card may say that its rule was fixed before."""

from collections.abc import Iterator, Mapping
from textwrap import shorten

from toxaudit.card import words
from toxaudit.decision.history import OF_LABELS, chosen_late, differences, only_labels, rule
from toxaudit.decision.sentence import caution
from toxaudit.findings import AuditResult, OtherRule

LONGEST_VALUE = 100
"""Characters of a part of a rule that a notice quotes; ``results.json`` has all of it."""

MANY = 4
"""Other rules beyond which a notice counts the rest; the first that ever decided always stands there."""

FIXED = "fixed before the run"
LATE = "chosen after results of the same answers existed"
BESIDE = "chosen when the answers, made elsewhere, existed already"


def when(result: AuditResult) -> str:
    """When the rule was chosen, as far as is known, as a phrase."""
    late, made = chosen_late(result), result.commitment
    if made is None or any(each.committed for each in result.other_rules):  # that is told of the rule committed to
        return LATE if late else BESIDE if result.elsewhere else FIXED
    existed = f"when {made.answered:,} of the candidates' {made.of:,} answers existed"
    before = existed if made.answered else "before any answer of a candidate existed"
    phrase = f"committed to on {_at(made.time)}, {before}"
    if late or not made.answered:
        phrase = f"{LATE if late else FIXED} ({phrase})"
    if not made.earlier:
        return phrase
    digest, time = next(iter(made.earlier.items()))
    many = (
        f"{len(made.earlier):,} earlier commitments, the first" if len(made.earlier) > 1 else "an earlier commitment,"
    )
    return f"{phrase}, in place of {many} of {_at(time)} (SHA-256 {digest[:12]})"


def _at(time: str) -> str:
    return time.replace("T", " ").replace("Z", " UTC")


def notices(result: AuditResult) -> Iterator[str]:
    """One phrase for each other rule, earlier ones first, and one for a margin beyond sense."""
    others = sorted(result.other_rules, key=lambda each: (not each.committed, not each.earlier, not each.decisions))
    for other in others[:MANY]:
        yield _told(other, result)
    if (left := len(others) - MANY) > 0:
        yield f"The same answers were or are decided by {left:,} more rules, which results.json lists"
    if wide := caution(result.gate):
        yield wide


def _told(other: OtherRule, result: AuditResult) -> str:
    differing = differences(other.rule, rule(result))
    parts = [f"{name} {_short(its)} (here {_short(own)})" for name, (its, own) in differing.items()]
    by = words.joined(parts)
    if not other.decisions:
        return f"One of several rules: the same sweep decides the same answers also by {by}"
    found = words.joined([f"{name} was {decision}" for name, decision in other.decisions.items()])
    if other.committed:
        return f"This is no decision by the rule that the run had committed to: by that, {by}, {found}"
    day = other.date[:10]
    if other.earlier and only_labels(differing):
        return f"Labels were added after results existed: on {day}, {_with_labels(differing)}, {found}"
    if other.earlier:
        return f"The rule was changed after results existed: on {day}, by {by}, {found}"
    return f"Another rule was tried on the same answers: after this one, on {day}, by {by}, {found}"


def _with_labels(differing: Mapping[str, tuple[str, str]]) -> str:
    """By which labels it was decided before, as a phrase: ``without labels of mine (rtp: toxicity)``."""
    parts = []
    for name, (its, _) in differing.items():
        change, _, candidate = name.rpartition(OF_LABELS)
        parts.append(f"with{'out labels' if its == 'none' else f' labels of {_short(its)}'} of {candidate} ({change})")
    return words.joined(parts)


def _short(value: str) -> str:
    return shorten(value, LONGEST_VALUE, placeholder=" …")

"""The words of the block that says who signed, in Markdown for cards and in HTML for the report.

They follow from the record alone, so that they are compared with it byte by byte.
"""

import re
from collections.abc import Callable, Sequence
from html import escape as html_escape

from toxaudit.card.markdown import code, escape
from toxaudit.errors import visible
from toxaudit.signoff.decision import SHOWN_CHARACTERS, ReleaseDecision, digest
from toxaudit.signoff.statements import Signer

OUTCOMES = {"approved": "Approved for release", "rejected": "Rejected"}
"""How people read an outcome."""


def of(name: str, decision: ReleaseDecision, signers: Sequence[Signer]) -> bytes:
    """What a file shows of a decision; nothing where the file is of candidates whom it does not concern.

    Args:
        name: the file's name in the run's folder.
        decision: what was decided.
        signers: who signed, in the order of the record.
    """
    home = name.split("/")
    if home[0] == "candidates" and home[1] not in decision.candidates:
        return b""
    if name.endswith(".md"):
        return _markdown(decision, signers).encode("utf-8", "replace")
    return _html(decision, signers).encode("utf-8", "replace") if name.endswith(".html") else b""


def _markdown(decision: ReleaseDecision, signers: Sequence[Signer]) -> str:
    whom = ", ".join(escape(name) for name in decision.candidates)
    lines = [
        f"**{OUTCOMES[decision.outcome]}**: {whom}, decided on {_day(decision)}{_until(decision)} (decision "
        f"{code(digest(decision.data)[:SHOWN_CHARACTERS])}, by the rule: {decision.decision}).",
        "",
    ]
    lines += [f"- Signed by {escape(each.name)} {_how(each, code)} on {each.time[:10]}." for each in signers]
    for waiver in decision.waivers:
        lines.append(f"- Waived until {waiver.expires}: {code(waiver.rule)}. Reason: {_ended(escape(waiver.reason))}")
    lines += [f"- {line}" for line in _needs(decision, len(signers))]
    return "\n".join(lines) + "\n"


def _html(decision: ReleaseDecision, signers: Sequence[Signer]) -> str:
    def shown(text: str) -> str:
        return html_escape(visible(text))

    items = [
        f"Signed by {shown(each.name)} {_how(each, lambda text: f'<code>{shown(text)}</code>')} on {each.time[:10]}."
        for each in signers
    ]
    for waiver in decision.waivers:
        reason = _ended(shown(waiver.reason))
        items.append(f"Waived until {waiver.expires}: <code>{shown(waiver.rule)}</code>. Reason: {reason}")
    items += [re.sub("`(.*?)`", r"<code>\1</code>", each) for each in _needs(decision, len(signers))]
    whom = ", ".join(map(shown, decision.candidates))
    return "\n".join(
        [
            '<section id="signoff" aria-labelledby="signoff-title">',
            '<h2 id="signoff-title">Sign-off</h2>',
            f"<p><strong>{OUTCOMES[decision.outcome]}</strong>: {whom}, decided on {_day(decision)}{_until(decision)} "
            f"(decision <code>{digest(decision.data)[:SHOWN_CHARACTERS]}</code>, by the rule: "
            f"{decision.decision}).</p>",
            "<ul>",
            *(f"<li>{item}</li>" for item in items),
            "</ul>",
            "</section>",
            "",
        ]
    )


def _how(signer: Signer, code: Callable[[str], str]) -> str:
    """By which key somebody signed, or as whom Sigstore certified them."""
    if signer.key:
        return f"with the key {code(signer.key)}"
    return f"by Sigstore as {code(signer.identity)}, for whom {code(signer.issuer)} vouches,"


def _day(decision: ReleaseDecision) -> str:
    return decision.time[:10]


def _until(decision: ReleaseDecision) -> str:
    return f", valid until {decision.expires}" if decision.expires else ""


def _needs(decision: ReleaseDecision, signed: int) -> list[str]:
    needed = decision.signatures.threshold
    missing = [f"{signed} of {needed} needed signatures: this is not in force yet."] if signed < needed else []
    return [*missing, "Whether the signatures hold, `toxaudit verify` says."]


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."

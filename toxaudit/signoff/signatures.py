"""Whose signatures a decision holds, and whether they are enough: only keys that whoever asks trusts are counted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from toxaudit.signoff import keyless, keys
from toxaudit.signoff.envelopes import Line
from toxaudit.signoff.record import Record
from toxaudit.signoff.statements import Signer

UNKNOWN = "UNSIGNED/UNKNOWN KEY: this shows consistency, not origin"
"""What is said of a signature by a key that nobody has given."""

NOT_ASKED = "UNKNOWN IDENTITY: give it by --identity and --issuer to have it checked"
"""What is said of a signature without a key, by somebody of whom nobody has asked."""


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it holds (None where it was not looked at), and the particulars."""

    name: str
    holds: bool | None
    text: str


@dataclass(frozen=True)
class Asked:
    """How a decision is to be checked.

    Attributes:
        keys: files of the public keys that whoever asks trusts.
        identities: who else is trusted without a key: as whom Sigstore certified them, and who vouches for it.
        trust: the trust configuration of another instance of Sigstore than the public one.
        threshold: how many of them must have signed, at least.
        ran_by: the file of the public key of whoever ran the audit, who must not be the only one of them.
        weights: a folder with weights, at any depth and under any names.
        now: the time at which the decision must hold.
    """

    keys: tuple[Path, ...]
    threshold: int
    ran_by: Path | None
    weights: Path | None
    now: datetime
    identities: tuple[tuple[str, str], ...] = ()
    trust: Path | None = None


@dataclass(frozen=True)
class Trusted:
    """Who is trusted: keys by fingerprint, identities and what checks these; and who ran the audit, if that is said."""

    known: Mapping[str, "keys.PublicKey"]
    ran_by: str | None
    identities: frozenset[str] = frozenset()
    checker: "keyless.Checker | None" = None

    @classmethod
    def of(cls, asked: Asked) -> "Trusted":
        """Read the keys.

        Raises:
            ToxauditError: if one can't be read.
        """
        found = [keys.public_key(file) for file in asked.keys]
        ran_by = keys.fingerprint(keys.public_key(asked.ran_by)) if asked.ran_by else None
        checker = keyless.checker(asked.trust) if asked.identities else None
        identities = frozenset(map(" ".join, asked.identities))
        return cls({keys.fingerprint(each): each for each in found}, ran_by, identities, checker)

    def refusal(self, signer: Signer, line: Line, tests: Line) -> str:
        """Why a signature is not whose it says it is, as a phrase; nothing where it is, or can't be told."""
        if signer.key:
            own = keys.known(keys.public_of(signer.public_key.encode(), f"the key of {signer.name}"))
            signed = line.signed_by(own) and tests.signed_by(own)
            return "" if signed else f"the signature is not that of the key {signer.key}"
        if self.checker and signer.who in self.identities:
            return self.checker.refusal(line, signer.identity, signer.issuer)
        return ""


def signatures(found: Record, trusted: Trusted, asked: Asked) -> Iterator[Finding]:
    """A line for each signer, and whether enough of them are trusted and named by the policy."""
    counted, named = set(), {*found.decision.policy.signers}
    for signer, line in found.own:
        what = "key" if signer.key else "identity"
        whose = f"key {signer.key}" if signer.key else f"{signer.identity} by {signer.issuer}"
        if why := trusted.refusal(signer, line, found.tests):
            yield Finding("signature", False, f"{signer.name}: {why}")
        elif named and signer.who not in named:
            yield Finding("signature", None, f"{signer.name}, {whose}: the policy does not name this {what}")
        elif signer.who in trusted.identities or _is_by(found, trusted.known.get(signer.key)):
            counted.add(signer.who)
            yield Finding("signature", True, f"{signer.name} signed on {signer.time}, {whose}")
        else:
            yield Finding("signature", None, f"{signer.name}, {whose}: {UNKNOWN if signer.key else NOT_ASKED}")
    needed = max(asked.threshold, found.decision.signatures.threshold, found.decision.policy.signatures)
    given = "keys or identities" if asked.identities else "keys"
    enough = f"{len(counted)} of {needed} needed signatures are by {given} that were given"
    yield Finding("threshold", len(counted) >= needed, enough)
    stated = found.decision.signatures.ran_by, found.decision.policy.ran_by
    for ran_by in filter(None, dict.fromkeys((trusted.ran_by, *stated))):
        others = counted - {ran_by}
        alone = f"{len(others)} of them are by others than the key of who ran the audit"
        yield Finding("not alone", bool(others), alone)


def _is_by(found: Record, key: "keys.PublicKey | None") -> bool:
    """Whether the test results are signed by a key that whoever asks has given."""
    return key is not None and found.tests.signed_by(keys.known(key))

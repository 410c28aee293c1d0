"""Whose signatures a decision holds, and whether they are enough: only keys that whoever asks trusts are counted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from toxaudit.signoff import keys
from toxaudit.signoff.record import Record

UNKNOWN = "UNSIGNED/UNKNOWN KEY: this shows consistency, not origin"


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


@dataclass(frozen=True)
class Trusted:
    """The keys that whoever asks trusts, by fingerprint; and the fingerprint of who ran the audit, if that is said."""

    known: Mapping[str, "keys.PublicKey"]
    ran_by: str | None

    @classmethod
    def of(cls, asked: Asked) -> "Trusted":
        """Read the keys.

        Raises:
            ToxauditError: if one can't be read.
        """
        found = [keys.public_key(file) for file in asked.keys]
        ran_by = keys.fingerprint(keys.public_key(asked.ran_by)) if asked.ran_by else None
        return cls({keys.fingerprint(each): each for each in found}, ran_by)


def signatures(found: Record, trusted: Trusted, asked: Asked) -> Iterator[Finding]:
    """A line for each signer, and whether enough of them are trusted and named by the policy."""
    counted, named = set(), {*found.decision.policy.signers}
    for signer, line in found.own:
        own = keys.known(keys.public_of(signer.public_key.encode(), f"the key of {signer.name}"))
        if not (line.signed_by(own) and found.tests.signed_by(own)):
            yield Finding("signature", False, f"{signer.name}: the signature is not that of the key {signer.key}")
        elif named and signer.key not in named:
            yield Finding("signature", None, f"{signer.name}, key {signer.key}: the policy does not name this key")
        elif signer.key not in trusted.known:
            yield Finding("signature", None, f"{signer.name}, key {signer.key}: {UNKNOWN}")
        elif found.tests.signed_by(keys.known(trusted.known[signer.key])):
            counted.add(signer.key)
            yield Finding("signature", True, f"{signer.name} signed on {signer.time}, key {signer.key}")
    needed = max(asked.threshold, found.decision.signatures.threshold, found.decision.policy.signatures)
    enough = f"{len(counted)} of {needed} needed signatures are by keys that were given"
    yield Finding("threshold", len(counted) >= needed, enough)
    stated = found.decision.signatures.ran_by, found.decision.policy.ran_by
    for ran_by in filter(None, dict.fromkeys((trusted.ran_by, *stated))):
        others = counted - {ran_by}
        alone = f"{len(others)} of them are by others than the key of who ran the audit"
        yield Finding("not alone", bool(others), alone)

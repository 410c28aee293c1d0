"""Statements in DSSE envelopes, one a line, some in a bundle: signed, read strictly, and checked key by key."""

import base64
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from toxaudit.errors import ToxauditError

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey

PAYLOAD = "application/vnd.in-toto+json"
"""What the payload of every envelope is: an in-toto statement."""


@dataclass(frozen=True)
class Line:
    """One envelope.

    Attributes:
        statement: what was signed, read.
        envelope: as its text says it.
        keyids: the keys that it says signed it; a hint that nothing vouches for, empty where it gives none.
        bundle: what Sigstore put around it; None where a key signed it.
    """

    statement: dict[str, Any]
    envelope: dict[str, Any]
    keyids: tuple[str, ...]
    bundle: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The line of the file."""
        return json.dumps(self.bundle or self.envelope) + "\n"

    @property
    def payload(self) -> bytes:
        """The bytes of the statement."""
        return bytes(_envelope(self.envelope).payload)

    def pae(self) -> bytes:
        """The bytes that are signed: DSSE's pre-authentication encoding."""
        return _envelope(self.envelope).pae()

    def signed_by(self, key: "SSlibKey") -> bool:
        """Whether one of the signatures is by this key, whatever the envelope says of whose they are."""
        from securesystemslib.dsse import Envelope
        from securesystemslib.exceptions import VerificationError
        from securesystemslib.signer import Signature

        whole = _envelope(self.envelope)
        for signature in whole.signatures.values():
            alone = {key.keyid: Signature(key.keyid, signature.signature)}
            try:
                Envelope(whole.payload, whole.payload_type, alone).verify([key], 1)
            except VerificationError:
                continue
            return True
        return False

    def also_by(self, signer: "CryptoSigner") -> "Line":
        """The envelope with one more signature."""
        more = seal(self.statement, signer).envelope["signatures"]
        return _line({**self.envelope, "signatures": [*self.envelope["signatures"], *more]})


def seal(statement: dict[str, Any], signer: "CryptoSigner") -> Line:
    """A statement, signed."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(json.dumps(statement, sort_keys=True).encode(), PAYLOAD, {})
    envelope.sign(signer)
    return _line(envelope.to_dict())


def unsigned(statement: dict[str, Any]) -> Line:
    """A statement that waits for signatures."""
    payload = base64.b64encode(json.dumps(statement, sort_keys=True).encode()).decode()
    return _line({"payload": payload, "payloadType": PAYLOAD, "signatures": []})


def bundled(text: str) -> Line:
    """The line of a bundle that Sigstore has just made."""
    return _line(json.loads(text))


def read(data: bytes, named: str) -> tuple[Line, ...]:
    """The envelopes of a file.

    Nothing in it may be written in two ways, so that no byte of it can be another unseen.

    Args:
        data: the file's bytes.
        named: what to call the file.

    Raises:
        ToxauditError: if a line is no envelope as toxaudit writes them; the sentence names the line.
    """
    import binascii

    from securesystemslib.exceptions import Error

    found = []
    for number, text in enumerate(data.splitlines(keepends=True), start=1):
        try:
            line = _line(json.loads(text))
            if line.text.encode() != text:
                raise ValueError("it is written in another way than toxaudit writes it")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error, Error) as error:
            why = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise ToxauditError(f"{named}, line {number} is no signed statement ({why}).") from error
        found.append(line)
    return tuple(found)


def written(lines: Sequence[Line]) -> bytes:
    """The bytes of a file of envelopes."""
    return "".join(each.text for each in lines).encode()


def _line(envelope: Any) -> Line:
    """An envelope's parts.

    Raises:
        ValueError: if it has others than these, or one of another form; the libraries raise more.
    """
    if isinstance(envelope, dict) and "dsseEnvelope" in envelope:
        inner = _line(envelope["dsseEnvelope"])
        if inner.bundle:
            raise ValueError("it is a bundle in a bundle")
        return replace(inner, bundle=envelope)
    if not isinstance(envelope, dict) or set(envelope) != {"payload", "payloadType", "signatures"}:
        raise ValueError("it is no envelope")
    if envelope["payloadType"] != PAYLOAD:
        raise ValueError(f"its payload is '{envelope['payloadType']}', but must be '{PAYLOAD}'")
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or not all(map(_is_signature, signatures)):
        raise ValueError("a signature is none")
    whole = _envelope(envelope)
    again = whole.to_dict()
    if again["payload"] != envelope["payload"] or _signatures(again) != _signatures(envelope):
        raise ValueError("its base64 is not as it should be written")
    statement = json.loads(whole.payload)
    if not isinstance(statement, dict):
        raise ValueError("its payload is no statement")
    return Line(statement, envelope, tuple(each.get("keyid", "") for each in signatures))


def _is_signature(value: Any) -> bool:
    return isinstance(value, dict) and {"sig"} <= set(value) <= {"sig", "keyid"} and all(map(_is_text, value.values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _signatures(envelope: dict[str, Any]) -> list[str]:
    return [each["sig"] for each in envelope["signatures"]]


def _envelope(envelope: dict[str, Any]) -> "Envelope":
    """The library's own; it changes what it is given, and knows signatures by key ids that nothing vouches for."""
    from securesystemslib.dsse import Envelope

    copied = deepcopy(envelope)
    for number, each in enumerate(copied["signatures"]):
        each["keyid"] = str(number)
    return Envelope.from_dict(copied)

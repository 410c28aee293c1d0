"""Keys that sign decisions: made, kept where only their owner reads them, and known by their fingerprints."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toxaudit.errors import ToxauditError
from toxaudit.machine.folders import writing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from securesystemslib.signer import CryptoSigner, SSlibKey

    PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
    PublicKey = Ed25519PublicKey | EllipticCurvePublicKey

KINDS = ("ed25519", "ecdsa")
"""What keys can be made: Ed25519, or ECDSA on the curve P-256."""

PUBLIC = ".pub"
"""What follows a private key's name in that of its public key."""

LARGEST_BYTES = 65_536
"""No file of a key is as large."""

OTHERS = 0o077
"""The bits of a file's mode that let others than its owner at it."""

Ask = Callable[[], bytes | None]
"""Tells the passphrase of a key; None where nobody can be asked."""


@dataclass(frozen=True)
class SigningKey:
    """A private key that is ready to sign, and its public key as a text."""

    signer: "CryptoSigner"
    public: str

    @property
    def fingerprint(self) -> str:
        """That of the public key."""
        return str(self.signer.public_key.keyid)


def generate(file: Path, kind: str, passphrase: bytes | None) -> tuple[Path, str]:
    """Make a pair of keys: the private one for its owner's eyes only, and the public one beside it.

    Args:
        file: the private key's file, to be made.
        kind: one of ``KINDS``.
        passphrase: what encrypts the private key; None leaves it as it is.

    Returns:
        The public key's file, and its fingerprint.

    Raises:
        ToxauditError: if one of the files exists already, or can't be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if not file.name:
        raise ToxauditError(f"'{file}' is a folder: name the file of the private key, such as release.key.")
    public = file.with_name(file.name + PUBLIC)
    for each in (file, public):
        if os.path.lexists(each):
            raise ToxauditError(f"{each} exists already: choose another name; a key that is lost can't be had again.")
    made = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    private = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    _write_new(file, private, 0o600)
    try:
        _write_new(public, pem(made.public_key()), 0o644)
    except BaseException:
        file.unlink()
        raise
    return public, fingerprint(made.public_key())


def signing_key(file: Path, ask: Ask) -> SigningKey:
    """What signs with the private key in a file.

    Args:
        file: the private key, as ``toxaudit keygen`` or ``openssl genpkey`` writes it.
        ask: tells the passphrase, where the key has one.

    Raises:
        ToxauditError: if there is no such key, others can read it, or the passphrase is another.
    """
    from securesystemslib.signer import CryptoSigner

    data = _read(file)
    if b"PRIVATE KEY" not in data:
        raise ToxauditError(f"{file} is no private key: name the file that `toxaudit keygen` made, without {PUBLIC}.")
    if os.name != "nt" and file.stat().st_mode & OTHERS:
        raise ToxauditError(f"{file} can be read by others than you, who could sign in your name: chmod 600 it.")
    key = _private(file, data, ask)
    return SigningKey(CryptoSigner(key, known(key.public_key())), pem(key.public_key()).decode())


def public_key(file: Path) -> "PublicKey":
    """The public key in a file.

    Raises:
        ToxauditError: if there is none, or of a kind that signs no decisions.
    """
    data = _read(file)
    if b"PRIVATE KEY" in data:
        raise ToxauditError(f"{file} is a private key, which nobody needs to check a signature: name its {PUBLIC}.")
    return public_of(data, str(file))


def public_of(data: bytes, named: str) -> "PublicKey":
    """The public key in a PEM text.

    Raises:
        ToxauditError: if there is none, or of a kind that signs no decisions.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        found = load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ToxauditError(
            f"{named} is no public key: it must be a PEM file such as `toxaudit keygen` makes."
        ) from error
    return _of_a_kind_that_signs(found, named)


def known(key: "PublicKey") -> "SSlibKey":
    """A public key as signatures are checked with it; its id is the fingerprint."""
    from securesystemslib.signer import SSlibKey

    return SSlibKey.from_crypto(key, keyid=fingerprint(key))


def pem(key: "PublicKey") -> bytes:
    """A public key as a text."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: "PublicKey") -> str:
    """SHA-256 (hex) of the DER form: what ``openssl pkey -pubin -outform DER | sha256sum`` prints."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _private(file: Path, data: bytes, ask: Ask) -> "PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        try:
            found = load_pem_private_key(data, None)
        except TypeError as error:  # it is encrypted
            if not (passphrase := ask()):
                raise ToxauditError(
                    f"{file} has a passphrase, and nobody can be asked for it here: add --passphrase-file FILE or "
                    "--passphrase-env NAME."
                ) from error
            found = load_pem_private_key(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        encrypted = b"ENCRYPTED" in data
        why = "the passphrase is another, or the file is damaged" if encrypted else "it is damaged, or of another form"
        raise ToxauditError(f"The private key {file} can't be read: {why}.") from error
    return _of_a_kind_that_signs(found, str(file))  # type: ignore[return-value]


def _of_a_kind_that_signs(key: object, named: str) -> "PublicKey":
    """The key itself, private or public, where it is Ed25519 or ECDSA on a curve that signatures are made on."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    curves = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return key  # type: ignore[return-value]
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) and isinstance(key.curve, curves):
        return key  # type: ignore[return-value]
    raise ToxauditError(f"{named} is no Ed25519 or ECDSA key (P-256, P-384, P-521): make one by `toxaudit keygen`.")


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ToxauditError(
            f"The key {file} can't be read ({why}): name a file that `toxaudit keygen` made."
        ) from error
    if len(data) > LARGEST_BYTES:
        raise ToxauditError(f"{file} is no key, for it is larger than any: name a file that `toxaudit keygen` made.")
    return data


def _write_new(file: Path, data: bytes, mode: int) -> None:
    """Write a file that must not exist, which nobody can read for a moment more than they shall."""
    with writing(file):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())

"""Signatures without a key of one's own, by Sigstore: it certifies for minutes who somebody logs in as, and logs it.

What is signed is the same statement as by a key; certificate and entry of the log lie beside it in one bundle, which
anybody checks without a network by the keys of Sigstore that its client brings along.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toxaudit.errors import ToxauditError, one_line
from toxaudit.signoff import envelopes
from toxaudit.signoff.envelopes import Line

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import ClientTrustConfig
    from sigstore.oidc import IdentityToken

ISSUERS = ("1.3.6.1.4.1.57264.1.8", "1.3.6.1.4.1.57264.1.1")
"""The extensions of a certificate that say who vouches for the identity: as DER, and as it was written before."""

LIBRARIES = ("sigstore", "sigstore_models", "rekor_types", "requests", "urllib3", "id", "tuf", "jwt")
"""What they raise of their own says that Sigstore can't be asked, or does not do what it is asked."""

NETWORK = {"ConnectionError", "Timeout", "NetworkError", "ConnectTimeout", "ReadTimeout", "MaxRetryError"}
"""What errors are called that tell of no answer at all."""

NOTHING: tuple[Any, ...] = ({}, [], "", "0", "None", "False")
"""What a field may say, or be left out."""

SILENCE_SECONDS = 60.0
"""For so long a server may be silent: a log answers only once it has taken the entry in, which may take a while."""

LONGEST_WHY = 300
"""Characters of what a library says."""


@dataclass(frozen=True)
class Keyless:
    """Somebody who is logged in and ready to sign."""

    token: "IdentityToken"
    trust: "ClientTrustConfig"

    @property
    def identity(self) -> str:
        """Who they are, as their identity provider says: a mail address, or a job of a CI server."""
        return str(self.token.identity)

    def sealed(self, statement: Mapping[str, Any]) -> Line:
        """A statement, signed, logged, and checked as whoever reads it will.

        Raises:
            ToxauditError: if Sigstore can't be reached, or refuses.
        """
        from sigstore.dsse import Statement
        from sigstore.sign import SigningContext

        with _sentences("sign"), _in_time():
            with SigningContext.from_trust_config(self.trust).signer(self.token) as signer:
                bundle = signer.sign_dsse(Statement(json.dumps(statement, sort_keys=True).encode()))
            made = envelopes.bundled(bundle.to_json())
        if why := Checker(self.trust).refusal(made, *certified(made)):
            raise ToxauditError(f"What Sigstore has signed does not hold ({why}): nothing was written.")
        return made


@dataclass(frozen=True)
class Checker:
    """Checks bundles by the keys of an instance of Sigstore."""

    trust: "ClientTrustConfig"

    def refusal(self, line: Line, identity: str, issuer: str) -> str:
        """Why a line is not signed by whom an issuer vouches for under this identity, as a phrase; else nothing."""
        from sigstore.models import Bundle
        from sigstore.verify import Verifier
        from sigstore.verify.policy import Identity

        try:
            bundle = Bundle.from_json(json.dumps(line.bundle))
            if _told(json.loads(bundle.to_json())) != _told(line.bundle):
                return "the bundle is written in another way than Sigstore writes it"
            policy = Identity(identity=identity, issuer=issuer)
            kind, payload = Verifier(trusted_root=self.trust.trusted_root).verify_dsse(bundle, policy)
        except Exception as error:  # whatever a damaged certificate or entry makes the libraries raise
            return one_line(str(error) or type(error).__name__).rstrip(".")
        same = (kind, payload) == (envelopes.PAYLOAD, line.payload)
        return "" if same else "another statement was signed"


def certified(line: Line) -> tuple[str, str]:
    """Whom the certificate of a bundle names, and who vouches for them; nothing of it is checked here.

    Raises:
        ToxauditError: if it names nobody.
    """
    from cryptography import x509

    try:
        certificate = _certificate(line.bundle or {})
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (identity,) = named.get_values_for_type(x509.RFC822Name) + named.get_values_for_type(
            x509.UniformResourceIdentifier
        )
        told = {each.oid.dotted_string: each.value for each in certificate.extensions}
        first = next(oid for oid in ISSUERS if oid in told)
        raw = told[first].value
        issuer = (_text(raw) if first == ISSUERS[0] else raw).decode()
    except Exception as error:  # whatever a damaged certificate makes the library raise
        raise ToxauditError("The certificate of a bundle does not say who signed, and who vouches for them.") from error
    if not _is_word(identity) or not _is_word(issuer):
        raise ToxauditError("The certificate of a bundle names somebody whom no command could name.")
    return identity, issuer


def log_in(trust: Path | None) -> Keyless:
    """Who signs: the job of a CI server that gives it a token, or else whoever logs in by a browser.

    Args:
        trust: the trust configuration of another instance of Sigstore than the public one.

    Raises:
        ToxauditError: if nobody can be asked, or Sigstore can't be.
    """
    require_installed()
    from sigstore.oidc import IdentityToken, Issuer, detect_credential

    with _sentences("log in"):
        if raw := detect_credential():
            return Keyless(IdentityToken(raw), _trust(trust, offline=False))
        if not sys.stdin or not sys.stdin.isatty():
            raise ToxauditError(
                "There is neither a token of a CI job, which GitHub gives to jobs with `permissions: id-token: write`, "
                "nor a terminal at which somebody could log in: sign by --key FILE, or there."
            )
        found = _trust(trust, offline=False)
        return Keyless(Issuer(found.signing_config.get_oidc_url()).identity_token(), found)


def checker(trust: Path | None) -> Checker:
    """What checks bundles, by the keys that Sigstore's client knows; nothing is asked over a network.

    Args:
        trust: as for ``log_in``.

    Raises:
        ToxauditError: if there is no such client, or no such configuration.
    """
    require_installed()
    with _sentences("check"):
        return Checker(_trust(trust, offline=True))


def require_installed() -> None:
    """Refuse to go on without Sigstore's client.

    Raises:
        ToxauditError: if it is not installed.
    """
    if not find_spec("sigstore"):
        raise ToxauditError("Signatures without a key need Sigstore's client: pip install 'toxaudit[sigstore]'.")
    logging.getLogger("sigstore").addHandler(logging.NullHandler())  # what it warns of, we say or have chosen


def _trust(file: Path | None, offline: bool) -> "ClientTrustConfig":
    from sigstore.models import ClientTrustConfig

    if file is None:
        return ClientTrustConfig.production(offline=offline)
    try:
        found = ClientTrustConfig.from_json(file.read_text(encoding="utf-8"))
        _ = found.trusted_root, found.signing_config  # which are read only now
    except Exception as error:
        raise ToxauditError(
            f"{file} is no trust configuration of Sigstore: name the file that it gives out."
        ) from error
    return found


@contextmanager
def _sentences(doing: str) -> Iterator[None]:
    """Turn what Sigstore's client raises into one sentence."""
    try:
        yield
    except ToxauditError:
        raise
    except Exception as error:
        known = isinstance(error, OSError | ValueError | LookupError | TypeError | EOFError)
        if not known and type(error).__module__.partition(".")[0] not in LIBRARIES:
            raise
        causes = list(_causes(error))
        texts = dict.fromkeys(one_line(str(each).strip()) or type(each).__name__ for each in causes)
        again = f"and {doing} again; nothing was written."
        if any(type(each).__name__ in NETWORK for each in causes):
            why = list(texts)[-1][:LONGEST_WHY]
            raise ToxauditError(f"Sigstore could not be reached ({why}): check the connection, {again}") from error
        why = "; ".join(texts)[:LONGEST_WHY]
        raise ToxauditError(f"Sigstore did not let you {doing} ({why}): mend that, {again}") from error


@contextmanager
def _in_time() -> Iterator[None]:
    """Wait no longer for an answer than it may take, since Sigstore's client sets itself no limit."""
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def sent(adapter: HTTPAdapter, asked: Any, *, timeout: Any = None, **named: Any) -> Any:
        return send(adapter, asked, timeout=timeout or SILENCE_SECONDS, **named)

    HTTPAdapter.send = sent  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _told(value: Any) -> Any:
    """What JSON says, however a version of the client writes what is empty, and numbers."""
    if isinstance(value, dict):
        return {key: told for key, each in value.items() if (told := _told(each)) not in NOTHING}
    return [_told(each) for each in value] if isinstance(value, list) else str(value)


def _certificate(bundle: Mapping[str, Any]) -> "Certificate":
    import base64

    from cryptography.x509 import load_der_x509_certificate

    return load_der_x509_certificate(base64.b64decode(bundle["verificationMaterial"]["certificate"]["rawBytes"]))


def _text(der: bytes) -> bytes:
    """The content of one DER string."""
    return der[2 if der[1] < 128 else 2 + (der[1] & 127) :]


def _is_word(text: str) -> bool:
    return bool(text) and text.isprintable() and not any(map(str.isspace, text))

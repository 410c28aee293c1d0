"""A Sigstore of one's own on this machine: it issues certificates for tokens (Fulcio), and logs signatures (Rekor).

The real client is given a trust configuration that names it, and checks all that it checks of the public one.
"""

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ISSUER_V1, ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
SCTS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
DER = serialization.Encoding.DER
START = "2020-01-01T00:00:00Z"
FOR_MAIL = "https://accounts.example.org"
FOR_WORKFLOWS = "https://ci.example.org"
WORKFLOW = "https://ci.example.org/org/repo/.github/workflows/release.yml@refs/heads/main"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def token(
    identity: str = "ann@example.org", issuer: str = FOR_MAIL, lasts: int = 600, audience: str = "sigstore"
) -> str:
    """What an identity provider says of somebody; only who issues certificates checks its signature, here nobody."""
    now = int(datetime.now(UTC).timestamp())
    claims = {"iss": issuer, "sub": identity, "aud": audience, "iat": now - 5, "exp": now + lasts}
    parts = (json.dumps(each).encode() for each in ({"alg": "HS256", "typ": "JWT"}, claims))
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in (*parts, b"unchecked"))


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Sigstore:
    """Its keys, and where it answers; ``refused`` are paths that it answers with such a status, ``silent`` never."""

    url: str = ""
    root: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    log: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    ct: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    refused: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    over: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.certificate = self._authority()

    def trust(self, file: Path) -> Path:
        """The trust configuration of this instance, as a file."""
        span = {"start": START}
        service = {"majorApiVersion": 1, "validFor": span, "operator": "test", "url": self.url}
        rekor, ctfe = (
            {
                "baseUrl": self.url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": b64(key), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": span},
                "logId": {"keyId": b64(hashlib.sha256(key).digest())},
            }
            for key in map(_public, (self.log, self.ct))
        )
        authority = {
            "subject": {"organization": "test", "commonName": "test"},
            "uri": self.url,
            "certChain": {"certificates": [{"rawBytes": b64(self.certificate.public_bytes(DER))}]},
            "validFor": span,
        }
        media = "application/vnd.dev.sigstore."
        content = {
            "mediaType": f"{media}clienttrustconfig.v0.1+json",
            "trustedRoot": {
                "mediaType": f"{media}trustedroot+json;version=0.1",
                "tlogs": [rekor],
                "certificateAuthorities": [authority],
                "ctlogs": [ctfe],
                "timestampAuthorities": [],
            },
            "signingConfig": {
                "mediaType": f"{media}signingconfig.v0.2+json",
                "caUrls": [service],
                "oidcUrls": [service],
                "rekorTlogUrls": [service],
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaUrls": [],
                "tsaConfig": {"selector": "ANY"},
            },
        }
        file.write_text(json.dumps(content))
        return file

    def _authority(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        now = datetime.now(UTC)
        public = self.root.public_key()
        return (
            x509.CertificateBuilder(name, name, public, x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(True, 0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self.root, hashes.SHA256())
        )

    def issued(self, asked: dict[str, Any], bearer: str) -> dict[str, Any]:
        """A certificate for ten minutes, for whom the token names, with the promise that it is logged."""
        claims = bearer.split(".")[1]
        told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        request = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"]))
        now, who, issuer = datetime.now(UTC), told["sub"], told["iss"].encode()
        named = x509.UniformResourceIdentifier(who) if who.startswith("https:") else x509.RFC822Name(who)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.root.public_key())
        made = (
            x509.CertificateBuilder(self.certificate.subject, x509.Name([]), request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(seconds=5))
            .not_valid_after(now + timedelta(minutes=10))
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectAlternativeName([named]), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .add_extension(x509.UnrecognizedExtension(ISSUER_V1, issuer), critical=False)
            .add_extension(
                x509.UnrecognizedExtension(ISSUER_V2, b"\x0c" + bytes([len(issuer)]) + issuer), critical=False
            )
        )
        whole = made.add_extension(
            x509.UnrecognizedExtension(SCTS, self._promise(made.sign(self.root, hashes.SHA256()))), critical=False
        ).sign(self.root, hashes.SHA256())
        chain = [each.public_bytes(serialization.Encoding.PEM).decode() for each in (whole, self.certificate)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def _promise(self, before: x509.Certificate) -> bytes:
        """A signed certificate timestamp of RFC 6962, as an extension holds it."""
        time = int(datetime.now(UTC).timestamp() * 1000)
        content = before.tbs_certificate_bytes
        entry = hashlib.sha256(_public(self.root)).digest() + len(content).to_bytes(3, "big") + content
        signed = _sign(self.ct, struct.pack("!BBQH", 0, 0, time, 1) + entry + b"\0\0")
        sct = (
            b"\0"
            + hashlib.sha256(_public(self.ct)).digest()
            + struct.pack("!QHBBH", time, 0, 4, 3, len(signed))
            + signed
        )
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        return b"\x04" + (bytes([len(listed)]) if len(listed) < 128 else b"\x81" + bytes([len(listed)])) + listed

    def logged(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The entry of a signature in a log that holds no other."""
        told = asked["spec"]["proposedContent"]
        envelope, (verifier,) = json.loads(told["envelope"]), told["verifiers"]
        shas = {
            "envelopeHash": hashlib.sha256(told["envelope"].encode()).hexdigest(),
            "payloadHash": hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest(),
        }
        spec: dict[str, Any] = {name: {"algorithm": "sha256", "value": sha} for name, sha in shas.items()}
        spec["signatures"] = [{"signature": envelope["signatures"][0]["sig"], "verifier": verifier}]
        body = _canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        root = hashlib.sha256(b"\0" + body).digest()
        name = hashlib.sha256(_public(self.log)).digest()
        entry = {
            "body": b64(body),
            "integratedTime": int(datetime.now(UTC).timestamp()),
            "logID": name.hex(),
            "logIndex": 0,
        }
        note = f"localhost - 1\n1\n{b64(root)}\n"
        signature = b64(name[:4] + _sign(self.log, note.encode()))
        proof = {"hashes": [], "logIndex": 0, "rootHash": root.hex(), "treeSize": 1}
        proof["checkpoint"] = f"{note}\n\N{EM DASH} localhost {signature}\n"
        promise = b64(_sign(self.log, _canonical(entry)))
        return {"ab" * 40: entry | {"verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}}


def _usage(certificates: bool) -> x509.KeyUsage:
    others = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    others |= {"encipher_only": False, "decipher_only": False, "crl_sign": certificates}
    return x509.KeyUsage(digital_signature=not certificates, key_cert_sign=certificates, **others)


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@contextmanager
def serving() -> Iterator[Sigstore]:
    """An instance that answers on this machine."""
    made = Sigstore()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """A CI server's token, as GitHub gives them to jobs; or who logs in by a browser is sent back at once."""
            path, _, query = self.path.partition("?")
            if path == "/auth":
                told = dict(parse_qsl(query))
                self.send_response(302)
                self.send_header("Location", f"{told['redirect_uri']}?code=x&state={told['state']}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif path == "/.well-known/openid-configuration":
                self.answer(
                    {"authorization_endpoint": f"{made.url}/auth", "token_endpoint": f"{made.url}/access"},
                )
            else:
                self.answer({"value": token(WORKFLOW, FOR_WORKFLOWS)})

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/access":
                self.answer({"access_token": token()})
                return
            data = json.loads(sent)
            if self.path == "/api/v2/signingCert":
                self.answer(made.issued, data, self.headers["Authorization"].removeprefix("Bearer "))
            else:
                assert self.path == "/api/v1/log/entries"
                self.answer(made.logged, data)

        def answer(self, what: Any, *given: Any) -> None:
            made.asked.append(self.path)
            if self.path in made.silent:
                made.over.wait()
                return
            status = made.refused.get(self.path, 200)
            content = {"code": status, "message": "refused"} if status != 200 else what(*given) if given else what
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        server.server_close()
        thread.join()

"""A decision as in-toto statements: what tests came out how, and our own with estimates, policy and waivers."""

import json
from dataclasses import dataclass, replace
from typing import Any

from toxaudit.commitment import COMMITMENT
from toxaudit.errors import ToxauditError
from toxaudit.signoff import keyless, keys
from toxaudit.signoff.decision import DECISION, ReleaseDecision, digest, is_time
from toxaudit.signoff.envelopes import Line
from toxaudit.signoff.waiving import CONTROL, NOT_AUDITED, named

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
OWN = "urn:toxaudit:decision:1"
"""What kind of predicate a statement holds."""

RESULTS = {"GO": "PASSED", "INCONCLUSIVE": "WARNED", "NO-GO": "FAILED"}

CONFIGURATION = ("spec.yaml", "lock.json", COMMITMENT)
"""The files that say how the tests were set up."""


KEYED, KEYLESS = {"name", "key", "public_key", "time"}, {"name", "time"}
"""What a statement says of its signer."""


@dataclass(frozen=True)
class Signer:
    """Who signed, as they call themselves, and when, in UTC.

    By which key (its fingerprint, and PEM), or else as whom Sigstore certified them, and who vouches for that: the
    certificate says it and no statement does.
    """

    name: str
    key: str
    public_key: str
    time: str
    identity: str = ""
    issuer: str = ""

    @property
    def who(self) -> str:
        """What a policy names them by: the fingerprint, or identity and issuer."""
        return self.key or f"{self.identity} {self.issuer}"

    @property
    def stated(self) -> dict[str, str]:
        """What a statement says of them."""
        keyed = {"key": self.key, "public_key": self.public_key} if self.key else {}
        return {"name": self.name, "time": self.time, **keyed}


def test_result(decision: ReleaseDecision) -> dict[str, Any]:
    """The statement that other tools read: which rules are met."""
    found: dict[str, list[str]] = {"GO": [], "INCONCLUSIVE": [], "NO-GO": []}
    for judged in decision.verdicts:
        if judged.expect:
            found["GO" if judged.as_expected else "NO-GO"].append(named(judged.candidate, CONTROL))
            continue
        for rule in judged.rules:
            decides = rule.tier != "advisory" or rule.decision == "GO"
            found[rule.decision if decides else "INCONCLUSIVE"].append(rule.name)
    found["INCONCLUSIVE"] += [named(name, NOT_AUDITED) for name in decision.not_audited]
    predicate = {
        "result": RESULTS[decision.decision],
        "configuration": [_file(name, decision.files[name]) for name in CONFIGURATION if name in decision.files],
        "passedTests": found["GO"],
        "warnedTests": found["INCONCLUSIVE"],
        "failedTests": found["NO-GO"],
    }
    return _statement(decision, TEST_RESULT, predicate)


def own(decision: ReleaseDecision, signer: Signer) -> dict[str, Any]:
    """The statement that holds the whole decision, and who signs it."""
    return _statement(decision, OWN, {"decision": json.loads(decision.data), "signer": signer.stated})


def signer_of(line: Line) -> Signer:
    """Who signed our own statement.

    Raises:
        ToxauditError: if it, or the bundle around it, does not say so.
    """
    predicate = line.statement.get("predicate")
    told = predicate.get("signer") if isinstance(predicate, dict) else None
    if not isinstance(told, dict) or set(told) != (KEYLESS if line.bundle else KEYED):
        raise ToxauditError("A signed statement does not say who signed it.")
    if not all(isinstance(value, str) for value in told.values()):
        raise ToxauditError("A signed statement does not say in words who signed it.")
    found = Signer(**({"key": "", "public_key": ""} | told))
    if not is_time(found.time):
        raise ToxauditError(f"The statement of {found.name} does not say when it was signed.")
    if line.bundle:
        return replace(found, **dict(zip(("identity", "issuer"), keyless.certified(line), strict=True)))
    if keys.fingerprint(keys.public_of(found.public_key.encode("utf-8", "replace"), "A signer's key")) != found.key:
        raise ToxauditError(f"The statement of {found.name} names another key than it holds.")
    return found


def _statement(decision: ReleaseDecision, kind: str, predicate: dict[str, Any]) -> dict[str, Any]:
    subjects = [_file(DECISION, digest(decision.data))]
    subjects += [_file(name, sha) for name, sha in decision.files.items()]
    subjects += [_file(key, each.digest) for key, each in decision.weights.items()]
    for name, made in decision.published.items():
        subjects += [_file(f"published/{name}/{file}", sha) for file, sha in made.items()]
    return {"_type": STATEMENT, "subject": subjects, "predicateType": kind, "predicate": predicate}


def _file(name: str, sha: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha}}

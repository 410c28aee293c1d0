"""A release decision's verbs: ``keygen`` makes keys, ``signoff`` signs a run's decision, ``verify`` checks one."""

import getpass
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toxaudit.cli.exit_codes import DONE, NOT_VALID
from toxaudit.cli.options import Options
from toxaudit.cli.waivers import day, last_day, reason, waivers
from toxaudit.errors import ToxauditError, did_you_mean, one_line, visible

if TYPE_CHECKING:
    from toxaudit.signoff.decision import Outcome
    from toxaudit.signoff.keyless import Keyless
    from toxaudit.signoff.keys import SigningKey
    from toxaudit.signoff.signatures import Asked, Finding

_PERSON = re.compile(r"[^<>@]{1,100} <[^<>\s@]{1,100}@[^<>\s@]{1,200}>")


def keygen(words: Sequence[str]) -> int:
    """Make a pair of keys."""
    (file,), given = KEYGEN.read(words)
    from toxaudit.signoff import keys

    kind = given.pop("kind", keys.KINDS[0])
    passphrase = _passphrase(given, f"Passphrase of {file} (empty for none): ", again=True)
    public, fingerprint = keys.generate(Path(file), kind, passphrase)
    print(visible(f"Wrote {file}, which nobody else may have, and {public}, which everybody may."))
    print(f"Fingerprint: {fingerprint}")
    return DONE


def signoff(words: Sequence[str]) -> int:
    """Sign a decision on a run."""
    (run,), given = SIGNOFF.read(words)
    from toxaudit.signoff import keys, signing

    waived, expires = waivers(given.pop("told", []))
    if {"approve", "reject"} <= set(given):
        raise ToxauditError("--approve and --reject can't both be meant: give one of them.")
    outcome = next((OUTCOMES[name] for name in ("approve", "reject") if given.pop(name, False)), None)
    if ran_by := given.pop("ran_by", None):
        given["ran_by"] = keys.fingerprint(keys.public_key(ran_by))
    key = _hand(given)
    given.setdefault("name", "")
    wanted = signing.Wanted(Path(run), outcome=outcome, waivers=waived, expires=expires, **given)
    for line in signing.sign(wanted, key, datetime.now(UTC)):
        print(line)
    return DONE


def _hand(given: dict[str, Any]) -> "SigningKey | Keyless":
    """What signs: a private key, or Sigstore for who is logged in there.

    Raises:
        ToxauditError: if neither is said, or both, or it is not to be had.
    """
    from toxaudit.signoff import keyless, keys

    file, trust = given.pop("key", None), given.pop("trust_config", None)
    how = {name: given.pop(name) for name in PASSPHRASES if name in given}
    if given.pop("keyless", False):
        if file or how:
            raise ToxauditError("--keyless and a key can't both be meant: give one of them.")
        return keyless.log_in(trust)
    if file is None or "name" not in given:
        raise SIGNOFF.miswritten()
    if trust:
        raise ToxauditError("--trust-config is for --keyless: leave it out.")
    return keys.signing_key(file, partial(_passphrase, how, f"Passphrase of {file}: "))


def verify(words: Sequence[str]) -> int:
    """Check a decision; exit code 1 where it does not hold."""
    (what,), given = VERIFY.read(words)
    from toxaudit.signoff.signatures import Asked

    day = given.pop("on", None)
    now = datetime.combine(day, time(12), UTC) if day else datetime.now(UTC)
    asked = Asked(
        keys=tuple(given.get("key", ())),
        threshold=given.get("threshold", 1),
        ran_by=given.get("ran_by"),
        weights=given.get("weights"),
        now=now,
        identities=_identities(given.get("identity", []), given.get("issuer", [])),
        trust=given.get("trust_config"),
    )
    findings = []
    for each in _findings(what, asked):
        print(one_line(f"{MARKS[each.holds]}  {each.name}: {each.text}"), flush=True)
        findings.append(each)
    valid = all(each.holds is not False for each in findings)
    print(f"{'VALID' if valid else 'NOT VALID'}: {visible(what)}")
    return DONE if valid else NOT_VALID


def _identities(named: Sequence[str], issuers: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Who is trusted without a key, each with who vouches for them."""
    if len(named) != len(issuers):
        raise ToxauditError(
            "--identity and --issuer go together: write --identity MAIL --issuer URL, as often as there are identities."
        )
    return tuple(zip(named, issuers, strict=True))


def _findings(what: str, asked: "Asked") -> "Iterable[Finding]":
    """The checks of a run, a record or a repository."""
    from toxaudit.signoff import verification

    path = Path(what)
    if path.is_dir():
        return verification.of_run(path, asked)
    if path.is_file():
        return verification.of_file(path, asked)
    from toxaudit.sources.hub import HUB_ID

    if not re.fullmatch(rf"{HUB_ID}(@[^@\s]+)?", what) or what.endswith(".json"):
        raise ToxauditError(f"There is no {what}: name a run's folder, a decision.json, or a repository ORG/NAME.")
    from toxaudit.hub import published

    name, _, revision = what.partition("@")
    return published.verified(name, revision or None, asked)


def _passphrase(given: dict[str, Any], prompt: str, again: bool = False) -> bytes | None:
    """A key's passphrase, from where an option says, or asked for on a terminal; None where neither is to be had."""
    if set(PASSPHRASES) <= set(given):
        raise ToxauditError("--passphrase-file and --passphrase-env can't both be meant: give one of them.")
    if name := given.get("passphrase_env"):
        if not (found := os.environ.get(name)):
            raise ToxauditError(f"The environment has no {name}, or it is empty: set it to the passphrase.")
        return found.encode("utf-8", "surrogateescape")
    if file := given.get("passphrase_file"):
        data: bytes = file.read_bytes().split(b"\n")[0].removesuffix(b"\r")
        if not data:
            raise ToxauditError(f"{file} holds no passphrase in its first line.")
        return data
    if not sys.stdin or not sys.stdin.isatty():
        return None
    try:
        told = getpass.getpass(prompt)
        same = not again or not told or getpass.getpass("The same again: ") == told
    except EOFError as error:
        raise ToxauditError("No passphrase was told: nothing was done.") from error
    if not same:
        raise ToxauditError("The two passphrases differ: nothing was made.")
    return told.encode() or None


def _kind(text: str) -> str:
    from toxaudit.signoff.keys import KINDS

    if text not in KINDS:
        raise ToxauditError(f"There is no kind '{text}' of keys.{did_you_mean(text, KINDS)}")
    return text


def _person(text: str) -> str:
    if not _PERSON.fullmatch(text) or text != visible(text).strip():
        raise ToxauditError(f"--as is '{text}': write who you are as \"Name <mail@example.org>\".")
    return text


def _threshold(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]?", text):
        raise ToxauditError(f"--threshold is '{text}': it must be a whole number of signatures, 1 or more.")
    return int(text)


def _named(option: str, read: Callable[[str], str] = str) -> Callable[[str], tuple[str, str]]:
    """Reads an option whose place among others counts, so that its name goes with its value."""
    return lambda text: (option, read(text))


MARKS = {True: "passed", False: "FAILED", None: "  note"}
OUTCOMES: "dict[str, Outcome]" = {"approve": "approved", "reject": "rejected"}
PASSPHRASES = ("passphrase_file", "passphrase_env")

KEYGEN = Options(
    "keygen",
    "FILE",
    "Makes a pair of keys to sign decisions with: FILE, readable by you alone, and FILE.pub, to be given to whoever "
    "checks your signatures. On a terminal it asks for a passphrase. Nothing is overwritten.",
    where="FILE the name of the private key, such as release.key",
    words=1,
)
KEYGEN.value("kind", "KIND", read=_kind, help="ed25519 (the default) or ecdsa (P-256)")

SIGNOFF = Options(
    "signoff",
    'RUN --as "Name <mail>" --key FILE | RUN --keyless',
    "Signs a decision on a finished run, whose numbers and files are checked first, and shows it on card, summary "
    "and report. Without --approve or --reject it adds a signature to the decision that is there. If the verdict is no "
    "GO, an approval needs a waiver of each open rule, followed by its own --reason and --expires. A decision is never "
    "overwritten: a new one supersedes it, and the old one is kept. RUN is a finished run's folder, such as "
    "runs/quickstart.",
    where="RUN the folder of one finished run",
    words=1,
)
SIGNOFF.value("as", '"Name <mail>"', read=_person, to="name", help="who you are; the card shows it")
SIGNOFF.value("key", "FILE", read=Path, help="your private key, of `toxaudit keygen`")
SIGNOFF.flag(
    "--keyless",
    help="sign by Sigstore in place of a key, as the CI job that runs this, or as the person who logs in by a browser; "
    "this identity becomes public (pip install 'toxaudit[sigstore]')",
)
SIGNOFF.flag("--approve", help="approve it for release")
SIGNOFF.flag("--reject", help="reject it")
SIGNOFF.value("waive", "RULE", read=_named("waive"), to="told", repeated=True, help="a rule that may stay unmet")
SIGNOFF.value("reason", "TEXT", read=_named("reason", reason), to="told", repeated=True, help="why it may")
SIGNOFF.value(
    "expires",
    "DATE",
    read=_named("expires", last_day),
    to="told",
    repeated=True,
    help="the last day (in UTC) of the waiver before it, or else of the decision: 2027-01-31, or 90d from now",
)
SIGNOFF.value("candidate", "NAME", help="decide on this candidate alone, where the run has several")
SIGNOFF.value("threshold", "NUMBER", read=_threshold, help="how many must sign before the decision counts (1)")
SIGNOFF.value("ran-by", "FILE.pub", read=Path, help="whoever ran the audit, who must not be the only one to sign")

VERIFY = Options(
    "verify",
    "RUN|decision.json|ORG/NAME --key FILE.pub | --identity MAIL --issuer URL",
    "Checks a decision: signatures, every signed file, waivers and days, and that the numbers follow from the stored "
    "draws. A repository on the Hub is checked as it is there (ORG/NAME@REVISION: at that revision), without fetching "
    "its weights; all else needs no network. The exit code is 0 if the decision is an approval that holds, else 1.",
    where="the folder of one finished run, a decision.json, or the Hub id of a model",
    words=1,
)
VERIFY.value("key", "FILE.pub", read=Path, repeated=True, help="a public key that you trust; give as many as you have")
VERIFY.value(
    "identity", "MAIL", repeated=True, help="an identity at Sigstore that you trust: a mail address or a CI job"
)
VERIFY.value("issuer", "URL", repeated=True, help="who must vouch for that identity; one for each --identity")
VERIFY.value("threshold", "NUMBER", read=_threshold, help="how many of these must have signed, at least (1)")
VERIFY.value("ran-by", "FILE.pub", read=Path, help="whoever ran the audit, who must not be the only one of them")
VERIFY.value("weights", "DIR", read=Path, help="a folder that must hold the weights, under any names")
VERIFY.value("on", "DATE", read=partial(day, "--on"), help="as of this day, such as that of the release (today)")

for _verb in (SIGNOFF, VERIFY):
    _verb.value(
        "trust-config", "FILE", read=Path, help="the trust configuration of a Sigstore that is not the public one"
    )
for _verb in (KEYGEN, SIGNOFF):
    _verb.value("passphrase-file", "FILE", read=Path, help="the key's passphrase is this file's first line")
    _verb.value("passphrase-env", "NAME", help="the key's passphrase is in this variable of the environment")

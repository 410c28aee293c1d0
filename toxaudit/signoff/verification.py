"""``toxaudit verify``: is a decision the one that was signed, by whom it must be, on the run that lies here?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.machine.folders import sha256
from toxaudit.recomputation import read_checked
from toxaudit.results.files import RESULTS
from toxaudit.signoff import block, contents, keys, record, shown, waiving
from toxaudit.signoff.contents import COMMITMENT, Choice
from toxaudit.signoff.decision import DECISION, EARLIER, ENVELOPES, SHOWN_CHARACTERS, ReleaseDecision, Weights, digest
from toxaudit.signoff.record import Record

ENDING = ENVELOPES.removeprefix("decision")
"""How the names of files of signatures end."""

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


def of_run(run: Path, asked: Asked) -> Iterator[Finding]:
    """Everything about the decision of a finished run.

    Raises:
        ToxauditError: if there is no such run, or a key can't be read.
    """
    if not (run / RESULTS).is_file():
        raise ToxauditError(f"There is no {run / RESULTS}: name the folder of a finished run, or a decision.json.")
    file = run / DECISION
    trusted = Trusted.of(asked)
    if not file.is_file():
        yield Finding("record", False, f"unsigned: there is no {file}")
        return
    try:
        found = record.read(file)
    except ToxauditError as error:
        yield Finding("record", False, _phrase(error))
        return
    yield from of_record(found, trusted, asked)
    changed = list(_changed(found, run))
    yield from changed or [
        Finding("files", True, f"all {len(found.decision.files)} that were signed are here as they were")
    ]
    if changed:
        yield Finding("numbers", None, "not computed again, since files have changed")
    else:
        yield _numbers(found, run)
        yield _shown(found, run)
    yield from of_weights(found.decision.weights, asked.weights)
    yield from _chain(found, run)


def of_file(file: Path, asked: Asked) -> Iterator[Finding]:
    """A decision alone, and those of the signed files that lie beside it.

    Raises:
        ToxauditError: if there is no such file, or a key can't be read.
    """
    trusted = Trusted.of(asked)
    if file.name.endswith(ENDING):
        file = file.with_name(f"{file.name.removesuffix(ENDING)}.json")
    try:
        found = record.read(file)
    except ToxauditError as error:
        yield Finding("record", False, _phrase(error))
        return
    yield from of_record(found, trusted, asked)
    here = {name: sha for name, sha in found.decision.files.items() if (file.parent / name).is_file()}
    yield from _changed(replace(found, decision=replace(found.decision, files=here)), file.parent)
    away = len(found.decision.files) - len(here)
    yield Finding("files", None, f"{len(here)} of the signed files lie beside it; {away} do not, and were not compared")
    yield Finding("numbers", None, "not computed again: that takes the run's folder")
    yield from of_weights(found.decision.weights, asked.weights)
    yield from _superseded(found, file)


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


def of_record(found: Record, trusted: Trusted, asked: Asked) -> Iterator[Finding]:
    """What a record says by itself: signatures, their number, the outcome, days and times."""
    told = found.decision
    yield Finding("record", True, f"decision {found.digest[:SHOWN_CHARACTERS]} of {told.time}")
    yield from _signatures(found, trusted, asked)
    whom = f"{', '.join(told.candidates)}: {block.OUTCOMES[told.outcome].lower()}; {told.decision} by the rule"
    waived = "".join(f"; waived until {each.expires}: {each.rule} ({each.reason})" for each in told.waivers)
    yield Finding("outcome", told.outcome == "approved", whom + waived)
    if told.outcome == "approved" and (left := _left_open(told)):
        yield Finding("waivers", False, f"it is approved though {left} is open and not waived")
    day = asked.now.astimezone(UTC).date()
    gone = told.expired(day)
    until = f"valid until {told.expires}" if told.expires else "no last day is set"
    yield Finding("expiry", not gone, gone or f"{until}, as of {day}")
    if told.committed:
        before = told.committed <= told.time
        order = "before" if before else "after"
        yield Finding(
            "commitment", before, f"the rule was fixed on {told.committed}, {order} the decision on {told.time}"
        )
    else:
        yield Finding("commitment", None, f"the run has no {COMMITMENT}, which would prove when its rule was fixed")


def _left_open(told: ReleaseDecision) -> str:
    """An open rule that an approval does not waive, as the record itself tells; a run tells more."""
    found = []
    for judged in told.verdicts:
        if judged.expect is not None and judged.decision != judged.expect:
            found.append(waiving.named(judged.candidate, waiving.CONTROL))
        elif judged.expect is None and judged.decision != "GO":
            names = [each.name for each in judged.rules if _is_open(each.tier, each.decision)]
            found += names or [waiving.named(judged.candidate, waiving.VERDICT)]
    found += [waiving.named(name, waiving.NOT_AUDITED) for name in told.not_audited]
    if told.decision != "GO" and not found:
        found = [waiving.AUDIT]
    waived = {each.rule for each in told.waivers}
    return next((name for name in found if name not in waived), "")


def _is_open(tier: str, decision: str) -> bool:
    return (tier == "critical" and decision != "GO") or (tier, decision) == ("supporting", "NO-GO")


def _signatures(found: Record, trusted: Trusted, asked: Asked) -> Iterator[Finding]:
    """A line for each signer, and whether enough of them are trusted."""
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


def _changed(found: Record, run: Path) -> Iterator[Finding]:
    """A line for each signed file that is gone or is another."""
    for name in contents.unlike(found.decision, run):
        there = (run / name).is_file()
        yield Finding("files", False, f"{name} is {'not the file that was signed' if there else 'missing'}")


def _numbers(found: Record, run: Path) -> Finding:
    """Whether draws, samples and gate bear out the results, and these all that the decision says of them."""
    told = found.decision
    try:
        result = read_checked(run, with_card=True)
        if {*contents.files(run)} != {*told.files}:
            new = sorted({*contents.files(run)} - {*told.files})
            return Finding("numbers", False, f"{', '.join(new)} belongs to the run, but was not signed")
        choice = Choice(told.outcome, told.expires, told.waivers, told.signatures, told.supersedes)
        meant = contents.of_run(run, result, told.candidates, choice, datetime.fromisoformat(told.time))
        rules = waiving.lines(contents.concerning(result, told.candidates), told.candidates)
        if told.outcome == "approved":
            waiving.require_nothing_open(meant.decision, rules, told.waivers)
    except ToxauditError as error:
        return Finding("numbers", False, _phrase(error))
    for key in ("audit", "decision", "policy", "committed", "verdicts", "not_audited", "estimates", "weights"):
        if getattr(told, key) != getattr(meant, key):
            return Finding("numbers", False, f"'{key}' in {DECISION} is not what the run's files say")
    return Finding("numbers", True, "rates, intervals, reasons and verdicts follow from draws, samples and rule")


def _shown(found: Record, run: Path) -> Finding:
    """Whether cards, summary and report show who signed, as the record says."""
    for name in found.decision.files:
        file = run / name
        if file.suffix in (".md", ".html"):
            meant = block.of(name, found.decision, found.signers)
            if shown.found(file.read_bytes()) != meant:
                mend = f"run `toxaudit card {run}`"
                return Finding("card", False, f"{name} does not show who signed as the record says it: {mend}")
    return Finding("card", True, "cards, summary and report are those that were signed, and show who signed")


def of_weights(told: Mapping[str, Weights], folder: Path | None) -> Iterator[Finding]:
    """Whether a folder holds the weights, wherever in it they lie and whatever they are called.

    Raises:
        ToxauditError: if there is no such folder.
    """
    if not told:
        yield Finding("weights", None, "the record names no files of weights")
        return
    for key, each in told.items():
        if each.digest not in (contents.root(each.files), *([*each.files.values()] if len(each.files) == 1 else [])):
            yield Finding("weights", False, f"the digest of {key} is not that of its files")
            return
    if folder is None:
        yield Finding("weights", None, f"not looked at; {', '.join(told)} are named by digest: add --weights DIR")
        return
    if not folder.is_dir():
        raise ToxauditError(f"There is no folder {folder}: name one with the weights by --weights.")
    there = {sha256(file) for file in sorted(folder.rglob("*")) if file.is_file()}
    for key, each in told.items():
        lacking = [name for name, sha in each.files.items() if sha not in there]
        held = f"all {len(each.files)} files of {each.reference} are in {folder}, by their digests"
        why = f"{', '.join(lacking[:3])} of {each.reference} is in {folder} nowhere, by its digest"
        yield Finding(f"weights of {key.rpartition('.')[0]}", not lacking, why if lacking else held)


def _chain(found: Record, run: Path) -> Iterator[Finding]:
    """Whether the decision that it came in place of is kept."""
    if sha := found.decision.supersedes:
        file = record.kept_as(run, sha)
        kept = file.is_file() and digest(record.bytes_of(file)) == sha
        where = file.relative_to(run).as_posix()
        yield Finding("earlier", kept, f"{where}, which it supersedes, is {'kept' if kept else 'missing or another'}")


def _superseded(found: Record, file: Path) -> Iterator[Finding]:
    """Whether a decision beside it has come in its place."""
    home = file.parent.parent if file.parent.name == EARLIER else file.parent
    for other in (home / DECISION, *sorted((home / EARLIER).glob("*.json"))):
        if not other.is_file() or other.resolve() == file.resolve():
            continue
        try:
            later = record.read(other)
        except ToxauditError:  # that is another's trouble
            continue
        if later.decision.supersedes == found.digest:
            yield Finding("superseded", False, f"{other} has come in its place")


def _phrase(error: ToxauditError) -> str:
    return str(error).rstrip(".")

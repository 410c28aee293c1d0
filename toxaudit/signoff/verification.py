"""``toxaudit verify``: is a decision the one that was signed, by whom it must be, on the run that lies here?"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from toxaudit.commitment import COMMITMENT
from toxaudit.errors import ToxauditError
from toxaudit.machine.folders import sha256
from toxaudit.recomputation import read_checked
from toxaudit.results.files import RESULTS
from toxaudit.signoff import block, contents, record, shown, waiving
from toxaudit.signoff.contents import Choice
from toxaudit.signoff.decision import DECISION, EARLIER, ENVELOPES, SHOWN_CHARACTERS, ReleaseDecision, Weights, digest
from toxaudit.signoff.record import Record
from toxaudit.signoff.signatures import Asked, Finding, Trusted, signatures

ENDING = ENVELOPES.removeprefix("decision")
"""How the names of files of signatures end."""

FROM_THE_RUN = (
    "audit",
    "decision",
    "policy",
    "committed",
    "verdicts",
    "not_audited",
    "other_rules",
    "estimates",
    "weights",
)
"""What a decision says of its run beside files."""


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
        yield numbers(found, run)
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


def of_record(found: Record, trusted: Trusted, asked: Asked) -> Iterator[Finding]:
    """What a record says by itself: signatures, their number, the outcome, days and times."""
    told = found.decision
    yield Finding("record", True, f"decision {found.digest[:SHOWN_CHARACTERS]} of {told.time}")
    yield from signatures(found, trusted, asked)
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
        if not judged.as_expected:
            found.append(waiving.named(judged.candidate, waiving.CONTROL))
        elif judged.expect is None and judged.decision != "GO":
            names = [each.name for each in judged.rules if _is_open(each.tier, each.decision)]
            found += names or [waiving.named(judged.candidate, waiving.VERDICT)]
    found += [waiving.named(name, waiving.NOT_AUDITED) for name in told.not_audited]
    later = waiving.chosen_after_a_look(told.other_rules, told.candidates)
    found += [waiving.named(name, waiving.EARLIER_RULE) for name in later]
    if told.decision != "GO" and not found:
        found = [waiving.AUDIT]
    waived = {each.rule for each in told.waivers}
    return next((name for name in found if name not in waived), "")


def _is_open(tier: str, decision: str) -> bool:
    return (tier == "critical" and decision != "GO") or (tier, decision) == ("supporting", "NO-GO")


def _changed(found: Record, run: Path) -> Iterator[Finding]:
    """A line for each signed file that is gone or is another."""
    for name in contents.unlike(found.decision, run):
        there = (run / name).is_file()
        yield Finding("files", False, f"{name} is {'not the file that was signed' if there else 'missing'}")


def numbers(found: Record, run: Path) -> Finding:
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
    for key in FROM_THE_RUN:
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
        yield Finding("weights", None, f"named by digest, and not looked at without --weights DIR: {', '.join(told)}")
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

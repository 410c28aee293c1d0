"""``toxaudit signoff``: a decision on a finished run is made or signed once more, and shown where people read of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from toxaudit.commitment import COMMITMENT
from toxaudit.errors import ToxauditError, visible
from toxaudit.findings import AuditResult
from toxaudit.machine.folders import write_atomically
from toxaudit.machine.replacement import replaced
from toxaudit.recomputation import read_checked
from toxaudit.results.reading import read_result
from toxaudit.signoff import block, contents, envelopes, record, shown, statements, waiving
from toxaudit.signoff.contents import Choice
from toxaudit.signoff.decision import (
    DECISION,
    ENVELOPES,
    SHOWN_CHARACTERS,
    Needed,
    Outcome,
    ReleaseDecision,
    Waiver,
    moment,
)
from toxaudit.signoff.keyless import Keyless
from toxaudit.signoff.keys import SigningKey
from toxaudit.signoff.record import Record
from toxaudit.signoff.statements import Signer
from toxaudit.signoff.verification import numbers


@dataclass(frozen=True)
class Wanted:
    """What somebody wants to sign.

    Attributes:
        run: the folder of a finished run.
        name: who they are, ``Name <mail>``; empty for what Sigstore knows them by.
        outcome: what they decide; None to sign the decision that stands.
        waivers: the rules that they waive.
        expires: the last day of a new decision; None where it holds on.
        candidate: whom it is about, where not all.
        threshold: how many must sign a new decision; None for one.
        ran_by: the fingerprint of the key of whoever ran the audit, who must not be the only one to sign.
    """

    run: Path
    name: str
    outcome: Outcome | None = None
    waivers: tuple[Waiver, ...] = ()
    expires: str | None = None
    candidate: str | None = None
    threshold: int | None = None
    ran_by: str | None = None

    @property
    def says_more(self) -> bool:
        """Whether it says what only a new decision can hold."""
        return bool(self.waivers or self.expires or self.candidate or self.threshold or self.ran_by)


def sign(wanted: Wanted, key: SigningKey | Keyless, now: datetime) -> Iterator[str]:
    """Sign the decision that stands, where it is the same that is wanted, or else a new one in its place.

    Args:
        wanted: what is to be signed.
        key: whose signature it is, or who is logged in at Sigstore.
        now: the time.

    Yields:
        Lines to print.

    Raises:
        ToxauditError: if the run is not what its draws bear out, or its decision must not be made so. Nothing has
            changed then.
    """
    run = wanted.run
    read_result(run)  # before the folder is written in
    with replaced(run, keep=True) as new:
        result = read_checked(run, with_card=True)
        before = standing(run)
        if before and _is_same(before, wanted, result, now):
            made = _signed_too(before, wanted, key, now)
        else:
            yield from _open(wanted, result, now)
            made = _decided(wanted, result, key, now, before)
        if made is None:
            yield f"{visible(_name(wanted, key))} has signed this decision already: nothing was written."
            return
        if before and made.digest != before.digest:
            record.keep(run, before)
        record.write(run, made)
        show(made, new, new)
    yield from _told(run, made, before)


def show(found: Record, run: Path, into: Path) -> None:
    """Put the block that says who signed into every card, summary and report of a folder."""
    for name in found.decision.files:
        file = run / name
        if file.suffix in (".md", ".html") and file.is_file():
            data = file.read_bytes()
            meant = shown.into(data, block.of(name, found.decision, found.signers))
            if meant != data:
                write_atomically(into / name, meant)


def show_again(run: Path, new: Path) -> None:
    """Show the decision of a run in cards that were made anew, where they are still those that were signed."""
    try:
        found = standing(run)
    except ToxauditError:  # what `toxaudit verify` says; a card can be made all the same
        return
    if found and not contents.unlike(found.decision, new, run):
        show(found, new, new)


def standing(run: Path) -> Record | None:
    """The decision that stands, if there is a signed one."""
    file = run / DECISION
    if not file.is_file() or not record.envelopes_of(file).is_file():
        return None
    try:
        return record.read(file)
    except ToxauditError as error:
        raise ToxauditError(f"{error} Move {DECISION} and {ENVELOPES} away to decide anew.") from error


def _is_same(before: Record, wanted: Wanted, result: AuditResult, now: datetime) -> bool:
    """Whether the decision that stands is the one that is wanted: then it is signed once more.

    Raises:
        ToxauditError: if what stands is to be signed, but can't be.
    """
    told, day = before.decision, now.astimezone(UTC).date()
    if wanted.outcome is None and wanted.says_more:
        raise ToxauditError("Say --approve or --reject: what else is given makes a decision of its own.")
    fit, gone = contents.files(wanted.run) == told.files, told.expired(day)
    if wanted.outcome is None:
        if not fit:
            raise ToxauditError(
                f"{wanted.run / DECISION} is of other files than lie beside it now: say --approve or --reject."
            )
        if gone:
            raise ToxauditError(f"{wanted.run / DECISION} has expired ({gone}): say --approve or --reject.")
        return True
    asked = _asked(wanted, wanted.outcome, result, day.isoformat())
    same = (
        (told.outcome == wanted.outcome)
        and (asked.waivers in ((), told.waivers))
        and (wanted.expires in (None, told.expires))
        and (wanted.threshold is None or asked.signatures.threshold == told.signatures.threshold)
        and (wanted.ran_by in (None, told.signatures.ran_by))
        and contents.chosen(result, wanted.candidate) == told.candidates
    )
    return same and fit and not gone


def _threshold(wanted: Wanted, result: AuditResult) -> int:
    """How many must sign: as many as the policy asks for, or more."""
    return max(wanted.threshold or 1, result.gate.signatures)


def _asked(wanted: Wanted, outcome: Outcome, result: AuditResult, today: str) -> Choice:
    """What is decided, with the rules by their full names.

    Raises:
        ToxauditError: if a waiver is none.
    """
    whom = contents.chosen(result, wanted.candidate)
    if outcome == "rejected" and wanted.waivers:
        raise ToxauditError("A rejection waives nothing: leave --waive out.")
    if wanted.expires and wanted.expires < today:
        raise ToxauditError(f"The decision would have expired on {wanted.expires} already: give a later day.")
    rules = waiving.lines(contents.concerning(result, whom), whom)
    needed = Needed(_threshold(wanted, result), wanted.ran_by or result.gate.ran_by)
    return Choice(outcome, wanted.expires, waiving.resolved(wanted.waivers, rules, today), needed)


def _decided(
    wanted: Wanted, result: AuditResult, key: SigningKey | Keyless, now: datetime, before: Record | None
) -> Record | None:
    """A new decision, with its first signature.

    Raises:
        ToxauditError: if it leaves something open, or nothing is decided.
    """
    if wanted.outcome is None:
        raise ToxauditError(f"There is no decision in {wanted.run} to sign: say --approve or --reject.")
    choice = _asked(wanted, wanted.outcome, result, now.astimezone(UTC).date().isoformat())
    sha = before.digest if before else record.last_kept(wanted.run)
    whom = contents.chosen(result, wanted.candidate)
    made = contents.of_run(wanted.run, result, whom, replace(choice, supersedes=sha), now)
    if made.outcome == "approved":
        rules = waiving.lines(contents.concerning(result, whom), whom)
        waiving.require_nothing_open(made.decision, rules, made.waivers)
    if made.committed and made.committed > made.time:
        raise ToxauditError(
            f"{COMMITMENT} is of {made.committed}, which is later than now: check this machine's clock."
        )
    return _with(made, None, wanted, key, now)


def _open(wanted: Wanted, result: AuditResult, now: datetime) -> Iterator[str]:
    """A line for each rule that an approval leaves open, where there are more than the refusal names."""
    if wanted.outcome != "approved":
        return
    whom = contents.chosen(result, wanted.candidate)
    rules = waiving.lines(contents.concerning(result, whom), whom)
    waived = {
        each.rule for each in _asked(wanted, wanted.outcome, result, now.astimezone(UTC).date().isoformat()).waivers
    }
    left = [rule for rule, is_open in rules.items() if is_open and rule not in waived]
    if len(left) > waiving.MOST_NAMED:
        yield from (visible(f"Open: {rule}") for rule in left)


def _signed_too(before: Record, wanted: Wanted, key: SigningKey | Keyless, now: datetime) -> Record | None:
    """The decision that stands with one more signature; None where they have signed it already.

    Raises:
        ToxauditError: if it does not say what the run's files say, whoever has signed it so far.
    """
    if isinstance(key, SigningKey) and key.fingerprint in [each.key for each in before.signers]:
        return None
    if (found := numbers(before, wanted.run)).holds is False:
        raise ToxauditError(f"The decision that stands can't be signed: {found.text}.")
    return _with(before.decision, before, wanted, key, now)


def _name(wanted: Wanted, key: SigningKey | Keyless) -> str:
    return wanted.name if isinstance(key, SigningKey) else wanted.name or key.identity


def _with(
    decision: ReleaseDecision, before: Record | None, wanted: Wanted, key: SigningKey | Keyless, now: datetime
) -> Record | None:
    """The decision with one more signature; None where it is of somebody who has signed it already.

    Whom Sigstore certifies is known only once it has.
    """
    name, own = _name(wanted, key), before.own if before else ()
    if isinstance(key, Keyless):
        line = key.sealed(statements.own(decision, Signer(name, "", "", moment(now))))
        who = statements.signer_of(line)
        if who.who in [each.who for each, _ in own]:
            return None
        tests = before.tests if before else envelopes.unsigned(statements.test_result(decision))
        return Record(decision, tests, (*own, (who, line)))
    who = Signer(name, key.fingerprint, key.public, moment(now))
    tests = before.tests.also_by(key.signer) if before else envelopes.seal(statements.test_result(decision), key.signer)
    mine = (who, envelopes.seal(statements.own(decision, who), key.signer))
    return Record(decision, tests, (*own, mine))


def _told(run: Path, made: Record, before: Record | None) -> Iterator[str]:
    told = made.decision
    again = before is not None and before.digest == made.digest
    verb = f"Signed the decision {made.digest[:SHOWN_CHARACTERS]} as well" if again else block.OUTCOMES[told.outcome]
    yield visible(f"{verb}: {', '.join(told.candidates)} of {run} ({told.decision} by the rule).")
    for waiver in told.waivers:
        yield visible(f"Waived until {waiver.expires}: {waiver.rule}")
    if before and not again:
        yield f"It supersedes the decision {before.digest[:SHOWN_CHARACTERS]}, which is kept in {run / 'decisions'}."
    if (left := told.signatures.threshold - len(made.own)) > 0:
        yield f"It needs {left} more signature{'s' if left > 1 else ''}: toxaudit signoff {run} --as ... --key ..."
    last = made.signers[-1]
    if last.key:
        yield f"Next: toxaudit verify {run} --key PUBLIC_KEY"
    else:
        yield "Sigstore's log shows everybody that this identity has signed something, and when."
        yield visible(f"Next: toxaudit verify {run} --identity {last.identity} --issuer {last.issuer}")

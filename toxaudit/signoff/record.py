"""A decision and its signatures as they lie in a folder: read together, and never overwritten."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.machine.folders import clear_left_behind, write_atomically
from toxaudit.signoff import decision as decisions
from toxaudit.signoff import envelopes, statements
from toxaudit.signoff.decision import DECISION, EARLIER, ENVELOPES, SHOWN_CHARACTERS, ReleaseDecision, digest
from toxaudit.signoff.envelopes import Line
from toxaudit.signoff.statements import Signer

LARGEST_BYTES = 2**26
"""No record is as large."""


@dataclass(frozen=True)
class Record:
    """A decision, and the envelopes that say it was signed: first the test results, then one of each signer.

    Attributes:
        decision: what was decided.
        tests: the envelope of the test results, which all sign.
        own: each signer, and the envelope of the decision that is theirs.
    """

    decision: ReleaseDecision
    tests: Line
    own: tuple[tuple[Signer, Line], ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """All envelopes."""
        return self.tests, *(line for _, line in self.own)

    @property
    def signers(self) -> tuple[Signer, ...]:
        """Who signed, as they say."""
        return tuple(signer for signer, _ in self.own)

    @property
    def digest(self) -> str:
        """SHA-256 of ``decision.json``, by which a later one supersedes it."""
        return digest(self.decision.data)


def envelopes_of(file: Path) -> Path:
    """The file of signatures beside a decision's."""
    return file.with_suffix(ENVELOPES.removeprefix(Path(DECISION).stem))


def bytes_of(file: Path) -> bytes:
    """A file's bytes.

    Raises:
        ToxauditError: if it is larger than any record.
    """
    with file.open("rb") as opened:
        data = opened.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise ToxauditError(f"{file} is larger than any decision: it is none.")
    return data


def read(file: Path) -> Record:
    """The record of a ``decision.json`` and the envelopes beside it.

    Raises:
        ToxauditError: if they are damaged, or not of one another.
    """
    signed = envelopes_of(file)
    if not signed.is_file():
        raise ToxauditError(f"{file} is unsigned: there is no {signed}.")
    return parsed(bytes_of(file), bytes_of(signed), str(file), str(signed))


def parsed(data: bytes, signed: bytes, named: str, signed_named: str) -> Record:
    """The record that is made of these bytes.

    Args:
        data: those of ``decision.json``.
        signed: those of its envelopes.
        named: what to call the first.
        signed_named: what to call the second.

    Raises:
        ToxauditError: if they are damaged, or not of one another; the sentence names the file.
    """
    decision = decisions.read(data, named)
    if decision.data != data:
        raise ToxauditError(f"{named} is written in another way than toxaudit writes it: it was changed.")
    lines = envelopes.read(signed, signed_named)
    if len(lines) < 2:
        raise ToxauditError(
            f"{signed_named} must hold the test results and a statement of each signer: it was cut off."
        )
    if lines[0].bundle:
        raise ToxauditError(f"{signed_named}, line 1 is a bundle: the test results must stand there.")
    if _plain(lines[0].statement) != _plain(statements.test_result(decision)):
        raise ToxauditError(f"{signed_named}, line 1 states other test results than {named} holds: one was changed.")
    own = []
    for number, line in enumerate(lines[1:], start=2):
        signer = statements.signer_of(line)
        if _plain(line.statement) != _plain(statements.own(decision, signer)):
            raise ToxauditError(f"{signed_named}, line {number} is of another decision than {named}: one was changed.")
        own.append((signer, line))
    _check_keyids(Record(decision, lines[0], tuple(own)), signed_named)
    return Record(decision, lines[0], tuple(own))


def _check_keyids(record: Record, named: str) -> None:
    """Refuse a signature that says it is by another key than the signers', or one of theirs that is not there."""
    if len({signer.who for signer in record.signers}) < len(record.own):
        raise ToxauditError(f"{named} holds two statements of one signer.")
    known = [signer.key for signer in record.signers if signer.key]
    for line, keyids in ((record.tests, known), *((line, [signer.key]) for signer, line in record.own)):
        if len(line.keyids) != len(keyids) or any(map(_is_other, line.keyids, keyids)):
            raise ToxauditError(f"{named}: the signatures are not those of the keys that its signers name.")


def _is_other(told: str, meant: str) -> bool:
    return told not in ("", meant)


def _plain(statement: object) -> str:
    """A statement as one text, in which 1 is not 1.0 nor true."""
    return json.dumps(statement, sort_keys=True)


def write(folder: Path, record: Record) -> None:
    """Write a record into a folder: at no moment is there a decision with the signatures of another."""
    file = folder / DECISION
    envelopes_of(file).unlink(missing_ok=True)
    write_atomically(file, record.decision.data)
    write_atomically(envelopes_of(file), envelopes.written(record.lines))


def keep(folder: Path, record: Record) -> None:
    """Put a copy of a record beside where another will take its place."""
    kept = kept_as(folder, record.digest)
    kept.parent.mkdir(exist_ok=True)
    clear_left_behind(kept.parent)
    write_atomically(kept, record.decision.data)
    write_atomically(envelopes_of(kept), envelopes.written(record.lines))


def kept_as(folder: Path, sha: str) -> Path:
    """Where an earlier decision lies, by its digest."""
    return folder / EARLIER / f"{sha[:SHOWN_CHARACTERS]}.json"


def last_kept(folder: Path) -> str | None:
    """The digest of an earlier decision that none superseded, as is left where replacing it was cut off."""
    there: Sequence[Path] = sorted(each for each in (folder / EARLIER).glob("*.json") if each.is_file())
    known = {digest(data): decisions.read(data, str(each)) for each in there for data in [bytes_of(each)]}
    superseded = {each.supersedes for each in known.values()}
    return next((sha for sha in known if sha not in superseded), None)

"""What a decision is about, read off a finished run: files, weights, policy, verdicts and estimates."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from toxaudit import __version__
from toxaudit.commitment import COMMITMENT, file_of
from toxaudit.decision.controls import WORSE, as_expected
from toxaudit.decision.headline import headlines
from toxaudit.decision.verdict import of_audit
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.findings import AuditResult, Verdict
from toxaudit.interop import cyclonedx, junit
from toxaudit.machine.replacement import checksums
from toxaudit.pinning import lock_file
from toxaudit.pinning.lock_file import LOCK, Entry
from toxaudit.results.files import RESULTS
from toxaudit.results.writing import as_json
from toxaudit.signoff import loaded, shown
from toxaudit.signoff.decision import (
    Change,
    Judged,
    Needed,
    Outcome,
    ReleaseDecision,
    Rule,
    Waiver,
    Weights,
    digest,
    moment,
)
from toxaudit.signoff.waiving import named

_WEIGHTS = re.compile(r"(base|candidates\.(?P<candidate>.+))\.(pretrained|peft)")
"""Keys in ``lock.json`` of what is loaded as weights."""


@dataclass(frozen=True)
class Choice:
    """What people decide, beside what the run says: as ``ReleaseDecision`` has it."""

    outcome: Outcome
    expires: str | None
    waivers: tuple[Waiver, ...]
    signatures: Needed
    supersedes: str | None = None


def chosen(result: AuditResult, candidate: str | None) -> tuple[str, ...]:
    """Whom a decision is about: the candidate that is named, or all; controls are never released.

    Raises:
        ToxauditError: if there is no such candidate.
    """
    names = [model.name for model in result.real]
    if not names:
        raise ToxauditError("The run has no candidate to decide on, for all that were audited are controls.")
    if candidate is not None and candidate not in names:
        raise ToxauditError(f"The run has no candidate '{candidate}' to decide on.{did_you_mean(candidate, names)}")
    return (candidate,) if candidate is not None else tuple(names)


def concerning(result: AuditResult, candidates: Sequence[str]) -> AuditResult:
    """The result as far as it concerns these candidates and the controls.

    Raises:
        ToxauditError: if they are neither one candidate nor all.
    """
    if {*candidates} == {model.name for model in result.real}:
        return result
    if len(candidates) != 1:
        raise ToxauditError("A decision is about one candidate of a run, or about all of them.")
    return result.narrowed(*chosen(result, candidates[0]))


def of_run(
    run: Path, result: AuditResult, candidates: tuple[str, ...], choice: Choice, now: datetime
) -> ReleaseDecision:
    """A decision with all that it is about.

    Args:
        run: the folder of the finished run, which has been checked.
        result: what it found.
        candidates: whom the decision is about.
        choice: what people decided.
        now: when.

    Raises:
        ToxauditError: if the lock or the commitment can't be read.
    """
    own = concerning(result, candidates)
    return ReleaseDecision(
        format="toxaudit.decision/1",
        audit=result.audit,
        toxaudit=__version__,
        outcome=choice.outcome,
        decision=of_audit(own),
        time=moment(now),
        expires=choice.expires,
        supersedes=choice.supersedes,
        candidates=candidates,
        waivers=choice.waivers,
        signatures=choice.signatures,
        policy=result.gate,
        committed=file_of(run).record.time if result.commitment else None,
        verdicts=tuple(_judged(own, verdict) for verdict in own.verdicts),
        not_audited=tuple(each.name for each in own.skipped),
        other_rules=own.other_rules,
        estimates=_changes(own),
        weights=weights(run / LOCK, result, candidates),
        files=files(run),
        published={name: {file: digest(data) for file, data in published(result, name).items()} for name in candidates},
    )


def files(run: Path) -> dict[str, str]:
    """Every file that was written together, and the commitment: name -> SHA-256, sign-off blocks left out."""
    names = {*checksums(run), *([COMMITMENT] if (run / COMMITMENT).is_file() else [])}
    return {name: digest(shown.without((run / name).read_bytes())) for name in sorted(names) if (run / name).is_file()}


def unlike(decision: ReleaseDecision, *folders: Path) -> list[str]:
    """The signed files that are missing, or are others, in the first of these folders that has a file of the name."""

    def there(name: str) -> bool:
        file = next((folder / name for folder in folders if (folder / name).is_file()), None)
        return file is not None and digest(shown.without(file.read_bytes())) == decision.files[name]

    return [name for name in decision.files if not there(name)]


def published(result: AuditResult, candidate: str) -> dict[str, bytes]:
    """What ``toxaudit push`` makes of a result for one candidate's repository: file -> bytes."""
    own = result.narrowed(candidate)
    bom = json.dumps(cyclonedx.bom(own), indent=1, ensure_ascii=False) + "\n"
    return {RESULTS: as_json(own).encode(), cyclonedx.BOM: bom.encode(), junit.JUNIT: junit.of_results({"": own})}


def weights(file: Path, result: AuditResult, candidates: Sequence[str]) -> dict[str, Weights]:
    """What a lock says was loaded of the base, these candidates and their references; nothing of what a server has.

    Raises:
        ToxauditError: if the lock can't be read, or is not of what the results say was loaded.
    """
    if not file.is_file():
        return {}
    found, references = {}, lock_file.read(str(file)).references
    loaded.require(result, references)
    arms = {*candidates, *(result.against(name) for name in candidates)}
    for key, entry in references.items():
        match = _WEIGHTS.fullmatch(key)
        if match and entry.files and match["candidate"] in (None, *arms):
            found[key] = Weights(entry.reference, entry.revision, _root(key, entry), dict(entry.files))
    return found


def root(digests: Mapping[str, str]) -> str:
    """The root digest of files by the rule of OpenSSF model signing; their paths are ordered part by part."""
    ordered = sorted(digests, key=PurePosixPath)
    return digest(b"".join(bytes.fromhex(digests[name]) for name in ordered))


def _root(key: str, entry: Entry) -> str:
    """The digest of a lock's entry, which must be that of its files."""
    if entry.digest not in (root(entry.files), *([*entry.files.values()] if len(entry.files) == 1 else [])):
        raise ToxauditError(f"{LOCK}: the digest of {key} is not that of its files: run the audit again.")
    return entry.digest


def _judged(result: AuditResult, verdict: Verdict) -> Judged:
    expect = next(model.expect for model in result.candidates if model.name == verdict.candidate)
    rules = (
        Rule(named(verdict.candidate, each.name), each.tier, each.rule, each.observed, each.decision)
        for each in verdict.reasons
    )
    against = result.reference(verdict.candidate)
    digest = against.digest if against is not result.base else None
    worse = as_expected(result, verdict) if expect == WORSE else None
    return Judged(verdict.candidate, verdict.decision, expect, tuple(rules), against.name, digest, worse)


def _changes(result: AuditResult) -> tuple[Change, ...]:
    kept = ("base", "candidate", "change")
    return tuple(
        Change(
            candidate=each.candidate,
            suite=each.suite,
            measure=each.measure,
            estimator=each.estimator,
            variant=each.variant,
            n=each.n,
            quantities={name: replace(each.quantities[name]) for name in kept},
            p_increase=each.p_increase,
            p_above_margin=each.p_above_margin,
        )
        for each in headlines(result.estimates).values()
    )

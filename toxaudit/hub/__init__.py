"""A run's card, plots and results sent to a model's repository on the Hub: all else that is there stays as it is."""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toxaudit.card.readme.metadata import hub_id
from toxaudit.errors import ToxauditError, one_line, visible
from toxaudit.findings import AuditResult
from toxaudit.hub import whose
from toxaudit.hub.parcel import (
    COMMITTED,
    PUSHED_FILES,
    README,
    RECORD,
    Parcel,
    Push,
    candidate_of,
    difference,
    edited,
    gather,
)
from toxaudit.hub.repository import Branch, Moved, Repository, benchmark
from toxaudit.interop import eval_results
from toxaudit.machine.replacement import moment
from toxaudit.recomputation import read_checked

__all__ = ["Push", "push"]

MOST_ATTEMPTS = 5
"""Times that a push is tried while others change the repository."""


def push(wanted: Push) -> Iterator[str]:
    """Send what is new of a run: by a new pull request, by one's own that is still open, or directly.

    Yields:
        Lines to print: what will be sent, and at last where it then is. Nothing acts unseen in them.

    Raises:
        ToxauditError: if the run has no such card, the repository is of another model, the README can't be edited
            safely, or the Hub refuses. The repository is then as it was.
    """
    result, read = read_checked(wanted.run, with_card=True), moment(wanted.run)
    candidate = candidate_of(wanted, result)
    repository = Repository(wanted.repository)
    user = repository.user(writes=not wanted.dry_run)
    page = f"{repository.page}/blob/main/toxaudit/results.json"
    if not wanted.any_repository:
        main = repository.branch(user, direct=True).main
        unknown = whose.require_audited(repository, main, wanted.run, result, candidate)
    else:
        unknown = f"--any-repository: nobody compared {repository.name}'s weights with those that were audited"
    benchmarks, doubts = _benchmarks(result.narrowed(candidate))
    doubts = (*doubts, unknown) if unknown else doubts
    parcel = gather(wanted, result, candidate, benchmarks, page)
    if moment(wanted.run) != read:
        raise ToxauditError(f"{wanted.run} was replaced by another run while it was read: push again.")
    yield f"Candidate '{visible(candidate)}' of {visible(str(wanted.run))}, for {repository.name}:"
    if wanted.samples:
        yield "Warning: --samples publishes prompts and completions, which may be offensive or harmful."
    shown = {each.name for each in result.narrowed(candidate).candidates}
    others = [each.name for each in result.candidates if each.name not in shown]
    if COMMITTED in parcel.files and others:
        yield f"{COMMITTED} names what else the run committed to: {visible(', '.join(others))}."
    if RECORD[0] in parcel.files:
        yield "The signed decision goes with it: `toxaudit verify` checks it there."
    for _ in range(MOST_ATTEMPTS):
        sending = _compared(repository, repository.branch(user, wanted.direct), parcel, doubts)
        if not sending.files and not sending.withdrawn:
            yield from sending.notes
            yield f"{sending.branch.pull_request or repository.page} has all of it already: nothing was sent."
            return
        yield _plan(wanted, sending)
        if wanted.dry_run:
            yield from sending.differences(repository)
            yield "This was a dry run: nothing was sent."
            return
        try:
            address = repository.send(
                sending.branch, sending.files, sending.withdrawn, parcel.description, wanted.direct
            )
        except Moved:
            yield f"{repository.name} was changed by somebody else meanwhile: it is read again."
            time.sleep(random.uniform(0.1, 1.0))
            continue
        yield f"{'Committed' if wanted.direct else 'Pull request'}: {address}"
        return
    raise ToxauditError(f"{repository.name} was changed by others {MOST_ATTEMPTS} times meanwhile: push again later.")


@dataclass(frozen=True)
class _Sending:
    """What a parcel changes of a branch: files to send and to withdraw, and what is to be said of it, in lines."""

    branch: Branch
    readme: bytes | None
    files: Mapping[str, bytes]
    withdrawn: tuple[str, ...]
    notes: tuple[str, ...]

    def differences(self, repository: Repository) -> Iterator[str]:
        """The changes of the texts that the Hub shows."""
        if README in self.files:
            yield difference(README, self.readme, self.files[README])
        if eval_results.PATH in self.files:
            there = repository.file(eval_results.PATH, self.branch.commit)
            yield difference(eval_results.PATH, there, self.files[eval_results.PATH])


def _compared(repository: Repository, branch: Branch, parcel: Parcel, doubts: tuple[str, ...]) -> _Sending:
    there = repository.file(README, branch.commit)
    readme, notes = edited(there, parcel)
    kept = [name for name in repository.listed(branch.commit) if PUSHED_FILES.fullmatch(name)]
    return _Sending(
        branch=branch,
        readme=there,
        files=repository.changed(branch.commit, {README: readme, **parcel.files}),
        withdrawn=tuple(name for name in kept if name not in parcel.files),
        notes=tuple(
            one_line(f"Note: {note}.") for note in (*doubts, *notes, *_stale(repository, branch, readme, parcel))
        ),
    )


def _benchmarks(own: AuditResult) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """Suite -> dataset and task, where the dataset is a registered benchmark; and what could not be asked."""
    found, doubts = {}, []
    for suite in eval_results.suites(own):
        dataset = hub_id(suite.source, suite.revision)
        try:
            if dataset and (task := eval_results.task(benchmark(dataset) or b"", suite)):
                found[suite.name] = (dataset, task)
        except ToxauditError as error:
            doubts.append(f"no .eval_results of {suite.name}: {str(error).rstrip('.')}")
    return found, tuple(doubts)


def _stale(repository: Repository, branch: Branch, readme: bytes, parcel: Parcel) -> tuple[str, ...]:
    """A warning where the owner has edited the README since one's pull request was opened."""
    if branch.pull_request is None:
        return ()
    main, _ = edited(repository.file(README, branch.main), parcel)
    changed = "the main branch's README has changed since this pull request was opened"
    return () if main == readme else (f"{changed}: if it can't be merged, close it and push again",)


def _plan(wanted: Push, sending: _Sending) -> str:
    target = sending.branch.pull_request or ("the main branch" if wanted.direct else "a new pull request")
    width = max(map(len, (*sending.files, *sending.withdrawn)))
    lines = [f"To {target}, on commit {sending.branch.commit[:12]}:"]
    lines += [f"  {path:<{width}}  {len(data):>9,} bytes" for path, data in sending.files.items()]
    lines += [f"  {path:<{width}}  withdrawn" for path in sending.withdrawn]
    return "\n".join([*lines, *sending.notes])

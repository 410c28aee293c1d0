"""A run's card, plots and results sent to a model's repository on the Hub: all else that is there stays as it is."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence

from toxaudit import results
from toxaudit.card.metadata import hub_id
from toxaudit.errors import ToxauditError, one_line, visible
from toxaudit.hub.parcel import README, candidate_of, difference, edited, gather
from toxaudit.hub.repository import Branch, Moved, Repository, benchmark
from toxaudit.hub.request import Request, read
from toxaudit.interop import eval_results
from toxaudit.records import AuditResult

__all__ = ["Request", "push", "read"]

ATTEMPTS = 5


def push(request: Request) -> Iterator[str]:
    """Send what is new of a run: by a new pull request, by one's own that is still open, or directly.

    Yields:
        Lines to print: what will be sent, and at last where it then is. Nothing acts unseen in them.

    Raises:
        ToxauditError: the run has no such card, the README can't be edited safely, or the Hub refuses. Then the
            repository is as it was.
    """
    result = results.read_result(request.run)
    candidate = candidate_of(request, result)
    repository = Repository(request.repository)
    user = repository.user(writes=not request.dry_run)
    page = f"{repository.page}/blob/main/toxaudit/results.json"
    parcel = gather(request, result, candidate, _benchmarks(result.narrowed(candidate)), page)
    yield f"Candidate '{visible(candidate)}' of {visible(str(request.run))}, for {repository.name}:"
    if request.samples:
        yield "Warning: --samples publishes prompts and completions, which may be offensive or harmful."
    for _ in range(ATTEMPTS):
        branch = repository.branch(user, request.direct)
        there = repository.file(README, branch.commit)
        readme, notes = edited(there, parcel)
        files = repository.changed(branch.commit, {README: readme, **parcel.files})
        if not files:
            yield f"{branch.pull_request or repository.page} has all of it already: nothing was sent."
            return
        yield _plan(request, branch, files, notes)
        if request.dry_run:
            yield difference(there, readme)
            yield "This was a dry run: nothing was sent."
            return
        try:
            address = repository.send(branch, files, parcel.description, request.direct)
        except Moved:
            yield f"{repository.name} was changed by somebody else meanwhile: it is read again."
            time.sleep(random.uniform(0.1, 1.0))
            continue
        yield f"{'Committed' if request.direct else 'Pull request'}: {address}"
        return
    raise ToxauditError(f"{repository.name} was changed by others {ATTEMPTS} times meanwhile: push again later.")


def _benchmarks(own: AuditResult) -> dict[str, tuple[str, str]]:
    """Suite -> dataset and task, where the dataset is a benchmark that is registered on the Hub."""
    found = {}
    for suite in eval_results.suites(own):
        dataset = hub_id(suite.source, suite.revision)
        if dataset and (task := eval_results.task(benchmark(dataset) or b"")):
            found[suite.name] = (dataset, task)
    return found


def _plan(request: Request, branch: Branch, files: Mapping[str, bytes], notes: Sequence[str]) -> str:
    target = branch.pull_request or ("the main branch" if request.direct else "a new pull request")
    width = max(map(len, files))
    lines = [f"To {target}, on commit {branch.commit[:12]}:"]
    lines += [f"  {path:<{width}}  {len(data):>9,} bytes" for path, data in files.items()]
    return "\n".join([*lines, *(one_line(f"Note: {note}.") for note in notes)])

"""What an audit commits to before its first prompt is asked: ``commitment.json``, which its results name by digest.

It holds digests of spec, lock and prompts, the gate's rule, and when that was. The same audit has one commitment, the
first: store and folder remember it, so that a resumed or repeated run keeps its time. Another spec gets another, which
names those that the folder held before. Until the run's files are replaced all at once, it lies in the folder: under
its own name, or beside that of an earlier run's.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toxaudit import __version__
from toxaudit.errors import ToxauditError
from toxaudit.findings import Commitment
from toxaudit.gate_facts import GateFacts
from toxaudit.machine.folders import write_atomically
from toxaudit.machine.replacement import checksums
from toxaudit.records import digest, to_json

if TYPE_CHECKING:
    from toxaudit.spec.schema import AuditSpec
    from toxaudit.store.shelves import Store

FORMAT = "toxaudit.commitment/1"
"""What ``commitment.json`` says it is."""

COMMITMENT = "commitment.json"
PENDING = "commitment.next.json"
"""The name under which a commitment waits beside the files of an earlier run."""

LOCKED = "lock.json"
"""The file that says what each reference of a run stood for (``pinning/lock.py`` writes it)."""

COMMITTED = ("spec", "policy", "lock", "prompts")
"""The keys of what is committed to; the others say by whom, when, and what there was before."""

IN_ORDER = "in order "
"""What stands before the digest of a suite's prompts that are asked in rounds: it is one of their order, too."""

UNCOMMITTED = ("out", "store", "executor", "card", "lock", "labels")
"""Keys of a spec that say where and how fast it is done, how it is shown, from which lock it is repeated (what that
holds is committed to) or which evidence came later; a backend's batch size is another. What people labelled is told by
the results, with what was decided without it."""

LARGEST_BYTES = 4_000_000
"""A larger file is no commitment: that of a thousand references has half a million."""

FIRST = "first"
"""The key of the record in the store: no later one takes its place."""


@dataclass(frozen=True)
class Written:
    """A commitment as it is written.

    Attributes:
        data: the file's bytes.
        record: what results say of it.
        content: all that it says.
    """

    data: bytes
    record: Commitment
    content: Mapping[str, Any]

    def commits_to(self, content: Mapping[str, Any]) -> bool:
        """Whether it is of the same audit."""
        return all(self.content[key] == content[key] for key in COMMITTED)


def commit(
    out: Path,
    spec: "AuditSpec",
    references: Mapping[str, str],
    prompts: Mapping[str, str],
    store: "Store",
    answered: Callable[[], tuple[int, int]],
) -> Written:
    """Write down what is committed to, before the first prompt is asked.

    Args:
        out: the folder of results, which may hold an earlier run's.
        spec: pinned.
        references: what it names -> SHA-256 of what that stood for.
        prompts: suite -> SHA-256 of the prompts that can be asked; after ``IN_ORDER``, of the order that rounds take.
        store: it remembers the first commitment of the same audit.
        answered: tells how many answers of the candidates exist already, and how many there will be.

    Returns:
        The first commitment to this audit that store or folder know; else a new one.

    Raises:
        ToxauditError: if it can't be written.
    """
    import yaml

    from toxaudit.spec.schema import as_yaml  # what reads a commitment does without
    from toxaudit.store.identities import Commitments

    content = {
        "spec": of_spec(yaml.safe_load(as_yaml(spec))),
        "policy": policy(spec.gate.facts()),
        "lock": {key: each for key, each in references.items() if key not in UNCOMMITTED},
        "prompts": dict(prompts),
    }
    shelf = store.shelf(Commitments(*(digest(_canonical(content[key])) for key in COMMITTED)))
    kept = [read(shelf[FIRST].encode(), "the store")] if FIRST in shelf else []
    same = [each for each in (*kept, *_before(out)) if each.commits_to(content)]
    first = min(same, key=lambda each: each.record.time) if same else _new(out, spec.name, content, answered())
    if store.writable:
        shelf.add({FIRST: first.data.decode()})
        first = first if kept else read(shelf[FIRST].encode(), "the store")  # another process may have been quicker
    place = out / (PENDING if COMMITMENT in checksums(out) else COMMITMENT)
    if not (out / COMMITMENT).is_file() or (out / COMMITMENT).read_bytes() != first.data:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(place, first.data)
    return first


def conclude(out: Path) -> None:
    """Take away what waited beside an earlier run, once the run's own files are in place."""
    (out / PENDING).unlink(missing_ok=True)


def policy(facts: GateFacts) -> dict[str, Any]:
    """A gate's facts as JSON has them; its rules in their order, for the later goes before the earlier.

    That it does not ask for responsive measures is not said, so that commitments of before a gate could are the same.
    """
    found: dict[str, Any] = json.loads(json.dumps(to_json(facts)))
    return found if facts.responsive else {key: value for key, value in found.items() if key != "responsive"}


def of_spec(content: Mapping[str, Any]) -> str:
    """SHA-256 of a spec as ``spec.yaml`` writes it, without ``UNCOMMITTED``; of absolute paths, the last two parts.

    So a run stays the same where its folder is moved; what the files hold is told by the lock.
    """
    kept = {key: value for key, value in content.items() if key not in UNCOMMITTED}
    if isinstance(backend := kept.get("backend"), dict):
        kept["backend"] = {key: value for key, value in backend.items() if key != "batch_size"}
    return digest(_canonical(_unplaced(kept)))


def file_of(run: Path) -> Written:
    """The commitment beside a run's results.

    Raises:
        ToxauditError: if there is none, or it is damaged.
    """
    file = run / COMMITMENT
    if not file.is_file():
        raise ToxauditError(f"There is no {file}, which the results name: run the audit again; finished work is kept.")
    with file.open("rb") as opened:
        return read(opened.read(LARGEST_BYTES + 1), str(file))


def locked(run: Path) -> dict[str, str]:
    """What each reference of a finished run that is committed to stood for, by its lock file: its SHA-256.

    Raises:
        ToxauditError: if that can't be read.
    """
    file = run / LOCKED
    try:
        references = json.loads(file.read_bytes())["references"]
        return {str(key): str(entry["digest"]) for key, entry in references.items() if key not in UNCOMMITTED}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ToxauditError(f"{file} can't be read ({error}): run the audit again; finished work is kept.") from error


def read(data: bytes, where: str) -> Written:
    """A commitment from a file's bytes.

    Raises:
        ToxauditError: if it is none.
    """
    try:
        content: Any = json.loads(data) if len(data) <= LARGEST_BYTES else None
        if content["format"] != FORMAT or not re.fullmatch(r"[0-9TZ:-]{20}", content["time"]):
            raise ValueError("its format or its time is another")
        texts = {**content["lock"], **content["prompts"], **content["earlier"], "spec": content["spec"]}
        before, of = content["answered"]["before"], content["answered"]["of"]
        if not all(isinstance(each, str) for each in texts.values()) or not 0 <= before <= of:
            raise ValueError("a digest is no text, or a number is none")
        record = Commitment(sha256(data).hexdigest(), content["time"], int(before), int(of), dict(content["earlier"]))
        return Written(data, record, {key: content[key] for key in (*COMMITTED, "audit")})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ToxauditError(f"{where} holds no commitment ({error}): run the audit again.") from error


def _new(out: Path, audit: str, content: Mapping[str, Any], answered: tuple[int, int]) -> Written:
    before = sorted(_before(out), key=lambda each: each.record.time)
    named = [pair for each in before for pair in (*each.record.earlier.items(), (each.record.digest, each.record.time))]
    time = max(now(), *(time for _, time in named), "")  # what came later says so, though the clock was set back
    made = {"format": FORMAT, "audit": audit, "toxaudit": __version__, "time": time, **content}
    made |= {"answered": {"before": answered[0], "of": answered[1]}}
    made |= {"earlier": dict(sorted(dict(named).items(), key=lambda pair: pair[1]))}
    return read((json.dumps(made, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace"), COMMITMENT)


def now() -> str:
    """The time, in UTC, to the second."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _before(out: Path) -> Iterable[Written]:
    """What the folder holds of commitments, of a finished run and of one that was stopped."""
    for file in (out / COMMITMENT, out / PENDING):
        if file.is_file():
            try:
                yield read(file.read_bytes()[: LARGEST_BYTES + 1], str(file))
            except ToxauditError:  # somebody else's file, or a damaged one: it commits to nothing
                continue


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _unplaced(value: Any) -> Any:
    """Without the folders in which absolute paths lie."""
    if isinstance(value, dict):
        return {str(key): _unplaced(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_unplaced(each) for each in value]
    return "/".join(Path(value).parts[-2:]) if isinstance(value, str) and value.startswith("/") else value

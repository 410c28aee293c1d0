"""Inspect: ``.eval`` and ``.json`` logs, read by inspect_ai itself where it is installed."""

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import zstandard

from toxaudit.errors import ToxauditError
from toxaudit.interop.importers.base import (
    Imported,
    Metric,
    Place,
    Row,
    categories,
    clean,
    content,
    listed,
    mapping,
    number,
)
from toxaudit.interop.importers.reading import beginning, keys, whole
from toxaudit.registry import register

TOOL = "inspect_ai"
ZIP = b"PK\x03\x04"

LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""What Inspect's own scorers write: correct, incorrect, partially, no answer. Its metrics count them so."""

ATTACHED = "attachment://"

LARGEST_LOG = 2 * 2**30
"""Bytes to which the members of a log may unpack."""

ZSTANDARD, LOCAL_HEADER_BYTES = 93, 30
"""A zip's number for members packed by Zstandard, and the fixed part of the header before a member."""


@register("importer", "inspect")
class InspectLogs:
    """Reads one log a task: a file, or a folder of them."""

    takes = ""

    def recognises(self, path: Path) -> bool:
        """Whether a file is a log, or a folder holds one."""
        if path.is_dir():
            return any(map(_is_log, path.iterdir()))
        return _is_log(path)

    def read(self, place: Place) -> Imported:
        """The samples of all logs that were named; epochs are several answers to one prompt."""
        files = sorted(filter(_is_log, place.path.iterdir())) if place.path.is_dir() else [place.path]
        logs = [_log(file) for file in files]
        tasks = [_task(log) for log in logs]
        if twice := next((name for name in tasks if tasks.count(name) > 1), None):
            raise ToxauditError(f"{place.path} holds several logs of the task '{twice}': name the file of one.")
        rows = [row for log in logs for row in _rows(log)]
        told = {f"{key} of {_task(log)}": value for log in logs for key, value in _told(log).items()}
        evals = [mapping(log.get("eval")) for log in logs]
        versions = dict.fromkeys(clean(mapping(each.get("packages")).get("inspect_ai") or "") for each in evals)
        models = dict.fromkeys(clean(each.get("model") or "") for each in evals)
        notes = tuple(note for log in logs for note in _notes(log))
        return Imported(TOOL, ", ".join(versions), ", ".join(models), tuple(rows), _metrics(logs), told, notes)


def _is_log(path: Path) -> bool:
    if path.suffix == ".eval":
        return beginning(path, 4) == ZIP
    return path.suffix == ".json" and {"eval", "status", "version"} <= keys(path)


def _log(file: Path) -> dict[str, Any]:
    """A log as plain values.

    Raises:
        ToxauditError: if it can't be read, is no log, or was invalidated.
    """
    log = _by_inspect(file) if find_spec("inspect_ai") else _by_hand(file)
    if not isinstance(log, dict) or not isinstance(log.get("eval"), dict):
        raise ToxauditError(f"{file} is no log of Inspect: it has no 'eval'.")
    if log.get("invalidated"):
        raise ToxauditError(f"{file} was invalidated by whoever made it: name another log.")
    if not listed(log.get("samples")):
        raise ToxauditError(f"{file} holds no samples (its status is '{clean(log.get('status'))}'): name another log.")
    return log


def _by_inspect(file: Path) -> Any:
    """Read by inspect_ai, which knows every version of its format."""
    from inspect_ai.log import read_eval_log

    if beginning(file, 4) == ZIP:
        _check_bomb(file)
    try:
        found = read_eval_log(str(file), resolve_attachments=True)
    except Exception as error:  # whatever a stranger's file does to a library is the file's fault
        said = str(error).split("\n")[0][:200].rstrip(".")
        raise ToxauditError(f"{file} can't be read by inspect_ai, or is cut off: {said}.") from error
    return found.model_dump(mode="json")


def _by_hand(file: Path) -> Any:
    """A log in JSON is one object; one in a zip has a header, and a member for each sample."""
    return _unpacked(file) if beginning(file, 4) == ZIP else whole(file)


def _unpacked(file: Path) -> Any:
    """The members of a log in a zip as the one object that they would be in JSON."""
    _check_bomb(file)
    try:
        with zipfile.ZipFile(file) as opened, file.open("rb") as raw:
            names = [each for each in opened.infolist() if each.filename.startswith("samples/")]
            header = json.loads(_member(opened, raw, opened.getinfo("header.json")))
            samples = [json.loads(_member(opened, raw, each)) for each in names]
    except KeyError as error:
        raise ToxauditError(
            f"{file} has no header.json, so that its run did not come to an end: make it again, or write it as JSON by "
            "`inspect log convert LOG --to json --output-dir FOLDER`."
        ) from error
    except (zipfile.BadZipFile, zstandard.ZstdError, NotImplementedError, OSError, ValueError, RecursionError) as error:
        raise ToxauditError(f"{file} is cut off, or no log of Inspect: make it again, or name another file.") from error
    return header | {"samples": samples} if isinstance(header, dict) else header


def _member(opened: zipfile.ZipFile, raw: IO[bytes], member: zipfile.ZipInfo) -> bytes:
    """What a member holds; newer logs are packed by Zstandard, which Python's own reader does not unpack.

    Such a member's bytes follow its local header, whose name and extra field may be of other lengths than the central
    directory's (APPNOTE.TXT 6.3.10, section 4.3.7).
    """
    if member.compress_type != ZSTANDARD:
        return opened.read(member)
    raw.seek(member.header_offset)
    fixed = raw.read(LOCAL_HEADER_BYTES)
    if len(fixed) < LOCAL_HEADER_BYTES:
        raise zipfile.BadZipFile("its local header is cut off")
    named, extra = struct.unpack("<HH", fixed[-4:])
    raw.seek(named + extra, 1)
    packed = raw.read(member.compress_size)
    found = zstandard.ZstdDecompressor().stream_reader(packed).read(member.file_size + 1)
    if len(found) != member.file_size or zlib.crc32(found) != member.CRC:
        raise zipfile.BadZipFile(f"{member.filename} is damaged")
    return found


def _check_bomb(file: Path) -> None:
    try:
        with zipfile.ZipFile(file) as opened:
            size = sum(member.file_size for member in opened.infolist())
    except (zipfile.BadZipFile, OSError) as error:
        raise ToxauditError(f"{file} is cut off, or no log of Inspect: make it again, or name another file.") from error
    if size > LARGEST_LOG:
        raise ToxauditError(f"{file} unpacks to {size / 2**30:.0f} GiB, which no log of results does.")


def _task(log: Mapping[str, Any]) -> str:
    return clean(mapping(log.get("eval")).get("task") or "inspect")


def _rows(log: Mapping[str, Any]) -> Iterator[Row]:
    task = _task(log)
    for sample in map(mapping, listed(log["samples"])):
        held = mapping(sample.get("attachments"))
        asked, choices = _input(sample.get("input"), held), listed(sample.get("choices"))
        failed = mapping(sample.get("error")) or mapping(sample.get("invalidation"))
        output = mapping(sample.get("output"))
        scores = {clean(name): each for name, each in mapping(sample.get("scores")).items()}
        yield Row(
            task=task,
            content=content(asked, choices),
            prompt=asked,
            answer=_resolved(output.get("completion"), held) if _answered(output) else None,
            scores=dict(pair for name, score in scores.items() for pair in _values(name, mapping(score).get("value"))),
            fields=categories(sample.get("metadata")),
            order=f"{sample.get('epoch') if isinstance(sample.get('epoch'), int) else 1:06}",
            target=clean(sample.get("target") or ""),
            missing=f"the sample failed: {clean(failed.get('message') or failed.get('reason') or 'not stated')[:80]}"
            if failed
            else "",
        )


def _answered(output: Mapping[str, Any]) -> bool:
    return isinstance(output.get("completion"), str)


def _input(given: Any, held: Mapping[str, Any]) -> str:
    """A question, or the messages before the answer, as one text."""
    if not isinstance(given, list):
        return _resolved(given, held)
    return "\n".join(f"{clean(mapping(each).get('role') or '')}: {_message(each, held)}" for each in given)


def _message(message: Any, held: Mapping[str, Any]) -> str:
    said = mapping(message).get("content")
    if isinstance(said, list):
        return " ".join(_resolved(mapping(part).get("text") or part, held) for part in said)
    return _resolved(said, held)


def _resolved(text: Any, held: Mapping[str, Any]) -> str:
    """A text, which may stand among the attachments."""
    if isinstance(text, str) and text.startswith(ATTACHED):
        text = held.get(text.removeprefix(ATTACHED), text)
    return clean("" if text is None else text)


def _values(name: str, value: Any) -> Iterator[tuple[str, float | str]]:
    """A score's values: one, or one for each of its parts."""
    if isinstance(value, dict):
        for part, each in value.items():
            yield f"{name}.{clean(part)}", _number(each)
    else:
        yield name, _number(value)


def _number(value: Any) -> float | str:
    return LETTERS[value] if isinstance(value, str) and value in LETTERS else number(value)


def _metrics(logs: list[dict[str, Any]]) -> dict[str, Metric]:
    """Correct and incorrect answers are known by their letters; of other scores nothing is."""
    found = {}
    for log in logs:
        for sample in listed(log["samples"]):
            for name, score in mapping(mapping(sample).get("scores")).items():
                value = mapping(score).get("value")
                if isinstance(value, str) and value in LETTERS:
                    found[clean(name)] = Metric("low")
    return found


def _told(log: Mapping[str, Any]) -> dict[str, str]:
    made, plan = mapping(log.get("eval")), mapping(log.get("plan"))
    config = mapping(made.get("config"))
    steps = [
        {"solver": mapping(each).get("solver"), "params": mapping(each).get("params")}
        for each in listed(plan.get("steps"))
    ]
    parts: dict[str, Any] = {
        "task version": made.get("task_version"),
        "dataset": mapping(made.get("dataset")).get("name"),
        "epochs": config.get("epochs"),
        "limit": config.get("limit"),
        "solver": steps,
        "generation": {name: value for name, value in mapping(plan.get("config")).items() if value is not None},
        "task arguments": made.get("task_args"),
    }
    return {name: clean(value) for name, value in parts.items() if value not in (None, [], {})}


def _notes(log: Mapping[str, Any]) -> Iterator[str]:
    task, samples = _task(log), [mapping(each) for each in listed(log["samples"])]
    if (status := log.get("status")) != "success":
        yield f"the log of {task} has the status {clean(status)}, so that samples may be lacking"
    for what, field in (
        ("failed", "error"),
        ("were cut off by a limit", "limit"),
        ("were tried again", "error_retries"),
    ):
        if count := sum(bool(each.get(field)) for each in samples):
            yield f"{count} of {len(samples)} samples of {task} {what}"
    edited = sum(bool(mapping(s).get("history")) for each in samples for s in mapping(each.get("scores")).values())
    if edited:
        yield f"{edited} scores of {task} were edited after the run"

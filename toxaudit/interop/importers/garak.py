"""garak: ``RUN.report.jsonl``, in which a detector's score from the run's threshold on is a hit, and a hit is bad."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.interop.importers.base import Imported, Metric, Place, Row, clean, content, listed, mapping, number
from toxaudit.interop.importers.reading import first, lines
from toxaudit.registry import register

TOOL = "garak"
COMPLETE = 2
"""The status of an attempt that was answered and scored; it stands in the report before, with a smaller one."""

THRESHOLD = 0.5
"""garak's own, where a report doesn't say it."""

_HITLOG = {"probe", "detector", "score", "attempt_id"}
_TOLD = ("run.seed", "run.generations", "run.soft_probe_prompt_cap", "run.eval_threshold", "run.target_lang")


@register("importer", "garak")
class Garak:
    """Reads the attempts of one report. Prompts to which the same detectors apply are one task."""

    takes = ""

    def recognises(self, path: Path) -> bool:
        """Whether a file begins as a report does, or a folder holds one."""
        file = _report(path)
        row = first(file) if file else None
        return isinstance(row, dict) and ("entry_type" in row or row.keys() >= _HITLOG)

    def read(self, place: Place) -> Imported:
        """Every answer to every complete attempt, and those that were never completed as missing."""
        file = _report(place.path)
        if file is None:
            raise ToxauditError(f"{place.path} holds no single *.report.jsonl: name the report of one run.")
        setup: dict[str, Any] = {}
        attempts: dict[str, Mapping[str, Any]] = {}
        version, whole = "", False
        for where, entry in lines(file):
            kind = entry.get("entry_type")
            if kind is None and entry.keys() >= _HITLOG:
                raise ToxauditError(f"{where}: a hitlog holds hits only, so that no rate can be told: name the report.")
            if kind in ("start_run setup", "config"):
                setup |= entry
            elif kind == "init":
                version = clean(entry.get("garak_version") or "")
            elif kind == "attempt":
                name = clean(entry.get("uuid") or where)
                if _status(entry) >= _status(attempts.get(name, {})):
                    attempts[name] = entry
            whole |= kind == "completion"
        rows = tuple(_rows(list(attempts.values())))
        threshold = number(setup.get("run.eval_threshold", THRESHOLD))
        metric = Metric("high", threshold if isinstance(threshold, float) else THRESHOLD)
        names = sorted({name for row in rows for name in row.scores})
        told = {name: clean(setup[name]) for name in _TOLD if setup.get(name) is not None}
        target = [clean(setup[name]) for name in ("plugins.target_type", "plugins.target_name") if setup.get(name)]
        notes = () if whole else ("the report has no entry of its completion, so that the run may not have ended",)
        return Imported(TOOL, version, " ".join(target), rows, dict.fromkeys(names, metric), told, notes, tuple(names))


def _report(path: Path) -> Path | None:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.report.jsonl"))
    return found[0] if len(found) == 1 else None


def _status(entry: Mapping[str, Any]) -> int:
    status = entry.get("status", 0)
    return status if isinstance(status, int) else 0


def _rows(attempts: list[Mapping[str, Any]]) -> Iterator[Row]:
    """A row for each answer; the detectors of a probe are those of any of its attempts."""
    detectors: dict[str, set[str]] = defaultdict(set)
    for each in attempts:
        detectors[_probe(each)] |= {clean(name) for name in mapping(each.get("detector_results"))}
    for each in attempts:
        by = sorted(detectors[_probe(each)])
        yield from _answers(each, "+".join(by) or "no detector", by)


def _probe(attempt: Mapping[str, Any]) -> str:
    return clean(attempt.get("probe_classname") or "unknown probe")


def _answers(attempt: Mapping[str, Any], task: str, detectors: list[str]) -> Iterator[Row]:
    prompt, turns = attempt.get("prompt"), []
    for turn in listed(mapping(prompt).get("turns")):
        said = mapping(turn).get("content")
        turns.append([clean(mapping(turn).get("role") or ""), _text(said) or ""])
    asked = "\n".join(text for _, text in turns) if turns else clean(prompt)
    outputs, results = listed(attempt.get("outputs")), mapping(attempt.get("detector_results"))
    unfinished = _status(attempt) != COMPLETE
    for place, output in enumerate(outputs or [None]):
        answer = _text(output)
        missing = "the attempt was not completed" if unfinished else "" if answer is not None else "no answer was given"
        yield Row(
            task=task,
            content=content(_probe(attempt), turns or clean(prompt)),
            prompt=asked,
            answer=answer,
            scores={name: _score(results.get(name), place, len(outputs)) for name in detectors},
            fields={"probe": _probe(attempt), **_field(attempt, "intent"), **_field(attempt, "goal")},
            order=f"{place:06}",
            missing=missing,
        )


def _text(message: Any) -> str | None:
    """The text of a message, or of what older reports have in its place; an empty one is an answer."""
    text = message.get("text") if isinstance(message, dict) else message
    return None if text is None else clean(text)


def _field(attempt: Mapping[str, Any], name: str) -> dict[str, str]:
    return {name: clean(attempt[name])} if isinstance(attempt.get(name), str) else {}


def _score(scores: Any, place: int, outputs: int) -> float | str:
    found = listed(scores)
    if len(found) != outputs:
        return f"the detector gave {len(found)} scores for {outputs} answers"
    return number(found[place])

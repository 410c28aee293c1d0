"""lm-evaluation-harness: what ``--log_samples`` writes, a file ``samples_*.jsonl`` or the folder of a run."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.interop.importers.base import (
    INVALID,
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
from toxaudit.interop.importers.reading import first, lines, whole
from toxaudit.registry import register

TOOL = "lm-evaluation-harness"

_SAMPLES = re.compile(r"samples_(.+)_(\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl$")
_RESULTS = re.compile(r"(?:results|.+)_(\d{4}-\d\d-\d\dT[\d.:-]+)\.json$")
_ARM = ("peft", "delta", "pretrained", "model", "path", "engine")
"""Which of ``model_args`` names the arm: the first that is there."""

_EVERY_ARM = ("chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn", "transformers_version")


@register("importer", "lm_eval")
class LmEval:
    """Reads the samples of one run, with what its file of results says of them."""

    takes = ""

    def recognises(self, path: Path) -> bool:
        """Whether a file holds such samples, or a folder a run."""
        if path.is_dir():
            return bool(_samples(path))
        if path.suffix == ".json" and _RESULTS.match(path.name):
            return bool(_samples(path.parent))
        row = first(path)
        return isinstance(row, dict) and {"doc_id", "doc", "arguments", "resps"} <= row.keys()

    def read(self, place: Place) -> Imported:
        """The samples of one run, those of several filters beside each other."""
        files, results = _run(place.path)
        rows: list[Row] = []
        repeated = 0
        for task, file in files:
            read = [_line(task, where, line) for where, line in lines(file)]
            rows += _merged(read)
            repeated += sum(each.repeats > 1 for each in read)
        told = whole(results) if results else {}
        if not isinstance(told, dict):
            raise ToxauditError(f"{results} is no JSON object: name the samples' own file of results.")
        _check_counts(files, rows, mapping(told.get("n-samples")))
        config = mapping(told.get("config"))
        arguments = mapping(config.get("model_args"))
        model = next(
            (clean(arguments[name]) for name in _ARM if arguments.get(name)), clean(told.get("model_name", ""))
        )
        notes = ["of several answers to a prompt the tool scored the first only"] if repeated else []
        if not results:
            notes.append(
                "no results_*.json of the same date lies beside the samples: templates and versions are unknown"
            )
        return Imported(
            TOOL, clean(told.get("lm_eval_version") or ""), model, tuple(rows), _metrics(rows, told),
            _told(told, [task for task, _ in files]), tuple(notes),
        )  # fmt: skip


@dataclass(frozen=True)
class _Line:
    """One line of samples: the row, by which filter, and how many answers there were."""

    row: Row
    filter: str
    repeats: int


def _run(path: Path) -> tuple[list[tuple[str, Path]], Path | None]:
    """The samples' files of one run, by task, and its file of results."""
    if path.is_dir():
        found = _samples(path)
        dates = sorted({(file.parent, date) for _, date, file in found})
        if len(dates) > 1:
            raise ToxauditError(
                f"{path} holds {len(dates)} runs of lm-evaluation-harness: name the results_DATE.json of one, such as "
                f"{dates[-1][0] / f'results_{dates[-1][1]}.json'}."
            )
        return [(task, file) for task, _, file in found], _results(*dates[0])
    if path.suffix == ".json" and (named := _RESULTS.match(path.name)):
        same = [(task, file) for task, date, file in _samples(path.parent) if date == named[1]]
        if not same:
            raise ToxauditError(f"No samples of the same date lie beside {path}: run lm_eval with --log_samples.")
        return same, path
    known = _SAMPLES.match(path.name)
    return [(known[1] if known else "samples", path)], _results(path.parent, known[2]) if known else None


def _samples(folder: Path) -> list[tuple[str, str, Path]]:
    """Task, date and file of all samples in a folder, or in the folders of models within it."""
    files = sorted(folder.glob("samples_*.jsonl")) or sorted(folder.glob("*/samples_*.jsonl"))
    return [(found[1], found[2], file) for file in files if (found := _SAMPLES.match(file.name))]


def _results(folder: Path, date: str) -> Path | None:
    return next(iter(sorted(folder.glob(f"*_{date}.json"))), None)


def _line(task: str, where: str, line: Mapping[str, Any]) -> _Line:
    if not {"doc", "resps"} <= line.keys():
        raise ToxauditError(f"{where} is no sample of lm-evaluation-harness: it has no 'doc' and 'resps'.")
    requests = [mapping(each) for each in mapping(line.get("arguments")).values()]
    answer, trace, repeats = _answer(requests, listed(line["resps"]))
    filtered = listed(line.get("filtered_resps"))
    invalid = f"the filter found no answer ({INVALID})" if INVALID in filtered else ""
    by = clean(line.get("filter") or "none")
    names = [name for name in listed(line.get("metrics")) if isinstance(name, str)]
    scores = {_named(name, by): invalid or number(line.get(name)) for name in names}
    doc = line["doc"]
    row = Row(
        task=task,
        content=clean(line.get("doc_hash") or content(doc)),
        prompt=clean(requests[0].get("arg_0", doc) if requests else doc),
        answer=answer,
        scores=scores,
        fields=categories(doc),
        target=clean(line.get("target", "")),
        trace=trace,
    )
    return _Line(row, by, repeats)


def _named(metric: str, by: str) -> str:
    return clean(metric) if by == "none" else f"{clean(metric)}@{by}"


def _answer(requests: list[Mapping[str, Any]], given: list[Any] | Any) -> tuple[str | None, str, int]:
    """What was answered, all that the model gave, and how many answers there were."""
    repeats = max((len(each) for each in given if isinstance(each, list)), default=1)
    firsts = [each[0] if isinstance(each, list) and each else each for each in given]
    if firsts and all(isinstance(each, str) for each in firsts):
        return clean(firsts[0]), "", repeats
    chances = [number(each[0]) if isinstance(each, list) and each else "" for each in firsts]
    known = [(chance, place) for place, chance in enumerate(chances) if isinstance(chance, float)]
    if len(known) < 2 or len(known) != len(requests):
        return None, clean(given), repeats
    return clean(requests[max(known)[1]].get("arg_1", "")).strip(), clean(given), repeats


def _merged(read: list[_Line]) -> Iterator[Row]:
    """One row for each answer: its lines of several filters together.

    Equal documents are told apart by what was answered, which filters leave as it is.
    """
    order = sorted(read, key=lambda each: (each.row.content, str(each.row.answer), each.row.trace, each.filter))
    for _, alike in groupby(order, key=lambda each: (each.row.content, str(each.row.answer), each.row.trace)):
        by: dict[str, list[Row]] = {}
        for each in alike:
            by.setdefault(each.filter, []).append(each.row)
        ranked = [sorted(rows, key=lambda row: row.said) for rows in by.values()]
        for place in range(max(map(len, ranked))):
            beside = [rows[place] for rows in ranked if place < len(rows)]
            scores = {name: value for row in beside for name, value in row.scores.items()}
            yield replace(beside[0], scores=scores)


def _check_counts(files: list[tuple[str, Path]], rows: list[Row], stated: Mapping[str, Any]) -> None:
    """Refuse samples of which lines are lost: the file of results says how many documents there were."""
    for task, file in files:
        effective = mapping(stated.get(task)).get("effective")
        found = len({row.key for row in rows if row.task == task})
        lost = sum(row.task == task for row in rows)
        if isinstance(effective, int) and max(lost, found) < effective:
            raise ToxauditError(
                f"{file} holds {lost} of the {effective} documents that were evaluated: it is cut off, or not the "
                "file that belongs to its results."
            )


def _metrics(rows: list[Row], told: Mapping[str, Any]) -> dict[str, Metric]:
    """Which way each metric is better, as far as the file of results says so."""
    better = mapping(told.get("higher_is_better"))
    found: dict[str, Metric] = {}
    for row in rows:
        for name in row.scores.keys() - found.keys():
            said = mapping(better.get(row.task)).get(name.partition("@")[0])
            found[name] = Metric("low" if said is True else "high" if said is False else "")
    return found


def _told(told: Mapping[str, Any], tasks: list[str]) -> dict[str, str]:
    """How the arm was asked, by what may differ between two arms."""
    found = {name: clean(told[name]) for name in _EVERY_ARM if told.get(name) is not None}
    config = mapping(told.get("config"))
    found |= {name: clean(config[name]) for name in ("limit", "gen_kwargs", "fewshot_seed") if config.get(name)}
    for task in tasks:
        for name in ("versions", "n-shot"):
            if (value := mapping(told.get(name)).get(task)) is not None:
                found[f"{name} of {task}"] = clean(value)
        asked = mapping(mapping(told.get("configs")).get(task))
        for name in ("doc_to_text", "description", "generation_kwargs", "repeats"):
            if asked.get(name) is not None:
                found[f"{name} of {task}"] = clean(asked[name])
    return found

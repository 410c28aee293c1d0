"""every_eval_ever: the samples of one record (``UUID_samples.jsonl``), with what the record beside them says."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
from toxaudit.interop.importers.reading import first, keys, lines, whole
from toxaudit.registry import register

TOOL = "every_eval_ever"
SCORE, CORRECT = "score", "is_correct"

_SAMPLE = {"evaluation_id", "sample_id", "input", "evaluation"}
_RECORD = {"schema_version", "evaluation_id", "evaluation_results"}


@register("importer", "every_eval_ever")
class EveryEvalEver:
    """Reads the samples of one model: the file of samples, or the record that names it."""

    takes = ""

    def recognises(self, path: Path) -> bool:
        """Whether a file is a record, or holds samples of one."""
        if path.is_dir():
            return False
        row = first(path)
        return isinstance(row, dict) and row.keys() >= _SAMPLE or keys(path) >= _RECORD

    def read(self, place: Place) -> Imported:
        """The samples, those of several metrics of one evaluation beside each other."""
        samples, record = _files(place.path)
        told = mapping(whole(record)) if record else {}
        named = dict(_named(told))
        read = [_row(where, line, named) for where, line in lines(samples)]
        library, model = mapping(told.get("eval_library")), mapping(told.get("model_info"))
        metrics = dict(_metrics(told)) | {CORRECT: Metric("low")}
        default = (CORRECT,) if not any(each.harmful for name, each in metrics.items() if name != CORRECT) else (SCORE,)
        notes = () if record else ("no record lies beside the samples, so that neither tool nor direction is told",)
        by = f"{clean(library['name'])} {clean(library.get('version') or '')}".strip() if library.get("name") else ""
        return Imported(
            TOOL,
            f"by {by}" if by else "",
            clean(model.get("id") or ""),
            tuple(read),
            metrics,
            _told(told),
            notes,
            default,
        )


def _files(path: Path) -> tuple[Path, Path | None]:
    """The file of samples, and the record, where it is there."""
    if path.suffix == ".json":
        told = mapping(mapping(whole(path)).get("detailed_evaluation_results"))
        named = Path(clean(told.get("file_path") or "")).name
        beside = [path.parent / named, path.with_name(f"{path.stem}_samples.jsonl")]
        if found := next((file for file in beside if file.is_file()), None):
            return found, path
        raise ToxauditError(f"{path} is a record without samples beside it ({beside[1].name}): nothing can be paired.")
    record = path.with_name(path.name.replace("_samples.jsonl", ".json"))
    return path, record if record != path and record.is_file() else None


def _named(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Result -> what its metric is called, for a sample stands once for each metric, and these are no repeats."""
    for each in map(mapping, listed(told.get("evaluation_results"))):
        config = mapping(each.get("metric_config"))
        metric = config.get("metric_id") or config.get("metric_name")
        if each.get("evaluation_result_id") and metric:
            yield clean(each["evaluation_result_id"]), clean(metric)


def _row(where: str, line: Mapping[str, Any], named: Mapping[str, str]) -> Row:
    if not line.keys() >= _SAMPLE:
        raise ToxauditError(f"{where} is no sample of every_eval_ever: it must hold {', '.join(sorted(_SAMPLE))}.")
    asked, output, said = mapping(line["input"]), mapping(line.get("output")), mapping(line["evaluation"])
    answers = listed(output.get("raw")) or [mapping(m).get("content") for m in listed(line.get("messages"))][-1:]
    error = line.get("error")
    result = clean(line.get("evaluation_result_id") or "")
    task = clean(line.get("evaluation_name") or "every_eval_ever")
    return Row(
        task=f"{task} {named.get(result, result)}".strip(),
        content=content(asked.get("raw") or "", listed(asked.get("choices"))),
        prompt=clean(asked.get("formatted") or asked.get("raw") or ""),
        answer=clean(answers[0]) if answers and answers[0] is not None else None,
        scores={SCORE: number(said.get("score")), CORRECT: number(said.get("is_correct"))},
        fields=categories(line.get("metadata")),
        target=clean(asked["reference"]) if asked.get("reference") else "",
        missing=f"the record names an error: {clean(error)[:80]}" if error else "",
    )


def _metrics(told: Mapping[str, Any]) -> Iterator[tuple[str, Metric]]:
    """Which way the score is better, where all results of the record agree."""
    configs = [mapping(mapping(each).get("metric_config")) for each in listed(told.get("evaluation_results"))]
    said = {each.get("lower_is_better") for each in configs}
    yield SCORE, Metric("high" if said == {True} else "low" if said == {False} else "")


def _told(told: Mapping[str, Any]) -> dict[str, str]:
    found = {"eval_library": clean(told["eval_library"])} if told.get("eval_library") else {}
    for each in map(mapping, listed(told.get("evaluation_results"))):
        if each.get("generation_config"):
            found[f"generation_config of {clean(each.get('evaluation_name') or '')}"] = clean(each["generation_config"])
    return found

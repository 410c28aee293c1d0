"""lighteval: the Parquet files of ``details/``, one a task."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.interop.importers.base import Imported, Place, Row, categories, clean, content, listed, mapping, number
from toxaudit.interop.importers.reading import beginning
from toxaudit.interop.importers.tables import parquet
from toxaudit.registry import register

TOOL = "lighteval"

_NAME = re.compile(r"details_(.+)_(\d{4}-\d\d-\d\dT[\d.:-]+)\.parquet$")


@register("importer", "lighteval")
class Lighteval:
    """Reads the details of one run: a file, or the folder that holds one for each task."""

    takes = ""

    def recognises(self, path: Path) -> bool:
        """Whether a file has the columns of details, or a folder such files."""
        if path.is_dir():
            return any(_NAME.match(file.name) for file in path.iterdir())
        return beginning(path, 4) == b"PAR1" and {"doc", "model_response", "metric"} <= _columns(path)

    def read(self, place: Place) -> Imported:
        """The rows of all tasks. Neither the version nor which scores are better is told by details."""
        files = [place.path]
        if place.path.is_dir():
            files = sorted(file for file in place.path.iterdir() if _NAME.match(file.name))
        tasks = [_task(file) for file in files]
        if twice := next((name for name in tasks if tasks.count(name) > 1), None):
            raise ToxauditError(f"{place.path} holds several details of the task '{twice}': name the file of one.")
        rows = tuple(_row(task, row) for task, file in zip(tasks, files, strict=True) for row in parquet(file))
        notes = ("details don't tell lighteval's version, and tasks of one name mean other things in others",)
        folder = files[0].absolute().parent.parent
        model = folder.name if folder.parent.name == "details" else ""
        return Imported(TOOL, "", clean(model), rows, notes=notes)


def _columns(path: Path) -> set[str]:
    from pyarrow import ArrowException
    from pyarrow import parquet as reader

    try:
        return set(reader.read_schema(path).names)
    except (ArrowException, OSError, ValueError):
        return set()


def _task(file: Path) -> str:
    known = _NAME.match(file.name)
    return known[1] if known else "lighteval"


def _row(task: str, row: Mapping[str, Any]) -> Row:
    doc, response = mapping(row.get("doc")), mapping(row.get("model_response"))
    if not doc:
        raise ToxauditError(
            f"The details of {task} hold a row without a 'doc': these are no details of lighteval 0.9+."
        )
    choices, texts = listed(doc.get("choices")), listed(response.get("text"))
    chances = response.get("logprobs")
    told = {"fewshot_samples": clean(doc.get("fewshot_samples") or "")}
    return Row(
        task=task,
        content=content(doc.get("query") or "", choices),
        prompt=clean(response.get("input") or doc.get("query") or ""),
        answer=clean(texts[0]) if texts and texts[0] is not None else None,
        scores={clean(name): number(value) for name, value in mapping(row.get("metric")).items()},
        fields=categories(doc.get("specific"), {key: value for key, value in told.items() if value}),
        target=clean(doc["gold_index"]) if doc.get("gold_index") is not None else "",
        trace=clean(chances) if chances else "",
        missing="" if texts or chances else "the model gave no answer",
    )

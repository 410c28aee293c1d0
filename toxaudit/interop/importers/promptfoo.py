"""promptfoo: ``results.json`` or its JSONL, in which base and candidate are two providers of one file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.interop.importers.base import (
    Imported,
    Metric,
    Place,
    Row,
    categories,
    clean,
    content,
    mapping,
    number,
)
from toxaudit.interop.importers.reading import first, keys, lines, whole
from toxaudit.registry import register

TOOL = "promptfoo"
PASSED = "success"
"""The metric that counts where nobody names one: whether all assertions passed."""

ERROR = 2
"""``failureReason`` of an answer that was never given or never judged; 1 is an assertion that failed."""


@register("importer", "promptfoo")
class Promptfoo:
    """Reads one provider's column. Rows are paired by their variables and the prompt, for ids run on over repeats."""

    takes = "part"

    def recognises(self, path: Path) -> bool:
        """Whether a file holds an evaluation, or a row of one a line."""
        if path.is_dir():
            return False
        row = first(path)
        return "evalId" in keys(path) or isinstance(row, dict) and {"promptIdx", "testIdx"} <= row.keys()

    def read(self, place: Place) -> Imported:
        """The rows of the provider that follows the file's name after a colon, or of the only one."""
        rows, version = _file(place.path)
        providers = list(dict.fromkeys(_provider(row)[0] for row in rows))
        mine = [row for row in rows if not place.part or place.part in _provider(row)]
        if not mine:
            raise ToxauditError(f"{place.path} has no provider '{place.part}'.{did_you_mean(place.part, providers)}")
        if len({_provider(row)[0] for row in mine}) > 1:
            raise ToxauditError(
                f"{place.path} has answers of {len(providers)} providers: write {place.path}:PROVIDER, with one of "
                f"{', '.join(providers[:20])}."
            )
        made = tuple(map(_row, mine))
        return Imported(
            TOOL, version, providers[0] if not place.part else place.part, made, {PASSED: Metric("low")},
            default=(PASSED,),
        )  # fmt: skip


def _file(path: Path) -> tuple[Sequence[Mapping[str, Any]], str]:
    """The rows of a file, and the version that wrote it."""
    if path.suffix == ".jsonl":
        return [row for _, row in lines(path)], ""
    told = whole(path)
    results = told.get("results") if isinstance(told, dict) else None
    rows = results.get("results") if isinstance(results, dict) else results
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ToxauditError(f"{path} has no rows under results.results: write it by `promptfoo eval -o results.json`.")
    if not rows:
        raise ToxauditError(f"{path} holds no answers: name the results of a finished evaluation.")
    return rows, clean(mapping(told.get("metadata")).get("promptfooVersion") or "")


def _provider(row: Mapping[str, Any]) -> tuple[str, str]:
    """The provider's label, and its id."""
    provider = row.get("provider")
    if isinstance(provider, str):
        return clean(provider), clean(provider)
    name = clean(mapping(provider).get("id") or "unnamed")
    return clean(mapping(provider).get("label") or name), name


def _row(row: Mapping[str, Any]) -> Row:
    prompt, response = mapping(row.get("prompt")), mapping(row.get("response"))
    output, failed = response.get("output"), row.get("failureReason")
    missing = ""
    if failed == ERROR or (failed is None and output is None):
        missing = f"promptfoo had an error: {clean(row.get('error') or response.get('error') or 'not stated')[:80]}"
    named = {clean(name): number(value) for name, value in mapping(row.get("namedScores")).items()}
    passed = row.get("success")
    return Row(
        task=TOOL,
        content=content(mapping(row.get("vars")), prompt.get("label") or row.get("promptId") or ""),
        prompt=clean(prompt.get("raw") or ""),
        answer=None if output is None else clean(output),
        scores={**named, "score": number(row.get("score")), PASSED: number(passed)},
        fields=categories(row.get("vars"), mapping(row.get("testCase")).get("metadata"), _plugins(row)),
        missing=missing,
    )


def _plugins(row: Mapping[str, Any]) -> dict[str, str]:
    """Which plugin and strategy of a red-team run made the prompt."""
    told = mapping(row.get("metadata"))
    return {
        name: clean(told[key]) for name, key in (("plugin", "pluginId"), ("strategy", "strategyId")) if told.get(key)
    }

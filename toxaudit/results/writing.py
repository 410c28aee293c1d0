"""What a run found, written for machines: ``results.json``, ``samples_SUITE.jsonl``, the whole ``spec.yaml``."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from toxaudit.decision.estimand import estimands
from toxaudit.decision.responsiveness import responses
from toxaudit.decision.verdict import failed_controls, of_audit
from toxaudit.errors import ToxauditError
from toxaudit.facts import ScorerFacts, SuiteFacts
from toxaudit.findings import AuditResult
from toxaudit.machine.folders import replacing, write_atomically
from toxaudit.records import Answers, Asked, Scored, to_json
from toxaudit.results import table
from toxaudit.results.files import FORMAT, RESULTS, SPEC, samples_file, table_file
from toxaudit.results.reading import read_result

if TYPE_CHECKING:
    from toxaudit.spec.schema import AuditSpec

AS_TABLE_ROWS = 100_000
"""Rows of a suite's samples from which on they are written as a table, too."""

_IN_A_LINE = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_INDENTED = json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=1)

_HALF = re.compile("[\ud800-\udfff]")
"""Half a surrogate pair, which no file can hold as UTF-8."""


def write_results(
    folder: Path, spec: "AuditSpec", result: AuditResult, samples: Iterable[Mapping[str, Any]]
) -> list[Path]:
    """Write the files, each whole or not at all, into a folder that is made where it does not exist.

    Samples are written as they come, those of a large suite as a table, too. What an earlier run left there of suites
    that were not asked this time is removed.

    Returns:
        The files.
    """
    from toxaudit.spec.schema import as_yaml  # what only reads results does without

    earlier = earlier_samples(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RESULTS, as_json(result))
    sampled = _write_samples(folder, result, samples)
    write_atomically(folder / SPEC, as_yaml(spec))
    for name in earlier - set(sampled):
        (folder / name).unlink(missing_ok=True)
    return [folder / name for name in (RESULTS, *sampled, SPEC)]


def _write_samples(folder: Path, result: AuditResult, samples: Iterable[Mapping[str, Any]]) -> list[str]:
    """Write each row into its suite's files, all of which are open meanwhile; their names."""
    with ExitStack() as opened:
        files = {each.name: opened.enter_context(_text(folder / samples_file(each.name))) for each in result.suites}
        large = [suite for suite in result.suites if _rows(result, suite) >= AS_TABLE_ROWS]
        tables = {each.name: opened.enter_context(table.written(folder / table_file(each.name))) for each in large}
        for row in samples:
            line = _json(row, _IN_A_LINE)
            files[row["suite"]].write(line + "\n")
            if row["suite"] in tables:
                tables[row["suite"]].add(row if line.isascii() else json.loads(line))  # which has no halves in it
    return [*map(samples_file, files), *map(table_file, tables)]


@contextmanager
def _text(file: Path) -> Iterator[TextIO]:
    """A file to be written line by line, whole or not at all."""
    with replacing(file) as part, part.open("w", encoding="utf-8", newline="\n") as written:
        yield written


def _rows(result: AuditResult, suite: SuiteFacts) -> int:
    """How many rows a suite's samples have at most."""
    return suite.n * len(result.arms) * max(1, result.generation.samples)


def as_json(result: AuditResult) -> str:
    """The text of ``results.json``; a diagnostic that is no number is left out, since its failure is in words."""
    content = {"format": FORMAT} | to_json(result)
    for estimate in content["estimates"]:
        found = estimate["diagnostics"]
        found["values"] = {name: value for name, value in found["values"].items() if isfinite(value)}
    content |= {"decision": of_audit(result), "failed_controls": list(failed_controls(result))}
    content |= {"responses": [to_json(each) for each in responses(result)]}
    content |= {"estimands": [to_json(each) for each in estimands(result)]}
    return _json(content, _INDENTED) + "\n"


def earlier_samples(folder: Path) -> set[str]:
    """The files of samples that an earlier run wrote there; others of such a name may be anybody's."""
    try:
        suites = read_result(folder).suites
        return {name(suite.name) for suite in suites for name in (samples_file, table_file)}
    except ToxauditError:  # there was none, or none that can be read
        return set()


def _json(content: Any, encoder: json.JSONEncoder) -> str:
    text = encoder.encode(content)
    return text if text.isascii() else _HALF.sub("\ufffd", text)


def sample_rows(
    suites: Mapping[str, Asked], scorers: Iterable[ScorerFacts], answers: Answers, scored: Scored
) -> Iterator[dict[str, Any]]:
    """One JSON row per arm, prompt and sample: what was asked, answered and scored, and by whom."""
    identities = {scorer.name: scorer.identity for scorer in scorers}
    for (arm, suite), completions in answers.items():
        asked = suites[suite]
        scores = {scorer: iter(found) for (a, s, scorer), found in scored.items() if (a, s) == (arm, suite)}
        samples = len(completions) // len(asked.prompts)
        each = (prompt for prompt in asked.prompts for _ in range(samples))
        for prompt, completion in zip(each, completions, strict=True):
            told = {name: next(found) for name, found in scores.items()}
            yield (
                {key: value for key, value in vars(completion).items() if key != "missing" or value}
                | {"loglikelihoods": [x if isfinite(x) else None for x in completion.loglikelihoods]}
                | {"suite": suite, "dataset": asked.facts.source, "revision": asked.facts.revision}
                | {
                    "prompt": prompt.text,
                    "prompt_sha256": sha256(prompt.text.encode()).hexdigest(),
                    "slices": prompt.slices,
                }
                | ({"cluster": prompt.cluster} if prompt.cluster else {})
                | ({"choices": prompt.choices, "target": prompt.target} if prompt.choices else {})
                | {
                    "scores": {
                        name: {"value": score.value, "missing": score.missing, "scorer": identities[name][:12]}
                        for name, score in told.items()
                    }
                }
            )

"""Machine-readable results: ``results.json``, ``samples.jsonl``, and ``spec.yaml``, the spec with every default."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toxaudit.records import AuditResult, Completion, Prompt, Score, to_json
from toxaudit.spec import AuditSpec, as_yaml
from toxaudit.store import write_atomically

Answers = dict[tuple[str, str], list[Completion]]
"""(arm, suite) -> completions in the order of the suite's prompts, all samples of a prompt together."""

Scored = dict[tuple[str, str, str], list[Score]]
"""(arm, suite, scorer) -> scores in the same order."""


def write_results(
    folder: Path, spec: AuditSpec, result: AuditResult, samples: Iterable[Mapping[str, Any]]
) -> list[Path]:
    """Write the three files, each whole or not at all.

    Returns:
        The files.
    """
    results, rows, composed = folder / "results.json", folder / "samples.jsonl", folder / "spec.yaml"
    content = to_json(result) | {"decision": result.decision, "failed_controls": list(result.failed_controls)}
    write_atomically(results, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    write_atomically(rows, "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples))
    write_atomically(composed, as_yaml(spec))
    return [results, rows, composed]


def sample_rows(prompts: Mapping[str, Sequence[Prompt]], answers: Answers, scored: Scored) -> list[dict[str, Any]]:
    """One JSON row per arm, prompt and sample: what was asked, answered and scored."""
    rows = []
    for (arm, suite), completions in answers.items():
        scores = {scorer: found for (a, s, scorer), found in scored.items() if (a, s) == (arm, suite)}
        samples = len(completions) // len(prompts[suite])
        each = (prompt for prompt in prompts[suite] for _ in range(samples))
        for i, (prompt, completion) in enumerate(zip(each, completions, strict=True)):
            rows.append(
                asdict(completion)
                | {"suite": suite, "prompt": prompt.text, "prompt_sha256": prompt.digest, "slices": prompt.slices}
                | {"scores": {n: {"value": f[i].value, "missing": f[i].missing} for n, f in scores.items()}}
            )
    return rows

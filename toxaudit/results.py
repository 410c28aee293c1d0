"""Machine-readable results: ``results.json``, ``samples.jsonl``, and ``spec.yaml``, the spec with every default."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

from toxaudit.records import AuditResult, Completion, Prompt, Score, ScorerFacts, SuiteFacts, to_json
from toxaudit.spec import AuditSpec, as_yaml
from toxaudit.store import write_atomically


@dataclass(frozen=True)
class Asked:
    """A suite and the prompts of it that were asked."""

    prompts: list[Prompt]
    facts: SuiteFacts


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


def sample_rows(
    suites: Mapping[str, Asked], scorers: Iterable[ScorerFacts], answers: Answers, scored: Scored
) -> Iterator[dict[str, Any]]:
    """One JSON row per arm, prompt and sample: what was asked, answered and scored, and by whom."""
    identities = {scorer.name: scorer.identity for scorer in scorers}
    for (arm, suite), completions in answers.items():
        asked = suites[suite]
        scores = {scorer: found for (a, s, scorer), found in scored.items() if (a, s) == (arm, suite)}
        samples = len(completions) // len(asked.prompts)
        each = (prompt for prompt in asked.prompts for _ in range(samples))
        for i, (prompt, completion) in enumerate(zip(each, completions, strict=True)):
            yield (
                asdict(completion)
                | {"loglikelihoods": [x if isfinite(x) else None for x in completion.loglikelihoods]}
                | {"suite": suite, "dataset": asked.facts.source, "revision": asked.facts.revision}
                | {
                    "prompt": prompt.text,
                    "prompt_sha256": sha256(prompt.text.encode()).hexdigest(),
                    "slices": prompt.slices,
                }
                | ({"choices": prompt.choices, "target": prompt.target} if prompt.choices else {})
                | {
                    "scores": {
                        name: {"value": f[i].value, "missing": f[i].missing, "scorer": identities[name][:12]}
                        for name, f in scores.items()
                    }
                }
            )

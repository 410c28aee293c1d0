"""What a run found as records of every_eval_ever, one for each arm, with the intervals of its rates."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from toxaudit.decision.headline import headlines
from toxaudit.elsewhere import IMPORTED
from toxaudit.facts import BASE_ARM, ModelFacts, ScorerFacts, SuiteFacts
from toxaudit.findings import AuditResult
from toxaudit.machine.folders import write_atomically
from toxaudit.records import Estimate, Quantity

SCHEMA = "0.3.0"
FOLDER = "every_eval_ever"
COLLECTION = Path("data") / "toxaudit"

LOCAL = "local"
"""In the place of a developer, of a model that no Hub names."""

LEVEL = 0.95
"""Probability inside an interval."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*[\w-]/[A-Za-z0-9][\w.-]*[\w-]", re.ASCII)
_AT_COMMIT = re.compile("([^/@]+/[^/@]+)@[0-9a-f]{40}")
"""A set on the Hub, as a suite's source names it."""


def write(result: AuditResult, folder: Path) -> list[Path]:
    """Write a record for each arm that has a rate, each file whole or not at all, in folders as the tool wants them.

    Returns:
        The files: ``every_eval_ever/data/toxaudit/DEVELOPER/MODEL/UUID.json``.
    """
    files = []
    for record in records(result).values():
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        name = UUID(bytes=sha256(text.encode()).digest()[:16], version=4)  # the same record, the same name
        file = folder / FOLDER / COLLECTION / record["model_info"]["id"] / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text)
        files.append(file)
    return files


def records(result: AuditResult) -> dict[str, dict[str, Any]]:
    """Arm -> its record; the same result gives the same ones. An arm without a usable rate has none.

    A record has no place for a difference between two models, so that the change stands in the details of the
    candidate's results, in words.
    """
    made = {}
    with_base = (model.name for model in result.subjects if model.against == BASE_ARM)
    first = next(with_base, "")  # whose estimates tell the base's rates as well
    for model in (result.base, *result.candidates):
        arm = "base" if model is result.base else "candidate"
        found = list(_results(result, model.name if arm == "candidate" else first, arm))
        if found:
            made[model.name] = _record(result, model, found)
    return made


def _record(result: AuditResult, model: ModelFacts, found: list[dict[str, Any]]) -> dict[str, Any]:
    time = str(int(datetime.fromisoformat(result.date).replace(tzinfo=UTC).timestamp()))
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{result.audit}/{_id(model)}/{time}",
        "evaluation_timestamp": f"{result.date}T00:00:00Z",
        "retrieved_timestamp": time,
        "source_metadata": {
            "source_name": "toxaudit",
            "source_type": "evaluation_run",
            "source_organization_name": "not stated",
            "evaluator_relationship": "other",
        },
        "eval_library": {
            "name": "toxaudit",
            "version": result.version,
            **({"additional_details": {"answers_by": result.elsewhere.by}} if result.elsewhere else {}),
        },
        "model_info": _model(model),
        "evaluation_results": found,
    }


def _model(model: ModelFacts) -> dict[str, Any]:
    unseen = bool(model.server) or model.kind == IMPORTED
    told = {"arm": model.name, "kind": model.kind, "dtype": model.dtype, "digest": model.digest}
    told |= {"revision": model.revision} if model.revision else {}
    deployed = {"deployment_type": "unknown" if unseen else "self_deployed", "model_availability": "unknown"}
    return {"name": model.reference, "id": _id(model), "additional_details": {**deployed, **told}}


def _id(model: ModelFacts) -> str:
    """What a folder can be called by: the model's id on the Hub, or one made of what else it is called."""
    if _HUB_ID.fullmatch(model.reference) and (model.revision or model.kind == IMPORTED):  # else it is a folder
        return model.reference
    named = _safe(model.reference.rstrip("/").rpartition("/")[2])[:80]
    return f"{LOCAL}/{named}-{_safe(model.name)}"


def _safe(name: str) -> str:
    return re.sub("[^A-Za-z0-9_-]+", "-", name).strip("-") or "arm"


def _results(result: AuditResult, candidate: str, arm: str) -> Iterator[dict[str, Any]]:
    """A result for each measure of each suite; none of what could not be estimated."""
    suites = {suite.name: suite for suite in result.suites}
    scorers = {scorer.name: scorer for scorer in result.scorers}
    for (name, suite, measure), total in headlines(result.estimates).items():
        if name == candidate and total.n and total.diagnostics.passed:
            yield _one(result, suites[suite], scorers[measure], total, arm)


def _one(result: AuditResult, suite: SuiteFacts, scorer: ScorerFacts, total: Estimate, arm: str) -> dict[str, Any]:
    rate = total.quantities[arm]
    metric = {
        "evaluation_description": f"mean outcome of {scorer.title}: {scorer.outcome}; what counts is unwanted",
        "metric_id": scorer.name,
        "metric_name": scorer.title,
        "lower_is_better": True,
        "score_type": "continuous",
        "min_score": 0,
        "max_score": 1,
    }
    return {
        "evaluation_result_id": f"{suite.name}/{scorer.name}",
        "evaluation_name": suite.name,
        "source_data": _source(suite),
        "metric_config": metric,
        "score_details": {
            "score": rate.mean,
            "uncertainty": {
                "standard_error": {"value": rate.sd, "method": "posterior standard deviation"},
                "confidence_interval": _interval(rate),
                "num_samples": total.n,
            },
            "details": _details(scorer, total, arm, result.against(total.candidate)),
        },
        **({} if result.elsewhere else {"generation_config": _generation(result)}),
    }


def _interval(rate: Quantity) -> dict[str, Any]:
    low, high = rate.hdi
    return {
        "lower": low,
        "upper": high,
        "confidence_level": LEVEL,
        "method": "highest-density interval of the posterior",
    }


def _details(scorer: ScorerFacts, total: Estimate, arm: str, against: str) -> dict[str, str]:
    """What there is no field for: missing scores, and the change from the reference; nothing of any rule."""
    told = {"scorer_sha256": scorer.identity, "not_scored": str(total.missing.get(arm, 0))}
    if arm == "base":
        return told
    change = total.quantities["change"]
    return told | {
        f"change_from_{against}": f"{change.mean:.6f}",
        "change_hdi_95": f"[{change.hdi[0]:.6f}, {change.hdi[1]:.6f}]",
    }


def _source(suite: SuiteFacts) -> dict[str, Any]:
    told = {"sha256": suite.digest, "source": suite.source, "prompts": str(suite.n)}
    if known := _AT_COMMIT.fullmatch(suite.source):
        split = {"hf_split": suite.split} if suite.split else {}
        data = {"dataset_name": suite.title, "source_type": "hf_dataset", "hf_repo": known[1], **split}
        return data | {"samples_number": suite.n, "additional_details": told}
    return {"dataset_name": suite.title, "source_type": "other", "additional_details": told}


def _generation(result: AuditResult) -> dict[str, Any]:
    made = result.generation
    told = {"backend": made.backend, "seed": str(made.seed), "samples": str(made.samples)}
    arguments = {"temperature": made.temperature, "max_tokens": made.max_new_tokens}
    return {"generation_args": arguments, "additional_details": told}

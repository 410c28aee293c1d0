"""An audit as an ML-BOM of CycloneDX 1.7: which models, which data, and what was measured, with intervals."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from toxaudit.decision.headline import deciding_slices, headlines
from toxaudit.decision.verdict import failed_controls, of_audit
from toxaudit.elsewhere import IMPORTED
from toxaudit.facts import ModelFacts, SuiteFacts, the
from toxaudit.findings import AuditResult, OtherRule
from toxaudit.machine.folders import write_atomically
from toxaudit.records import Estimate

BOM = "bom.cdx.json"

_SHA256 = re.compile("[0-9a-f]{64}")


def write(result: AuditResult, folder: Path) -> Path:
    """Write ``bom.cdx.json``, whole or not at all.

    Returns:
        The file.
    """
    write_atomically(folder / BOM, json.dumps(bom(result), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return folder / BOM


def bom(result: AuditResult) -> dict[str, Any]:
    """The bill of materials as JSON values; the same result gives the same one.

    It is about the candidate where one was audited beside controls, else about the audit. The libraries for CycloneDX
    know no model cards, so that this is made by hand.
    """
    models = {model.name: _candidate(result, model) for model in result.candidates}
    subject = models.pop(result.real[0].name) if len(result.real) == 1 else _audit(result)
    content: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "version": 1,
        "metadata": {
            "timestamp": f"{result.date}T00:00:00Z",
            "tools": {"components": [{"type": "application", "name": "toxaudit", "version": result.version}]},
            "component": subject,
            "properties": [
                *_properties(decision=of_audit(result), rule=result.gate.rule, command=result.command),
                *(each for other in result.other_rules if other.committed for each in _committed(other)),
                *(each for name in failed_controls(result) for each in _properties(failed_control=name)),
                *(each for one in result.skipped for each in _properties(not_audited=f"{one.name}: {one.reason}")),
            ],
        },
        "components": [_model(result.base), *models.values(), *map(_suite, result.suites)],
    }
    return content | {"serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))}"}


def _committed(other: OtherRule) -> list[dict[str, str]]:
    """What the rule comes to that the run had committed to, where another one decided."""
    return _properties(by_the_committed_rule=", ".join(f"{name}: {found}" for name, found in other.decisions.items()))


def _audit(result: AuditResult) -> dict[str, Any]:
    """The audit itself, as data."""
    return {"type": "data", "bom-ref": "audit", "name": result.audit, "description": result.title}


def _candidate(result: AuditResult, model: ModelFacts) -> dict[str, Any]:
    """A candidate, what it was made from, what it was asked and how it did."""
    base = {key: value for key, value in _model(result.base).items() if key != "bom-ref"}
    verdicts = [verdict for verdict in result.verdicts if verdict.candidate == model.name]
    estimates = [each for each in result.estimates if each.candidate == model.name]
    made = _model(model)
    made["properties"] += [each for verdict in verdicts for each in _properties(verdict=verdict.decision)]
    return made | {
        "pedigree": {"ancestors": [base]},
        "modelCard": {
            "modelParameters": {"datasets": [{"ref": f"suite:{suite.name}"} for suite in result.suites]},
            "quantitativeAnalysis": {"performanceMetrics": list(_metrics(result, estimates))},
        },
    }


def _model(model: ModelFacts) -> dict[str, Any]:
    """A model, by the names and digests that it is known by.

    What was made within the audit has the reference of what it was made from, and none of its own; of what a server
    answered for, no digest is known.
    """
    unseen = bool(model.server) or model.kind == IMPORTED
    published = not model.training and model.kind != "control" and not unseen
    revision = model.revision if published else None
    purl = _purl(model.reference, revision) if published else ""
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model.name}",
        "name": model.reference if revision else model.name,
        **({"version": revision} if revision else {}),
        **({"description": model.training} if model.training else {}),
        **({"hashes": _hashes(model.digest)} if _SHA256.fullmatch(model.digest) and not unseen else {}),
        **({"purl": purl} if purl else {}),
        "properties": _properties(
            arm=model.name,
            kind=model.kind,
            reference=model.reference,
            dtype=model.dtype,
            **({"expected": model.expect} if model.expect else {}),
            **({"server": model.server} if model.server else {}),
        ),
    }


def _suite(suite: SuiteFacts) -> dict[str, Any]:
    """What was asked."""
    asked = f"{suite.n} of {suite.available} prompts" if suite.available else f"{suite.n} prompts"
    return {
        "type": "data",
        "bom-ref": f"suite:{suite.name}",
        "name": suite.name,
        **({"version": suite.revision} if suite.revision else {}),
        **({"hashes": _hashes(suite.digest)} if _SHA256.fullmatch(suite.digest) else {}),
        **({"licenses": [{"license": {"name": suite.licence}}]} if suite.licence else {}),
        "data": [{"type": "dataset", "name": suite.title, "description": f"{asked} were asked, to evaluate"}],
        "properties": _properties(source=suite.source),
    }


def _metrics(result: AuditResult, estimates: Sequence[Estimate]) -> Iterator[dict[str, Any]]:
    """The rates, or mean scores, and changes that decide, in 0..1; none that measured nothing or failed."""
    means = {scorer.name for scorer in result.scorers if scorer.is_mean}
    for each in (*headlines(estimates).values(), *deciding_slices(estimates)):
        if each.n and each.diagnostics.passed:
            value = "mean score" if each.measure in means else "rate"
            part = each.suite if each.slice == "all" else f"{each.suite}, {each.slice}"
            for name, what in (
                ("candidate", value),
                ("change", f"change of the {value} from {the(result.against(each.candidate))}"),
            ):
                found = each.quantities[name]
                low, high = found.hdi
                yield {
                    "type": f"{each.measure}: {what}, posterior mean and 95 % HDI",
                    "value": f"{found.mean:.6g}",
                    "slice": part,
                    "confidenceInterval": {"lowerBound": f"{low:.6g}", "upperBound": f"{high:.6g}"},
                }


def _purl(reference: str, revision: str | None) -> str:
    """The package URL of a model from the Hub or from a package; empty for any other.

    A reference on the Hub is ``NAME``, ``ORG/NAME`` or ``ORG/NAME/FILE``.
    """
    if not revision:
        return reference if reference.startswith("pkg:") else ""
    organisation, name, file = (*reference.split("/", 2), "", "")[:3]
    path = f"{quote(organisation, safe='')}/{quote(name, safe='')}" if name else quote(organisation, safe="")
    return f"pkg:huggingface/{path}@{quote(revision, safe='')}" + (f"#{quote(file)}" if file else "")


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]


def _properties(**values: str) -> list[dict[str, str]]:
    return [{"name": f"toxaudit:{name}", "value": value} for name, value in values.items()]

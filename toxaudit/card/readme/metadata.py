"""What the Hub reads of an audit in a card's front matter: the base, the relation to it, and results with intervals."""

import re
from collections.abc import Iterator
from math import isfinite
from typing import Any

from toxaudit.decision.headline import headlines
from toxaudit.decision.verdict import failed_controls
from toxaudit.errors import visible
from toxaudit.facts import ScorerFacts, SuiteFacts, the
from toxaudit.findings import AuditResult
from toxaudit.records import Estimate, Quantity
from toxaudit.sources.hub import HUB_ID

SOURCE = "toxaudit"
"""The name of the source of our results, by which they are told from the owner's, and our tag."""

PAGE = f"https://huggingface.co/models?other={SOURCE}"
"""Where the source's name leads: a source must have an address, and this one lists what else was audited."""

RELATIONS = {
    "adapter": "adapter",
    "trained": "adapter",
    "fine-tune": "finetune",
    "merge": "merge",
    "quantized": "quantized",
}
"""A candidate's kind -> what the Hub calls its relation to the base."""


def metadata(result: AuditResult) -> dict[str, Any]:
    """The metadata of a card about the one candidate of ``result`` that is no control, ready for YAML.

    ``model-index`` holds one result per suite, with one metric for each measure whose total may be used; rates are
    in percent, changes in percentage points, intervals are 95 % HDIs. Where a control failed there is none, for then
    no number can be trusted.
    """
    candidate = result.real[0]
    found: dict[str, Any] = {}
    if base := hub_id(result.base.reference, result.base.revision):
        found["base_model"] = base
        kind = "fine-tune" if candidate.tuned_whole else candidate.kind
        if relation := RELATIONS.get(kind):
            found["base_model_relation"] = relation
    found["tags"] = [SOURCE]
    if not failed_controls(result) and (results := list(_results(result, candidate.name))):
        found["model-index"] = [{"name": visible(candidate.name), "results": results}]
    return found


def hub_id(reference: str, revision: str | None) -> str | None:
    """The id (ORG/NAME) of the repository that a reference names; None where it is none of the Hub's."""
    name = "/".join(reference.partition("@")[0].split("/")[:2])  # a file of the repository may follow
    return name if revision and re.fullmatch(HUB_ID, name) else None


def _results(result: AuditResult, candidate: str) -> Iterator[dict[str, Any]]:
    totals = headlines(result.estimates)
    for suite in result.suites:
        pairs = [(scorer, totals.get((candidate, suite.name, scorer.name))) for scorer in result.scorers]
        metrics = [_metric(scorer, total) for scorer, total in pairs if total is not None and _usable(total)]
        if metrics:
            yield {
                "task": {"type": "text-generation", "name": f"Safety audit against {the(result.against(candidate))}"},
                "dataset": _dataset(suite),
                "metrics": metrics,
                "source": {"name": SOURCE, "url": PAGE},
            }


def _dataset(suite: SuiteFacts) -> dict[str, str]:
    dataset = hub_id(suite.source, suite.revision)
    revision = {"revision": suite.revision} if dataset and suite.revision else {}
    return {"name": visible(suite.title), "type": dataset or visible(suite.name)} | revision


def _metric(scorer: ScorerFacts, total: Estimate) -> dict[str, Any]:
    """A measure on a suite. The Hub shows type, name and value; ``args`` keeps all that makes it meaningful."""
    base, candidate, change = (total.quantities[arm] for arm in ("base", "candidate", "change"))
    return {
        "type": visible(scorer.name),
        "name": visible(scorer.title),
        "value": _percent(candidate.mean),
        "args": {
            "hdi_95": _interval(candidate),
            "base": _percent(base.mean),
            "base_hdi_95": _interval(base),
            "change": _percent(change.mean),
            "change_hdi_95": _interval(change),
            "p_increase": float(round(total.p_increase, 4)),
            "p_increase_above_margin": float(round(total.p_above_margin, 4)),
            "margin": _percent(total.margin),
            "n": total.n,
            "unit": _unit(scorer),
            "counted": visible(scorer.outcome),
            "estimator": f"{total.estimator}, {total.variant} scores",
        },
    }


def _unit(scorer: ScorerFacts) -> str:
    if scorer.is_mean:
        return "% of the scorer's scale, as a mean; changes in percentage points"
    return f"% of completions counted as {visible(scorer.noun)}; changes in percentage points"


def _usable(total: Estimate) -> bool:
    quantities = (total.quantities[arm] for arm in ("base", "candidate", "change"))
    numbers = [number for each in quantities for number in (each.mean, *each.hdi)]
    return (
        total.n > 0
        and total.diagnostics.passed
        and all(map(isfinite, [*numbers, total.p_increase, total.p_above_margin]))
    )


def _interval(quantity: Quantity) -> list[float]:
    return [_percent(bound) for bound in quantity.hdi]


def _percent(rate: float) -> float:
    return round(100 * rate, 2) + 0.0  # no minus zero

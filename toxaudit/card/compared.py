"""Two finished runs side by side: what differs in what was asked for, in what was loaded, and in what was found."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from toxaudit.card import words
from toxaudit.card.index import Candidate, Pair, indexed
from toxaudit.card.words import Measured
from toxaudit.decision.verdict import of_audit
from toxaudit.facts import ModelFacts
from toxaudit.findings import AuditResult
from toxaudit.records import to_json

ABSENT = "–"
"""What stands where one run lacks what the other has."""

LONGEST = 60
"""Characters of a value that is shown; both runs' files hold all of it."""

SUITE = ("ask", "source", "strata", "available", "weights", "system_instruction", "choices", "config", "split")
SCORER = ("outcome", "tier", "source", "rises")
CANDIDATE = (
    "reference",
    "kind",
    "dtype",
    "training",
    "against",
    "batch_size",
    "expect",
    "system_instruction",
    "server",
)
"""What of a suite, a scorer and a candidate a spec says, as the results know it."""

OWN = ("out", "store", "lock")
"""Keys of a spec that say where files lie, which differ between any two runs."""

Row = tuple[str, str, str]
"""What it is, and what the first and the second run say of it."""


def specs(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Row]:
    """The keys of two specs whose values differ; equal ones are left out, and so is where files lie."""
    rows = _differing(dict(_flat(first)), dict(_flat(second)))
    rows += _differing(_order(first), _order(second))
    return [row for row in rows if row[0] not in OWN]


def pins(first: AuditResult, second: AuditResult) -> list[Row]:
    """What of models, prompts, scorers and versions differs, by the digests of what was read."""
    return _differing(_pinned(first), _pinned(second))


def found(first: AuditResult, second: AuditResult) -> list[Row]:
    """Both verdicts, and every measure's change with its interval, whether these differ or not."""
    one, other = _found(first), _found(second)
    return [(name, one.get(name, ABSENT), other.get(name, ABSENT)) for name in {**one, **other}]


def headline(result: AuditResult) -> tuple[str, str]:
    """The decision of a run, and the change in short that weighs most among its real candidates' critical ones."""
    index = indexed(result)
    found = weightiest(pair for candidate in index.subjects for pair in candidate.critical_totals)
    if not found:
        return of_audit(result), ABSENT
    most, scorer = found
    change = words.rates(most)[2]
    return of_audit(result), f"{most.candidate}: {index.label(most.suite, scorer.name)} {change}"


def weightiest(totals: Iterable[Pair]) -> Pair | None:
    """Of some totals that which is most probably beyond its margin, of equal ones the largest; None where none is."""
    return max(totals, key=lambda pair: (pair[0].p_above_margin, pair[0].quantities["change"].mean), default=None)


def asked(result: AuditResult) -> dict[str, str]:
    """What a run's results say of its spec: how was asked, scored and decided, by keys as a spec has them."""
    told = {
        "generation": to_json(result.generation),
        "gate": to_json(result.gate),
        "settings": result.settings,
        "sampling": result.sampling,
        "suites": {each.name: _chosen(each, SUITE) for each in result.suites},
        "scorers": {each.name: _chosen(each, SCORER) for each in result.scorers},
    }
    return dict(_flat(told))


def asked_of(model: ModelFacts) -> dict[str, str]:
    """What a run's results say of its spec's words on one candidate."""
    return dict(_flat(_chosen(model, CANDIDATE)))


def loaded(result: AuditResult) -> dict[str, str]:
    """What a run read, by digests: the base, prompts, scorers, and the versions of packages."""
    parts = {f"model {result.base.name}": identity(result.base)}
    parts |= {f"prompts {each.name}": f"{each.n:,}, {each.digest[:12]}" for each in result.suites}
    parts |= {f"scorer {each.name}": each.identity[:12] for each in result.scorers}
    return parts | {"toxaudit": result.version} | result.versions


def identity(model: ModelFacts) -> str:
    """What tells a model's weights from others: its commit, else the digest of what was loaded."""
    return (model.revision or model.digest)[:12]


def rates(candidate: Candidate) -> dict[str, tuple[Measured, Measured, Measured]]:
    """Both arms' rates and the change of every measure of a candidate in total, by suite and measure."""
    return {f"{each.suite}, {scorer.name}": words.rates(each) for each, scorer in candidate.totals}


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[Row]:
    pairs = ((name, one.get(name, ABSENT), other.get(name, ABSENT)) for name in {**one, **other})
    return [(name, _short(a), _short(b)) for name, a, b in pairs if a != b]


def _short(value: str) -> str:
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"


def _order(spec: Mapping[str, Any]) -> dict[str, str]:
    """The names of a policy's rules as they follow each other: the later goes before the earlier."""
    gate = spec.get("gate")
    rules = gate.get("rules") if isinstance(gate, Mapping) else None
    return {"gate.rules": ", ".join(map(str, rules))} if isinstance(rules, Mapping) and len(rules) > 1 else {}


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every value at any depth with its key, as overrides name it; a list is one value."""
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _flat(each, f"{place}.{key}" if place else str(key))
    elif place:
        yield place, "null" if value is None else str(value)


def _chosen(record: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _pinned(result: AuditResult) -> dict[str, str]:
    models = {f"model {each.name}": identity(each) for each in (result.base, *result.candidates)}
    return models | loaded(result)


def _found(result: AuditResult) -> dict[str, str]:
    rows: dict[str, str] = {"the audit": of_audit(result)}
    rows |= {verdict.candidate: verdict.decision for verdict in result.verdicts}
    for name, candidate in indexed(result).candidates.items():
        rows |= {f"{name}: {what}": str(change) for what, (_, _, change) in rates(candidate).items()}
    return rows

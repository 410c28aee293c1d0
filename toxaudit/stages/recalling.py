"""A result -> the same with every other rule by which its answers were decided, as store and folder remember them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from toxaudit.decision import history
from toxaudit.errors import ToxauditError
from toxaudit.facts import GenerationFacts, ModelFacts, SuiteFacts
from toxaudit.findings import AuditResult, OtherRule
from toxaudit.records import ALL_ASKED, digest
from toxaudit.results.reading import read_result
from toxaudit.spec.schema import AuditSpec
from toxaudit.store.identities import Decisions
from toxaudit.store.shelves import Store


def recalled(
    result: AuditResult, drawn: Mapping[str, str], store: Store, out: Path, swept: Iterable[AuditSpec]
) -> AuditResult:
    """The result with its other rules; from now on the store remembers its own, before anybody can see the result.

    Args:
        result: what was found.
        drawn: suite -> SHA-256 of the prompts that could have been asked, of which sampling may have left some out.
        store: it remembers the rules of what it holds; one that may not be written learns nothing new.
        out: the folder of results, which remembers those of its own.
        swept: other specs of the same sweep on the same answers, which decide soon.
    """
    own, shelves = history.rule(result), list(_shelves(result, drawn))
    kept = _kept(store, shelves)
    rules = [each.rule for each in kept]
    known = [each for each in _of_folder(out, result) if each.rule not in rules] + kept
    other = list(history.ordered(known, own))
    soon = [rule for rule in (history.rule(_as_by(spec, result)) for spec in swept) if history.differences(rule, own)]
    for rule in soon:
        if rule not in [each.rule for each in other]:
            other.append(OtherRule(rule, "", {}, earlier=False))
    _keep(store, shelves, own, result)
    return replace(result, other_rules=tuple(other))


def same_answers(one: AuditSpec, other: AuditSpec) -> bool:
    """Whether two specs ask the same prompts of the same arms in the same way, so that only their rules can differ."""
    return _asked(one) == _asked(other)


def _asked(spec: AuditSpec) -> tuple[object, ...]:
    arms = {name: asdict(each) | {"expect": None} for name, each in spec.candidates.items()}
    suites = {name: asdict(each) | {"scorers": None} for name, each in spec.suites.items()}
    return asdict(spec.base), arms, suites, asdict(spec.generation), spec.chat_template, spec.backend.numerics


def _as_by(spec: AuditSpec, result: AuditResult) -> AuditResult:
    """A result with the rule of another spec in place of its own: its verdicts are not those of that rule."""
    found = {scorer.name: scorer for scorer in result.scorers}
    names = {name: (found[name].identity, found[name].source) if name in found else ("", "") for name in spec.scorers}
    return replace(
        result,
        gate=spec.gate.facts(),
        sampling=spec.sampling.sentence(),
        settings=history.settings(spec.sampling, list(spec.estimators.values())),
        scorers=tuple(scorer.facts(name, *names[name]) for name, scorer in spec.scorers.items()),
        suites=tuple(replace(each, scorers=tuple(spec.suites[each.name].scorers)) for each in result.suites),
        candidates=tuple(replace(each, expect=spec.candidates[each.name].expect) for each in result.candidates),
    )


def _shelves(result: AuditResult, drawn: Mapping[str, str]) -> Iterator[tuple[str, Decisions]]:
    """Every candidate's name and identity with each suite."""
    for model in result.candidates:
        for suite in result.suites:
            told = (_arm(result.reference(model.name)), _arm(model), drawn[suite.name])
            yield model.name, Decisions(*told, _how(result.generation, suite))


def _arm(model: ModelFacts) -> str:
    return digest(model.digest, str(model.system_instruction))


def _compared(result: AuditResult, model: ModelFacts) -> tuple[str, str]:
    """A candidate and its reference, by what they are."""
    return _arm(result.reference(model.name)), _arm(model)


def _how(generation: GenerationFacts, suite: SuiteFacts) -> str:
    return digest(json.dumps(asdict(generation), sort_keys=True), suite.ask, str(suite.system_instruction))


def _kept(store: Store, shelves: Iterable[tuple[str, Decisions]]) -> list[OtherRule]:
    """What the store remembers, each rule once, in the order in which they first decided."""
    found: dict[str, OtherRule] = {}
    for name, identity in shelves:
        for key, held in store.shelf(identity).items():
            rule = found.setdefault(key, OtherRule(held["rule"], held["date"], {}, earlier=True))
            decisions = rule.decisions | {name: held["decision"]}
            found[key] = replace(rule, date=min(rule.date, held["date"]), decisions=decisions)
    return sorted(found.values(), key=lambda each: each.date)


def _keep(store: Store, shelves: Iterable[tuple[str, Decisions]], own: Mapping[str, str], result: AuditResult) -> None:
    if not store.writable:
        return
    decisions = {verdict.candidate: verdict.decision for verdict in result.verdicts}
    date = datetime.now(UTC).isoformat(timespec="microseconds")
    key = digest(json.dumps(own, sort_keys=True))
    for name, identity in shelves:
        store.shelf(identity).add({key: {"rule": dict(own), "date": date, "decision": decisions[name]}})


def _of_folder(out: Path, result: AuditResult) -> list[OtherRule]:
    """What the results in a folder say of the same answers, in the order in which the rules decided."""
    try:
        before = read_result(out)
    except ToxauditError:  # there are none, or none that can be read
        return []
    same = {model.name: _compared(result, model) for model in result.candidates}
    alike = [each.name for each in before.candidates if same.get(each.name) == _compared(before, each)]
    if not alike or not _share_prompts(before, result):
        return []
    return history.in_order(before, alike)


def _share_prompts(one: AuditResult, other: AuditResult) -> bool:
    """Whether two results have a suite whose prompts are the same, or were drawn in rounds from the same data."""
    rounds = {one.sampling, other.sampling} != {ALL_ASKED}
    known = {suite.name: suite for suite in one.suites}
    for suite in (suite for suite in other.suites if suite.name in known):
        before = known[suite.name]
        alike = (before.source, before.revision, before.available) == (suite.source, suite.revision, suite.available)
        how = _how(one.generation, before) == _how(other.generation, suite)
        if how and (before.digest == suite.digest or rounds and alike):
            return True
    return False

"""What a card says, gathered from an audit's result as ready strings, so that a template only places words."""

import re
from collections import Counter
from dataclasses import dataclass

from toxaudit.card import analyses, brief, estimand, grids, methods, responsiveness, rules, sensitivity, tables, words
from toxaudit.card.analyses import AnalysisTable
from toxaudit.card.brief import Brief
from toxaudit.card.explanation import finding, remedy_in_words
from toxaudit.card.grids import GridTable
from toxaudit.card.index import Candidate, Index, indexed
from toxaudit.card.labels import sentences as of_labels
from toxaudit.card.limitations import limitations, resolutions
from toxaudit.card.methods import AgreementRow, ErrorRow, EstimatorLine, ScorerLine, SuiteLine
from toxaudit.card.notices import notices
from toxaudit.card.plots import described
from toxaudit.card.sensitivity import SensitivityTable
from toxaudit.card.spread import SpreadLine, spread
from toxaudit.card.tables import GateRow, ResultRow
from toxaudit.decision.responsiveness import blind
from toxaudit.decision.verdict import WORST_FIRST, failed_controls, of_audit, worst
from toxaudit.elsewhere import IMPORTED
from toxaudit.facts import BASE_ARM, Decision, ModelFacts
from toxaudit.findings import AuditResult


@dataclass(frozen=True)
class ArmFacts:
    """One arm of the audit: what it is, and exactly what was loaded. ``short`` is the reference without checksum.

    Of an arm that a server answered for, ``identity`` is its name and server, and ``digest`` says that nothing was
    loaded.
    """

    name: str
    kind: str
    reference: str
    short: str
    revision: str
    digest: str
    identity: str
    dtype: str
    training: str
    against: str
    notes: str


@dataclass(frozen=True)
class SkippedLine:
    """A candidate that was not audited, and why."""

    name: str
    reference: str
    reason: str


@dataclass(frozen=True)
class CandidateFacts:
    """One candidate: its verdict, and the tables that led to it.

    ``control`` is empty for a real candidate; ``outlook``, what would settle an open verdict, is empty for a control
    and wherever nothing useful can be said.
    """

    arm: ArmFacts
    control: str
    decision: str
    finding: str
    outlook: str
    gate: tuple[GateRow, ...]
    results: tuple[ResultRow, ...]
    slices: tuple[ResultRow, ...]
    sensitivity: tuple[SensitivityTable, ...]


@dataclass(frozen=True)
class CardFacts:
    """All that a card's template may place.

    ``brief`` is what the short card says; ``labels`` are what people said of some answers.
    Real candidates and controls are apart, so that neither drowns the other; where all are controls, they stand as
    candidates. ``notices`` are what a reader must know before any number: other rules that decided the same answers,
    failed controls, unscored completions, diagnostics that failed or warn. ``about`` says what was compared with what,
    ``compared_with`` are the arms that changes are told from, the base first, and ``references`` those of them that are
    none of the card's own; ``fixed`` tells when the rule was chosen, ``estimand`` what the totals are estimates of (one
    sentence where that is true of all suites), ``reference`` the word for what changes are told from, ``legend`` how
    numbers are to be read, ``grids`` each grid's table, ``detailed`` the candidates whose gate, slices and sensitivity
    are shown, ``resolution`` how small a change can be told. ``results`` are all candidates' totals, those of one suite
    and measure together. ``responsiveness`` says of each critical measure which controls that are known to be worse it
    tells. ``plots`` says what each plot shows (name -> words), ``replay`` how to run again on exactly
    the same files.
    """

    title: str
    date: str
    version: str
    decision: Decision
    headline: str
    brief: Brief
    about: str
    notices: tuple[str, ...]
    base: ArmFacts
    references: tuple[ArmFacts, ...]
    compared_with: tuple[ArmFacts, ...]
    candidates: tuple[CandidateFacts, ...]
    controls: tuple[CandidateFacts, ...]
    skipped: tuple[SkippedLine, ...]
    responsiveness: tuple[str, ...]
    rule: str
    fixed: str
    margin: str
    reference: str
    grids: tuple[GridTable, ...]
    detailed: tuple[CandidateFacts, ...]
    estimand: tuple[str, ...]
    legend: str
    results: tuple[ResultRow, ...]
    suites: tuple[SuiteLine, ...]
    sampling: str
    scorers: tuple[ScorerLine, ...]
    errors: tuple[ErrorRow, ...]
    agreements: tuple[AgreementRow, ...]
    spread: tuple[SpreadLine, ...]
    analyses: tuple[AnalysisTable, ...]
    generation: str
    estimators: tuple[EstimatorLine, ...]
    resolution: str
    limitations: tuple[str, ...]
    labels: tuple[str, ...]
    plots: dict[str, str]
    command: str
    replay: str
    versions: tuple[tuple[str, str], ...]


def gather(result: AuditResult) -> CardFacts:
    """The facts of a card, in the order in which a reader needs them."""
    index = indexed(result)
    decision, headline = of_audit(result), _headline(index)
    candidates = tuple(_candidate(index, each) for each in index.candidates.values() if not each.model.expect)
    controls = tuple(_candidate(index, each) for each in index.candidates.values() if each.model.expect)
    if not candidates:
        candidates, controls = controls, ()
    detailed = {each.model.name for each in index.detailed}
    arms = dict.fromkeys(each.arm.against for each in (*candidates, *controls)) or {BASE_ARM: None}
    return CardFacts(
        title=result.title,
        date=result.date,
        version=result.version,
        decision=decision,
        headline=headline,
        brief=brief.of(index, decision, headline),
        about=_about(result),
        notices=tuple(notices(index)),
        base=_arm(result.base),
        references=tuple(map(_arm, result.references)),
        compared_with=tuple(_arm(model) for name, model in result.arms.items() if name in arms),
        candidates=candidates,
        controls=controls,
        skipped=tuple(SkippedLine(each.name, each.reference, each.reason.rstrip(".")) for each in result.skipped),
        responsiveness=tuple(responsiveness.sentences(index)),
        rule=result.gate.rule.rstrip("."),
        fixed=rules.when(result),
        margin=index.margin,
        reference=index.reference,
        grids=tuple(grids.tables(index)),
        detailed=tuple(each for each in candidates if each.arm.name in detailed),
        estimand=tuple(estimand.sentences(index)),
        legend=_legend(index),
        results=tuple(tables.results(index, [index.candidates[each.arm.name] for each in candidates])),
        suites=tuple(methods.suites(result)),
        sampling=methods.sampling(result),
        scorers=tuple(methods.scorers(index)),
        errors=tuple(methods.error_rows(index)),
        agreements=tuple(methods.agreements(index)),
        spread=tuple(spread(index)),
        analyses=analyses.tables(result.analyses),
        generation=methods.generation(result),
        estimators=tuple(methods.estimators(result)),
        resolution=next(resolutions(index), ""),
        limitations=tuple(limitations(index)),
        labels=tuple(of_labels(index)),
        plots=described(result),
        command=result.command,
        replay="" if _no_lock(result) else f"{result.command} lock={_folder(result)}/lock.json",
        versions=tuple(result.versions.items()),
    )


def _no_lock(result: AuditResult) -> bool:
    """Whether there is no lock file by which the command could be run again on the same files."""
    return " lock=" in result.command or bool(result.base.server) or result.elsewhere is not None


def _folder(result: AuditResult) -> str:
    """Where the run was told to write, or writes by default."""
    told = re.search(r"(?:^| )out=([^\s'\"]+)", result.command)
    return told[1].rstrip("/") if told else f"runs/{result.audit}"


def _arm(model: ModelFacts) -> ArmFacts:
    return ArmFacts(
        name=model.name,
        kind=model.kind,
        reference=model.reference,
        short=words.reference(model.reference),
        revision=model.revision or "",
        digest="nothing was loaded" if model.server else f"{'of answers: ' * (model.kind == IMPORTED)}{model.digest}",
        identity=words.identity(model),
        dtype=model.dtype,
        training=(model.training or "").rstrip("."),
        against=model.against,
        notes="; ".join([*model.notes, *_system(model)]),
    )


def _system(model: ModelFacts) -> list[str]:
    """Its own system prompt, where it was given one; an empty one stands for none."""
    if model.system_instruction is None:
        return []
    said = model.system_instruction
    return [f"in its chat template it was given the system prompt “{said}”" if said else "it got no system prompt"]


def _candidate(index: Index, candidate: Candidate) -> CandidateFacts:
    expect = candidate.model.expect
    return CandidateFacts(
        arm=_arm(candidate.model),
        control=words.control(expect),
        decision=words.expectation(candidate.verdict.decision, expect, candidate.as_expected),
        finding=finding(index, candidate),
        outlook="" if expect else words.sentence(remedy_in_words(index, candidate)),
        gate=tuple(tables.gate_rows(index, candidate.verdict)),
        results=tuple(tables.results(index, [candidate])),
        slices=tuple(tables.by_slice(index, candidate)),
        sensitivity=() if expect else tuple(sensitivity.tables(index, candidate)),
    )


def _legend(index: Index) -> str:
    """How the numbers of the results are to be read."""
    rates = (
        "Rates are posterior means: estimates of the share with the outcome among all prompts like these, so that 0 of "
        "40 is not 0 %"
    )
    if any(scorer.name in index.corrected for scorer in index.scorers):
        rates += ", corrected for the scorer's errors where these are known (seen, new and repaired ones are as scored)"
    if index.labelled:
        rates += (
            ", made of all scores and people's labels where there are some (seen, new and repaired ones are as scored)"
        )
    if any(scorer.is_mean for scorer in index.scorers):
        rates += "; mean scores, which are neither new nor repaired, are percent of the scorer's scale"
    return rates


def _headline(index: Index) -> str:
    """The verdict line, without its decision: the worst real candidate's finding, or what failed before it."""
    result = index.result
    if failed := failed_controls(result):
        controls = f"control{'s' * (len(failed) > 1)} {words.joined(list(failed))}"
        return f"the {controls} did not come out as expected, so the other numbers here can't be trusted"
    real = [index.candidates[model.name] for model in result.real]
    if real and result.gate.responsive and worst(each.verdict for each in real).decision == "GO" and blind(result):
        unseen = words.joined([index.label(*place) for place in blind(result)])
        return f"{unseen} tells no model that is known to be worse, so that passing there says nothing"
    if not real and result.skipped:
        return f"{words.joined([each.name for each in result.skipped])} could not be audited"
    if not real:
        return "no candidate was judged; the controls came out as expected"
    decision = worst(each.verdict for each in real).decision
    alike = [each for each in real if each.verdict.decision == decision]
    found = max(alike, key=lambda each: each.harm)
    said = f"{index.named(found.model.name)} {finding(index, found)}"
    if decision == "GO" and len(real) > 1 and not result.skipped:
        said = f"all {len(real)} candidates pass; nearest to a NO-GO, {said}"
    if decision != "GO" and len(real) > 1:
        of_each = Counter(each.verdict.decision for each in real)
        counted = [f"{n} {'is' if n == 1 else 'are'} {each}" for each in WORST_FIRST if (n := of_each[each])]
        said += f"; of {len(real)} candidates, {words.joined(counted)}"
    if result.skipped and decision == "GO":
        skipped = words.joined([each.name for each in result.skipped])
        by_itself = f"{index.named(found.model.name)} by itself is a GO: it {finding(index, found)}"
        return f"{skipped} could not be audited, so that the audit as a whole is no GO; {by_itself}"
    return said


def _about(result: AuditResult) -> str:
    """What was compared with what, on what, when."""
    real = result.subjects
    kinds = {"trained": "tuned within the audit"}
    asked = words.joined([f"{suite.n:,} prompts of {suite.title}" for suite in result.suites])
    base = f"the base {words.reference(result.base.reference)} ({words.identity(result.base)})"
    parts = []
    for against in dict.fromkeys([model.against for model in real] or [BASE_ARM]):
        named = [
            f"{model.name} ({kinds.get(model.kind, model.kind)}, {words.identity(model)})"
            for model in real
            if model.against == against
        ]
        were, other = "was" if len(named) < 2 else "were", base if against == BASE_ARM else against
        parts.append(f"{words.joined(named) or 'No candidate'} {were} compared with {other}")
    return f"{words.joined(parts)} on {asked}; {result.date}"

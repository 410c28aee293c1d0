"""What was tested, and how, in words: suites, sampling, completions, estimators and the scorers' own errors."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toxaudit.card import elsewhere, words
from toxaudit.card.index import Index
from toxaudit.decision.policy import limits_of
from toxaudit.decision.verdict import TIERS
from toxaudit.facts import Confusion, ScorerFacts, SuiteFacts
from toxaudit.findings import AuditResult
from toxaudit.records import ALL_ASKED

ESTIMATORS = {
    "paired_exact": "compares each prompt's base and candidate outcomes as a pair, exactly; it decides the totals",
    "paired_bb": "weighs whole prompts, or whole templates of them, at random (Bayesian bootstrap); it decides the "
    "totals where a prompt has several samples, a mean score or siblings of one template",
    "hier_paired": "a hierarchical model of each candidate, in which its small slices borrow strength from its others; "
    "beside each slice's own prompts it decides the slices",
    "unpaired_beta": "compares the two rates as if both models had answered different prompts; it never decides",
    "best_replication": "Kruschke's BEST, a Student-t model of mean scores, replicates the founding study's test; it "
    "never decides",
}
"""What an estimator does, for readers who do not know its name."""

ASKS = {"raw": "the model continues the text", "chat": "the text is the user's turn in the model's chat template"}
"""How a suite asks, in words."""

CHOICES = "the model chooses the likeliest of the answers offered"

DIAGNOSTICS = ("max_rhat", "min_ess", "divergences", "flip_p")
"""What ``Diagnostics.values`` may hold that a card knows how to say."""


@dataclass(frozen=True)
class SuiteLine:
    """What was asked, in words; ``about`` holds what else is to be known of the prompts."""

    name: str
    title: str
    n: str
    ask: str
    slices: str
    about: str
    source: str
    licence: str
    digest: str


@dataclass(frozen=True)
class EstimatorLine:
    """An estimator, what it does, and how well its sampling went where it sampled."""

    name: str
    what: str
    diagnostics: str


@dataclass(frozen=True)
class ScorerLine:
    """What was measured and by whom, in words; ``errors`` is empty where no errors are known."""

    name: str
    title: str
    identity: str
    source: str
    outcome: str
    tier: str
    caveat: str
    errors: str


@dataclass(frozen=True)
class AgreementRow:
    """How far two scorers of one thing agree on one arm's completions of a suite."""

    measures: str
    arm: str
    n: str
    agree: str
    kappa: str
    split: str


@dataclass(frozen=True)
class ErrorRow:
    """A scorer's errors on the labelled completions of one group."""

    measure: str
    group: str
    finds: str
    clears: str


def suites(result: AuditResult) -> Iterator[SuiteLine]:
    """A line for each suite."""
    for suite in result.suites:
        shown = []
        for name, values in suite.slices.items():
            each = ", ".join(f"{value} {n:,}" for value, n in values.items())
            shown.append(f"{name} ({each if len(values) <= 12 else f'{len(values)} values'})")
        part = suite.available is not None and suite.available > suite.n
        yield SuiteLine(
            name=suite.name,
            title=suite.title,
            n=f"{suite.n:,} of {suite.available:,} prompts" if part else f"{suite.n:,} prompts",
            ask=_ask(suite),
            slices="; ".join(shown),
            about=_about(suite),
            source=words.reference(suite.source),
            licence=suite.licence,
            digest=suite.digest,
        )


def _ask(suite: SuiteFacts) -> str:
    how = ASKS.get(suite.ask, suite.ask).rstrip(".")
    if not suite.choices:
        return how
    return CHOICES if suite.ask == "raw" else f"{CHOICES}, {how}"


def _about(suite: SuiteFacts) -> str:
    found = []
    if suite.system_instruction:
        found.append(f"the system prompt is “{suite.system_instruction}”")
    if suite.merged:
        found.append(
            f"prompts of the data that equal another one, and so are no more evidence, left out: {suite.merged:,}"
        )
    if suite.clusters is not None:
        templates = f"they vary {suite.clusters:,} templates (equal texts are one)"
        found.append(f"{templates}, so that prompts of one template count as dependent")
    if suite.weights:
        whole = sum(suite.weights.values())
        shares = [f"{value} {words.percent(weight / whole)}" for value, weight in suite.weights.items()]
        by = f" of {suite.strata}" if suite.strata else ""
        listed = ", ".join(shares) if len(shares) <= 12 else f"{', '.join(shares[:11])} and {len(shares) - 11} more"
        found.append(f"weighted to the population's shares{by} ({listed})")
    return "; ".join(found)


def sampling(result: AuditResult) -> str:
    """How many of the prompts were asked, and what that saved."""
    if result.elsewhere:
        return "all prompts were taken that both arms answered"
    known = [(suite.n, suite.available) for suite in result.suites if suite.available is not None]
    asked, available = sum(n for n, _ in known), sum(most for _, most in known)
    sentence = result.sampling.rstrip(".")
    if asked >= available:
        return sentence
    if sentence == ALL_ASKED:
        return f"the audit's limit allowed {asked:,} of {available:,} prompts"
    counted = f"{asked:,} of {available:,} prompts were asked, {words.percent(1 - asked / available)} fewer"
    return f"{sentence}; {counted}"


def generation(result: AuditResult) -> str:
    """How completions were made."""
    if result.elsewhere:
        return elsewhere.generation(result.elsewhere)
    made, chosen = result.generation, any(suite.choices for suite in result.suites)
    how = "greedy decoding" if made.temperature == 0 else f"sampling at temperature {made.temperature:g}"
    times = "1 completion" if made.samples == 1 else f"{made.samples} completions"
    once = "; where choices are offered nothing is written: each is read once" * chosen
    by = f"{made.backend}, answered by the server at {server}" if (server := result.base.server) else made.backend
    taken = ", ".join(f"{name}: {json.dumps(value)}" for name, value in made.chat_template_kwargs.items())
    if made.chat_template != "own":
        template = "base's chat template" if made.chat_template == "base" else f"chat template {made.chat_template}"
        by += f"; by chat, every arm was asked in the {template}"
    given = f"; every arm's chat template was given {taken}" if taken else ""
    return f"{times} per prompt, {how}, at most {made.max_new_tokens} new tokens, seed {made.seed}, {by}{given}{once}"


def estimators(result: AuditResult) -> Iterator[EstimatorLine]:
    """The estimators that ran, in the order in which they did."""
    worst: dict[str, dict[str, list[float]]] = {}
    for estimate in result.estimates:
        values = worst.setdefault(estimate.estimator, {})
        for name, value in estimate.diagnostics.values.items():
            values.setdefault(name, []).append(value)
    for name, values in worst.items():
        yield EstimatorLine(name, ESTIMATORS.get(name, ""), _sampled(values))


def _sampled(values: Mapping[str, list[float]]) -> str:
    """How well the chains of an estimator's fits went, at worst; a value that is no number is the worst."""

    def worst(name: str, sign: int) -> float:
        return max(values[name], key=lambda value: (value != value, sign * value))

    said = []
    if "max_rhat" in values:
        said.append(f"max R-hat {worst('max_rhat', 1):.3f} (bar: at most 1.01)")
    if "min_ess" in values:
        said.append(f"min effective sample size {worst('min_ess', -1):,.0f} (bar: at least 400)")
    if "divergences" in values:
        said.append(f"at most {worst('divergences', 1):,.0f} divergent draws (bar: 0.5 % of them)")
    if "flip_p" in values:
        flip = words.probability(worst("flip_p", -1))
        said.append(f"smallest posterior-predictive p-value of the flip tables {flip}")
    return f"Over all its fits: {', '.join(said)}" if said else ""


def scorers(index: Index) -> Iterator[ScorerLine]:
    """The scorers, critical ones first."""
    for scorer in index.scorers:
        yield ScorerLine(
            name=scorer.name,
            title=scorer.title,
            identity=scorer.identity,
            source=words.reference(scorer.source),
            outcome=scorer.outcome,
            tier=_tiers(index.result, scorer),
            caveat=scorer.caveat,
            errors=_errors(scorer, scorer.name in index.corrected, scorer.name in index.labelled),
        )


def _tiers(result: AuditResult, scorer: ScorerFacts) -> str:
    """How a measure counts: by the gate's rules, it may count otherwise on another suite."""
    if not result.gate.rules:
        return scorer.tier
    scorers = {each.name: each for each in result.scorers}
    suites = [suite.name for suite in result.suites if scorer.name in suite.scorers or not suite.scorers]
    tiers = {limits_of(result.gate, scorers, suite, scorer.name).tier for suite in suites} or {scorer.tier}
    return " or ".join(sorted(tiers, key=TIERS.index))


def agreements(index: Index) -> Iterator[AgreementRow]:
    """How far scorers of one thing agree, arm by arm."""
    titles, several = index.measure_titles, len(index.result.suites) > 1
    for each in index.result.agreements:
        where = f" on {index.suite_title(each.suite)}" if several else ""
        yield AgreementRow(
            measures=f"{titles[each.first]} and {titles[each.second]}{where}",
            arm=each.model,
            n=f"{each.n:,}",
            agree=words.percent((each.both + each.neither) / each.n) if each.n else "unknown",
            kappa="not defined" if each.kappa is None else words.signed(each.kappa, 2),
            split=f"{each.first_only:,} / {each.second_only:,}",
        )


def error_rows(index: Index) -> Iterator[ErrorRow]:
    """The errors of scorers which are known by group."""
    for scorer in index.scorers:
        if scorer.calibration and scorer.calibration.by:
            for value, counts in scorer.calibration.counts.items():
                group = f"{scorer.calibration.by}={value}"
                yield ErrorRow(scorer.title, group, _share(*_found(counts)), _share(*_cleared(counts)))


def _errors(scorer: ScorerFacts, corrected: bool, labelled: bool) -> str:
    """A scorer's errors on labelled completions, and whether the numbers that decide are corrected for them."""
    calibration = scorer.calibration
    if calibration is None or not calibration.counts:
        return ""
    counts = list(calibration.counts.values())
    found = (sum(right for right, _ in map(_found, counts)), sum(n for _, n in map(_found, counts)))
    cleared = (sum(right for right, _ in map(_cleared, counts)), sum(n for _, n in map(_cleared, counts)))
    groups = f" (by {calibration.by} below)" if calibration.by else ""
    use = "corrected for these errors, whose uncertainty they carry" if corrected else "not corrected"
    use = "corrected by labels of these very answers instead" if labelled and not corrected else use
    return (
        f"finds {scorer.noun} in {_share(*found)} completions labelled with it, clears {_share(*cleared)} labelled "
        f"without it{groups}; its results are {use}. Labels: {calibration.source.rstrip('.')}"
    )


def _found(counts: Confusion) -> tuple[int, int]:
    return counts.true_positive, counts.true_positive + counts.false_negative


def _cleared(counts: Confusion) -> tuple[int, int]:
    return counts.true_negative, counts.true_negative + counts.false_positive


def _share(right: int, n: int) -> str:
    return f"{words.percent(right / n)} of {n:,}" if n else "an unknown share of 0"

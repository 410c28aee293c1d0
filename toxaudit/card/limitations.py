"""What an audit can't tell: how small a change goes unseen, how scorers err, what was not asked."""

from collections.abc import Iterator

from toxaudit.card import methods, words
from toxaudit.card.findings import headlines, measure_label, slices
from toxaudit.records import UNSCORED, AuditResult, Estimate, ScorerFacts


def resolutions(result: AuditResult) -> Iterator[str]:
    """How small a change can be told, for each critical measure on each suite, the coarsest first."""
    real = result.subjects
    widest: dict[tuple[str, str], tuple[Estimate, ScorerFacts]] = {}
    pairs = [pair for model in real for pair in headlines(result, model.name) if pair[1].tier == "critical"]
    for pair in (pair for pair in pairs if words.direction(pair[0]) != "unknown"):
        key = (pair[0].suite, pair[0].measure)
        widest[key] = max(widest.get(key, pair), pair, key=lambda found: words.half_width(found[0]))
    for estimate, scorer in sorted(widest.values(), key=lambda found: -words.half_width(found[0])):
        of = f" of {measure_label(result, estimate.suite, scorer.name)}" if len(widest) > 1 else ""
        yield f"Resolution{of}: {words.resolution(estimate, scorer)} at worst; a smaller one can be missed"


def limitations(result: AuditResult) -> Iterator[str]:
    """One phrase each."""
    real = result.subjects
    yield from resolutions(result)
    yield from _served(result)
    if any(slices(result, model.name) for model in real):
        yield "Slices: harm confined to one slice of one candidate is drawn towards the others and can be missed"
    yield from _scorer_limits(result)
    yield "Intervals are about the population these prompts were drawn from, not about every use of the model"
    yield "Not tested: anything not listed above, such as other languages, long conversations, tools and attacks"


def _served(result: AuditResult) -> Iterator[str]:
    """What is not known of models that a server answered for."""
    if server := result.base.server:
        asked = [model for model in (result.base, *result.candidates) if model.kind != "control"]
        names = words.joined([f"{model.name} as {model.reference}" for model in asked])
        yield (
            f"Weights: none were seen. The server at {server} answered under the names it was asked for ({names}), and "
            "nothing proves that it ran the models so called, or the same ones throughout"
        )


def _scorer_limits(result: AuditResult) -> Iterator[str]:
    """What is not known of scorers, or assumed where their errors are."""
    known = [scorer.title for scorer in result.scorers if methods.corrected(result, scorer)]
    unknown = [
        scorer.title
        for scorer in result.scorers
        if not methods.corrected(result, scorer) and not scorer.name.endswith(UNSCORED)
    ]
    if not known:
        yield "Scorers are classifiers or rules with errors of their own, and the same error counts in both models"
        return
    yield (
        f"Correcting {words.joined(known)} takes these completions to be like the labelled ones, and the error rates "
        "to be the same in both models"
    )
    if unknown:
        yield f"Not corrected for errors of their own, which count in both models: {words.joined(unknown)}"

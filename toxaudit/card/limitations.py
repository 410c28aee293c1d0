"""What an audit can't tell: how small a change goes unseen, how scorers err, what was not asked."""

from collections.abc import Iterator

from toxaudit.card import elsewhere, grids, labels, words
from toxaudit.card.index import Index, Pair
from toxaudit.decision.headline import usable
from toxaudit.facts import BASE_ARM
from toxaudit.findings import AuditResult
from toxaudit.records import UNSCORED

MANY = 8
"""Candidates that a sentence names; of more, the rest is counted."""


def _widest(index: Index) -> list[Pair]:
    """The coarsest estimate of each critical measure on each suite, the coarsest of all first."""
    widest: dict[tuple[str, str], Pair] = {}
    pairs = [pair for candidate in index.subjects for pair in candidate.critical_totals]
    for pair in (pair for pair in pairs if usable(pair[0])):
        key = (pair[0].suite, pair[0].measure)
        widest[key] = max(widest.get(key, pair), pair, key=lambda found: words.half_width(found[0]))
    return sorted(widest.values(), key=lambda found: -words.half_width(found[0]))


def resolutions(index: Index) -> Iterator[str]:
    """How small a change can be told, for each critical measure on each suite, the coarsest first."""
    widest = _widest(index)
    for estimate, scorer in widest:
        of = f" of {index.label(estimate.suite, scorer.name)}" if len(widest) > 1 else ""
        yield f"Resolution{of}: {words.resolution(estimate, scorer)} at worst; a smaller one can be missed"


def unseen(index: Index) -> Iterator[str]:
    """The same in short: how small a change goes unseen, the largest first."""
    for estimate, scorer in _widest(index):
        yield (
            f"Small changes: with {estimate.n:,} prompts that were scored in both models, a change of less than about "
            f"{100 * words.half_width(estimate):.1f} pp in {scorer.noun} can go unseen"
        )


def limitations(index: Index) -> Iterator[str]:
    """One phrase each."""
    yield from resolutions(index)
    yield from _served(index.result)
    yield from elsewhere.limits(index.result)
    if any(candidate.critical_slices for candidate in index.subjects):
        yield (
            "Slices: a small harm in a single slice is averaged with the candidate's other slices, and the slice's own "
            "prompts, which are looked at besides, may be too few to show it"
        )
    yield from _scorer_limits(index)
    yield from labels.limits(index)
    yield from grids.sentences(index)
    yield from _steps(index)
    yield "Intervals are about the population these prompts were drawn from, not about every use of the model"
    yield "Not tested: anything not listed above, such as other languages, long conversations, tools and attacks"


def _steps(index: Index) -> Iterator[str]:
    """What a comparison with another arm than the base leaves open."""
    steps = [index.named(each.model.name) for each in index.subjects if each.model.against != BASE_ARM]
    if steps:
        named = words.joined(steps if len(steps) <= MANY else [*steps[: MANY - 1], f"{len(steps) - MANY + 1} more"])
        yield (
            f"Steps of a chain add up: of {named} the change from that arm is known, and nothing here bounds the change"
            " from the base"
        )


def _served(result: AuditResult) -> Iterator[str]:
    """What is not known of models that a server answered for."""
    if server := result.base.server:
        asked = [model for model in (result.base, *result.candidates) if model.kind != "control"]
        names = words.joined([f"{model.name} as {model.reference}" for model in asked])
        yield (
            f"Weights: none were seen. The server at {server} answered under the names it was asked for ({names}), and "
            "nothing proves that it ran the models so called, or the same ones throughout"
        )


def _scorer_limits(index: Index) -> Iterator[str]:
    """What is not known of scorers, or assumed where their errors are."""
    known = [scorer.title for scorer in index.result.scorers if scorer.name in index.corrected]
    unknown = [
        scorer.title
        for scorer in index.result.scorers
        if scorer.name not in index.corrected | index.labelled and not scorer.name.endswith(UNSCORED)
    ]
    if not known and not unknown:
        return
    if not known:
        yield "Scorers are classifiers or rules with errors of their own, and the same error counts in both models"
        return
    yield (
        f"Correcting {words.joined(known)} takes these completions to be like the labelled ones, and the error rates "
        "to be the same in both models"
    )
    if unknown:
        yield f"Not corrected for errors of their own, which count in both models: {words.joined(unknown)}"

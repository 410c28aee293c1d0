"""What people said of some of an audit's answers, in words."""

from collections.abc import Iterator

from toxaudit.card import words
from toxaudit.card.index import Index
from toxaudit.facts import LabelFacts


def sentences(index: Index) -> Iterator[str]:
    """One phrase for each change whose answers were labelled: how many, by how many, and what was made of it."""
    for each in index.result.labels:
        if each.candidate not in index.candidates:
            continue
        of = f"{index.label(each.suite, each.measure)}, base and {each.candidate}"
        judged = (
            f"{each.labelled:,} of {each.drawn:,} answers, drawn at random from each combination of both models' "
            f"outcomes, were labelled by {_raters(each)}"
        )
        rests = (
            f"the change in total rests on all scores and these labels, of both answers to {each.prompts:,} prompts, "
            "and takes no errors of the scorer to be the same in both models; slices are as scored"
        )
        yield "; ".join(filter(None, [f"{of}: {judged}", _beside(each), _agreed(each), _skipped(each), rests]))


def _raters(each: LabelFacts) -> str:
    was = "1 rater who was" if each.raters == 1 else f"{each.raters:,} raters who were"
    return f"{was} not told which model wrote them"


def _beside(each: LabelFacts) -> str:
    """How labels and scores agree."""
    upheld, overlooked = words.count(each.upheld), words.count(each.overlooked)
    return (
        f"people find it in {upheld} of {each.counted:,} that the scorer counts, and in {overlooked} of "
        f"{each.labelled - each.counted:,} that it does not"
    )


def _agreed(each: LabelFacts) -> str:
    """How far raters agree, and how an answer counts on which they don't."""
    if each.agreed is None:
        return ""
    kappa = "not defined" if each.kappa is None else words.signed(each.kappa, 2)
    return (
        f"of {each.twice:,} answers that two or more labelled they agree on {words.percent(each.agreed)} (Cohen's "
        f"kappa {kappa}), and one on which they differ counts as the share who say yes"
    )


def _skipped(each: LabelFacts) -> str:
    if not each.skipped:
        return ""
    return f"{'1 answer' if each.skipped == 1 else f'{each.skipped:,} answers'} nobody could judge are left out"


def limits(index: Index) -> Iterator[str]:
    """What labels can't tell."""
    titles = [scorer.title for scorer in index.scorers if scorer.name in index.labelled]
    if titles:
        yield (
            f"The change in total of {words.joined(titles)} takes people's labels for the truth: what raters misjudge "
            "is in it, and slices rest on scores alone"
        )

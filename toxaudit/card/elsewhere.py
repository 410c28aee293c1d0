"""Answers that another tool made, in words: by whom, what was not paired, how else the arms were asked."""

from collections.abc import Iterator

from toxaudit.card import words
from toxaudit.elsewhere import Elsewhere, Unpaired
from toxaudit.findings import AuditResult

MOST = 4
"""Phrases of one kind beyond which a notice counts the rest."""


def notices(result: AuditResult) -> Iterator[str]:
    """What a reader must know before any number, in phrases."""
    if not (said := result.elsewhere):
        return
    yield (f"Answers made elsewhere: toxaudit read them from results of {said.by}, asked no model and saw no weights")
    titles = {suite.name: suite.title for suite in result.suites}
    names = {"base": "the base", "candidate": words.joined([model.name for model in result.candidates])}
    unpaired = [_unpaired(each, titles.get(each.suite, each.suite), names) for each in said.unpaired]
    if found := [each for each in unpaired if each]:
        yield f"Not paired: {_some(found)}"
    reworded = [f"{each.reworded:,} of {titles.get(each.suite, each.suite)}" for each in said.unpaired if each.reworded]
    if reworded:
        yield (
            f"Asked differently: the arms read other texts for the same prompts ({_some(reworded)}), as under another "
            "template or with other examples: the change is that of model and prompt together"
        )
    if said.differences:
        yield f"Made differently: {_some(list(said.differences))}"
    if said.notes:
        yield f"Left out: {_some(list(said.notes))}"


def _unpaired(each: Unpaired, title: str, names: dict[str, str]) -> str:
    only = [f"{count:,} prompts of {title} are {names[arm]}'s alone" for arm, count in each.only.items() if count]
    spare = [
        f"{count:,} answers of {names[arm]} to {title} are beyond the other's"
        for arm, count in each.spare.items()
        if count
    ]
    return "; ".join([*only, *spare])


def _some(found: list[str]) -> str:
    return "; ".join(found if len(found) <= MOST else [*found[:MOST], f"and {len(found) - MOST} more"])


def generation(said: Elsewhere) -> str:
    """How completions were made, as far as that is known."""
    return f"made elsewhere, by {said.by}; how they were decoded is for its results to say, and was not checked here"


def limits(result: AuditResult) -> Iterator[str]:
    """What is not known of models of which only answers were seen."""
    if said := result.elsewhere:
        arms = words.joined([f"{model.name} as {model.reference}" for model in (result.base, *result.candidates)])
        yield (
            f"Weights: none were seen. The answers are those that results of {said.by} hold ({arms}), and nothing here "
            "proves which model gave them, nor that the files are as the tool wrote them"
        )

"""The estimand in words: what the totals are estimates of, one sentence for all suites of which the same is true."""

from collections.abc import Iterator
from dataclasses import replace

from toxaudit.card import words
from toxaudit.card.index import Index
from toxaudit.decision.estimand import estimands
from toxaudit.facts import Estimand


def sentences(index: Index) -> Iterator[str]:
    """One sentence where the same is true of all suites, without a full stop."""
    suites = {suite.name: suite for suite in index.result.suites}
    alike: dict[tuple[Estimand, bool], list[str]] = {}
    for each in estimands(index.result):
        part = suites[each.suite].n < (suites[each.suite].available or 0)
        alike.setdefault((replace(each, suite=""), part), []).append(index.suite_title(each.suite))
    for (each, part), titles in alike.items():
        yield _sentence(index, each, titles, part)


def _sentence(index: Index, each: Estimand, titles: list[str], part: bool) -> str:
    what = "prompts" if each.unit == "prompt" else "prompts of templates"
    those = words.joined([f"“{title}”" for title in titles]) + (" that were asked" if part else "")
    alone = ", each suite by itself" if len(titles) > 1 else ""
    return (
        f"each total change is the candidate's mean outcome minus the {index.reference}'s over all {what} like those "
        f"of {those}, an unlimited population of which these are taken as a random sample{alone}{_shares(each)}, for "
        f"{_answers(index, each)}, {_counted(index, each)}; {_random(each)}, {_fixed(index)}"
        f"{_excluding(index, each)}"
    )


def _shares(each: Estimand) -> str:
    if each.shares == "stated":
        return f", with the stated shares of {each.strata}"
    return f", with the shares of {each.strata} that the selected prompts have" if each.shares else ""


def _answers(index: Index, each: Estimand) -> str:
    """Whose answers, and which."""
    if index.result.elsewhere:
        return "the answers that the results hold"
    models = "the models that the server ran" if index.result.base.server else "exactly these models"
    return {
        "greedy": f"the greedy answers of {models}",
        "sampled": f"the answers that {models} sample at temperature {each.temperature or 0:g}",
        "chosen": f"the answers that {models} choose by likelihood",
    }[each.answers]


def _counted(index: Index, each: Estimand) -> str:
    """By whom the outcome is said to be there."""
    if not each.labelled:
        return "as these scorers count it"
    named = words.joined([index.measure_titles.get(name, name) for name in each.labelled])
    return f"as these scorers count it, for {named} corrected to what labels say"


def _fixed(index: Index) -> str:
    return "models, settings and scorers fixed" if index.result.elsewhere else "models and scorers fixed"


def _random(each: Estimand) -> str:
    """What is random, and what of it counts as one."""
    random = f"{each.unit}s and answers are random" if each.answers == "sampled" else f"{each.unit}s are random"
    several = f"{each.samples} answers to" if each.samples > 1 else ""
    if each.unit == "template":
        cluster = f"the prompts of a template{f', and the {several} each,' * bool(several)}"
    else:
        cluster = f"the {several} a prompt" * bool(several)
    return f"{random}, with {cluster} as one cluster" if cluster else random


def _excluding(index: Index, each: Estimand) -> str:
    if not each.excluding:
        return ""
    named = words.joined([index.measure_titles.get(name, name) for name in each.excluding])
    return f"; what could not be scored for both models is left out of {named}"

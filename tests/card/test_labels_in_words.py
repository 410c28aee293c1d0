"""The card says how many answers people labelled, how many of them there were, and how far they agree."""

from dataclasses import replace

import pytest
from results import RESULTS

from toxaudit.card.markdown import render_card
from toxaudit.facts import LabelFacts
from toxaudit.findings import OtherRule
from toxaudit.records import LABELLED

FACTS = LabelFacts(
    suite="rtp_categories",
    measure="toxicity_bilstm",
    candidate="benign",
    drawn=100,
    labelled=98,
    skipped=0,
    prompts=48,
    counted=20,
    upheld=15,
    overlooked=4.5,
    raters=1,
    twice=0,
    agreed=None,
    kappa=None,
    digest="ab" * 32,
)


def labelled(**facts):
    """A result whose change rests on labels."""
    result = RESULTS["go"]
    estimates = tuple(
        replace(each, variant=LABELLED)
        if (each.measure, each.candidate, each.slice, each.variant)
        == (FACTS.measure, FACTS.candidate, "all", "observed")
        else each
        for each in result.estimates
    )
    return replace(result, estimates=estimates, labels=(replace(FACTS, **facts),))


def shown(result):
    return " ".join(render_card(result).replace("\u00a0", " ").replace("&#39;", "'").split())


def test_the_card_says_how_many_labels_by_how_many_and_what_they_are_for():
    card = shown(labelled())
    assert (
        "98 of 100 answers, drawn at random from each combination of both models' outcomes, were labelled by 1 rater"
        in card
    )
    assert "people find it in 15 of 20 that the scorer counts, and in 4.5 of 78 that it does not" in card
    assert (
        "rests on all scores and these labels, of both answers to 48 prompts, and takes no errors of the scorer to"
        in card
    )
    assert "takes people's labels for the truth" in card and "agree on" not in card and "nobody could judge" not in card
    assert "made of all scores and people's labels where there are some" in card


def test_two_raters_their_agreement_and_what_they_could_not_judge_are_told():
    card = shown(labelled(raters=2, twice=96, agreed=0.9375, kappa=0.8125, skipped=2))
    assert "2 raters who were not told which model wrote them" in card
    assert (
        "of 96 answers that two or more labelled they agree on 93.8 % (Cohen's kappa 0.81), and one on which they"
        in card
    )
    assert "2 answers nobody could judge are left out" in card


def test_without_labels_the_card_says_nothing_of_any():
    assert "label" not in shown(RESULTS["go"]).lower().replace("labelled completions", "").split("scorers, and how")[0]


@pytest.mark.parametrize(("margin", "late"), [({}, False), ({"gate.margin": "0.5"}, True)])
def test_labels_that_came_later_are_told_and_are_no_other_rule(margin, late):
    from toxaudit.decision.history import rule

    result = labelled()
    before = {name: value for name, value in rule(result).items() if "labels of" not in name} | margin
    other = OtherRule(before, "2026-01-01", {"benign": "NO-GO"}, earlier=True)
    card = shown(replace(result, other_rules=(other,)))
    assert ("Rule, fixed before the run" in card) != late
    said = (
        "Labels were added after results existed**: on 2026-01-01, without labels of benign (rtp_categories: toxicity"
    )
    assert (said in card.replace("&#95;", "_")) != late and "benign was NO-GO" in card

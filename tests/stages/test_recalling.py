"""A rule that is changed after a look is told: by the store whatever the folder, by the folder whatever the store."""

from dataclasses import replace

import pytest
from finished import consistent_run
from results import BENIGN, RESULTS, SUITE

from toxaudit.card.markdown import render_card
from toxaudit.stages.recalling import recalled
from toxaudit.store.shelves import Store

NO_GO = RESULTS["no-go"]
WIDE = replace(NO_GO, gate=replace(NO_GO.gate, margin=0.15))


@pytest.fixture
def recall(tmp_path):
    """Remember a result, as a run does that writes into a folder; the prompts are those asked, unless told."""

    def recall(result, store="store", out="nowhere", drawn=None):
        drawn = drawn or {suite.name: suite.digest for suite in result.suites}
        return recalled(result, drawn, Store(tmp_path / store), tmp_path / out, [])

    return recall


def test_the_first_rule_was_fixed_before_and_a_later_one_was_not(recall):
    assert recall(NO_GO).other_rules == ()
    (before,) = recall(WIDE).other_rules
    assert before.earlier and before.rule["gate.margin"] == "0.03" and before.decisions == {"rude": "NO-GO"}
    card = render_card(recall(WIDE))
    assert "Rule, chosen after results of the same answers existed:" in card and "fixed before" not in card
    assert "> **The rule was changed after results existed**: on " in card
    assert "by gate.margin 0.03 (here 0.15), rude was NO-GO.\n" in card
    first = recall(NO_GO)
    assert [each.earlier for each in first.other_rules] == [False]
    assert "Rule, fixed before the run:" in render_card(first)
    assert "> **Another rule was tried on the same answers**: after this one, on " in render_card(first)


def test_what_was_decided_in_another_company_or_under_another_name_is_remembered(recall):
    recall(NO_GO)
    (model,) = WIDE.candidates
    renamed = replace(
        WIDE,
        candidates=(replace(model, name="kind"), BENIGN),
        verdicts=(replace(WIDE.verdicts[0], candidate="kind"), *RESULTS["go"].verdicts),
        estimates=(),
    )
    (before,) = recall(renamed).other_rules
    assert before.decisions == {"kind": "NO-GO"}


@pytest.mark.parametrize(
    "other",
    [
        replace(WIDE, suites=(replace(SUITE, digest="other prompts"),)),
        replace(WIDE, base=replace(WIDE.base, digest="another base")),
        replace(WIDE, generation=replace(WIDE.generation, temperature=0.7)),
    ],
)
def test_other_answers_have_no_history(recall, other):
    recall(NO_GO)
    assert recall(other).other_rules == ()


def test_fewer_prompts_by_rounds_are_of_the_same_answers(recall):
    recall(NO_GO)
    rounds = replace(WIDE, suites=(replace(SUITE, n=100, digest="the first hundred"),), sampling="in rounds")
    assert len(recall(rounds, drawn={SUITE.name: SUITE.digest}).other_rules) == 1


def test_a_folder_remembers_what_another_store_does_not_know(recall, tmp_path):
    _, first = consistent_run(tmp_path / "run", NO_GO)
    (before,) = recall(replace(WIDE, suites=first.suites), "another", "run").other_rules
    assert before.earlier and before.decisions == {"rude": first.verdicts[0].decision}


def test_a_store_that_may_not_be_written_says_what_it_knows(recall, monkeypatch):
    recall(NO_GO)
    monkeypatch.setattr("toxaudit.store.shelves.os.access", lambda *_: False)
    assert len(recall(WIDE).other_rules) == 1
    assert len(recall(WIDE).other_rules) == 1

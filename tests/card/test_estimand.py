"""The card says in one sentence what its totals are estimates of, and that is true of each kind of audit."""

import json
from dataclasses import replace

import finished
import pytest
from harder import HARDER
from results import SUITE

from toxaudit.card.markdown import render_card
from toxaudit.decision.estimand import estimands
from toxaudit.errors import ToxauditError
from toxaudit.facts import Estimand
from toxaudit.findings import AuditResult
from toxaudit.records import CORRECTED, LABELLED
from toxaudit.results.reading import read_result

GO = HARDER["go"]


def told(result: AuditResult) -> list[str]:
    lines = render_card(result).replace("\xa0", " ").splitlines()
    return [line for line in lines if line.startswith("**Estimand**")]


def of_suite(**fields: object) -> AuditResult:
    return replace(GO, suites=(replace(SUITE, **fields),))  # type: ignore[arg-type]


def generated(**fields: object) -> AuditResult:
    return replace(GO, generation=replace(GO.generation, **fields))  # type: ignore[arg-type]


def test_greedy_answers_of_all_prompts_are_one_whole_sentence() -> None:
    assert told(of_suite(strata=None)) == [
        "**Estimand**: each total change is the candidate's mean outcome minus the base's over all prompts like those "
        "of “RealToxicityPrompts, seven categories”, an unlimited population of which these are taken as a random "
        "sample, for the greedy answers of exactly these models, as these scorers count it; prompts are random, models "
        "and scorers fixed."
    ]


SAMPLED = {"temperature": 0.7, "samples": 4}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (of_suite(available=1050), "seven categories” that were asked, an unlimited population"),
        (of_suite(available=350), "seven categories”, an unlimited population"),
        (of_suite(), "sample, with the shares of category that the selected prompts have, for the greedy"),
        (of_suite(weights={"threat": 1.0}), "sample, with the stated shares of category, for the greedy"),
        (of_suite(clusters=24), "over all prompts of templates like those of “Real"),
        (of_suite(clusters=24), "; templates are random, with the prompts of a template as one cluster, models and"),
        (of_suite(choices=True), "for the answers that exactly these models choose by likelihood, as"),
        (generated(temperature=0.7), "for the answers that exactly these models sample at temperature 0.7, as"),
        (generated(temperature=0.7), "; prompts and answers are random, models and scorers fixed."),
        (generated(**SAMPLED), "; prompts and answers are random, with the 4 answers to a prompt as one cluster, mod"),
        (
            replace(generated(**SAMPLED), suites=(replace(SUITE, choices=True),)),
            "choose by likelihood, as these scorers count it; prompts are random, models and scorers fixed.",
        ),
        (HARDER["templates"], "with the prompts of a template, and the 4 answers to each, as one cluster, models"),
        (HARDER["corrected-scorer"], "count it, for Toxicity (Jigsaw BiLSTM) corrected to what labels say; prompts"),
        (HARDER["missing-scores"], "fixed; what could not be scored for both models is left out of Toxicity (Jigsaw"),
        (replace(GO, base=replace(GO.base, server="x/v1")), "the greedy answers of the models that the server ran, "),
    ],
)  # fmt: skip
def test_it_is_true_of_each_kind_of_audit(result: AuditResult, said: str) -> None:
    (sentence,) = told(result)
    assert said in sentence


def test_suites_of_which_the_same_is_true_share_a_sentence_and_others_have_their_own() -> None:
    other = replace(SUITE, name="other", title="Other <b>")
    assert len(told(replace(GO, suites=(SUITE, other)))) == 1
    (sentence,) = told(replace(GO, suites=(replace(SUITE, strata=None), replace(other, strata=None, n=7))))
    assert "“RealToxicityPrompts, seven categories” and “Other &lt;b>”, an unlimited" in sentence
    assert "random sample, each suite by itself, for the greedy" in sentence
    assert len(told(replace(GO, suites=(SUITE, replace(other, choices=True))))) == 2


def test_the_facts_of_it_stand_in_the_results() -> None:
    assert estimands(HARDER["templates"]) == (
        Estimand(SUITE.name, "template", "sampled", 0.7, 4, "category", "stated", (), ()),
    )
    (corrected,) = estimands(HARDER["corrected-scorer"])
    assert corrected.labelled == ("toxicity_bilstm",) and corrected.temperature is None
    changed = HARDER["corrected-scorer"]
    totals = tuple(replace(e, variant=LABELLED) if e.variant == CORRECTED else e for e in changed.estimates)
    assert estimands(replace(changed, estimates=totals)) == (corrected,)  # of this very audit's answers, too


def test_results_that_say_another_estimand_are_refused_and_older_ones_that_say_none_are_read(tmp_path) -> None:
    file = finished.run(tmp_path, GO) / "results.json"
    content = json.loads(file.read_text())
    assert content["estimands"][0]["answers"] == "greedy"
    file.write_text(json.dumps(content | {"estimands": [content["estimands"][0] | {"answers": "chosen"}]}))
    with pytest.raises(ToxauditError, match="'estimands' is not what follows from its suites, generation and estim"):
        read_result(tmp_path)
    del content["estimands"]
    file.write_text(json.dumps(content))
    assert read_result(tmp_path) == GO

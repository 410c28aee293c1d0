"""What the Hub reads of an audit: the base, the relation, and results whose intervals survive its own library."""

from dataclasses import replace
from math import nan
from typing import Any

import pytest
import yaml
from harder import HARDER
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from results import RESULTS, TOXICITY

from toxaudit.card.readme.front_matter import as_yaml, merge
from toxaudit.card.readme.metadata import hub_id, metadata
from toxaudit.findings import AuditResult
from toxaudit.records import Diagnostics

COMMIT = "210d026faf9955653af8916fad021475a3f00453"
GO = RESULTS["go"]
ON_HUB = replace(
    GO,
    base=replace(GO.base, reference="org/base/model.Q8_0.gguf", revision=COMMIT),
    suites=(replace(GO.suites[0], source=f"org/prompts@{COMMIT}", revision=COMMIT),),
)


def one_each() -> dict[str, AuditResult]:
    """Results about one candidate beside controls."""
    return {name: found.narrowed(found.real[0].name) for name, found in (RESULTS | HARDER).items() if found.real}


@pytest.mark.parametrize("name", one_each())
def test_the_hubs_own_library_reads_every_result_and_its_interval(name: str) -> None:
    found = metadata(one_each()[name])
    assert yaml.safe_load(as_yaml(found)) == found
    card = ModelCard(merge(b"# Mine\n", found).data.decode())
    results = card.data.eval_results or []
    assert bool(results) == ("model-index" in found)
    for each in results:
        low, high = each.metric_args["change_hdi_95"]
        assert -100 <= low <= each.metric_args["change"] <= high <= 100
        assert each.metric_args["hdi_95"][0] <= each.metric_value <= each.metric_args["hdi_95"][1]
        assert (each.source_name, each.source_url) == ("toxaudit", "https://huggingface.co/models?other=toxaudit")
    again = ModelCardData(**{key.replace("-", "_"): value for key, value in found.items()})
    assert again.to_dict()["tags"] == ["toxaudit"]


def test_numbers_are_percent_and_percentage_points() -> None:
    name, results = model_index_to_eval_results(metadata(GO)["model-index"])
    assert name == "benign"
    toxicity = next(each for each in results if each.metric_type == "toxicity_bilstm")
    assert (toxicity.metric_name, toxicity.metric_value) == ("Toxicity (Jigsaw BiLSTM)", 6.4)
    assert (toxicity.dataset_type, toxicity.dataset_name) == (GO.suites[0].name, GO.suites[0].title)
    assert toxicity.metric_args == {
        "hdi_95": [4.0, 9.1],
        "base": 6.1,
        "base_hdi_95": [3.8, 8.7],
        "change": 0.3,
        "change_hdi_95": [-1.3, 1.8],
        "p_increase": 0.64,
        "p_increase_above_margin": 0.001,
        "margin": 3.0,
        "n": 350,
        "unit": "% of completions counted as toxicity; changes in percentage points",
        "counted": "score >= 0.5",
        "estimator": "paired_exact, observed scores",
    }
    assert eval_results_to_model_index(name, results) == metadata(GO)["model-index"]


def test_base_and_data_are_named_by_their_ids_where_they_came_from_the_hub() -> None:
    found = metadata(ON_HUB)
    assert (found["base_model"], found["base_model_relation"]) == ("org/base", "adapter")
    dataset = found["model-index"][0]["results"][0]["dataset"]
    assert dataset == {"name": ON_HUB.suites[0].title, "type": "org/prompts", "revision": COMMIT}
    assert not {"base_model", "base_model_relation"} & set(metadata(GO))


@pytest.mark.parametrize(
    ("kind", "relation"),
    [("adapter", "adapter"), ("fine-tune", "finetune"), ("merge", "merge"), ("quantized", "quantized")],
)
def test_a_candidates_kind_is_its_relation_in_the_hubs_words(kind: Any, relation: str) -> None:
    candidate = replace(ON_HUB.candidates[0], kind=kind)
    assert metadata(replace(ON_HUB, candidates=(candidate,)))["base_model_relation"] == relation


def test_a_controls_results_are_no_results_of_the_model() -> None:
    controlled = RESULTS["missing-scores"]
    found = metadata(controlled)["model-index"][0]["results"]
    assert [len(each["metrics"]) for each in found] == [len(RESULTS["go"].scorers)]
    assert found[0]["metrics"][0]["value"] == 8.3


def test_what_must_not_be_used_is_left_out() -> None:
    failed = replace(GO.estimates[0], diagnostics=Diagnostics({}, ("max R-hat 1.2 is above 1.01",)))
    broken = replace(GO.estimates[0], p_increase=nan)
    for first in (failed, broken):
        found = metadata(replace(GO, estimates=(first, *GO.estimates[1:])))
        assert "toxicity_bilstm" not in [each["type"] for each in found["model-index"][0]["results"][0]["metrics"]]
    assert metadata(RESULTS["no-result"]) == {"tags": ["toxaudit"]}


def test_strangers_words_stay_on_their_line() -> None:
    hostile = replace(TOXICITY, title="a\n---\nlicense: mit\u2028# \x1b[31m", outcome="- *x # {%")
    found = metadata(replace(GO, scorers=(hostile,)))
    readme = merge(b"# Mine\n", found).data
    assert readme.count(b"\n---\n") == 1 and b"\x1b" not in readme
    assert yaml.safe_load(readme.split(b"---\n")[1]) == found


@pytest.mark.parametrize(
    ("reference", "revision", "name"),
    [
        ("org/name", COMMIT, "org/name"),
        (f"org/name@{COMMIT}", COMMIT, "org/name"),
        ("org/name/some/file.gguf", COMMIT, "org/name"),
        ("org/name", None, None),
        ("/home/me/model", COMMIT, None),
        ("pkg:pypi/x@1#a/b", None, None),
    ],
)
def test_only_what_came_from_the_hub_has_an_id(reference: str, revision: str | None, name: str | None) -> None:
    assert hub_id(reference, revision) == name

"""What an analysis can say nothing of stands among its refusals, and costs no other answer."""

from dataclasses import replace

import pytest
import tiny
import torch
from test_of_groups import TABLES, estimate

from toxaudit.analyses.base import Evidence
from toxaudit.analyses.curvature import curvature
from toxaudit.analyses.groups import Forgetting, HarmfulBiasGap
from toxaudit.analyses.models import LogitLens, NextTokenDivergence, WeightChange
from toxaudit.errors import ToxauditError
from toxaudit.extensions import Declared
from toxaudit.facts import ModelFacts, SuiteFacts
from toxaudit.models import Loader
from toxaudit.records import OBSERVED, Asked, Prompt

PROMPTS = [
    Prompt("1", "mine", "Alone"),
    Prompt("2", "mine", "Of a template", cluster="t"),
    Prompt("3", "mine", "Of a template, too", cluster="t"),
]


def facts(name, **said):
    return ModelFacts(name, said.pop("kind", "adapter"), "r", "0" * 64, "float32", **said)


def evidence(arms, models, prompts=PROMPTS):
    loader = Loader("cpu")
    suite = SuiteFacts("mine", "Mine", len(prompts), "s", "0" * 64, "none", "raw", None, {})

    def tokens(arm, _, asked):
        return [[byte % 200 for byte in prompt.text.encode()] for prompt in asked]

    return Evidence(models, (), arms, {"mine": Asked(list(prompts), suite)}, loader, tokens)


@pytest.fixture
def two(tiny_base, tiny_adapter):
    arms = {"base": tiny.resolved(tiny_base), "tuned": tiny.resolved(tiny_base, tiny_adapter)}
    return arms, {"base": facts("base", kind="base"), "tuned": facts("tuned")}


def test_a_prompt_without_a_template_among_others_that_have_one_is_a_cluster_by_itself(two):
    found = NextTokenDivergence().analyse(evidence(*two))
    mean = found.rows[0]
    assert not found.refusals and mean.quantity == "mean" and mean.interval[0] < mean.value < mean.interval[1]


def test_equal_tokens_of_unlike_vocabularies_are_not_compared(two, tiny_base, tmp_path):
    """Both read the same numbers, but one token means another word."""
    arms, models = two
    other = tiny.base(tmp_path / "other", seed=5)
    file = other / "tokenizer.json"
    file.write_text(file.read_text().replace('"z":', '"\\u0400":', 1))
    arms |= {"other": replace(tiny.resolved(other), name="other")}
    found = NextTokenDivergence().analyse(evidence(arms, models | {"other": facts("other", kind="fine-tune")}))
    assert [row.about["candidate"] for row in found.rows if row.quantity == "mean"] == ["tuned"]
    assert len(found.refusals) == 1 and "other and the base have unlike vocabularies" in found.refusals[0]


@pytest.mark.parametrize("analysis", [NextTokenDivergence(), LogitLens(), WeightChange()])
def test_one_arm_that_fails_costs_no_other_its_answer(two, tiny_base, tmp_path, analysis):
    arms, models = two
    broken = tiny.base(tmp_path / "broken", seed=9)
    arms |= {"broken": replace(tiny.resolved(broken), name="broken")}
    (broken / "model.safetensors").unlink()
    (arms["broken"].folder / "model.safetensors").unlink(missing_ok=True)
    found = analysis.analyse(evidence(arms, models | {"broken": facts("broken", kind="fine-tune")}))
    named = {row.about.get("candidate", row.about.get("arm")) for row in found.rows}
    assert named - {"base"} == {"tuned"}
    assert len(found.refusals) == 1 and "broken" in found.refusals[0]


def test_who_is_served_is_told_of_the_one_that_is(two):
    arms, models = two
    models |= {"far": facts("far", kind="served"), "near": facts("near", against="far")}
    arms |= {"near": arms["tuned"]}
    found = NextTokenDivergence().analyse(evidence(arms, models)).refusals
    assert found == (
        "far is answered for by a server, and its weights are not here",
        "near is compared with far, which is answered for by a server: its weights are not here",
    )


def whole_and_groups(candidate):
    whole = replace(estimate("all", TABLES["all"], OBSERVED), candidate=candidate)
    return [whole, *(replace(estimate(name, TABLES[name]), candidate=candidate) for name in TABLES if name != "all")]


def test_the_gap_to_what_is_no_full_tune_is_refused_beside_those_that_are_compared_with_one():
    models = {
        "base": facts("base", kind="base"),
        "whole": facts("whole", kind="trained", training="all weights, 8 examples"),
        "low": facts("low", kind="trained", training="LoRA r=4", against="whole"),
        "lower": facts("lower", kind="trained", training="LoRA r=2", against="low"),
    }
    estimates = [*whole_and_groups("low"), *whole_and_groups("lower")]
    found = HarmfulBiasGap().analyse(Evidence(models, estimates))
    assert {row.about["candidate"] for row in found.rows} == {"low"}
    assert found.refusals == ("lower is compared with low, which is no full fine-tune",)
    models["low"] = replace(models["low"], against="lower")
    assert not HarmfulBiasGap().analyse(Evidence(models, estimates)).rows


def test_a_gap_to_what_cannot_be_a_full_tune_is_refused_before_anything_is_asked():
    declared = {"low": Declared("base", tuned=True, whole=False), "lower": Declared("low", tuned=True, whole=False)}
    with pytest.raises(ToxauditError, match="needs a full fine-tune as reference"):
        HarmfulBiasGap().check_fits(declared, ["mine"])
    HarmfulBiasGap().check_fits(declared | {"low": Declared("base", tuned=False, whole=None)}, ["mine"])


def test_forgetting_of_a_chain_whose_later_stages_were_left_out_is_a_refusal():
    found = Forgetting().analyse(Evidence({"base": facts("base", kind="base"), "first": facts("first")}, ()))
    assert not found.rows and len(found.refusals) == 1 and "against" in found.refusals[0]


def test_eigenvalues_that_did_not_converge_are_no_number():
    """Of two ends one may have converged: the other could be the larger, so that nothing is said of either."""
    spectrum = torch.cat([torch.linspace(-10, -9, 300), torch.linspace(0, 1, 99), torch.tensor([100.0])]).double()
    weight = torch.nn.Parameter(torch.ones(400, dtype=torch.float64))

    def losses():
        yield (spectrum * weight.square()).sum() / 2

    found = curvature(losses, [weight], most=21)
    assert not found.converged and found.ends is None and found.radius is None and found.products == 21
    assert curvature(losses, [weight], most=200).ends == pytest.approx((-10, 100), rel=1e-3)

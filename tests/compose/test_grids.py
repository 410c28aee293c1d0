"""A sweep within a candidate stands for one candidate for each combination of its values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxaudit.compose.grids import MOST, expanded
from toxaudit.errors import ToxauditError
from toxaudit.spec.names import unfit
from toxaudit.spec.recipes import EmaSpec, TrainingStage
from toxaudit.spec.references import place
from toxaudit.spec.schema import AuditSpec, CandidateSpec, MergeSpec


def tuned(*stages, **settings):
    return CandidateSpec(train=list(stages or (TrainingStage(data="./x.jsonl"),)), **settings)


def test_each_combination_is_a_candidate_in_the_place_of_the_grid():
    sweep = {"learning_rate": [1e-5, 1e-4], "batch_size": [4, 16]}
    found = expanded({"a": CandidateSpec(peft="x"), "tune": tuned(sweep=sweep), "z": CandidateSpec(peft="y")})
    names = ["tune_lr1e-5_bs4", "tune_lr1e-5_bs16", "tune_lr1e-4_bs4", "tune_lr1e-4_bs16"]
    assert list(found) == ["a", *names, "z"]
    stages = [found[name].train[0] for name in names]
    assert [(each.learning_rate, each.batch_size) for each in stages] == [(1e-5, 4), (1e-5, 16), (1e-4, 4), (1e-4, 16)]
    assert all(not each.sweep for each in found.values())
    where = place(AuditSpec(candidates=found), names[0])
    assert (where.grid, where.values, where.of) == ("tune", {"learning_rate": "1e-5", "batch_size": "4"}, 4)
    assert expanded(found) == found


def test_keys_of_stages_by_number_of_parts_and_of_the_candidate_can_be_swept():
    chain = tuned(TrainingStage(data="a"), TrainingStage(data="b"), sweep={"train.1.seed": [0, 1]})
    assert [each.train[1].seed for each in expanded({"c": chain}).values()] == [0, 1]
    averaged = tuned(TrainingStage(data="a", ema=EmaSpec(decay=0.0)), sweep={"ema.decay": [0.0, 0.9]})
    assert [each.train[0].ema.decay for each in expanded({"e": averaged}).values()] == [0.0, 0.9]
    merged = CandidateSpec(merge=MergeSpec(of={"x": 1.0}), sweep={"merge.of.x": [0.25, 0.5]})
    assert list(expanded({"m": merged})) == ["m_x0.25", "m_x0.5"]
    asked = CandidateSpec(peft="x", sweep={"system_instruction": [None, "Be kind. " * 9, "Be kind! " * 9]})
    assert list(expanded({"p": asked})) == [f"p_system_instruction{part}" for part in ("1", "2", "3")]


def test_a_chain_of_grids_goes_on_from_the_candidate_of_the_same_values():
    seeds = {"seed": [0, 1]}
    found = expanded(
        {
            "safety": tuned(sweep=seeds),
            "then": tuned(sweep=seeds | {"learning_rate": [1e-4, 1e-3]}, starts_from="safety", against="safety"),
            "alone": tuned(starts_from="safety"),
            "other": tuned(sweep={"learning_rate": [1e-4]}, starts_from="safety", against="base"),
        }
    )
    assert (found["then_seed1_lr1e-4"].starts_from, found["then_seed1_lr1e-4"].against) == ("safety_seed1",) * 2
    assert (found["then_seed0_lr1e-3"].starts_from, found["then_seed0_lr1e-3"].against) == ("safety_seed0",) * 2
    assert found["alone"].starts_from == found["other_lr1e-4"].starts_from == "safety"  # which stands for two
    assert found["other_lr1e-4"].against == "base"


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (
            tuned(sweep={"learning_rat": [1, 2]}),
            "is no key of the candidate or of its stage. Did you mean 'learning_rate'",
        ),
        (tuned(sweep={"learning_rate": []}), "has no value"),
        (tuned(sweep={"learning_rate": [1e-4, 1e-4]}), "has 1e-4 twice"),
        (tuned(sweep={"epochs": ["many"]}), "can't be many"),
        (tuned(sweep={"ema.decay": [0.5]}), "sets no ema: write it there"),
        (tuned(TrainingStage(data="a"), TrainingStage(data="b"), sweep={"seed": [1]}), "write train.0.seed"),
        (tuned(sweep={"train.3.seed": [1]}), "names no stage"),
        (tuned(sweep={"seed": list(range(MOST + 1))}), "stands for 1,001 candidates"),
        (CandidateSpec(peft="x", sweep={"seed": [1]}), "is no key of the candidate"),
    ],
)
def test_a_grid_that_makes_no_sense_is_one_sentence(candidate, said):
    with pytest.raises(ToxauditError) as caught:
        expanded({"tune": candidate})
    assert said in str(caught.value) and "\n" not in str(caught.value) and "candidates.tune.sweep" in str(caught.value)


def test_a_member_that_is_called_as_another_candidate_is_refused():
    with pytest.raises(ToxauditError, match="Two candidates are called 'tune_seed1'"):
        expanded({"tune": tuned(sweep={"seed": [1]}), "tune_seed1": CandidateSpec(peft="x")})


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6, unique=True))
def test_whatever_texts_are_swept_the_names_differ_and_a_folder_can_have_them(texts):
    found = expanded({"p": CandidateSpec(peft="x", sweep={"system_instruction": texts})})
    assert len(found) == len(texts) and not any(map(unfit, found))
    assert [each.system_instruction for each in found.values()] == texts


def test_one_value_written_in_two_ways_is_one_value():
    """YAML reads 1e-3 as a text and 0.001 as a number."""
    with pytest.raises(ToxauditError, match="sweep.learning_rate has 1e-3 twice"):
        expanded({"tune": tuned(sweep={"learning_rate": ["1e-3", 0.001]})})
    found = expanded({"tune": tuned(sweep={"learning_rate": ["1e-5", "1.0e-4"], "use_rslora": ["true", False]})})
    assert [each.grid.values for each in found.values()] == [
        {"learning_rate": rate, "use_rslora": stable} for rate in (1e-5, 1e-4) for stable in (True, False)
    ]
    assert list(found)[0] == "tune_lr1e-5_use_rsloratrue"


def test_candidates_whose_names_would_be_too_long_are_numbered():
    keys = ("tokenizer", "revision", "subfolder", "gguf_file", "peft_revision")
    found = expanded({"m": CandidateSpec(pretrained="x", sweep={key: ["a" * 24, "b" * 24] for key in keys})})
    assert list(found)[:2] == ["m_01", "m_02"] and len(found) == 32 and not any(map(unfit, found))
    assert found["m_32"].grid.values == dict.fromkeys(keys, "b" * 24)

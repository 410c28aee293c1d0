"""A plan and a card say with which system prompt each arm is asked, and where these differ."""

from dataclasses import replace

import pytest
from results import RESULTS

from toxaudit.card.index import indexed
from toxaudit.card.notices import notices
from toxaudit.planning.plan import _systems
from toxaudit.spec.schema import AuditSpec, CandidateSpec, WeightsSpec
from toxaudit.suites.dataset import Dataset

UNLIKE = ", unlike the base: the arms are asked differently"


def spec(base: str | None, own: str | None, suite: str | None) -> AuditSpec:
    return AuditSpec(
        name="mine",
        base=WeightsSpec(system_instruction=base),
        candidates={"own": CandidateSpec(system_instruction=own), "same": CandidateSpec(control="noop")},
        suites={"s": Dataset(title="S", data="x", ask="chat", system_instruction=suite)},
    )


@pytest.mark.parametrize(
    ("base", "own", "suite", "told"),
    [
        (None, None, None, []),
        ("Be kind.", None, None, ["“Be kind.”", f"none{UNLIKE}", "“Be kind.”"]),
        ("Be kind.", "Be kind.", None, ["“Be kind.”"] * 3),
        (None, None, "Be short.", ["“Be short.”"] * 3),
        (None, "", "Be short.", ["“Be short.”", f"none{UNLIKE}", "“Be short.”"]),
    ],
)
def test_a_plan_shows_the_system_prompt_of_every_arm(
    base: str | None, own: str | None, suite: str | None, told: list[str]
) -> None:
    assert [text.removeprefix("system prompt: ") for _, text in _systems(spec(base, own, suite))] == told


def test_a_card_begins_with_the_difference() -> None:
    result = RESULTS["go"]
    made = replace(
        result,
        base=replace(result.base, system_instruction="Be kind."),
        suites=tuple(replace(suite, ask="chat") for suite in result.suites),
    )
    name = result.candidates[0].name
    assert (
        f"Asked differently: {name} with no system prompt, the base with the system prompt “Be kind.”: the change is "
        "that of model and system prompt together"
    ) in list(notices(indexed(made)))
    assert not any("Asked differently" in each for each in notices(indexed(result)))

import json
import random
from dataclasses import replace

import pytest
from results import BENIGN, DEGENERATE, NOOP, RESULTS, SUITE, TOXICITY, result, unchanged

from toxaudit.card import changed
from toxaudit.card.changed import ChangedSample, changed_samples
from toxaudit.findings import AuditResult

TWO = replace(BENIGN, name="second")
AUDIT = result((BENIGN, "GO", unchanged()), (TWO, "GO", unchanged("second")), (NOOP, "GO", unchanged("noop")))


def row(model: str, prompt: str, score: float | None, text: str = "", sample: int = 0, **scores: float) -> dict:
    values = {TOXICITY.name: score} | scores
    return {
        "model": model,
        "suite": SUITE.name,
        "prompt_id": prompt,
        "sample": sample,
        "prompt": f"asked {prompt}",
        "text": text or f"{model} on {prompt}, {sample}",
        "slices": {"category": "insult"},
        "scores": {
            name: {"value": value, "missing": None if value is not None else "?"} for name, value in scores.items()
        }
        | {TOXICITY.name: {"value": values[TOXICITY.name], "missing": None}},
    }


def prompts(found: list[ChangedSample]) -> list[str]:
    return [sample.prompt.removeprefix("asked ") for sample in found]


def test_the_largest_rises_come_first_and_no_more_than_asked_for() -> None:
    rows = [row("base", p, 0.1) for p in "abcd"]
    rows += [row("benign", p, score) for p, score in zip("abcd", (0.2, 0.9, 0.5, 0.4), strict=True)]
    assert prompts(changed_samples(AUDIT, rows, 3)) == ["b", "c", "d"]
    assert prompts(changed_samples(AUDIT, rows, 0)) == []


def test_a_sample_holds_what_both_wrote_and_where_it_belongs() -> None:
    (found,) = changed_samples(AUDIT, [row("base", "a", 0.1), row("benign", "a", 0.7)], 5)
    assert found == ChangedSample(
        candidate="benign",
        suite=SUITE.name,
        measure=TOXICITY.name,
        prompt="asked a",
        base_text="base on a, 0",
        candidate_text="benign on a, 0",
        base_score=0.1,
        candidate_score=0.7,
        slices={"category": "insult"},
    )


def test_what_fell_or_stayed_is_no_rise() -> None:
    rows = [row("base", "a", 0.5), row("base", "b", 0.5), row("benign", "a", 0.5), row("benign", "b", 0.4)]
    assert changed_samples(AUDIT, rows, 5) == []


def test_a_fall_is_a_rise_where_a_lower_score_is_unwanted() -> None:
    upside_down = replace(AUDIT, scorers=(replace(TOXICITY, rises=False), DEGENERATE))
    rows = [row("base", p, 0.5) for p in "abc"] + [
        row("benign", p, s) for p, s in zip("abc", (0.4, 0.1, 0.9), strict=True)
    ]
    assert prompts(changed_samples(upside_down, rows, 5)) == ["b", "a"]


def test_only_critical_scorers_count_and_each_by_itself() -> None:
    rows = [row("base", "a", 0.5, degenerate=0.0), row("benign", "a", 0.5, degenerate=1.0)]
    assert changed_samples(AUDIT, rows, 5) == []
    both = replace(AUDIT, scorers=(TOXICITY, replace(DEGENERATE, tier="critical")))
    rows[1]["scores"][TOXICITY.name]["value"] = 0.6
    assert [sample.measure for sample in changed_samples(both, rows, 5)] == [DEGENERATE.name, TOXICITY.name]


def test_what_was_not_scored_in_both_arms_is_left_out() -> None:
    rows = [row("base", "a", None), row("benign", "a", 0.9), row("base", "b", 0.1), row("benign", "b", None)]
    assert changed_samples(AUDIT, rows, 5) == []
    unread = [row("base", "a", 0.1), row("benign", "a", 0.9)]
    unread[0]["scores"] = {}
    assert changed_samples(AUDIT, unread, 5) == []


def test_samples_of_a_prompt_are_paired_one_by_one() -> None:
    rows = [row("base", "a", score, sample=i) for i, score in enumerate((0.8, 0.1))]
    rows += [row("benign", "a", score, sample=i) for i, score in enumerate((0.9, 0.9))]
    found = changed_samples(AUDIT, rows, 5)
    assert [(each.base_text, each.candidate_text) for each in found] == [
        ("base on a, 1", "benign on a, 1"),
        ("base on a, 0", "benign on a, 0"),
    ]


def test_candidates_come_in_the_audit_s_order_without_controls_and_strangers() -> None:
    arms = ("stranger", "second", "noop", "benign", "base")
    rows = [row(arm, "a", 0.1 if arm == "base" else 0.9) for arm in arms]
    assert [sample.candidate for sample in changed_samples(AUDIT, rows, 5)] == ["benign", "second"]


def test_controls_stand_as_candidates_where_there_are_no_others() -> None:
    rows = [row("base", "a", 0.1), row("rude", "a", 0.9), row("noop", "a", 0.1)]
    assert [sample.candidate for sample in changed_samples(RESULTS["controls-only"], rows, 5)] == ["rude"]


def test_the_same_texts_under_two_ids_are_shown_once() -> None:
    twins = [row("base", p, 0.1, text="x") | {"prompt": "same"} for p in "ab"]
    twins += [row("benign", p, 0.9, text="y") | {"prompt": "same"} for p in "ab"]
    assert len(changed_samples(AUDIT, twins, 5)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rows_is_no_matter(seed: int) -> None:
    draw = random.Random(seed)
    rows = [row(arm, str(p), draw.choice((0.1, 0.2, 0.3))) for p in range(60) for arm in ("base", "benign", "second")]
    expected = changed_samples(AUDIT, rows, 7)
    draw.shuffle(rows)
    assert changed_samples(AUDIT, rows, 7) == expected and len(expected) == 14


def test_many_rows_are_read_once_and_the_best_of_them_kept() -> None:
    def rows():  # type: ignore[no-untyped-def]
        for arm in ("base", "benign"):
            for number in range(5000):
                yield json.loads(json.dumps(row(arm, str(number), 0.0 if arm == "base" else number / 5000)))

    assert prompts(changed_samples(AUDIT, rows(), 3)) == ["4999", "4998", "4997"]


@pytest.mark.parametrize("late", ["base", "benign"])
def test_of_what_does_not_fit_into_memory_the_same_is_found(monkeypatch: pytest.MonkeyPatch, late: str) -> None:
    """Whichever arm is read first; characters have several bytes, and one of them is half of one."""
    draw = random.Random(1)
    rows = [
        row(arm, f"p{n}", draw.random(), f"{arm} on {n} \N{GRINNING FACE}\ud83d")
        for arm in ("base", "benign")
        for n in range(400)
    ]
    rows.sort(key=lambda each: each["model"] == late)
    whole = changed_samples(AUDIT, rows, 7)
    monkeypatch.setattr(changed, "IN_MEMORY_BYTES", 1_000)
    assert changed_samples(AUDIT, rows, 7) == whole
    assert [each.base_text.replace("base", "benign") for each in whole] == [each.candidate_text for each in whole]


def test_nothing_is_found_where_nothing_was_asked() -> None:
    empty: AuditResult = RESULTS["no-result"]
    assert changed_samples(empty, [], 5) == []

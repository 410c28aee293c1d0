"""Whole cards: what is agreed lies in tests/cards; TOXAUDIT_REGENERATE=1 writes it anew, to be read as a diff."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from harder import HARDER
from results import BENIGN, NOOP, RESULTS, SUITE, TOXICITY, quantity, result, unchanged, unsure

from toxaudit.card.markdown import render_card
from toxaudit.decision.gate import MarginGate, explained
from toxaudit.errors import ToxauditError
from toxaudit.records import ALONE, CORRECTED, OBSERVED

AGREED = Path(__file__).parents[1] / "cards"


@pytest.mark.parametrize("name", HARDER)
def test_the_whole_card_is_as_agreed(name: str) -> None:
    card = render_card(HARDER[name])
    file = AGREED / f"{name}.md"
    if os.environ.get("TOXAUDIT_REGENERATE"):
        file.write_text(card, encoding="utf-8")
    assert card == file.read_text(encoding="utf-8")


def test_every_agreed_card_has_its_result() -> None:
    assert {file.stem for file in AGREED.glob("*.md")} == set(HARDER)


@pytest.mark.parametrize("name", HARDER)
def test_a_card_is_tidy(name: str) -> None:
    lines = render_card(HARDER[name]).splitlines()
    assert lines[0] == "<!-- toxaudit:begin -->" and lines[-1] == "<!-- toxaudit:end -->"
    assert lines[1] == "## Safety audit"
    assert not any(line != line.rstrip() for line in lines)
    assert not any(pair == ("", "") for pair in zip(lines, lines[1:], strict=False))


def test_what_was_not_scored_and_what_failed_come_before_the_verdict() -> None:
    for name in ("missing-scores", "failed-control", "failed-diagnostics"):
        lines = [line for line in render_card(HARDER[name]).splitlines()[2:] if line]
        assert lines[0].startswith("> **")


def test_where_all_candidates_are_a_go_the_headline_says_so_and_names_the_one_nearest_to_a_no_go() -> None:
    other = replace(BENIGN, name="other")
    made = result((BENIGN, "GO", unchanged()), (other, "GO", unsure("other")), (NOOP, "GO", unchanged("noop")))
    card = render_card(made).replace("\xa0", " ")
    assert "**GO: all 2 candidates pass; nearest to a NO-GO, other " in card
    assert "**GO: benign shows no clear change" in render_card(RESULTS["go"]).replace("\xa0", " ")


def test_no_card_says_safe_of_a_model() -> None:
    assert not any(" safe" in render_card(result).lower().replace("safety", "") for result in HARDER.values())


def test_several_suites_are_told_apart() -> None:
    other = replace(SUITE, name="other", title="Other prompts")
    estimates = unchanged() + [replace(each, suite="other") for each in unsure()]
    result = replace(RESULTS["go"], suites=(SUITE, other), estimates=tuple(estimates))
    card = render_card(result)
    assert "| Toxicity (Jigsaw BiLSTM) on RealToxicityPrompts, seven categories |" in card
    for title in (SUITE.title, "Other prompts"):
        assert f"**{title}**\n\n| Measure | Reading | Seen<br>New / repaired |" in card
        assert f"- Resolution of Toxicity (Jigsaw BiLSTM) on {title}: " in card


def test_a_slice_and_its_own_prompts_are_both_told_where_they_disagree() -> None:
    """One slice's own prompts give 80 pp; what they give of another lies within what the pooled estimate says."""
    first, second = [each for each in RESULTS["go"].estimates if each.slice != "all"][:2]
    alone = [
        replace(each, variant=ALONE, quantities=each.quantities | {"change": quantity(mean, mean - 0.2, mean + 0.2)})
        for each, mean in ((first, 0.8), (second, 0.01))
    ]
    result = replace(RESULTS["go"], estimates=(*RESULTS["go"].estimates, *alone))
    card = render_card(result).replace("\xa0", " ")
    (row,) = [line for line in card.splitlines() if "alone +80.0 pp [60.0, 100.0]" in line]
    assert row.startswith(f"| {first.slice} |") and card.count("<br>alone ") == 1
    corrected = replace(first, variant=CORRECTED)
    result = replace(result, estimates=(*result.estimates, corrected))
    assert "<br>alone " not in render_card(result)


def test_a_slices_own_prompts_are_told_where_they_alone_raise_the_alarm() -> None:
    """What borrows from other slices sees no harm; the intervals don't part, and yet the slice decides."""
    parts = [each for each in RESULTS["go"].estimates if each.slice != "all"]
    near = parts[0].quantities | {"change": quantity(0.035, 0.01, 0.06), "candidate": quantity(0.1, 0.08, 0.13)}
    table = {"n11": 20, "n10": 10, "n01": 40, "n00": 230}
    pooled = replace(parts[0], n=300, counts=table, p_above_margin=0.6, quantities=near)
    own = replace(pooled, variant=ALONE, quantities=near | {"change": quantity(0.05, 0.02, 0.09)})
    estimates = [pooled if each is parts[0] else each for each in RESULTS["go"].estimates]
    scorers = {scorer.name: scorer for scorer in RESULTS["go"].scorers}
    for variant in (OBSERVED, CORRECTED):
        found = (*estimates, own, *([replace(pooled, variant=CORRECTED)] if variant == CORRECTED else []))
        verdict = MarginGate().decide("benign", found, scorers)
        assert verdict.decision == "NO-GO"
        card = render_card(replace(RESULTS["go"], estimates=found, verdicts=(verdict,))).replace("\xa0", " ")
        assert f"benign raises toxicity on {own.slice}, by its own prompts, from " in card
        assert " to 10.0 %, +5.0 pp [2.0, 9.0]" in card
        (row,) = [line for line in card.splitlines() if "<br>alone +5.0 pp [2.0, 9.0]" in line]
        assert row.startswith(f"| {own.slice} |")
        assert "0.999 by its own prompts; 0.600 with the others" in card


def test_a_slice_decides_where_the_total_does_not() -> None:
    estimates = unchanged()
    worse = replace(estimates[3], p_above_margin=0.99, quantities=RESULTS["no-go"].estimates[3].quantities)
    reasons = tuple(
        replace(line, decision="NO-GO" if line.slice == worse.slice else "GO")
        for line in RESULTS["go"].verdicts[0].reasons
    )
    verdict = replace(RESULTS["go"].verdicts[0], decision="NO-GO", reasons=reasons)
    result = replace(RESULTS["go"], estimates=(*estimates[:3], worse, *estimates[4:]), verdicts=(verdict,))
    card = render_card(explained(result)).replace("\xa0", " ")
    assert "**NO-GO: benign raises toxicity on category=flirtation from 9.0 % to 97.0 %" in card
    assert "| Toxicity (Jigsaw BiLSTM) | category=flirtation | critical |" in card
    assert "| Toxicity (Jigsaw BiLSTM) | 6 slices | critical |" in card


def test_long_slices_sampling_and_unknown_estimators() -> None:
    many = replace(SUITE, slices={"group": {f"g{i}": 1 for i in range(13)}}, ask="as a poem.")
    warm = replace(RESULTS["go"].generation, temperature=0.7, samples=4)
    odd = replace(RESULTS["go"].estimates[0], estimator="own_estimator")
    result = replace(RESULTS["go"], suites=(many,), generation=warm, estimates=(*RESULTS["go"].estimates, odd))
    card = render_card(result)
    assert "as a poem; slices: group (13 values)." in card
    assert "4 completions per prompt, sampling at temperature 0.7" in card
    assert "- **Estimator** `own_estimator`." in card


def test_the_users_own_template_wins_and_cannot_forget_to_escape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "section.md.jinja").write_text("{{ begin }}\nmine: {{ card.title }}\n{{ end }}\n")
    monkeypatch.chdir(tmp_path)
    result = replace(RESULTS["go"], title="a | <b>")
    assert render_card(result) == "<!-- toxaudit:begin -->\nmine: a &#124; &lt;b>\n<!-- toxaudit:end -->\n"


def test_a_missing_template_is_one_sentence() -> None:
    with pytest.raises(
        ToxauditError, match=r"^There is no template 'sectoin.md.jinja'. Did you mean 'section.md.jinja'\?$"
    ):
        render_card(RESULTS["go"], "sectoin.md.jinja")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ card.titel }}", "'toxaudit.card.facts.CardFacts object' has no attribute 'titel'"),
        ("\n{% if %}", "The template 'own.md.jinja', line 2 has a mistake: "),
        ("{% include 'none' %}", "There is no template 'none'."),
        ("{{ card.__class__.__mro__ }}", "is unsafe"),
        ("\n\n{{ 1 / 0 }}", "The template 'own.md.jinja', line 3 has a mistake: division by zero."),
        ("{{ card.margin + 1 }}", "The template 'own.md.jinja', line 1 has a mistake: "),
        ("{{ card.suites | code }}", "has a mistake: "),
        ("{% for i in range(999999999) %}{% endfor %}", "has a mistake: "),
        ("{% include 'own.md.jinja' %}", "has a mistake: "),
    ],
)
def test_a_mistake_in_a_template_is_one_sentence(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "own.md.jinja").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ToxauditError) as caught:
        render_card(RESULTS["go"], "own.md.jinja")
    assert message in str(caught.value)


def test_a_measure_that_is_not_critical_is_no_limitation_of_resolution() -> None:
    supporting = replace(TOXICITY, tier="supporting")
    card = render_card(replace(RESULTS["go"], scorers=(supporting, *RESULTS["go"].scorers[1:])))
    assert "Resolution:" not in card


def test_a_template_that_is_no_text_or_has_another_name_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.md.jinja").write_bytes(b"\xff")
    with pytest.raises(ToxauditError, match=r"own.md.jinja' is not UTF-8: .* at byte 0\.$"):
        render_card(RESULTS["go"], str(tmp_path / "own.md.jinja"))
    with pytest.raises(ToxauditError, match=r"^'/etc/hostname' is no name of a template: it must end in \.jinja\.$"):
        render_card(RESULTS["go"], "/etc/hostname")


@pytest.mark.parametrize(
    "text", ['{{ (card.base.name | code) ~ ": " ~ card.title }}', '{{ [card.title, "a" | code] | join(", ") }}']
)
def test_what_a_template_joins_is_escaped_too(text: str, tmp_path: Path) -> None:
    (tmp_path / "own.md.jinja").write_text(text)
    title = "[click](https://example.org) | **b** ![i](https://example.org/a.png)"
    card = render_card(replace(RESULTS["go"], title=title), str(tmp_path / "own.md.jinja"))
    assert not set("[]|*!") & set(card) and "//" not in card

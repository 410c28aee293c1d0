"""Short cards as agreed in tests/cards/short; TOXAUDIT_REGENERATE=1 writes them anew, to be read as a diff."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from harder import HARDER, grid
from results import BENIGN, RESULTS, SUITE, TOXICITY, result, unchanged

from toxaudit.card.markdown import render_beside, render_card
from toxaudit.card.section import SHORT, FullCard, SectionCard
from toxaudit.errors import ToxauditError
from toxaudit.findings import AuditResult

AGREED = Path(__file__).parents[1] / "cards/short"
MOST_LINES, MOST_BYTES = 60, 6_000


def many() -> AuditResult:
    """A hundred candidates whose names are as long as names may be, on suites with long titles."""
    names = [f"{'long-' * 12}{number}" for number in range(100)]
    made = result(*((replace(BENIGN, name=name), "GO", unchanged(name)) for name in names))
    return replace(made, suites=tuple(replace(each, title=each.title * 20) for each in made.suites))


def wordy() -> AuditResult:
    """One candidate, with titles, references and a nouns of thousands of characters, in one word and in many."""
    scorers = tuple(replace(each, title="x" * 5_000, noun="so very " * 900) for each in RESULTS["go"].scorers)
    suite = replace(SUITE, title="y " * 5_000)
    base = replace(RESULTS["go"].base, reference="ORG/" + "b" * 90)
    return replace(RESULTS["go"], scorers=scorers, suites=(suite,), base=base)


BOUNDED = HARDER | {"many": many(), "wordy": wordy(), "large-grid": grid(10, 10)}


@pytest.mark.parametrize("name", HARDER)
def test_the_short_card_is_as_agreed(name: str) -> None:
    card = render_card(HARDER[name], SHORT)
    file = AGREED / f"{name}.md"
    if os.environ.get("TOXAUDIT_REGENERATE"):
        file.write_text(card, encoding="utf-8")
    assert card == file.read_text(encoding="utf-8")


def test_every_agreed_card_has_its_result() -> None:
    assert {file.stem for file in AGREED.glob("*.md")} == set(HARDER)


@pytest.mark.parametrize("name", BOUNDED)
def test_the_short_card_is_short_whatever_the_audit(name: str) -> None:
    card = render_card(BOUNDED[name], SHORT)
    lines = card.splitlines()
    assert len(lines) <= MOST_LINES and len(card.encode()) <= MOST_BYTES
    assert lines[0] == "<!-- toxaudit:begin -->" and lines[-1] == "<!-- toxaudit:end -->"
    assert not any(line != line.rstrip() for line in lines)
    assert not any(pair == ("", "") for pair in zip(lines, lines[1:], strict=False))


@pytest.mark.parametrize("name", HARDER)
def test_the_verdict_comes_first(name: str) -> None:
    heading, empty, verdict = render_card(HARDER[name], SHORT).splitlines()[1:4]
    assert (heading, empty) == ("## Safety audit", "")
    assert verdict.startswith("**") and any(f" {word}: " in verdict for word in ("GO", "NO-GO", "INCONCLUSIVE"))


def test_of_many_candidates_the_worst_are_shown_and_the_rest_is_counted() -> None:
    card = render_card(grid(10, 10), SHORT)
    assert card.count("| ◆\xa0NO-GO |") == 8 and "92 more are in the whole audit: " in card


def test_unscored_completions_are_told_where_they_keep_a_measure_open() -> None:
    made = RESULTS["missing-scores"]
    assert "Unscored completions" in render_card(made) and "Unscored completions" not in render_card(made, SHORT)
    first, *others = made.verdicts
    turned = replace(first.reasons[0], limit="decisive")
    made = replace(made, verdicts=(replace(first, reasons=(*first.reasons, turned)), *others))
    assert "Unscored completions" in render_card(made, SHORT)
    advisory = replace(turned, tier="advisory")
    made = replace(made, verdicts=(replace(first, reasons=(*first.reasons, advisory)), *others))
    assert "Unscored completions" not in render_card(made, SHORT)


def test_a_supporting_measure_prevents_a_go_only_where_it_fails() -> None:
    made = RESULTS["go"]
    (verdict,) = made.verdicts
    for decision, told in (("GO", False), ("INCONCLUSIVE", False), ("NO-GO", True)):
        reasons = tuple(
            replace(each, decision=decision) if each.tier == "supporting" else each for each in verdict.reasons
        )
        card = render_card(replace(made, verdicts=(replace(verdict, reasons=reasons),)), SHORT)
        assert ("prevents a GO: " in card) == told, decision


def test_what_each_measure_is_worth_is_said_below_the_table() -> None:
    card = render_card(HARDER["by-rules"], SHORT)
    assert "Wrong answers decide; Degenerate output (empty, or the same words again and again) and " in card
    assert "can only prevent a GO; Refusal is for information." in card


def test_no_candidate_is_a_go_beside_a_failed_control() -> None:
    card = render_card(HARDER["failed-control"], SHORT)
    assert "GO: no rise" not in card and "not valid: a control failed" in card


def test_a_slice_that_fails_where_the_total_does_not_has_a_row() -> None:
    made = RESULTS["go"]
    (verdict,) = made.verdicts
    failed = next(each for each in verdict.reasons if each.slice == "category=insult")
    reasons = tuple(replace(each, decision="NO-GO") if each is failed else each for each in verdict.reasons)
    card = render_card(replace(made, verdicts=(replace(verdict, decision="NO-GO", reasons=reasons),)), SHORT)
    assert card.count("| Toxicity") == 2 and "| ◆\xa0NO-GO: a rise above 3\xa0pp |" in card
    assert "category=insult" not in render_card(made, SHORT)


def test_measures_of_one_noun_are_told_apart_by_their_titles() -> None:
    twin = replace(TOXICITY, name="other", title="Toxicity (another)")
    totals = [replace(each, measure="other") for each in unchanged() if each.measure == TOXICITY.name]
    made = RESULTS["go"]
    made = replace(made, scorers=(*made.scorers, twin), estimates=(*made.estimates, *totals))
    card = render_card(made, SHORT)
    assert f"| {TOXICITY.title} |" in card and "| Toxicity (another) |" in card


def test_the_whole_audit_lies_with_its_plots_and_is_no_section() -> None:
    whole = render_beside(HARDER["go"])
    assert whole.startswith("## Safety audit\n") and "toxaudit:" not in whole
    assert "](forest.png)" in whole and "](toxaudit/" not in whole


def test_a_run_has_both_and_the_report_has_the_whole_audit(tmp_path) -> None:
    SectionCard(samples=0).write(RESULTS["go"], [], {}, tmp_path)
    assert (tmp_path / "card.md").read_text() == render_card(RESULTS["go"], SHORT)
    assert (tmp_path / "toxaudit/audit.md").read_text() == render_beside(RESULTS["go"])
    assert "Estimand" in (tmp_path / "report.html").read_text()
    FullCard(samples=0).write(RESULTS["go"], [], {}, tmp_path)
    assert (tmp_path / "card.md").read_text() == render_card(RESULTS["go"])
    assert not (tmp_path / "toxaudit/audit.md").exists()


def test_a_short_card_needs_the_whole_audit() -> None:
    with pytest.raises(ToxauditError, match=r"^card\.audit is empty, .*: set it, or choose card=full\.$"):
        SectionCard(audit="").check()

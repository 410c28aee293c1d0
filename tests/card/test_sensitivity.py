"""Other assumptions, notices and methods: what a card says of numbers beyond the one that decides."""

from dataclasses import replace

import pytest
from harder import BY_CATEGORY, FEW, HARDER, LABELS, OVERALL, REPLICATES, SPIKE, UNPAIRED, changed, replication
from results import BENIGN, NOOP, RESULTS, SUITE, TOXICITY, others, quantity, raised, result, unchanged, unsure

from toxaudit.card import methods
from toxaudit.card.facts import gather
from toxaudit.card.index import indexed
from toxaudit.card.markdown import render_card
from toxaudit.card.notices import notices as told
from toxaudit.card.sensitivity import SensitivityTable, tables
from toxaudit.card.terminal import verdict_line
from toxaudit.decision.gate import explained
from toxaudit.facts import Confusion
from toxaudit.findings import AuditResult, Reason
from toxaudit.records import BEST_CASE, CORRECTED, WORST_CASE, Diagnostics, Estimate

TOTAL = unsure()[0]


def audit(*estimates: Estimate) -> AuditResult:
    return result((BENIGN, "INCONCLUSIVE", list(estimates)))


def table(*estimates: Estimate) -> SensitivityTable:
    (found,) = tables_of(audit(*estimates))
    return found


def tables_of(made: AuditResult) -> list[SensitivityTable]:
    index = indexed(made)
    return list(tables(index, index.candidates["benign"]))


def remedy(made: AuditResult) -> str:
    """What would settle its first verdict, by the gate, as a card says it."""
    made = explained(made)
    return gather(made).candidates[0].outlook


def notices(made: AuditResult) -> list[str]:
    return list(told(indexed(made)))


def test_what_decides_is_shown_and_is_corrected_where_it_can_be() -> None:
    made = HARDER["corrected-scorer"]
    rude = indexed(made).candidates["rude"]
    (shown, scorer), *_ = rude.totals
    assert (shown.variant, scorer.name) == (CORRECTED, TOXICITY.name)
    assert {part.variant for part, _ in rude.critical_slices} == {CORRECTED} and len(rude.critical_slices) == 7
    assert indexed(HARDER["templates"]).candidates["benign"].totals[0][0].estimator == "paired_bb"


def test_rows_stand_in_one_order_however_they_come() -> None:
    flat, hierarchical = others(TOTAL)
    rows = [
        replication(TOTAL),
        replace(TOTAL, estimator="own"),
        replace(TOTAL, estimator="unpaired_beta", diagnostics=Diagnostics({}, (), (f"{UNPAIRED}.",))),
        replace(TOTAL, estimator="unpaired_beta", variant="own variant"),
        hierarchical,
        replace(TOTAL, variant="own variant"),
        flat,
        replace(TOTAL, variant=WORST_CASE),
        replace(TOTAL, variant=BEST_CASE),
        TOTAL,
    ]
    shown = [(row.assumption, row.estimator) for row in table(*rows).rows]
    assert shown == [
        ("The result above: scores as they are", "paired_exact"),
        ("Unscored answers counted in the candidate's favour", ""),
        ("Unscored answers counted against the candidate", ""),
        ("Another prior", ""),
        ("Own variant", ""),
        ("The hierarchical model's total", "hier_paired"),
        ("Another estimator", "own"),
        (f"Unpaired: {UNPAIRED}", "unpaired_beta"),
        ("Unpaired: it never decides", "unpaired_beta"),
        (f"Student's t: {REPLICATES}; {SPIKE}", "best_replication"),
    ]


def test_each_row_says_how_it_would_decide_and_how_far_it_lies_away() -> None:
    worst = changed(TOTAL, 0.053, 0.025, 0.08, 0.96, variant=WORST_CASE)
    best = changed(TOTAL, -0.01, -0.03, 0.011, 0.001, variant=BEST_CASE)
    bad = replace(TOTAL, estimator="hier_paired", diagnostics=Diagnostics({}, ("chains disagree",)))
    found = table(TOTAL, worst, best, bad, replication(TOTAL))
    assert [row.decision for row in found.rows] == [
        "△ INCONCLUSIVE",
        "● GO",
        "◆ NO-GO",
        "not usable",
        "never decides",
    ]
    sd = TOTAL.quantities["change"].sd
    assert [row.shift for row in found.rows[:3]] == ["0.0", f"−{0.032 / sd:.1f}", f"+{0.031 / sd:.1f}"]
    assert [row.decides for row in found.rows] == [True, False, False, False, False]
    assert found.summary == (
        "By this change alone the measure is INCONCLUSIVE; 2 of the other assumptions below would make it something "
        "else"
    )
    agreed = table(TOTAL, bad, replication(TOTAL)).summary
    assert agreed.endswith("is INCONCLUSIVE, and no other assumption below makes it anything else")


def test_without_a_spread_or_a_usable_result_nothing_is_measured_against_it() -> None:
    still = replace(TOTAL, quantities=TOTAL.quantities | {"change": quantity(0.02, 0.02, 0.02)})
    assert {row.shift for row in table(still, replication(still)).rows} == {"unknown"}
    bad = replace(TOTAL, diagnostics=Diagnostics({}, ("nothing scored",)))
    assert table(bad, replication(TOTAL)).summary == "Nothing below can stand in for it"


def test_alone_or_not_critical_or_a_control_it_has_no_table() -> None:
    assert tables_of(audit(TOTAL)) == []
    advisory = replace(RESULTS["go"], scorers=(replace(TOXICITY, tier="advisory"),))
    assert tables_of(advisory) == []
    assert "noop, other assumptions" not in render_card(RESULTS["several"])


def test_a_decision_that_more_prompts_would_give_is_foreseen() -> None:
    made = RESULTS["inconclusive"]
    assert remedy(made).startswith("About 9,500 more prompts like these would")
    assert gather(made).candidates[0].outlook.startswith("About 9,500 more")
    (clustered,) = gather(HARDER["templates"]).candidates
    assert ", written from new templates, would, as far" in clustered.outlook
    at_margin = audit(changed(TOTAL, 0.03, 0.029999, 0.030001, 0.5))
    assert "more prompts" in remedy(at_margin)


def test_the_change_that_needs_most_prompts_is_counted() -> None:
    other = replace(changed(TOTAL, 0.028, 0.004, 0.051, 0.45), suite="other")
    both = replace(audit(TOTAL, other), suites=(SUITE, replace(SUITE, name="other", available=900)))
    assert "the suite has only 550 left" in remedy(both)


def test_where_more_prompts_would_not_settle_it_none_are_asked_for() -> None:
    made = RESULTS["inconclusive"]
    verdict = made.verdicts[0]
    missing = Reason(SUITE.name, TOXICITY.name, "all", "critical", "at most 5 %", "9 %", "INCONCLUSIVE")
    support = Reason(SUITE.name, "degenerate", "all", "supporting", "rule", "0.2", "NO-GO")
    for reason in (missing, replace(missing, slice="category=insult"), support):
        more = replace(verdict, reasons=(*verdict.reasons, reason))
        assert remedy(made) != remedy(replace(made, verdicts=(more,))) == ""
    assert remedy(replace(made, verdicts=(replace(verdict, decision="GO"),))) == ""
    assert remedy(RESULTS["no-result"]) == ""
    assert remedy(RESULTS["failed-diagnostics"]) == ""


def test_where_the_scorers_errors_are_uncertain_labels_may_help() -> None:
    made = audit(replace(TOTAL, variant=CORRECTED))
    assert verdict_line(made, made.verdicts[0]).endswith(
        " More prompts alone may not settle it, for they do not lessen what is uncertain of the scorer's own errors: "
        "more labelled completions may be needed."
    )


def test_warnings_are_said_once_but_the_replications_only_in_its_row() -> None:
    warned = Diagnostics({}, (), (f"{FEW}.",))
    parts = [replace(each, diagnostics=warned) for each in raised("benign") if each.measure == TOXICITY.name]
    unpaired = replace(parts[0], estimator="unpaired_beta")
    found = notices(audit(*parts, replication(TOTAL), replication(parts[0]), unpaired))
    assert found == [
        f"Caution: {TOXICITY.title} by paired_exact and hier_paired, benign, benign category=flirtation, benign "
        f"category=identity attack and 5 more: {FEW}"
    ]
    bad = replace(replication(TOTAL), diagnostics=Diagnostics({}, ("chains disagree",)))
    assert notices(audit(TOTAL, bad)) == []
    assert table(TOTAL, bad).rows[-1].reading == "not usable: the estimate's diagnostics failed"


def test_missing_scores_are_bounded_for_real_candidates() -> None:
    (notice,) = notices(HARDER["missing-with-bounds"])
    assert notice.endswith(
        "base 3, benign 14 of 350 each could not be scored and are excluded. Counting the unscored answers against "
        "benign gives +5.3 pp [2.5, 8.0], in its favour −1.0 pp [−3.0, 1.1]"
    )
    (unbounded,) = notices(RESULTS["missing-scores"])
    assert unbounded.endswith("could not be scored and are excluded")
    gone = replace(TOTAL, missing={"base": 3, "candidate": 14})
    extremes = [replace(gone, variant=each) for each in (CORRECTED, WORST_CASE, BEST_CASE)]
    (corrected,) = notices(audit(gone, *extremes))
    assert "Counting the unscored answers against benign" in corrected
    control = replace(NOOP, name="benign")
    (controls,) = notices(result((control, "GO", [gone, *extremes[1:]])))
    assert controls.endswith("could not be scored and are excluded")


def test_sampling_says_what_it_saved() -> None:
    made = HARDER["adaptive"]
    assert methods.sampling(made).endswith("; 350 of 1,050 prompts were asked, 66.7 % fewer")
    assert methods.sampling(RESULTS["go"]) == "all prompts were asked"
    whole = replace(made, suites=(replace(SUITE, available=350),), sampling="in rounds.")
    assert methods.sampling(whole) == "in rounds"
    assert [suite.n for suite in methods.suites(made)] == ["350 of 1,050 prompts"]
    assert [suite.n for suite in methods.suites(whole)] == ["350 prompts"]


def test_weights_and_templates_of_a_suite() -> None:
    many = replace(SUITE, strata=None, weights={f"g{i}": 2.0 for i in range(13)}, clusters=1200)
    (line,) = methods.suites(replace(RESULTS["go"], suites=(many,)))
    assert line.about.startswith(
        "they vary 1,200 templates (equal texts are one), so that prompts of one template count as dependent; weight"
    )
    assert "population's shares (g0 7.7 %, " in line.about and line.about.endswith("g10 7.7 % and 2 more)")
    (plain,) = methods.suites(RESULTS["go"])
    assert plain.about == ""


def test_diagnostics_are_the_worst_of_all_fits() -> None:
    first, second = (
        Diagnostics({"max_rhat": rhat, "min_ess": ess, "divergences": 0.0, "own": 1.0})
        for rhat, ess in ((1.001, 900), (1.004, 1200))
    )
    pair = [replace(TOTAL, estimator="hier_paired", diagnostics=each) for each in (first, second)]
    exact, hierarchical = methods.estimators(audit(TOTAL, *pair))
    assert exact.diagnostics == ""
    assert hierarchical.diagnostics == (
        "Over all its fits: max R-hat 1.004 (bar: at most 1.01), min effective sample size 900 (bar: at least 400), at "
        "most 0 divergent draws (bar: 0.5 % of them)"
    )
    broken = replace(pair[0], diagnostics=Diagnostics({"max_rhat": float("nan"), "flip_p": 0.001}))
    (_, line) = methods.estimators(audit(TOTAL, *pair, broken))
    assert "max R-hat nan" in line.diagnostics and "flip tables < 0.01" in line.diagnostics


@pytest.mark.parametrize(
    ("calibration", "text"),
    [
        (None, ""),
        (replace(OVERALL, counts={}), ""),
        (
            OVERALL,
            "finds toxicity in 90.0 % of 500 completions labelled with it, clears 97.0 % of 500 labelled without it; "
            f"its results are corrected for these errors, whose uncertainty they carry. Labels: {LABELS}",
        ),
        (
            replace(OVERALL, counts={"": Confusion(0, 0, 0, 4)}),
            "finds toxicity in an unknown share of 0 completions labelled with it, clears 100.0 % of 4 labelled "
            f"without it; its results are corrected for these errors, whose uncertainty they carry. Labels: {LABELS}",
        ),
    ],
)
def test_a_scorers_errors_in_words(calibration: object, text: str) -> None:
    scorer = replace(TOXICITY, calibration=calibration)  # type: ignore[arg-type]
    made = replace(audit(replace(TOTAL, variant=CORRECTED)), scorers=(scorer,))
    (line,) = methods.scorers(indexed(made))
    assert line.errors == text
    assert list(methods.error_rows(indexed(made))) == []


def test_errors_by_group_and_what_stays_uncorrected() -> None:
    made = HARDER["corrected-scorer"]
    assert [row.group for row in methods.error_rows(indexed(made))] == [
        f"category={value}" for value in BY_CATEGORY.counts
    ]
    limits = gather(made).limitations
    assert f"Correcting {TOXICITY.title} takes these completions to be like the labelled ones" in limits[2]
    assert limits[3].endswith("count in both models: Degenerate output and Refusal (keyword list)")
    only = replace(made, scorers=made.scorers[:1])
    assert "Not corrected" not in render_card(only)
    uncorrected = replace(RESULTS["go"], scorers=made.scorers)
    assert next(methods.scorers(indexed(uncorrected))).errors.endswith(
        f"its results are not corrected. Labels: {LABELS}"
    )
    assert any(limit.startswith("Scorers are classifiers") for limit in gather(uncorrected).limitations)


def test_the_legend_is_true_of_mean_scores_too() -> None:
    plain = "Rates are posterior means: estimates of the share with the outcome among all prompts like these, "
    assert gather(RESULTS["go"]).legend == f"{plain}so that 0 of 40 is not 0 %"
    made = HARDER["templates"]
    assert gather(made).legend.endswith(
        "; mean scores, which are neither new nor repaired, are percent of the scorer's scale"
    )
    rows = gather(made).candidates[0].results
    assert [(row.new, row.repaired) for row in rows] == [("12", "4.5"), ("0", "0"), ("1", "8"), ("–", "–")]


def test_a_ratio_is_said_of_totals_only() -> None:
    parts = [replace(each, ratio=quantity(1.4, 1.1, 1.8)) for each in raised("benign")]
    (candidate,) = gather(audit(*parts)).candidates
    assert candidate.results[0].reading == "more toxic, credibly: 1.4 times the base's rate [1.1, 1.8]"
    assert {row.reading for row in candidate.slices} == {"more toxic, credibly"}
    assert unchanged()[0].ratio is None

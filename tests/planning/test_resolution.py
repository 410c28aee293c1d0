"""A plan says what an audit can tell, from assumed rates or a pilot's, and warns where that is little."""

import sys
from pathlib import Path

import finished
import pytest

from toxaudit.cli.main import main
from toxaudit.compose.compose import compose
from toxaudit.decision.gate import MarginGate
from toxaudit.decision.policy import Rule
from toxaudit.errors import ToxauditError
from toxaudit.planning import resolution
from toxaudit.stages.estimating import fewest_prompts

sys.path.insert(0, str(Path(__file__).parent.parent / "card"))
from results import RESULTS

SUITE = "rtp_categories"


def lines(*words, counts=None, pilot=None):
    spec = compose(["audit=quick", "base.pretrained=a/b", "candidates.it=c/d", *words])
    return resolution.describe(spec, {}, {SUITE: 400} if counts is None else counts, pilot)


def cells(line):
    """The chances of GO, INCONCLUSIVE and NO-GO in each column of a line."""
    numbers = [float(word) for word in line.replace("/", " ").split() if word[0] in "01" and "." in word]
    return [tuple(numbers[place : place + 3]) for place in range(0, len(numbers), 3)]


def test_a_plan_tells_chances_for_each_assumed_rate():
    title, head, unchanged, worse, smallest, note = lines()
    assert title == "  What it can tell, by how often the base shows the outcome (GO / INCONCLUSIVE / NO-GO):"
    assert head.split() == ["1", "%", "5", "%", "20", "%"]
    assert cells(unchanged)[0][0] >= cells(unchanged)[1][0] > cells(unchanged)[2][0] > 0.5
    assert worse.strip().startswith("one that rises by 10 pp in one measure")
    assert all(go < 0.01 < no_go for go, _, no_go in cells(worse))
    assert smallest.split()[-6::2] == ["+8.5", "+9.5", "+11.4"]
    assert note.strip() == (
        "(1 critical measure with 400 prompts, none missing; the arms' outcomes correlate at 0.5; "
        "slices are not counted)"
    )


def test_where_an_unchanged_candidate_hardly_passes_the_plan_warns():
    caution, due = lines("gate.margin=0.01")[-2:]
    assert caution == (
        "  Caution: at 1 %, 5 % or 20 %, even a candidate that did not change will probably get no GO: ask more "
        "prompts, or choose a wider margin or fewer critical measures."
    )
    assert due == (
        "  Most of that is due to rtp_categories: with 400 prompts, toxicity_bilstm passes a candidate that did not "
        "change with probability 0.20; for 0.8 about 3,800 would do (the base's rate as in the column 5 %)."
    )
    assert "even 20,000 would not do" in lines("gate.margin=0.0001")[-1]
    assert not any("Caution" in line for line in lines())


def test_several_measures_are_told_together():
    words = ["suite=[rtp_categories,rtp_severe]"]
    counts = {SUITE: 400, "rtp_severe": 1000}
    both = lines(*words, counts=counts)
    assert cells(both[2])[2][0] < cells(lines()[2])[2][0]
    assert both[-1].startswith(
        "    (2 critical measures, taken as independent, with 400 to 1,000 prompts, none missing"
    )
    part = lines(*words)  # of one suite it is not known how many prompts there are
    assert "without toxicity_bilstm on rtp_severe, of which too little is known" in part[-1]


def test_a_plan_tells_of_prompts_that_are_too_few_to_decide():
    """The chances above it are those of a rule that asks for no number."""
    found = lines("gate.min_prompts=401")
    assert f"  Caution: {SUITE} has 400 prompts, and " in found[-1] and found[-1].endswith("no candidate can be a GO.")
    assert "Caution" not in lines("gate.min_prompts=400")[-1]


def test_rounds_do_not_end_before_what_only_supports_has_prompts_enough():
    """A supporting measure of too few prompts keeps a GO away, as a critical one does."""
    spec = compose(["audit=quick", "base.pretrained=a/b", "candidates.it=c/d"])
    spec.gate = MarginGate(min_prompts=20, rules={"whole": Rule(measure="degenerate", min_prompts=300)})
    assert spec.counting()[SUITE, "degenerate"].tier == "supporting"
    assert fewest_prompts(spec) == {SUITE: 300}


def test_nothing_is_told_where_the_numbers_of_prompts_are_unknown():
    assert lines(counts={}) == []


def test_of_mean_scores_nothing_is_told():
    assert lines("scorers.toxicity_bilstm.threshold=null") == []


@pytest.fixture
def pilot(tmp_path):
    return finished.run(tmp_path / "pilot", RESULTS["go"])


def test_a_pilot_tells_the_rates(pilot):
    _, head, unchanged, *_, note = lines(pilot=pilot)
    assert head.strip() == "as the pilot has it" and len(cells(unchanged)) == 1
    assert f"rates of {pilot}" in note
    total = next(e for e in RESULTS["go"].estimates if (e.measure, e.slice) == ("toxicity_bilstm", "all"))
    rate, repaired = resolution._rates(total)
    assert repaired == (total.counts["n10"] + 0.5) / (total.n + 1) and rate >= repaired


def test_a_pilot_of_another_audit_is_refused(pilot):
    with pytest.raises(ToxauditError, match=r"measured none of what decides here \(roberta_hate on rtp_categories\)"):
        lines("scorer=[roberta_hate]", pilot=pilot)


def test_a_pilot_that_is_none_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["plan", "audit=quickstart", "--pilot", str(tmp_path / "none")]) == 3
    assert capsys.readouterr().err.count("\n") == 1

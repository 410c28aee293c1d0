"""Results made elsewhere: what is paired, what counts, what is refused, and the run that comes of it."""

import json
import random
from pathlib import Path

import foreign
import pytest

from toxaudit.comparing import Comparison, run
from toxaudit.errors import ToxauditError
from toxaudit.interop.importers import Place
from toxaudit.recomputation import read_checked
from toxaudit.scorers.imported import Wanted


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def unwritten(monkeypatch, request):
    """Files cost most of the time, and few tests look at them."""
    if request.node.name not in (WRITES, WITH_CARD):
        monkeypatch.setattr("toxaudit.comparing._write", lambda out, spec, result, *_: (result, []))
    if request.node.name != WITH_CARD:
        monkeypatch.setattr("toxaudit.comparing.rendering.render", lambda *_: [])


WRITES = "test_lines_and_running_numbers_in_another_order_change_nothing"
WITH_CARD = "test_a_run_with_its_card_can_be_read_again"


def compared(base, candidate, *overrides, **more):
    asked = Comparison(
        Place(Path(base)), Place(Path(candidate)), overrides=overrides, command="toxaudit compare", **more
    )
    return run(asked)[0]


def total(result, measure, suite=None):
    return next(
        each
        for each in result.estimates
        if (each.measure, each.slice, each.variant) == (measure, "all", "observed") and suite in (None, each.suite)
    )


def decision(result):
    return result.verdicts[0].decision


class TestCounts:
    def test_of_lm_eval_are_those_by_hand(self, tmp_path):
        base = foreign.lm_eval(tmp_path / "base", [1, 1, 0, 0, 1])
        candidate = foreign.lm_eval(tmp_path / "mine", [1, 0, 0, 1, 0])
        result = compared(base, candidate)
        found = total(result, "acc")  # wrong answers count
        assert found.counts == {"n11": 1, "n10": 1, "n01": 2, "n00": 1} and found.n == 5
        assert result.elsewhere.tools == dict.fromkeys(("base", "candidate"), "lm-evaluation-harness 0.4.13")
        assert [model.reference for model in (result.base, *result.candidates)] == ["base", "mine"]

    def test_of_a_table_are_those_by_hand(self, tmp_path):
        base = foreign.table(tmp_path / "base.jsonl", [0, 0, 1, 0.5, None])
        candidate = foreign.table(tmp_path / "mine.jsonl", [0, 1, 1, 0.75, 0])
        result = compared(base, candidate, wanted=Wanted(harmful="high", threshold=0.6))
        found = total(result, "toxic")
        assert found.counts == {"n11": 1, "n10": 0, "n01": 2, "n00": 1}
        assert found.missing == {"base": 1, "candidate": 0}

    def test_of_two_filters_are_two_measures_of_one_document(self, tmp_path):
        arms = []
        for name, values in (("base", [1, 1]), ("mine", [1, 0])):
            folder = tmp_path / name
            lines = [
                foreign.lm_line(i, q, value, f"{name} {i}", by=by)
                for by in ("strict", "loose")
                for i, (q, value) in enumerate(foreign.asked(values))
            ]
            arms.append(foreign.jsonl(folder / "samples_gsm_2026-11-28T06-02-25.1.jsonl", lines))
        wanted = Wanted(("acc@strict", "acc@loose"), "low")
        result = compared(*arms, wanted=wanted)
        assert [total(result, name).n for name in wanted.names] == [2, 2]
        assert result.generation.samples == 1

    def test_of_repeats_are_samples_of_one_document(self, tmp_path):
        values = {"base": [0, 0, 1, 0], "mine": [0, 1, 1, 1]}
        arms = []
        for name, scores in values.items():
            rows = [{"prompt": f"p{i // 2}", "toxic": score, "sample": i % 2} for i, score in enumerate(scores)]
            arms.append(foreign.jsonl(tmp_path / f"{name}.jsonl", rows))
        result = compared(*arms, wanted=Wanted(harmful="high"))
        found = total(result, "toxic")
        assert (found.n, found.samples, result.generation.samples) == (2, 2, 2)
        assert sum(found.counts[cell] for cell in ("n11", "n01")) == 1.5  # of the candidate: (1/2 + 2/2)

    def test_of_uneven_repeats_are_clusters(self, tmp_path):
        base = foreign.jsonl(tmp_path / "b.jsonl", [{"prompt": p, "toxic": 0} for p in "aabc"])
        candidate = foreign.jsonl(tmp_path / "c.jsonl", [{"prompt": p, "toxic": 1} for p in "aaabc"])
        result = compared(base, candidate, wanted=Wanted(harmful="high"))
        assert (result.suites[0].n, result.suites[0].clusters) == (4, 3)
        assert result.elsewhere.unpaired[0].spare == {"base": 0, "candidate": 1}


class TestMissing:
    def test_errors_in_a_fifth_of_one_arm_decide_nothing(self, tmp_path):
        values = [1.0] * 950 + [0.0] * 50
        base = foreign.lm_eval(tmp_path / "base", values)
        other = values[:-1] + [1.0]
        assert decision(compared(base, foreign.lm_eval(tmp_path / "fine", other, answer="x"))) == "GO"
        broken = [float("nan") if number % 5 == 0 else value for number, value in enumerate(other)]
        result = compared(base, foreign.lm_eval(tmp_path / "broken", broken, answer="x"))
        assert decision(result) == "INCONCLUSIVE"
        assert total(result, "acc").missing == {"base": 0, "candidate": 200}

    @pytest.mark.thorough
    def test_errors_just_where_the_candidate_is_better_refuse_nothing(self, tmp_path):
        base = foreign.lm_eval(tmp_path / "base", [0] * 300 + [1] * 700)
        repaired, new = [1] * 100 + [0] * 200, [0] * 100 + [1] * 600
        assert decision(compared(base, foreign.lm_eval(tmp_path / "x", repaired + new, answer="x"))) == "GO"
        for name, values in (
            ("repaired", [float("nan")] * 100 + repaired[100:] + new),
            ("new", repaired + [float("nan")] * 100 + new[100:]),
        ):
            assert decision(compared(base, foreign.lm_eval(tmp_path / name, values, answer="x"))) == "INCONCLUSIVE"
        worse = [float("nan")] * 100 + [0] * 600 + [1] * 300  # whatever the missing ones are
        assert decision(compared(base, foreign.lm_eval(tmp_path / "worse", worse, answer="x"))) == "NO-GO"

    @pytest.mark.parametrize("bad", ["NaN", "Infinity", "null", '"[invalid]"', "[0.5, 1]", "1e999"])
    def test_what_is_no_number_is_no_zero(self, tmp_path, bad):
        base = foreign.lm_eval(tmp_path / "base", [1, 1, 0])
        candidate = foreign.lm_eval(tmp_path / "mine", [1, 0, 0])
        file = next(candidate.glob("samples*"))
        lines = file.read_text().splitlines()
        file.write_text("\n".join([lines[0].replace('"acc": 1', f'"acc": {bad}'), *lines[1:]]))
        found = total(compared(base, candidate), "acc")
        assert (found.n, found.missing) == (2, {"base": 0, "candidate": 1})

    def test_an_invalid_filtered_answer_is_missing(self, tmp_path):
        base = foreign.lm_eval(tmp_path / "base", [1, 1, 0])
        candidate = foreign.lm_eval(tmp_path / "mine", [0, 0, 0])
        file = next(candidate.glob("samples*"))
        file.write_text(
            file.read_text().replace('"filtered_resps": ["answer 0"]', '"filtered_resps": ["[invalid]"]', 1)
        )
        assert total(compared(base, candidate), "acc").missing == {"base": 0, "candidate": 1}

    def test_prompts_that_one_arm_lacks_forbid_a_go(self, tmp_path):
        values = [0.0] * 400
        base = foreign.table(tmp_path / "base.jsonl", values, completion="a")
        candidate = foreign.table(tmp_path / "mine.jsonl", values[:300], completion="b")
        wanted = Wanted(harmful="high")
        result = compared(base, candidate, wanted=wanted)
        assert decision(result) == "INCONCLUSIVE"
        assert "100 of the base's 400 prompts" in result.verdicts[0].reasons[0].observed
        assert result.elsewhere.unpaired[0].only == {"base": 100, "candidate": 0}
        assert decision(compared(base, candidate, wanted=wanted, shared_only=True)) == "GO"


class TestRefused:
    def refused(self, *arms, **more):
        with pytest.raises(ToxauditError) as told:
            compared(*arms, **more)
        return str(told.value)

    def test_the_base_as_its_own_candidate(self, tmp_path):
        base = foreign.lm_eval(tmp_path / "base", [1, 0])
        assert "The candidate is the base" in self.refused(base, base)

    def test_scores_that_tell_nothing_are_no_go(self, tmp_path):
        base = foreign.table(tmp_path / "base.jsonl", [0.0] * 400)
        result = compared(base, base, wanted=Wanted(harmful="high"))
        assert decision(result) == "INCONCLUSIVE"
        assert "nothing tells it from the base" in result.verdicts[0].reasons[0].observed

    def test_arms_without_a_shared_prompt(self, tmp_path):
        base = foreign.jsonl(tmp_path / "b" / "r.jsonl", [{"prompt": "a", "toxic": 0}, {"prompt": "b", "toxic": 0}])
        candidate = foreign.jsonl(tmp_path / "c" / "r.jsonl", [{"prompt": "c", "toxic": 1}])
        wanted = Wanted(harmful="high")
        assert "--unpaired" in self.refused(base, candidate, wanted=wanted)
        result = compared(base, candidate, wanted=wanted, unpaired=True)
        assert decision(result) == "INCONCLUSIVE"
        assert {each.estimator for each in result.estimates} >= {"unpaired_beta"}

    def test_what_nobody_knows_is_asked_for(self, tmp_path):
        base, candidate = (
            foreign.jsonl(tmp_path / f"{n}.jsonl", [{"prompt": "a", "x": n, "y": 1, "completion": str(n)}])
            for n in (0, 1)
        )
        assert "say --measure NAME" in self.refused(base, candidate)
        assert "of x, y" in self.refused(base, candidate)
        assert "--harmful high" in self.refused(base, candidate, wanted=Wanted(("x",)))
        assert "Did you mean 'x'" in self.refused(base, candidate, wanted=Wanted(("xx",)))

    def test_a_score_on_another_scale_needs_a_threshold(self, tmp_path):
        base, candidate = (foreign.table(tmp_path / n / "r.jsonl", v) for n, v in (("b", [0, 5]), ("c", [3, 9])))
        assert "say --threshold X" in self.refused(base, candidate, wanted=Wanted(harmful="high"))
        found = total(compared(base, candidate, wanted=Wanted(harmful="high", threshold=4)), "toxic")
        assert found.counts == {"n11": 1, "n10": 0, "n01": 0, "n00": 1}

    def test_one_name_for_two_measures(self, tmp_path):
        rows = [{"prompt": "a", "exact_match": n, "completion": str(n)} for n in (0, 1)]
        arms = [foreign.jsonl(tmp_path / f"{n}.jsonl", [row]) for n, row in enumerate(rows)]
        wanted = Wanted(("exact_match",), "low")
        with pytest.raises(ToxauditError, match="a metric of these results and a scorer"):
            compared(*arms, "scorers=[exact_match]", wanted=wanted)

    def test_another_right_answer(self, tmp_path):
        base, candidate = (foreign.lm_eval(tmp_path / t, [1, 0], target=t) for t in ("yes", "no"))
        assert "right answer is 'yes' and 'no'" in self.refused(base, candidate)

    def test_files_of_two_tools(self, tmp_path):
        base = foreign.lm_eval(tmp_path / "base", [1, 0])
        assert "name results of one tool" in self.refused(base, foreign.table(tmp_path / "t.jsonl", [1, 0]))

    def test_a_file_that_is_cut_off_or_empty(self, tmp_path):
        base, candidate = (foreign.lm_eval(tmp_path / name, [1, 0, 1]) for name in ("base", "mine"))
        file = next(candidate.glob("samples*"))
        whole = file.read_bytes()
        for length in (len(whole) // 2, len(whole) - 5):
            file.write_bytes(whole[:length])
            assert "is cut off" in self.refused(base, candidate)
        file.write_bytes(whole[: whole.index(b"\n") + 1])
        assert "1 of the 3 documents" in self.refused(base, candidate)
        file.write_bytes(b"")
        assert "is empty" in self.refused(base, candidate)

    def test_a_file_of_nobody(self, tmp_path):
        odd = tmp_path / "odd.jsonl"
        base = foreign.table(tmp_path / "t.jsonl", [1, 0])
        for text in ("[1, 2]\n", "hello\n", '{"a": 1}\n', "\ufeff\n", "{" * 100_000):
            odd.write_text(text)
            assert "say --format" in self.refused(base, odd)
        assert "There is no" in self.refused(base, tmp_path / "nothing")
        assert "Did you mean 'lm_eval'" in self.refused(base, odd, format="lmeval")


def test_lines_and_running_numbers_in_another_order_change_nothing(tmp_path):
    base = foreign.lm_eval(tmp_path / "base", [1, 0, 1, 1, 0, 0])
    candidate = foreign.lm_eval(tmp_path / "mine", [1, 1, 1, 0, 0, 1])
    compared(base, candidate, "out=one")
    for number, folder in enumerate((base, candidate)):
        file = next(folder.glob("samples*"))
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        random.Random(number).shuffle(rows)
        foreign.jsonl(file, [row | {"doc_id": place} for place, row in enumerate(rows)])
    compared(base, candidate, "out=two")
    for name in ("results.json", "samples_kitchen.jsonl"):
        assert (Path("one") / name).read_bytes() == (Path("two") / name).read_bytes()


def test_another_template_is_disclosed(tmp_path):
    base = foreign.lm_eval(tmp_path / "base", [1, 0])
    candidate = foreign.lm_eval(tmp_path / "mine", [0, 0], template="Q: {}")
    assert compared(base, candidate).elsewhere.unpaired[0].reworded == 2


def test_our_scorers_score_what_others_made(tmp_path):
    base = foreign.table(tmp_path / "b.jsonl", [0, 0], completion="I'm sorry, but I cannot help with that.")
    candidate = foreign.table(tmp_path / "c.jsonl", [0, 0], completion="Sure, here is how.")
    result = compared(base, candidate, "scorers=[compliance_keywords]", tasks=(), wanted=Wanted())
    assert total(result, "compliance_keywords").counts == {"n11": 0, "n10": 0, "n01": 2, "n00": 0}


@pytest.mark.thorough
def test_a_run_with_its_card_can_be_read_again(tmp_path):
    base = foreign.lm_eval(tmp_path / "base", [1, 0, 1])
    compared(base, foreign.lm_eval(tmp_path / "mine", [0, 0, 1]), "gate=strict", "gate.margin=0.05", "out=x")
    result = read_checked(Path("x"), with_card=True)
    assert (result.gate.margin, result.gate.certainty) == (0.05, 0.975)
    card = Path("x/toxaudit/audit.md").read_text()
    assert "Answers made elsewhere" in card and "saw no weights" in card and "existed already" in card
    assert "lock.json" not in card and "greedy" not in card


def test_a_comparison_is_decided_again_by_another_gate_with_the_same_doubts(tmp_path, monkeypatch):
    from toxaudit.compose import parts
    from toxaudit.decision.gate import MarginGate
    from toxaudit.redecision import decided, posteriors

    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("toxaudit.comparing.rendering.render", lambda *_: [])
    base = foreign.lm_eval(tmp_path / "base", [0] * 300 + [1] * 700)
    candidate = foreign.lm_eval(tmp_path / "x", [float("nan")] * 100 + [0] * 300 + [1] * 600, answer="x")
    result = compared(base, candidate, "out=run")
    for gate in (parts.gate(MarginGate(), ["gate.max_missing=0.5"]), MarginGate(margin=0.01)):
        again = decided(result, posteriors(Path("run"), result.estimates), gate)
        assert decision(again) == "INCONCLUSIVE"
    table_ = foreign.table(tmp_path / "t.jsonl", [0.0] * 400)
    result = compared(table_, table_, "out=same", wanted=Wanted(harmful="high"))
    again = decided(result, posteriors(Path("same"), result.estimates), MarginGate(margin=0.1))
    assert decision(again) == "INCONCLUSIVE"
    assert read_checked(Path("same")).checks == result.checks


def test_a_policy_that_asks_for_controls_is_refused(tmp_path):
    base, candidate = (foreign.lm_eval(tmp_path / name, [1, 0], answer=name) for name in ("base", "mine"))
    with pytest.raises(ToxauditError, match="control"):
        compared(base, candidate, "gate.controls=[GO]")

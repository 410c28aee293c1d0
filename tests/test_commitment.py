"""What a run commits to is written down before its first prompt, keeps its time, and can't be changed unseen."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from results import RESULTS

from toxaudit import commitment
from toxaudit.card import rules
from toxaudit.commitment import COMMITMENT, PENDING, commit, conclude, of_spec
from toxaudit.decision.gate import MarginGate
from toxaudit.decision.policy import Rule
from toxaudit.errors import ToxauditError
from toxaudit.findings import OtherRule
from toxaudit.gate_facts import GateFacts
from toxaudit.machine.replacement import replaced
from toxaudit.redecision import gate_of
from toxaudit.spec.schema import AuditSpec
from toxaudit.store.shelves import Store

LOCK, PROMPTS = {"base.pretrained": "b0" * 32}, {"mine": "a7" * 32}
TIMES = [f"2026-11-29T12:00:0{second}Z" for second in range(10)]


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that goes on by a second whenever it is looked at."""
    left = list(TIMES)
    monkeypatch.setattr(commitment, "now", lambda: left.pop(0))


@pytest.fixture
def committing(tmp_path):
    """Commits to an audit with such a margin in a folder, of whose answers so many exist."""

    def made(margin=0.03, folder="run", answered=0, store="store", prompts=PROMPTS):
        spec = AuditSpec(name="mine", gate=MarginGate(margin=margin), out=str(tmp_path / folder))
        return commit(tmp_path / folder, spec, LOCK, prompts, Store(tmp_path / store), lambda: (answered, 40))

    return made


def finish(folder: Path, committed: commitment.Written) -> None:
    """The run's files take their place."""
    with replaced(folder) as new:
        (new / COMMITMENT).write_bytes(committed.data)
        (new / "results.json").write_text("{}")
    conclude(folder)


def test_it_holds_what_is_fixed_from_then_on(committing, tmp_path):
    found, data = committing(), (tmp_path / "run" / COMMITMENT).read_bytes()
    content = json.loads(data)
    assert (content["format"], content["audit"], content["time"]) == ("toxaudit.commitment/1", "mine", TIMES[0])
    assert content["lock"] == LOCK and content["prompts"] == PROMPTS and content["policy"]["margin"] == 0.03
    assert content["answered"] == {"before": 0, "of": 40} and content["earlier"] == {}
    assert found.data == data and found.record.digest == sha256(data).hexdigest()


def test_a_resumed_or_repeated_run_keeps_the_first_ones_time(committing, tmp_path):
    first = committing()
    assert committing(answered=7) == first  # after a kill
    finish(tmp_path / "run", first)
    assert committing(answered=40) == first
    (tmp_path / "run" / COMMITMENT).unlink()
    assert committing() == first  # the store remembers
    assert committing(store="another") == first  # and so does the folder
    assert committing(folder="elsewhere") == first  # where results lie is no part of it


def test_another_spec_has_another_that_names_the_first_and_spoils_no_earlier_run(committing, tmp_path):
    run, first = tmp_path / "run", committing()
    second = committing(margin=0.5, answered=12)  # after a kill
    assert second.record.time == TIMES[1] and second.record.answered == 12
    assert second.record.earlier == {first.record.digest: TIMES[0]}
    finish(run, second)
    third = committing(margin=0.6, answered=40)
    assert third.record.earlier == {first.record.digest: TIMES[0], second.record.digest: TIMES[1]}
    assert (run / COMMITMENT).read_bytes() == second.data and (run / PENDING).read_bytes() == third.data
    fourth = committing(margin=0.7, answered=40)  # the third was killed
    assert third.record.digest in fourth.record.earlier
    finish(run, fourth)
    assert (run / COMMITMENT).read_bytes() == fourth.data and not (run / PENDING).exists()
    assert committing() == first  # back to the first rule, which was the first


def test_a_clock_that_was_set_back_makes_no_later_rule_the_earlier_one(committing, monkeypatch):
    first = committing()
    monkeypatch.setattr(commitment, "now", lambda: "2025-11-29T12:00:00Z")
    second = committing(margin=0.5)
    assert second.record.time == first.record.time == TIMES[0]
    assert second.record.earlier == {first.record.digest: TIMES[0]}


def test_other_prompts_or_models_are_something_else(committing):
    assert committing() != committing(prompts={"mine": "a8" * 32})


def test_a_store_that_can_not_be_written_remembers_nothing_and_hinders_nothing(committing, tmp_path, monkeypatch):
    monkeypatch.setattr(Store, "writable", property(lambda self: False))
    first = committing()
    (tmp_path / "run" / COMMITMENT).unlink()
    assert committing().record.time > first.record.time


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": "toxaudit.commitment/1"}', "[" * 100_000])
def test_what_is_no_commitment_is_one_sentence_and_commits_to_nothing(text, committing, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / COMMITMENT).write_text(text)
    with pytest.raises(ToxauditError, match="holds no commitment"):
        commitment.file_of(tmp_path / "run")
    assert committing().record.earlier == {} and commitment.file_of(tmp_path / "run").record.time == TIMES[0]


def test_where_files_lie_how_fast_and_how_it_is_shown_is_no_part_of_a_spec():
    spec = {"name": "x", "out": "runs/x", "backend": {"batch_size": 4}, "suites": {"mine": {"data": "/a/b/c/d.jsonl"}}}
    same = spec | {"out": "y", "store": "z", "card": {}, "executor": {"threads": 2}, "backend": {"batch_size": 8}}
    assert of_spec(same | {"suites": {"mine": {"data": "/x/c/d.jsonl"}}}) == of_spec(spec)
    assert of_spec(spec | {"name": "y"}) != of_spec(spec) != of_spec(spec | {"backend": {"url": "x"}})


def test_the_card_says_when_it_was_committed_to(committing):
    def when(made):
        return rules.when(replace(RESULTS["go"], commitment=made.record))

    assert when(committing()) == (
        "fixed before the run (committed to on 2026-11-29 12:00:00 UTC, before any answer of a candidate existed)"
    )
    late = when(committing(margin=0.5, answered=12))
    assert late.startswith(
        "committed to on 2026-11-29 12:00:01 UTC, when 12 of the candidates' 40 answers existed, in "
    )
    assert "in place of an earlier commitment, of 2026-11-29 12:00:00 UTC (SHA-256 " in late
    assert "in place of 2 earlier commitments, the first of 2026-11-29 12:00:00 UTC" in when(committing(margin=0.6))
    other = OtherRule({"gate.margin": "0.01"}, "2026-11-28", {"benign": "NO-GO"}, earlier=True)
    tried = replace(RESULTS["go"], commitment=committing(margin=0.7, answered=40).record, other_rules=(other,))
    assert rules.when(tried).startswith("chosen after results of the same answers existed (committed to on 2026-11-29 ")
    redecided = replace(tried, other_rules=(replace(other, committed=True),))
    assert rules.when(redecided) == "chosen after results of the same answers existed"


def test_rules_keep_their_order_for_the_later_goes_before_the_earlier():
    """By name, zed would come after alpha: the rule read back would be another one, and be refused."""
    facts = MarginGate(
        rules={"zed": Rule(noun="toxicity", margin=0.01), "alpha": Rule(suite="rtp", margin=0.02)}
    ).facts()
    read = TypeAdapter(GateFacts).validate_json(json.dumps(commitment.policy(facts)))
    assert list(read.rules) == ["zed", "alpha"] and gate_of(Path(COMMITMENT), read).facts() == facts

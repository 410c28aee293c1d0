"""``toxaudit signoff``: who may sign what, what an approval needs, and what people then read."""

import hashlib
import json
import os
import random
import shutil
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
import signing
from forked import forked
from harder import HARDER
from signing import ANN, BOB

from toxaudit import commitment
from toxaudit.cli.main import main
from toxaudit.decision.verdict import of_audit
from toxaudit.findings import OtherRule
from toxaudit.machine.replacement import SUMS
from toxaudit.recomputation import read_checked
from toxaudit.results.reading import read_result
from toxaudit.signoff import contents, record, shown, waiving
from toxaudit.signoff.decision import Waiver, schema

SCHEMA = Path(__file__).parents[2] / "docs" / "decision.schema.json"
WHY = ["--reason", "a known weakness of the scorer", "--expires", "90d"]
SOON = (datetime.now(UTC).date() + timedelta(days=90)).isoformat()


def refused(capsys, run, by, *words, name=ANN):
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    capsys.readouterr()
    assert main(["signoff", str(run), "--as", name, "--key", str(by), *words]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before
    return line.removeprefix("toxaudit: ")


def open_rules(run):
    result = read_checked(run)
    return [rule for rule, left in waiving.lines(result, [m.name for m in result.subjects]).items() if left]


def test_the_published_schema_is_that_of_the_code_and_describes_what_is_written(world):
    text = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("TOXAUDIT_REGENERATE"):
        SCHEMA.write_text(text, encoding="utf-8")
    assert text == SCHEMA.read_text(encoding="utf-8")
    jsonschema.Draft202012Validator.check_schema(schema())
    run = world.run()
    signing.signed(run, world.ann, "--approve")
    jsonschema.validate(json.loads((run / "decision.json").read_text()), schema())


def test_a_signed_run_shows_it_on_card_summary_and_report_and_is_one_that_can_be_read(world):
    run = world.run()
    before = {name: (run / name).read_bytes() for name in ("card.md", "model_card.md", "summary.md", "report.html")}
    signing.signed(run, world.ann, "--approve", "--expires", "90d")
    for name, data in before.items():
        now = (run / name).read_bytes()
        assert shown.without(now) == data and f"until {SOON}".encode() in shown.found(now)
        assert b"Ann Lee" in now and record.read(run / "decision.json").signers[0].key.encode() in now
    card = (run / "card.md").read_text()
    assert card.index("## Safety audit") < card.index("Approved for release") < card.index("**GO:")
    assert read_checked(run, with_card=True)
    assert "decision" not in (run / SUMS).read_text()  # so that no later run takes it away


def test_several_people_sign_one_decision_and_nobody_twice(world, capsys):
    run = world.run()
    signing.signed(run, world.ann, "--approve")
    decision = (run / "decision.json").read_bytes()
    signing.signed(run, world.bob, name=BOB)
    signing.signed(run, world.bob, "--approve", name=BOB)
    assert "has signed this decision already: nothing was written." in capsys.readouterr().out
    assert (run / "decision.json").read_bytes() == decision
    assert [each.name for each in record.read(run / "decision.json").signers] == [ANN, BOB]
    assert b"Bob Ray" in (run / "card.md").read_bytes()
    assert not (run / "decisions").exists()


def test_a_new_decision_supersedes_the_old_one_which_is_kept(world, capsys):
    run = world.run()
    signing.signed(run, world.ann, "--approve")
    first = record.read(run / "decision.json")
    signing.signed(run, world.bob, "--reject", name=BOB)
    second = record.read(run / "decision.json")
    assert second.decision.supersedes == first.digest and second.decision.outcome == "rejected"
    kept = record.kept_as(run, first.digest)
    assert record.read(kept) == first
    assert b"**Rejected**" in (run / "card.md").read_bytes()
    capsys.readouterr()
    assert signing.verified(run, world.bob) == 1  # a rejection that holds is no leave to ship
    out = capsys.readouterr().out
    assert "FAILED  outcome: benign: rejected" in out and out.count("FAILED") == 1
    assert "passed  earlier: decisions/" in out
    assert signing.verified(kept, world.ann) == 1
    assert "decision.json has come in its place" in capsys.readouterr().out
    kept.unlink()
    assert signing.verified(run, world.bob) == 1
    assert "is missing or another" in capsys.readouterr().out


@pytest.mark.thorough
def test_an_interrupted_replacement_loses_no_decision(world):
    run = world.run()
    signing.signed(run, world.ann, "--approve")
    first = record.read(run / "decision.json")
    record.keep(run, first)
    (run / "decision.intoto.jsonl").unlink()  # killed here
    assert signing.verified(run, world.ann) == 1
    signing.signed(run, world.ann, "--reject")
    assert record.read(run / "decision.json").decision.supersedes == first.digest


def killed_at(call, run, world):
    """Reject a run in a copy of this process, which is killed at its so many-th change of a folder; how it ended."""
    left = call

    def dying(change):
        def changed(*given, **named):
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*given, **named)

        return changed

    def reject():
        for name in ("rename", "replace", "unlink", "mkdir", "write_bytes"):
            setattr(Path, name, dying(getattr(Path, name)))
        signing.signed(run, world.bob, "--reject", name=BOB)
        return 0

    return forked(reject).returncode


@pytest.mark.thorough
def test_a_kill_at_any_moment_loses_no_decision_and_the_next_try_signs_it_once(world, capsys):
    first = world.run()
    signing.signed(first, world.ann, "--approve")
    approved, seed, call, tried = record.read(first / "decision.json"), random.SystemRandom().randrange(10**6), 0, 0
    print(f"seed {seed}")
    steps = random.Random(seed)
    while True:
        run, call = world.folder / f"run{call}", call + steps.randrange(1, 4)
        shutil.copytree(first, run)
        if (ended := killed_at(call, run, world)) == 0:
            break
        assert ended == -signal.SIGKILL
        tried += 1
        kept = [record.read(file) for file in run.rglob("decision*.json") if record.envelopes_of(file).is_file()]
        kept += [record.read(file) for file in run.glob("decisions/*.json") if record.envelopes_of(file).is_file()]
        assert approved in kept, call
        signing.signed(run, world.bob, "--reject", name=BOB)
        second = record.read(run / "decision.json")
        assert second.decision.outcome == "rejected" and [each.name for each in second.signers] == [BOB]
        assert second.decision.supersedes == approved.digest
        assert record.read(record.kept_as(run, approved.digest)) == approved
        assert not [file for file in run.rglob("*") if file.name.startswith(".")]
        assert read_checked(run, with_card=True)
    assert tried > 3


def test_what_is_open_is_approved_only_with_a_waiver_of_each_rule(world, capsys):
    run = world.run("inconclusive")
    (rule,) = open_rules(run)
    said = refused(capsys, run, world.ann, "--approve")
    assert said.startswith(f"This INCONCLUSIVE can't be approved as it is, for 1 of its rules is open ('{rule}')")
    short = rule.partition("/")[2]
    for words, sentence in (
        (["--waive", short, *WHY[:2]], f"The waiver of '{short}' lacks --expires"),
        (["--waive", short, *WHY[2:]], f"The waiver of '{short}' lacks --reason"),
        (["--waive", short, "--reason", "  ", *WHY[2:]], "--reason needs a value"),
        (["--waive", f"{short}x", *WHY], f"There is no rule '{short}x' to waive. Did you mean '{rule}'?"),
        (["--waive", short, *WHY, "--waive", rule, *WHY], f"'{rule}' is waived twice"),
        (["--waive", short, *WHY[:2], "--expires", "2026-01-31"], f"The waiver of '{rule}' expired on 2026-01-31"),
        (["--reason", "no waiver"], "--reason stands behind no --waive"),
        (["--expires", "90d", "--expires", "91d"], "--expires is given twice for the decision itself"),
        (["--expires", "2026-02-31"], "--expires is '2026-02-31': it must be a day like 2027-01-31, or a number of"),
        (["--expires", "0d"], "--expires is '0d': it must be 1d to 3650d."),
        (["--expires", "2026-01-31"], "The decision would have expired on 2026-01-31 already"),
        (["--reject"], "--approve and --reject can't both be meant"),
        (["--candidate", "bening"], "The run has no candidate 'bening' to decide on."),
        (["--threshold", "0"], "--threshold is '0'"),
    ):
        assert refused(capsys, run, world.ann, "--approve", *words).startswith(sentence)
    met = next(line for line in waiving.lines(read_checked(run), ["rude", "benign", "creeping"]) if line != rule)
    assert f"'{met}' is met" in refused(capsys, run, world.ann, "--approve", "--waive", met, *WHY)
    signing.signed(run, world.ann, "--approve", "--waive", short, *WHY, "--expires", "2099-01-31")
    told = record.read(run / "decision.json").decision
    assert told.waivers == (Waiver(rule, WHY[1], SOON),) and told.expires == "2099-01-31"
    for name in ("card.md", "summary.md", "report.html"):
        text = (run / name).read_text(encoding="utf-8")
        assert rule in text and WHY[1] in text and f"Waived until {SOON}" in text
    assert signing.verified(run, world.ann) == 0
    out = capsys.readouterr().out
    assert f"INCONCLUSIVE by the rule; waived until {SOON}: {rule} ({WHY[1]})" in out
    assert signing.verified(run, world.ann, words=["--on", "2098-01-31"]) == 1
    assert f"FAILED  expiry: the waiver of {rule} was valid until {SOON}" in capsys.readouterr().out


@pytest.mark.thorough
def test_all_that_is_open_is_listed_where_one_sentence_has_no_room(world, capsys):
    run = signing.run(world.folder / "run", HARDER["no-go"], world.weights)
    capsys.readouterr()
    assert main(["signoff", str(run), "--as", ANN, "--key", str(world.ann), "--approve"]) == 3
    told = capsys.readouterr()
    rules = open_rules(run)
    assert told.out.splitlines() == [f"Open: {rule}" for rule in rules] and len(rules) == 8
    assert "and 5 more): waive each by" in told.err


def listed_as(capsys, run):
    """What ``toxaudit runs`` says of the signatures of a run."""
    capsys.readouterr()
    assert main(["runs", str(run)]) == 0
    heads, row = capsys.readouterr().out.splitlines()
    return row[heads.index("signed") : heads.index("size")].strip()


@pytest.mark.thorough
def test_a_decision_on_one_candidate_is_none_on_all(world, capsys):
    run = signing.run(world.folder / "run", HARDER["several"], world.weights)
    signing.signed(run, world.ann, "--approve", "--candidate", "benign")
    assert listed_as(capsys, run) == "approved: benign"
    assert "can't be approved as it is" in refused(capsys, run, world.bob, "--approve", name=BOB)
    signing.signed(run, world.bob, name=BOB)
    assert listed_as(capsys, run) == "approved: benign"
    signing.signed(run, world.bob, "--reject", name=BOB)
    assert listed_as(capsys, run) == "rejected"
    signing.signed(run, world.ann, "--reject", "--candidate", "creeping")
    assert listed_as(capsys, run) == "rejected: creeping"
    signing.signed(run, world.bob, "--reject", name=BOB)
    told = record.read(run / "decision.json").decision
    assert told.candidates == ("benign", "creeping") and told.supersedes


@pytest.mark.thorough
def test_controls_are_never_released(world, capsys):
    run = signing.run(world.folder / "run", HARDER["controls-only"], world.weights)
    for words in ([], ["--candidate", "rude"]):
        assert "for all that were audited are controls" in refused(capsys, run, world.ann, "--approve", *words)
    run = world.run("failed-control")
    assert "no candidate 'noop' to decide on" in refused(capsys, run, world.ann, "--approve", "--candidate", "noop")


@pytest.mark.thorough
def test_a_failed_control_must_be_waived_by_its_name(world, capsys):
    run = world.run("failed-control")
    rules = open_rules(run)
    assert "noop/control" in rules
    words = [word for rule in rules for word in ("--waive", rule, *WHY)]
    signing.signed(run, world.ann, "--approve", *words)
    assert signing.verified(run, world.ann) == 0
    rejected = refused(capsys, run, world.ann, "--reject", "--waive", "noop/control", *WHY)
    assert rejected == "A rejection waives nothing: leave --waive out."


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "is_open"), [("rude", False), ("noop", True)])
def test_a_control_that_is_to_be_worse_is_signed_as_it_came_out(world, capsys, name, is_open):
    several = HARDER["several"]
    models = tuple(replace(each, expect="worse") if each.name == name else each for each in several.candidates)
    run = signing.run(world.folder / "run", replace(several, candidates=models), world.weights)
    rules = open_rules(run)
    assert (f"{name}/control" in rules) == is_open
    signing.signed(run, world.ann, "--approve", *(word for rule in rules for word in ("--waive", rule, *WHY)))
    told = record.read(run / "decision.json").decision
    (judged,) = (each for each in told.verdicts if each.candidate == name)
    assert (judged.worse, judged.as_expected) == (not is_open, not is_open)
    assert signing.verified(run, world.ann) == 0
    signing.resigned(run, world.ann, {"verdicts": tuple(replace(each, worse=None) for each in told.verdicts)})
    assert signing.verified(run, world.ann) == 1
    jsonschema.validate(json.loads((run / "decision.json").read_text()), schema())


@pytest.mark.thorough
def test_without_a_word_on_the_outcome_the_decision_that_stands_is_signed_or_nothing(world, capsys):
    run = world.run()
    assert f"There is no decision in {run} to sign" in refused(capsys, run, world.ann)
    signing.signed(run, world.ann, "--approve", "--expires", "2027-01-01")
    assert "Say --approve or --reject" in refused(capsys, run, world.bob, "--expires", "90d", name=BOB)


@pytest.mark.parametrize("name", HARDER)
def test_something_is_open_wherever_the_audit_is_no_go(name):
    result = HARDER[name]
    rules = waiving.lines(result, [model.name for model in result.subjects])
    assert any(rules.values()) == (of_audit(result) != "GO")


def test_a_rule_that_came_first_and_was_no_go_is_open():
    """Whoever chose a laxer rule after a look says why, or can't release by it."""
    first = OtherRule({"margin": "0.01"}, "2026-01-01", {"benign": "NO-GO"}, earlier=True)
    for other, is_open in ((first, True), (replace(first, earlier=False), False)):
        rules = waiving.lines(replace(HARDER["go"], other_rules=(other,)), ["benign"])
        assert rules.get("benign/earlier rule", False) == any(rules.values()) == is_open
    fine = replace(first, decisions={"benign": "GO"})
    assert not any(waiving.lines(replace(HARDER["go"], other_rules=(fine,)), ["benign"]).values())


def test_what_was_not_audited_is_open(world):
    result = HARDER["skipped-candidates"]
    rules = waiving.lines(result, [model.name for model in result.subjects])
    assert all(rules[f"{each.name}/not audited"] for each in result.skipped)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Ann", "--as is 'Ann': write who you are"),
        ("Ann <ann>", "--as is 'Ann <ann>'"),
        ("<ann@example.org>", "--as is '<ann@example.org>'"),
        ("Ann\u202e <a@b>", "--as is 'Ann"),
    ],
)
def test_who_signs_says_so_with_an_address(name, sentence, world, capsys):
    assert refused(capsys, world.run(), world.ann, "--approve", name=name).startswith(sentence)


@pytest.mark.thorough
def test_a_run_that_was_edited_or_has_no_card_cant_be_signed(world, capsys):
    run = world.run()
    card = (run / "card.md").read_bytes()
    (run / "card.md").write_bytes(card + b"better\n")
    assert "card.md was changed since it was made" in refused(capsys, run, world.ann, "--approve")
    (run / "card.md").write_bytes(card)
    content = json.loads((run / "results.json").read_text())
    content["estimates"][0]["p_above_margin"] = 0.0
    (run / "results.json").write_text(json.dumps(content))
    assert "results.json was changed" in refused(capsys, run, world.ann, "--approve")
    (run / SUMS).unlink()
    assert "Nothing tells that the card in" in refused(capsys, run, world.ann, "--approve")


def test_a_lock_of_other_weights_than_were_loaded_cant_be_signed(world, capsys):
    """Else a decision on a harmless model would name another one's weights."""
    run = world.run()
    file = run / "lock.json"
    content = json.loads(file.read_text())
    other = hashlib.sha256(b"rude").hexdigest()
    files = {"adapter.safetensors": other}
    content["references"]["candidates.benign.peft"] |= {"files": files, "digest": contents.root(files)}
    file.write_text(json.dumps(content))
    signing.committed(run, read_result(run), commitment.locked(run))
    signing.listed_again(run)
    said = refused(capsys, run, world.ann, "--approve")
    assert said.startswith("lock.json names other weights of 'benign' than were loaded, by the digest in results.json")


@pytest.mark.thorough
def test_a_damaged_decision_is_not_signed_over(world, capsys):
    run = world.run()
    signing.signed(run, world.ann, "--approve")
    file = run / "decision.json"
    file.write_bytes(file.read_bytes().replace(b'"GO"', b'"NO-GO"', 1))
    assert refused(capsys, run, world.bob, name=BOB).endswith(
        "Move decision.json and decision.intoto.jsonl away to decide anew."
    )


@pytest.mark.thorough
def test_hostile_words_in_a_reason_stay_words(world):
    run = world.run("inconclusive")
    (rule,) = open_rules(run)
    evil = "</li><script>x</script> <!-- toxaudit:signoff-end --> [a](javascript:b) **GO**"
    signing.signed(run, world.ann, "--approve", "--waive", rule, "--reason", evil, "--expires", "9d")
    for name in ("card.md", "report.html"):
        block = shown.found((run / name).read_bytes()).decode()
        assert "<script>" not in block and "<!--" not in block and not (name == "card.md" and "](" in block)
    assert signing.verified(run, world.ann) == 0


def test_a_decision_that_was_signed_before_there_were_other_references_is_read_as_it_is(world):
    run = world.run()
    signing.signed(run, world.ann, "--approve")
    text = (run / "decision.json").read_text()
    assert '"against"' not in text and '"reference"' not in text.partition('"weights"')[0]
    assert signing.verified(run, world.ann) == 0


def test_a_decision_names_the_reference_by_digest_with_its_weights(world, capsys):
    result = HARDER["chain"]
    run = signing.run(world.folder / "chain", result, world.weights)
    signing.signed(run, world.ann, "--reject", "--candidate", "tune")
    told = json.loads((run / "decision.json").read_text())
    found = {model["name"]: model for model in json.loads((run / "results.json").read_text())["candidates"]}
    (judged,) = told["verdicts"]
    assert (judged["candidate"], judged["against"]) == ("tune", "instruct")
    assert judged["reference"] == found["instruct"]["digest"]
    assert set(told["weights"]) == {"base.pretrained", "candidates.instruct.peft", "candidates.tune.peft"}
    assert signing.verified(run, world.ann) == 1  # rejected; all else holds
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")] == [
        f"FAILED  outcome: tune: rejected; {told['decision']} by the rule"
    ]
    results = json.loads((run / "results.json").read_text())
    results["candidates"][1]["against"] = "base"
    (run / "results.json").write_text(json.dumps(results))
    assert signing.verified(run, world.ann) == 1
    assert "results.json is not the file that was signed" in capsys.readouterr().out

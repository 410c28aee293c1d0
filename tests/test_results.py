"""Results are read back as they were written; what is cut off, foreign or contradicts itself is one sentence."""

import json
import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import finished
import jsonschema
import pyarrow.parquet as pq
import pytest
from finished import HARDER

from toxaudit.card.markdown import render_card
from toxaudit.card.section import SectionCard
from toxaudit.decision.verdict import of_audit
from toxaudit.errors import ToxauditError
from toxaudit.facts import Skipped
from toxaudit.findings import Check
from toxaudit.records import Diagnostics
from toxaudit.results import table, writing
from toxaudit.results.files import card_folder
from toxaudit.results.reading import read_result, read_samples, schema
from toxaudit.results.writing import write_results
from toxaudit.spec import names
from toxaudit.spec.schema import AuditSpec

SCHEMA = Path(__file__).parents[1] / "docs" / "results.schema.json"


AGREEMENT = {
    "suite": "rtp_categories", "model": "base", "first": "nobody", "second": "toxicity_bilstm", "n": 1, "both": 1,
    "first_only": 0, "second_only": 0, "neither": 0, "kappa": None,
}  # fmt: skip


CHECK = {"arm": "base", "name": "outputs are finite", "outcome": "passed", "text": ""}


def write(folder: Path, result, rows=()):
    return write_results(folder, AuditSpec(name="mine", card=SectionCard()), result, rows)


@pytest.mark.parametrize("name", HARDER)
def test_what_was_written_is_read_back_and_makes_the_same_card(name, tmp_path):
    write(tmp_path, HARDER[name])
    found = read_result(tmp_path)
    assert found == HARDER[name]
    assert render_card(found) == render_card(HARDER[name])


@pytest.mark.parametrize("name", HARDER)
def test_results_of_before_verdicts_held_own_decisions_make_the_same_card(name, tmp_path):
    write(tmp_path, HARDER[name])
    file = tmp_path / "results.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    del content["gate"]["question"]
    for verdict in content["verdicts"]:
        del verdict["own_decisions"], verdict["remedy"]
    file.write_text(json.dumps(content), encoding="utf-8")
    assert read_result(tmp_path) == HARDER[name]


def test_the_format_stands_first_and_the_decision_is_there(tmp_path):
    files = write(tmp_path / "new" / "folder", HARDER["several"])
    assert [file.name for file in files] == ["results.json", "samples_rtp_categories.jsonl", "spec.yaml"]
    content = json.loads(files[0].read_text(encoding="utf-8"))
    assert list(content)[0] == "format" and content["format"] == "toxaudit.results/1"
    assert (content["decision"], content["failed_controls"]) == ("INCONCLUSIVE", [])


def test_a_number_that_is_none_and_half_a_character_never_reach_the_file(tmp_path):
    result = HARDER["failed-diagnostics"]
    odd = Diagnostics({"max_rhat": float("nan"), "min_ess": float("inf"), "divergences": 1.0}, ("R-hat is nan",))
    estimates = (replace(result.estimates[0], diagnostics=odd), *result.estimates[1:])
    write(tmp_path, replace(result, estimates=estimates, title="half \ud800 a pair"))
    text = (tmp_path / "results.json").read_bytes().decode()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
    found = read_result(tmp_path)
    assert found.estimates[0].diagnostics == Diagnostics({"divergences": 1.0}, ("R-hat is nan",))
    assert found.title == "half \ufffd a pair"


CHECKS = (
    Check("", "prompts", "passed"),
    Check("base", "outputs are finite", "passed", "but slow"),
    Check("gone", "it can be had", "failed", "it is gone"),
    Check("creeping", "its template", "not applicable", "it has none"),
)


def test_checks_are_read_back_and_say_what_concerns_a_candidate(tmp_path):
    gone = (Skipped("gone", "org/gone", "it is gone"),)
    write(tmp_path, replace(HARDER["several"], checks=CHECKS, skipped=gone))
    assert read_result(tmp_path).checks == CHECKS
    assert read_result(tmp_path).narrowed("creeping").checks == (*CHECKS[:2], CHECKS[3])
    first = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["checks"][1]
    assert first == {"arm": "base", "name": "outputs are finite", "outcome": "passed", "text": "but slow"}


def test_results_from_before_checks_were_kept_are_read(tmp_path):
    write(tmp_path, HARDER["several"])
    file = tmp_path / "results.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    del content["checks"]
    file.write_text(json.dumps(content), encoding="utf-8")
    assert read_result(tmp_path) == HARDER["several"]


def broken(folder: Path, change) -> str:
    """What is said of results that were changed by hand."""
    write(folder, HARDER["several"])
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    change(content)
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ToxauditError) as caught:
        read_result(folder)
    assert str(caught.value).startswith(str(folder / "results.json")) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(format="toxaudit.results/9"), "is of the format 'toxaudit.results/9'"),
        (lambda c: c.pop("format"), "names no format"),
        (lambda c: c.pop("gate"), "'gate' is wrong: Field required"),
        (lambda c: c.update(extra=1), "'extra' is wrong: Extra inputs are not permitted"),
        (lambda c: c["base"].update(kind="god"), "'base.kind' is wrong"),
        (lambda c: c["estimates"][2].update(n="350"), "'estimates.2.n' is wrong: Input should be a valid integer"),
        (lambda c: c["estimates"][2].update(n=350.5), "'estimates.2.n' is wrong"),
        (lambda c: c["estimates"][2].update(p_increase=float("inf")), "'estimates.2.p_increase' is wrong"),
        (lambda c: c["estimates"][2]["counts"].update(n11=float("nan")), "'estimates.2.counts.n11' is wrong"),
        (lambda c: c["estimates"][2]["quantities"]["base"]["hdi"].append(1), "'estimates.2.quantities.base.hdi'"),
        (lambda c: c["estimates"][2]["quantities"].pop("base"), "must hold base, candidate, change"),
        (lambda c: c["estimates"][2].update(candidate="nobody"), "'estimates.2.candidate' is 'nobody'"),
        (lambda c: c["estimates"][2].update(measure="nothing"), "'estimates.2.measure' is 'nothing'"),
        (lambda c: c["estimates"][2]["counts"].pop("n01"), "'estimates.2.counts' must hold n00, n01, n10, n11"),
        (lambda c: c["gate"].update(certainty=1.0), "'gate' must have a certainty between 0.5 and 1"),
        (lambda c: c.update(agreements=[AGREEMENT]), "'agreements.0' names something of which it says nothing else"),
        (lambda c: c.update(checks=[CHECK | {"outcome": "maybe"}]), "'checks.0.outcome' is wrong"),
        (lambda c: c.update(checks=[CHECK | {"more": 1}]), "'checks.0.more' is wrong"),
        (lambda c: c.update(checks=[CHECK | {"arm": "nobody"}]), "'checks.0.arm' is 'nobody'"),
        (lambda c: c.update(candidates=[], verdicts=[], estimates=[]), "it has no candidates"),
        (lambda c: c["suites"][0].update(name="../x"), "'suites' names '../x'"),
        (lambda c: c["candidates"][1].update(name="../x"), "'candidates' names '../x'"),
        (lambda c: c["verdicts"].pop(), "'verdicts' must hold one for each of the candidates"),
        (lambda c: c.update(decision="GO"), "'decision' is GO, but by the verdicts it is INCONCLUSIVE"),
        (lambda c: c["verdicts"][1].update(decision="NO-GO"), "'decision' is INCONCLUSIVE, but by the verdicts it is"),
        (lambda c: c.update(failed_controls=["noop"]), "'failed_controls' is noop, but by the verdicts it is none"),
    ],
)
def test_wrong_results_are_one_sentence_that_names_the_field(change, said, tmp_path):
    assert said in broken(tmp_path, change)


@pytest.mark.parametrize("kept", [0, 1, 500, 0.5, -3])
def test_a_file_that_was_cut_off_is_one_sentence(kept, tmp_path):
    write(tmp_path, HARDER["go"])
    file = tmp_path / "results.json"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(ToxauditError, match=r"results.json is damaged or cut off \("):
        read_result(tmp_path)


@pytest.mark.parametrize("data", [b"[" * 100_000, b"\xff\xfe", b'{"format": "\\ud800"}', b"[]", b"3", b"NaN"])
def test_what_is_no_object_at_all_is_one_sentence(data, tmp_path):
    (tmp_path / "results.json").write_bytes(data)
    with pytest.raises(ToxauditError, match=r"results.json"):
        read_result(tmp_path)


def test_a_folder_without_results_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    for run in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(ToxauditError, match=r"^There is no .*results.json: name the folder of a finished run.$"):
            read_result(run)


def test_results_that_would_be_waited_for_are_refused(tmp_path):
    os.mkfifo(tmp_path / "results.json")
    with pytest.raises(ToxauditError, match=r"results.json is no file: name the folder of a finished run.$"):
        read_result(tmp_path)


def test_samples_of_all_suites_are_read_back(tmp_path):
    result = HARDER["two-suites"]
    rows = list(finished.rows(result))
    files = write(tmp_path, result, rows)
    assert [file.name for file in files[1:3]] == ["samples_rtp_categories.jsonl", "samples_arc_easy.jsonl"]
    assert all(len(file.read_bytes().splitlines()) == 6 for file in files[1:3])
    assert list(read_samples(tmp_path, result)) == rows


def test_samples_of_suites_that_are_no_longer_asked_do_not_stay(tmp_path):
    write(tmp_path, HARDER["two-suites"], finished.rows(HARDER["two-suites"]))
    (tmp_path / "samples_of_tea.jsonl").write_text("mine")
    write(tmp_path, HARDER["go"], finished.rows(HARDER["go"]))
    left = {file.name for file in tmp_path.glob("samples_*.jsonl")}
    assert left == {"samples_rtp_categories.jsonl", "samples_of_tea.jsonl"}


def test_samples_are_written_as_they_come_and_never_all_in_memory(tmp_path):
    result, seen = HARDER["go"], []
    row = next(finished.rows(result)) | {"text": "long" * 1_000}
    write(tmp_path / "few", result, [row] * 10)

    def many():
        for number in range(2_000):
            seen.append(number)
            yield row

    tracemalloc.start()
    write(tmp_path / "many", result, many())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = (tmp_path / "many" / f"samples_{row['suite']}.jsonl").stat().st_size
    assert len(seen) == 2_000 and size > 8_000_000 > 4 * most, (size, most)


def test_samples_of_a_large_suite_are_a_table_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "AS_TABLE_ROWS", 500)
    monkeypatch.setattr(table, "TOGETHER", 7)
    result = HARDER["go"]
    large, small = result.suites[0], replace(result.suites[0], name="small", n=3)
    result = replace(result, suites=(large, small))
    rows = [row | {"tokens": 5, "finish": "stop"} for row in finished.rows(result, 10)]
    rows[3]["text"], rows[4]["scores"] = (
        "\ud83d half",
        {n: {"value": None, "missing": "why"} for n in rows[4]["scores"]},
    )
    files = {file.name for file in write(tmp_path, result, rows)}
    assert {f"samples_{large.name}.jsonl", "samples_small.jsonl", f"samples_{large.name}.parquet"} < files
    assert "samples_small.parquet" not in files
    read = pq.read_table(tmp_path / f"samples_{large.name}.parquet").to_pylist()
    told = [json.loads(line) for line in (tmp_path / f"samples_{large.name}.jsonl").read_text().split("\n") if line]
    assert len(read) == len(told) == sum(row["suite"] == large.name for row in rows)
    for ours, theirs in zip(read, told, strict=True):
        for name in ("model", "prompt_id", "sample", "text", "tokens", "finish", "prompt"):
            assert ours[name] == theirs[name]
        assert dict(ours["slices"]) == theirs["slices"]
        for name, score in theirs["scores"].items():
            assert (ours[f"score_{name}"], ours[f"missing_{name}"]) == (score["value"], score["missing"])
    monkeypatch.setattr(writing, "AS_TABLE_ROWS", 10**6)
    write(tmp_path, result, rows)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_large_suite_without_samples_is_an_empty_table(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "AS_TABLE_ROWS", 1)
    write(tmp_path, HARDER["go"])
    (file,) = tmp_path.glob("*.parquet")
    assert pq.read_table(file).num_rows == 0


def test_an_earlier_run_that_can_not_be_read_is_written_over(tmp_path):
    (tmp_path / "results.json").write_text("{")
    write(tmp_path, HARDER["go"])
    assert read_result(tmp_path) == HARDER["go"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"model": "base"', "Expecting ',' delimiter"),
        (b"", "Expecting value"),
        (b"\xff", "can't decode byte 0xff"),
        (b"[" * 100_000, "recursion"),
        (b"[1]", "it is no object"),
        (b"{}", "'model' is missing or of a wrong type"),
        ({"sample": "0"}, "'sample' is missing or of a wrong type"),
        ({"text": None}, "'text' is missing or of a wrong type"),
        ({"slices": {"a": 1}}, "'slices' must map"),
        ({"scores": []}, "'scores' must map"),
        ({"scores": {"x": 1}}, "'scores' must map"),
        ({"scores": {"x": {"value": "1"}}}, "'scores' must map"),
        ({"scores": {"x": {"value": float("nan")}}}, "'scores' must map"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(line, said, tmp_path):
    result = HARDER["go"]
    rows = list(finished.rows(result))
    write(tmp_path, result, rows)
    file = tmp_path / "samples_rtp_categories.jsonl"
    bad = line if isinstance(line, bytes) else json.dumps(rows[0] | line).encode()
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([*lines[:2], bad, *lines[2:]]))
    with pytest.raises(ToxauditError) as caught:
        list(read_samples(tmp_path, result))
    assert str(caught.value).startswith(f"{file}, line 3 is no sample (") and said in str(caught.value)


def test_samples_that_are_gone_are_one_sentence(tmp_path):
    with pytest.raises(ToxauditError, match=r"^There is no .*samples_rtp_categories.jsonl, which belongs to "):
        next(read_samples(tmp_path, HARDER["go"]))


def test_a_candidate_has_a_folder_of_its_own_only_beside_others():
    run = Path("runs/x")
    assert card_folder(run, HARDER["missing-scores"], "benign") == run  # the other is a control
    assert card_folder(run, HARDER["several"], "creeping") == run / "candidates" / "creeping"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "a\\b", "a\0", "a\n", " a", "a.", "\ud800", "\u202ea", "x" * 201]
)
def test_a_name_that_no_folder_can_have_is_refused(name):
    with pytest.raises(ToxauditError, match="^A candidate can't be called '"):
        names.check(["fine", name])


def test_ordinary_names_pass():
    names.check(["mine", "Llama-3.1_8B (v2)", "größer", "\N{GRINNING FACE}"])


def test_the_published_schema_is_that_of_the_code():
    text = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("TOXAUDIT_REGENERATE"):
        SCHEMA.write_text(text, encoding="utf-8")
    assert text == SCHEMA.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def published():
    content = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(content)
    return jsonschema.Draft202012Validator(content)


@pytest.mark.parametrize("name", HARDER)
def test_results_are_as_the_schema_says(name, published, tmp_path):
    write(tmp_path, HARDER[name])
    published.validate(json.loads((tmp_path / "results.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(format="other"),
        lambda c: c.pop("decision"),
        lambda c: c.update(decision="MAYBE"),
        lambda c: c.update(more=1),
        lambda c: c["estimates"][0].update(n="1"),
        lambda c: c["estimates"][0].pop("quantities"),
        lambda c: c["estimates"][0]["quantities"]["change"]["hdi"].append(1),
        lambda c: c["scorers"][0].update(tier="fatal"),
    ],
)
def test_wrong_results_are_not_as_the_schema_says(change, published, tmp_path):
    write(tmp_path, HARDER["go"])
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    change(content)
    assert not published.is_valid(content)


def test_only_reading_needs_pydantic():
    code = "import sys, toxaudit.findings, toxaudit.results.writing; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"pydantic", "numpy", "torch"} & set(out.split())


def test_a_candidate_beside_one_that_was_skipped_has_a_card_of_its_own(tmp_path):
    result = HARDER["go"]
    alone = replace(result, skipped=(Skipped("rude", "org/rude", "it is gone", "NO-GO"),))
    beside = replace(result, skipped=(Skipped("gone", "org/gone", "it is gone"),))
    assert card_folder(tmp_path, alone, "benign") == tmp_path
    assert card_folder(tmp_path, beside, "benign") == tmp_path / "candidates" / "benign"
    assert (of_audit(beside), of_audit(beside.narrowed("benign"))) == ("INCONCLUSIVE", "GO")


def test_where_nothing_was_decided_the_decision_is_open():
    assert of_audit(replace(HARDER["go"], candidates=(), verdicts=())) == "INCONCLUSIVE"


@pytest.mark.parametrize("alike", [("Mine", "mine"), ("caf\u00e9", "cafe\u0301")])
def test_names_that_some_systems_take_for_one_folder_are_refused(alike):
    with pytest.raises(ToxauditError, match=r"^Two candidates are called '.*', but for .*: rename one\.$"):
        names.check(alike)


@pytest.mark.parametrize("name", ["CON", "aux.1", "a:b", "x*?", "<a>", "a|b"])
def test_a_name_that_some_system_can_not_have_is_refused(name):
    with pytest.raises(ToxauditError, match="A candidate can't be called"):
        names.check([name])

"""``toxaudit verify``: what holds passes, what was changed fails and is named, whoever changed it."""

import base64
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import signing
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from signing import BOB

from toxaudit.cli.main import main
from toxaudit.signoff import contents, envelopes, record, shown, signatures, verification
from toxaudit.signoff.decision import digest


@pytest.fixture(scope="session")
def _signed(_shared: Path) -> Path:
    """A run that Ann and Bob have approved."""
    run = shutil.copytree(_shared / "go", _shared / "signed")
    signing.signed(run, _shared / "ann", "--approve", "--expires", "2099-01-31")
    signing.signed(run, _shared / "bob", name=BOB)
    return run


@pytest.fixture
def run(_signed: Path, world: signing.Path) -> Path:
    return shutil.copytree(_signed, world.folder / "run")


def failed(capsys, *how, words=()):
    """The lines of a check that fails."""
    capsys.readouterr()
    assert signing.verified(*how, words=words) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("NOT VALID: ")
    return [line.removeprefix("FAILED  ") for line in lines if line.startswith("FAILED  ")]


def test_what_was_signed_holds_and_each_check_has_a_line(run, world, capsys):
    capsys.readouterr()
    assert signing.verified(run, world.ann, world.bob, words=["--threshold", "2", "--weights", str(world.weights)]) == 0
    lines = [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        *(f"passed  {name}" for name in ("record", "signature", "signature", "threshold", "outcome", "expiry")),
        *(f"passed  {name}" for name in ("commitment", "files", "numbers", "card", "weights of base")),
        "passed  weights of candidates.benign",
        "VALID",
    ]


def test_a_signature_by_a_key_that_nobody_gave_counts_for_nothing(run, world, capsys):
    assert failed(capsys, run) == ["threshold: 0 of 1 needed signatures are by keys that were given"]
    other = signing.key(world.folder, "other")
    capsys.readouterr()
    assert signing.verified(run, other) == 1
    out = capsys.readouterr().out
    assert out.count("UNSIGNED/UNKNOWN KEY: this shows consistency, not origin") == 2
    assert failed(capsys, run, world.ann, words=["--threshold", "2"]) == [
        "threshold: 1 of 2 needed signatures are by keys that were given"
    ]
    assert failed(capsys, run, world.ann, words=["--ran-by", f"{world.ann}.pub"]) == [
        "not alone: 0 of them are by others than the key of who ran the audit"
    ]
    assert signing.verified(run, world.ann, world.bob, words=["--ran-by", f"{world.ann}.pub"]) == 0


def test_a_decision_can_itself_ask_for_several_and_for_somebody_else(world, capsys):
    run = world.run()
    signing.signed(run, world.ann, "--approve", "--threshold", "2", "--ran-by", f"{world.ann}.pub")
    assert b"1 of 2 needed signatures: this is not in force yet." in (run / "card.md").read_bytes()
    assert failed(capsys, run, world.ann) == [
        "threshold: 1 of 2 needed signatures are by keys that were given",
        "not alone: 0 of them are by others than the key of who ran the audit",
    ]
    signing.signed(run, world.bob, name=BOB)
    assert signing.verified(run, world.ann, world.bob) == 0


def test_a_decision_holds_until_its_last_day(run, world, capsys):
    assert signing.verified(run, world.ann, words=["--on", "2099-01-31"]) == 0
    assert failed(capsys, run, world.ann, words=["--on", "2099-02-01"]) == ["expiry: it was valid until 2099-01-31"]
    assert main(["verify", str(run), "--on", "tomorrow"]) == 3


@pytest.mark.parametrize(
    "name", ["card.md", "summary.md", "report.html", "spec.yaml", "draws.parquet", "commitment.json"]
)
def test_a_file_that_was_changed_is_named_also_where_all_checksums_were_made_again(name, run, world, capsys):
    with (run / name).open("ab") as file:
        file.write(b"x")
    signing.listed_again(run)
    assert f"files: {name} is not the file that was signed" in failed(capsys, run, world.ann)
    (run / name).unlink()
    assert f"files: {name} is missing" in failed(capsys, run, world.ann)


@pytest.mark.parametrize("name", ["card.md", "summary.md", "report.html", "model_card.md"])
def test_a_card_that_shows_other_signers_than_the_record_fails(name, run, world, capsys):
    file = run / name
    file.write_bytes(file.read_bytes().replace(b"Bob Ray", b"Eve Ray"))
    signing.listed_again(run)
    assert failed(capsys, run, world.ann) == [
        f"card: {name} does not show who signed as the record says it: run `toxaudit card {run}`"
    ]


@pytest.mark.thorough
def test_a_second_block_in_which_words_could_hide_is_a_change(run, world, capsys):
    file = run / "card.md"
    data = file.read_bytes()
    file.write_bytes(data.replace(b"### Gate", b"\n%b\nAll is well.\n%b\n### Gate" % (shown.BEGIN, shown.END), 1))
    signing.listed_again(run)
    assert failed(capsys, run, world.ann) == ["files: card.md is not the file that was signed"]


@pytest.mark.thorough
def test_weights_are_found_by_their_digests_wherever_they_lie(run, world, capsys):
    moved = world.folder / "elsewhere"
    for number, file in enumerate(each for each in world.weights.rglob("*") if each.is_file()):
        (moved / str(number)).mkdir(parents=True)
        shutil.copy(file, moved / str(number) / "renamed")
    assert signing.verified(run, world.ann, words=["--weights", str(moved)]) == 0
    copied = shutil.copytree(world.weights, world.folder / "copied")
    (copied / "it" / "adapter.safetensors").write_bytes(b"iu")
    assert failed(capsys, run, world.ann, words=["--weights", str(copied)]) == [
        f"weights of candidates.benign: adapter.safetensors of models/it is in {copied} nowhere, by its digest"
    ]
    assert main(["verify", str(run), "--weights", "gone"]) == 3


def test_the_root_digest_is_that_of_model_signings_rule():
    """SHA-256 over the raw digests in the order of the paths, part by part: a/b comes before a-b/c."""
    files = {"a-b/c": "11" * 32, "a/b": "22" * 32, "Z": "33" * 32}
    ordered = bytes.fromhex("33" * 32 + "22" * 32 + "11" * 32)
    assert contents.root(files) == digest(ordered)


def test_a_record_that_another_signed_again_after_an_edit_counts_for_nothing(run, world, capsys):
    eve = signing.key(world.folder, "eve")
    signing.resigned(run, eve, {"expires": None})
    assert failed(capsys, run, world.ann, world.bob) == [
        "threshold: 0 of 1 needed signatures are by keys that were given"
    ]


@pytest.mark.thorough
def test_a_signer_cant_sign_what_the_run_does_not_say(world, capsys):
    run = world.run("inconclusive")
    signing.signed(run, world.ann, "--reject")
    old = record.read(run / "decision.json").decision
    signing.resigned(run, world.ann, {"outcome": "approved"})
    found = failed(capsys, run, world.ann)
    assert found[0].startswith("waivers: it is approved though benign/rtp_categories/toxicity_bilstm is open and")
    assert found[1].startswith("numbers: This INCONCLUSIVE can't be approved as it is")
    go = tuple(replace(v, decision="GO", rules=tuple(replace(r, decision="GO") for r in v.rules)) for v in old.verdicts)
    signing.resigned(run, world.ann, {"outcome": "approved", "decision": "GO", "verdicts": go})
    assert failed(capsys, run, world.ann)[0].startswith("numbers: This INCONCLUSIVE can't be approved as it is")
    lax = replace(old.policy, margin=0.5)
    signing.resigned(
        run, world.ann, {"outcome": "rejected", "decision": old.decision, "verdicts": old.verdicts, "policy": lax}
    )
    assert "numbers: 'policy' in decision.json is not what the run's files say" in failed(capsys, run, world.ann)
    signing.resigned(run, world.ann, {"policy": old.policy, "committed": "2099-01-01T00:00:00Z"})
    assert failed(capsys, run, world.ann)[1].startswith("commitment: the rule was fixed on 2099-01-01T00:00:00Z, after")


@pytest.mark.thorough
def test_nobody_signs_what_another_wrote_and_the_run_does_not_say(world, capsys):
    run = world.run("inconclusive")
    signing.signed(run, world.ann, "--reject")
    signing.resigned(run, world.ann, {"outcome": "approved"})
    capsys.readouterr()
    assert main(["signoff", str(run), "--as", BOB, "--key", str(world.bob)]) == 3
    said = capsys.readouterr().err
    assert "The decision that stands can't be signed: This INCONCLUSIVE can't be approved as it is" in said


@pytest.mark.thorough
def test_results_whose_numbers_were_falsified_before_the_signature_fail(run, world, capsys):
    """Whoever has a key and edits the tool's checks away still can't make numbers follow from the draws."""
    file = run / "results.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["estimates"][0]["p_above_margin"] = 0.5
    file.write_text(json.dumps(content), encoding="utf-8")
    signing.listed_again(run)
    signing.resigned(run, world.ann, {"files": contents.files(run)})
    (found,) = failed(capsys, run, world.ann)
    assert found.startswith("numbers: ") and "'estimates.0.p_above_margin' is 0.5, but draws.parquet makes it" in found


def test_a_file_that_came_to_the_run_later_is_named(run, world, capsys):
    (run / "samples_more.jsonl").write_text("{}\n")
    signing.listed_again(run, "samples_more.jsonl")
    assert any(
        "samples_more.jsonl belongs to the run, but was not signed" in line for line in failed(capsys, run, world.ann)
    )


def test_a_run_without_signatures_is_no_error_but_not_valid(run, world, capsys):
    (run / "decision.intoto.jsonl").unlink()
    (found,) = failed(capsys, run, world.ann)
    assert found.startswith("record: ") and "is unsigned" in found
    (run / "decision.json").unlink()
    assert failed(capsys, run, world.ann) == [f"record: unsigned: there is no {run / 'decision.json'}"]


@pytest.mark.parametrize("what", ["nowhere", "nowhere/decision.json", "."])
def test_what_is_neither_run_nor_record_is_an_error(what, world, capsys, monkeypatch):
    monkeypatch.chdir(world.folder)
    capsys.readouterr()
    assert signing.verified(what, world.ann) == 3
    assert "name " in capsys.readouterr().err


def test_a_record_alone_is_checked_with_what_lies_beside_it(run, world, capsys):
    alone = world.folder / "alone"
    alone.mkdir()
    for name in ("decision.json", "decision.intoto.jsonl", "lock.json"):
        shutil.copy(run / name, alone)
    assert signing.verified(alone / "decision.json", world.ann) == 0
    assert "1 of the signed files lie beside it" in capsys.readouterr().out
    (alone / "lock.json").write_text("{}")
    assert failed(capsys, alone / "decision.json", world.ann) == ["files: lock.json is not the file that was signed"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["../outside.md", "/etc/passwd", "a/../../b.md"])
def test_a_record_that_names_files_elsewhere_is_refused(name, run, world, capsys):
    old = record.read(run / "decision.json").decision
    signing.resigned(run, world.ann, {"files": {**old.files, name: "00" * 32}})
    (world.folder / "outside.md").write_text("mine")
    (found,) = failed(capsys, run, world.ann)
    assert found == f"record: {run / 'decision.json'}: '{name}' is no file of a run"
    assert (world.folder / "outside.md").read_text() == "mine"


@pytest.mark.thorough
def test_one_key_counts_once_however_often_it_is_given(run, world, capsys):
    words = ["--threshold", "2", "--key", f"{world.ann}.pub"]
    assert failed(capsys, run, world.ann, words=words)[0].startswith("threshold: 1 of 2")


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "decision.intoto.jsonl").read_text().splitlines()]


def test_another_reader_of_in_toto_reads_both_statements(run):
    for envelope in lines(run):
        told = json.loads(base64.b64decode(envelope["payload"]))
        statement = json_format.ParseDict(told, statement_pb2.Statement())
        assert statement.type == "https://in-toto.io/Statement/v1"
        subjects = {each.name: each.digest["sha256"] for each in statement.subject}
        assert subjects["decision.json"] == digest((run / "decision.json").read_bytes())
        assert {"spec.yaml", "lock.json", "results.json", "base.pretrained", "candidates.benign.peft"} <= set(subjects)
    told = json.loads(base64.b64decode(lines(run)[0]["payload"]))
    assert told["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    found = json_format.ParseDict(told["predicate"], test_result_pb2.TestResult())
    assert found.result == "PASSED" and "benign/rtp_categories/toxicity_bilstm" in found.passed_tests


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_openssl_finds_the_signatures_good(who, run, world, tmp_path):
    number = ("ann", "bob").index(who)
    for at, signature in ((0, number), (1 + number, 0)):
        line = envelopes.read((run / "decision.intoto.jsonl").read_bytes(), "it")[at]
        payload = base64.b64decode(line.envelope["payload"])
        kind = b"application/vnd.in-toto+json"
        pae = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        assert pae == line.pae()
        (tmp_path / "pae").write_bytes(pae)
        (tmp_path / "sig").write_bytes(base64.b64decode(line.envelope["signatures"][signature]["sig"]))
        public = f"{getattr(world, who)}.pub"
        ed25519 = ["pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", "pae", "-sigfile", "sig"]
        ecdsa = ["dgst", "-sha256", "-verify", public, "-signature", "sig", "pae"]
        words = ["openssl", *(ed25519 if who == "ann" else ecdsa)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.strip() in ("Signature Verified Successfully", "Verified OK"), done.stderr


def edited(run: Path, change) -> None:
    """The envelopes after a change of the first one's object."""
    found = lines(run)
    found[0] = change(found[0])
    (run / "decision.intoto.jsonl").write_text("".join(json.dumps(each) + "\n" for each in found))


def dropped(key):
    return lambda each: {name: value for name, value in each.items() if name != key}


def with_signature(**parts):
    return lambda each: {**each, "signatures": [{**each["signatures"][0], **parts}, *each["signatures"][1:]]}


@pytest.mark.parametrize(
    "change",
    [
        dropped("payload"),
        dropped("payloadType"),
        dropped("signatures"),
        lambda each: {**each, "more": 1},
        lambda each: {**each, "payload": 5},
        lambda each: {**each, "payload": "%%%"},
        lambda each: {**each, "payload": "é"},
        lambda each: {**each, "payload": each["payload"].rstrip("=") + "AAA"},
        lambda each: {**each, "payload": base64.b64encode(b"\xff").decode()},
        lambda each: {**each, "payload": base64.b64encode(b"[" * 50_000).decode()},
        lambda each: {**each, "payload": base64.b64encode(b"[]").decode()},
        lambda each: {**each, "payloadType": "text/plain"},
        lambda each: {**each, "signatures": {}},
        lambda each: {**each, "signatures": []},
        lambda each: {**each, "signatures": [None, None]},
        lambda each: {**each, "signatures": [{}, {}]},
        lambda each: {**each, "signatures": [each["signatures"][0]] * 2},
        with_signature(sig=None),
        with_signature(sig="!"),
        with_signature(sig="AAAA"),
        with_signature(keyid="00"),
        with_signature(cert="x"),
        lambda each: [each],
        lambda each: None,
    ],
)
def test_a_malformed_envelope_is_one_line_and_no_defect(change, run, world, capsys):
    edited(run, change)
    (found, *more) = failed(capsys, run, world.ann, world.bob)
    assert ("decision.intoto.jsonl" in found and not more) or found.startswith(
        "signature: Ann Lee <ann@example.org>: the"
    )


@pytest.mark.parametrize("data", [b"", b"{", b"\x00\xff", b"\n", b'{"a":1}\n' * 2, b"[" * 100_000])
def test_files_that_are_no_envelopes_or_decisions_are_one_line(data, run, world, capsys):
    for name in ("decision.intoto.jsonl", "decision.json"):
        (run / name).write_bytes(data)
        (found,) = failed(capsys, run, world.ann)
        assert found.startswith("record: ") and name in found


def test_a_signature_without_a_key_id_counts_as_any(run, world):
    """Other tools write none; whose it is, is tried key by key."""

    def without(each):
        return {**each, "signatures": [{"sig": one["sig"]} for one in each["signatures"]]}

    (run / "decision.intoto.jsonl").write_text("".join(json.dumps(without(each)) + "\n" for each in lines(run)))
    assert signing.verified(run, world.ann, world.bob, words=["--threshold", "2"]) == 0


@pytest.mark.thorough
def test_days_and_times_that_are_none_are_refused(run, world, capsys):
    for old, new in (('"2099-01-31"', '"2099-01-32"'), ('"2099-01-31"', '"20990131"'), ("Z", "+00:00")):
        copied = shutil.copytree(run, world.folder / f"copy{len(list(world.folder.iterdir()))}")
        file = copied / "decision.json"
        file.write_text(file.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
        assert "is no day or time" in failed(capsys, copied, world.ann)[0]


@pytest.mark.thorough
def test_a_check_imports_no_model_library_and_writes_nothing(run, world):
    code = (
        "import sys; from toxaudit.cli.main import main; code = main(sys.argv[1:]);"
        "print([name for name in ('torch', 'transformers', 'pymc', 'peft', 'datasets') if name in sys.modules], code)"
    )
    words = [sys.executable, "-c", code, "verify", str(run), "--key", f"{world.ann}.pub"]
    before = {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in run.rglob("*")}
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in run.rglob("*")} == before


def test_what_is_asked_by_other_code_is_told_as_findings(run, world):
    asked = signatures.Asked((Path(f"{world.ann}.pub"),), 1, None, None, datetime(2098, 1, 1, tzinfo=UTC))
    assert all(each.holds is not False for each in verification.of_run(run, asked))

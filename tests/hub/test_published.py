"""A signed decision goes along with a card, and anybody can check it there, at one revision and without the weights."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import finished
import pytest
import signing
from hub_server import Hub, Repository
from pushing import Client
from results import RESULTS, draws
from signing import BOB

from toxaudit.card.section import SectionCard
from toxaudit.machine.replacement import write_sums
from toxaudit.signoff import keys, record

pytestmark = pytest.mark.thorough

OWNERS = b"---\nlicense: mit\n---\n# Mine\r\nwritten by its owner\r\n"
DECISION, ENVELOPES = "toxaudit/decision.json", "toxaudit/decision.intoto.jsonl"
COMMITMENT = "toxaudit/commitment.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, weights, and two runs: of one candidate, signed by two; of several, with a decision on one of them."""
    folder = tmp_path_factory.mktemp("published")
    signing.weights(folder / "weights")
    for name in ("ann", "bob"):
        signing.key(folder, name)
    for name in ("go", "several"):
        found = signing.started(folder / name, RESULTS[name], folder / "weights")
        SectionCard().write(found, finished.answered(found), draws(found), folder / name)
        write_sums(folder / name)
    signing.signed(folder / "go", folder / "ann", "--approve")
    signing.signed(folder / "go", folder / "bob", name=BOB)
    signing.signed(folder / "several", folder / "ann", "--approve", "--candidate", "benign")
    return folder


@pytest.fixture
def model(hub: Hub, folder: Path) -> Repository:
    """A repository with the adapter that was audited and a card of its owner's."""
    hub.repositories.clear()
    hub.asked.clear()
    files = {"README.md": OWNERS, "adapter.safetensors": (folder / "weights/it/adapter.safetensors").read_bytes()}
    hub.repositories["org/model"] = Repository({"main": files})
    return hub.repositories["org/model"]


def check(alice: Client, folder: Path, *words: object, what: str = "org/model") -> tuple[int, list[str]]:
    """Exit code and lines of a check with both keys."""
    keys = [word for name in ("ann", "bob") for word in ("--key", folder / f"{name}.pub")]
    code, out, err = alice.run("verify", what, *keys, *words)
    assert code in (0, 1), err
    return code, out.splitlines()


def failures(lines: list[str]) -> list[str]:
    return [line.removeprefix("FAILED  ") for line in lines if line.startswith("FAILED")]


def edit(model: Repository, **changes: bytes | None) -> None:
    """A commit on the main branch with other bytes of some files, or without them."""
    files = model.revisions["main"] | {name: data for name, data in changes.items() if data is not None}
    model.write("main", {name: data for name, data in files.items() if changes.get(name, b"") is not None})


@pytest.fixture
def pushed(alice: Client, model: Repository, folder: Path) -> Repository:
    lines = alice.pushed(folder / "go", "--repo", "org/model", "--direct")
    assert "The signed decision goes with it: `toxaudit verify` checks it there." in lines
    return model


def test_a_pushed_record_holds_and_no_weights_are_fetched(
    hub: Hub, alice: Client, pushed: Repository, folder: Path
) -> None:
    sent = pushed.revisions["main"]
    assert {DECISION, ENVELOPES} <= set(sent)
    assert sent[COMMITMENT] == (folder / "go" / "commitment.json").read_bytes()
    assert b'testcase name="rtp_categories/toxicity_bilstm"' in sent["toxaudit/junit.xml"]
    hub.asked.clear()
    code, lines = check(alice, folder, "--threshold", "2")
    assert code == 0, lines
    assert lines[0] == f"  note  repository: org/model at commit {pushed.heads['main']}"
    committed = [line for line in lines if line.startswith("passed  commitment: ")]
    assert committed == [
        next(line for line in committed if "the rule was fixed on 2026-01-15T00:00:00Z, before the decision" in line),
        f"passed  commitment: {COMMITMENT} is to the rule that decided, and is the one that was signed",
    ]
    assert [line.split(": ")[0] for line in lines if "weights" in line] == ["passed  weights of candidates.benign"]
    assert not any(name.endswith(".safetensors") for name in hub.downloaded)


def test_an_edit_outside_of_the_section_harms_nothing_and_one_inside_fails(
    alice: Client, pushed: Repository, folder: Path
) -> None:
    first = pushed.heads["main"]
    readme = pushed.revisions["main"]["README.md"]
    edit(pushed, **{"README.md": readme.replace(b"written by its owner", b"and by others") + b"\r\nThe end.\r\n"})
    assert check(alice, folder)[0] == 0
    for old, new in ((b"GO: benign", b"GO: everything"), (b"Ann Lee", b"Eve Lee"), (b"toxaudit:end", b"toxaudit:fin")):
        assert old in readme
        edit(pushed, **{"README.md": readme.replace(old, new)})
        code, lines = check(alice, folder)
        assert code == 1 and failures(lines)[0].startswith("card: the section in README.md")
        code, lines = check(alice, folder, what=f"org/model@{first}")
        assert code == 0, lines  # that revision is as it was
    edit(pushed, **{"README.md": None})
    assert failures(check(alice, folder)[1]) == ["card: the section in README.md is not one that was signed"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "adapter.safetensors",
            b"others",
            "weights of candidates.benign: adapter.safetensors of org/model is not what",
        ),
        ("adapter.safetensors", None, "weights of candidates.benign: adapter.safetensors of org/model is not what"),
        ("config.json", b"{}", "weights of candidates.benign: config.json of org/model is loaded with it, but was not"),
        ("toxaudit/forest.png", b"png", "files: toxaudit/forest.png: missing, or not as it was signed"),
        ("toxaudit/results.json", b"{}", "files: toxaudit/results.json: missing, or not as it was signed"),
        ("toxaudit/results.json", None, "files: toxaudit/results.json: missing, or not as it was signed"),
        ("toxaudit/junit.xml", b"<testsuites/>", "files: toxaudit/junit.xml: missing, or not as it was signed"),
        (COMMITMENT, b"{}", f"commitment: {COMMITMENT}: missing, or not as it was signed"),
        (COMMITMENT, None, f"commitment: {COMMITMENT}: missing, or not as it was signed"),
        (DECISION, b"{}", f"record: {DECISION} is no decision of the format"),
        (DECISION, None, f"record: unsigned: there is no {DECISION}"),
        (ENVELOPES, None, f"record: unsigned: there is no {ENVELOPES}"),
        (ENVELOPES, b"x\n", f"record: {ENVELOPES}, line 1 is no signed statement"),
    ],
)
def test_what_was_changed_there_is_named(
    name: str, data: bytes | None, said: str, alice: Client, pushed: Repository, folder: Path
) -> None:
    edit(pushed, **{name: data})
    code, lines = check(alice, folder)
    assert code == 1 and failures(lines)[0].startswith(said)


def test_a_decision_on_one_of_several_goes_to_its_repository_only(
    alice: Client, model: Repository, folder: Path
) -> None:
    lines = alice.pushed(folder / "several", "--repo", "org/model", "--direct", "--candidate", "benign")
    assert f"{COMMITMENT} names what else the run committed to: creeping." in lines
    assert b"creeping" not in model.revisions["main"]["toxaudit/junit.xml"]
    code, lines = check(alice, folder)
    assert code == 0, lines
    alice.pushed(folder / "several", "--repo", "org/model", "--direct", "--candidate", "creeping")
    assert DECISION not in model.revisions["main"]  # withdrawn
    assert b"Approved" not in model.revisions["main"]["README.md"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"committed": "2026-01-14T00:00:00Z"}, "is of 2026-01-15T00:00:00Z, not of 2026-01-14T00:00:00Z"),
        ({"margin": 0.5}, "is to another rule than the decision states"),
    ],
)
def test_who_signs_another_time_or_rule_than_was_committed_to_is_found_out(
    change: dict[str, Any], said: str, alice: Client, pushed: Repository, folder: Path, tmp_path: Path
) -> None:
    """Here nothing is computed again, and a signer could say what they like."""
    run = shutil.copytree(folder / "go", tmp_path / "run")
    told = record.read(run / "decision.json").decision
    made = replace(told, **({"policy": replace(told.policy, **change)} if "margin" in change else change))
    signing.resigned_as(run, keys.signing_key(folder / "ann", lambda: None), made)
    edit(pushed, **{name: (run / Path(name).name).read_bytes() for name in (DECISION, ENVELOPES)})
    code, lines = check(alice, folder)
    assert code == 1 and f"commitment: {COMMITMENT} {said}" in failures(lines)


def test_a_decision_of_other_files_is_not_sent(alice: Client, model: Repository, folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "go", tmp_path / "run")
    (run / "toxaudit" / "forest.png").write_bytes(b"another")
    signing.listed_again(run)
    assert "decision.json is of other files than would be sent" in alice.refused(run, "--repo", "org/model")
    assert model.revisions["main"]["README.md"] == OWNERS


def test_what_the_hub_does_not_have_or_tell_is_an_error(alice: Client, model: Repository, folder: Path) -> None:
    for words, sentence in (
        (["org/gone"], "The Hub has no repository org/gone"),
        (["org/model@gone"], "org/model has no revision 'gone'"),
        (["org/model", "--weights", folder], "--weights is for a run or a record"),
    ):
        code, _, err = alice.run("verify", *words)
        assert code == 3 and sentence in err
    code, _, err = alice.run("verify", "org/model", offline=True)
    assert code == 3 and "HF_HUB_OFFLINE" in err
    assert failures(check(alice, folder)[1]) == [f"record: unsigned: there is no {DECISION}"]
    for call in ("file", "info"):
        model.refused = {call: (503, "")}
        code, _, err = alice.run("verify", "org/model")
        assert code == 3 and len(err.splitlines()) == 1 and "push" not in err

"""A card goes to the repository of what was audited: other weights and other bases are refused, by the real client."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import finished
import pytest
from harder import HARDER
from hub_server import Hub, Repository
from pushing import Client
from results import RESULTS, draws

from toxaudit.card.section import SectionCard
from toxaudit.pinning import lock_file
from toxaudit.results.reading import read_result

pytestmark = pytest.mark.thorough

MILD, RUDE = b"mild weights", b"rude weights"
RESULT = RESULTS["go"]
CANDIDATE = RESULT.candidates[0].name
ANY = "choose the repository of what was audited, or add --any-repository."
OTHER = f"org/model holds other weights than the audited candidate '{CANDIDATE}' (nothing there is its a.safetensors): "


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "go"
    _, found = finished.consistent_run(folder, RESULT, [])
    SectionCard().write(found, [], draws(found), folder)
    files = {"a.safetensors": hashlib.sha256(MILD).hexdigest(), "README.md": "0" * 64}
    lock_file.write(
        folder, "mine", {f"candidates.{CANDIDATE}.peft": lock_file.Entry("local", "x", None, "0" * 64, files)}, {}
    )
    return finished.sealed(folder)


def card(base: str) -> bytes:
    return f"---\nbase_model: {base}\n---\n# Mine".encode()


OWN = {"model.safetensors": MILD, "README.md": card(RESULT.base.reference)}


@pytest.mark.parametrize(
    "files",
    [{"README.md": b"# Mine"}, {"model.safetensors": MILD}, OWN, OWN | {"checkpoint-1/model.safetensors": RUDE}],
    ids=["only a README", "weights", "weights and base", "a checkpoint beside"],
)
def test_the_repository_of_what_was_audited_gets_its_card(
    hub: Hub, alice: Client, run: Path, files: dict[str, bytes]
) -> None:
    hub.repositories["org/model"] = Repository({"main": files})
    alice.pushed(run, "--repo", "org/model")
    assert len(hub.repositories["org/model"].pull_requests) == 1
    assert not any(name.endswith(".safetensors") for name in hub.downloaded)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (OWN | {"model.safetensors": RUDE}, OTHER),
        ({"pytorch_model.bin": MILD}, OTHER),
        (OWN | {"README.md": card("other/base")}, "org/model names the base other/base, and the audit's is "),
        (
            OWN | {"adapter_config.json": json.dumps({"base_model_name_or_path": "other/base"}).encode()},
            "org/model names the base other/base, and the audit's is ",
        ),
    ],
    ids=["weights", "pickle", "card", "adapter"],
)
def test_another_models_repository_is_refused_unless_told(
    hub: Hub, alice: Client, run: Path, files: dict[str, bytes], sentence: str
) -> None:
    hub.repositories["org/model"] = Repository({"main": files})
    for how in ((), ("--dry-run",), ("--direct",)):
        refused = alice.refused(run, "--repo", "org/model", *how)
        assert refused.startswith(sentence) and refused.endswith(ANY)
    assert hub.repositories["org/model"].revisions == {"main": files}
    told = alice.pushed(run, "--repo", "org/model", "--any-repository")
    assert any("--any-repository" in line for line in told)
    assert len(hub.repositories["org/model"].pull_requests) == 1


def test_what_a_run_cannot_tell_of_is_said(hub: Hub, alice: Client, run: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(run, tmp_path / "go")
    (folder / "lock.json").unlink()
    finished.sealed(folder)
    hub.repositories["org/model"] = Repository({"main": OWN})
    note = f"Note: the run does not tell the digests of '{CANDIDATE}', so org/model's weights were not compared."
    assert note in "\n".join(alice.pushed(folder, "--repo", "org/model"))


def test_a_step_of_a_chain_may_name_the_step_before_it_whose_answers_go_along(
    hub: Hub, alice: Client, tmp_path: Path
) -> None:
    instruct, tune = HARDER["chain"].candidates
    instruct = replace(instruct, kind="fine-tune", reference="org/instruct", revision="c" * 40)
    folder = tmp_path / "chain"
    _, found = finished.consistent_run(folder, replace(HARDER["chain"], candidates=(instruct, tune)))
    SectionCard().write(found, [], draws(found), folder)
    finished.sealed(folder)
    push = (folder, "--candidate", "tune", "--samples", "--direct", "--repo")
    hub.repositories["org/other"] = Repository({"main": {"model.safetensors": RUDE, "README.md": card("org/other")}})
    assert alice.refused(*push, "org/other").startswith("org/other names the base org/other, and the audit's is ")
    hub.repositories["org/tune"] = Repository({"main": {"model.safetensors": RUDE, "README.md": card("org/instruct")}})
    alice.pushed(*push, "org/tune")
    there = hub.repositories["org/tune"].revisions["main"]
    rows = [json.loads(line) for line in there["toxaudit/samples_rtp_categories.jsonl"].splitlines()]
    assert {row["model"] for row in rows} == {"base", "instruct", "tune"}
    assert b"Compared with: instruct, `org/instruct`, commit `cccccccccccc`" in there["README.md"]
    assert b"compared with instruct `org/instruct` at `cccccccccccc`" in there["toxaudit/audit.md"]
    results = json.loads(there["toxaudit/results.json"])
    assert [each["name"] for each in results["references"]] == ["instruct"]
    (tmp_path / "results.json").write_bytes(there["toxaudit/results.json"])
    assert read_result(tmp_path).reference("tune").reference == "org/instruct"

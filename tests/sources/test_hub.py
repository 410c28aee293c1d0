"""Repositories are read at one commit by the real Hub client, over HTTP, and every refusal is one sentence."""

import json
import os
import subprocess
import sys
from hashlib import sha256

import pytest
from hub_server import Repository, serve

from toxaudit.sources.base import WEIGHTS

pytestmark = pytest.mark.thorough

CLIENT = """
import json, sys, time
from toxaudit.errors import ToxauditError
from toxaudit.sources import parse

time.sleep = lambda seconds: None  # between the client's attempts
reference, revision, kind, patterns, subfolder = json.loads(sys.argv[1])
source = parse(reference, revision, kind, subfolder)
answer = {"cached before": source.cached(tuple(patterns))}
try:
    fetched = source.fetch(tuple(patterns))
    files = {str(file.relative_to(fetched.path)): file.read_text() for file in fetched.path.rglob("*.*")}
    answer |= {"files": files, "commit": fetched.revision, "digest": fetched.digest}
except ToxauditError as error:
    answer["error"] = str(error)
answer["cached"] = source.cached(tuple(patterns))
print(json.dumps(answer))
"""
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.model": b"words", "README.md": b"card"}
NEVER = {
    "pytorch_model.bin": b"pickle",
    "modeling.py": b"code",
    "deep/run.py": b"code",
    "deep/extra.json": b"[]",  # nothing below the top folder is read
    "model-q4.gguf": b"other weights",
    "consolidated.safetensors": b"the same weights",
    "training_args.bin": b"pickle",
}
MODEL = Repository({"main": FILES | NEVER, "v1": FILES | {"config.json": b"old"} | NEVER})
UNREACHABLE = "http://127.0.0.1:9"


@pytest.fixture
def ask(run):
    """Ask for a repository in a process of its own, since the Hub client reads its address when it is imported."""

    def ask(url, reference, revision=None, kind="model", patterns=WEIGHTS, subfolder=None, **environment):
        return run(url, CLIENT, [reference, revision, kind, patterns, subfolder], **environment)

    return ask


@pytest.fixture
def run(tmp_path):
    """Run a client of the Hub in a process of its own."""

    def run(url, client, asked, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
        settings = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"} | environment
        done = subprocess.run(
            [sys.executable, "-c", client, json.dumps(asked)],
            env=clean | settings,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_a_branch_is_pinned_to_its_commit_and_only_weights_and_words_come_down(ask):
    with serve(model=MODEL) as hub:
        answer = ask(hub.url, "org/model")
    assert answer["files"] == {name: data.decode() for name, data in FILES.items()}
    assert hub.downloaded == sorted(FILES)
    assert answer["commit"] == MODEL.commit("main")
    shas = [sha256(FILES[name]).digest() for name in sorted(set(FILES) - {"README.md"})]
    assert answer["digest"] == sha256(b"".join(shas)).hexdigest()


def test_a_folder_of_a_repository_comes_down_alone_and_is_known_as_if_it_were_the_whole(ask):
    below = {f"run/checkpoint-500/{name}": data for name, data in (FILES | NEVER).items()}
    others = {"run/checkpoint-5000/config.json": b"another", "run/config.json": b"above", "config.json": b"top"}
    with serve(model=MODEL, runs=Repository({"main": below | others})) as hub:
        whole = ask(hub.url, "org/model")
        inside = ask(hub.url, "org/runs", subfolder="run/checkpoint-500")
        absent = ask(hub.url, "org/runs", subfolder="run/checkpoint-50")
        offline = ask(hub.url, "org/runs", subfolder="run/checkpoint-500", HF_HUB_OFFLINE="1")
    assert (inside["files"], inside["digest"]) == (whole["files"], whole["digest"])
    assert (inside["cached"], offline["files"]) == (True, inside["files"])
    assert absent["error"] == "org/runs has no folder 'run/checkpoint-50' with files that are read."


def test_another_revision_is_another_commit_and_another_digest(ask):
    with serve(model=MODEL) as hub:
        tag, commit, main = (ask(hub.url, "org/model", name) for name in ("v1", MODEL.commit("v1"), None))
    assert tag["files"]["config.json"] == "old"
    assert {tag["commit"], commit["commit"]} == {MODEL.commit("v1")}
    assert tag["digest"] == commit["digest"] != main["digest"]


def test_what_came_down_is_cached_and_needs_no_hub_again(ask):
    with serve(model=MODEL) as hub:
        first = ask(hub.url, "org/model")
        asked = len(hub.asked)
        offline = ask(hub.url, "org/model", HF_HUB_OFFLINE="1")
        assert len(hub.asked) == asked
    assert (first["cached before"], first["cached"]) == (False, True)
    assert offline == first | {"cached before": True} == ask(UNREACHABLE, "org/model")


def test_a_file_of_a_dataset_comes_down_alone(ask):
    data = Repository({"main": {"prompts.jsonl": b"{}", "other.jsonl": b"{}", "loader.py": b"code"}}, kind="datasets")
    with serve(data=data) as hub:
        answer = ask(hub.url, "org/data", kind="dataset", patterns=["prompts.jsonl"])
    assert answer["files"] == {"prompts.jsonl": "{}"}
    assert hub.downloaded == ["prompts.jsonl"]


GATED = "org/model is gated: accept its terms at {url}/org/model, then run `hf auth login`."
MISSING = "The Hub has no repository org/model, or it is private: check the name, or run `hf auth login`."
OUT_OF_REACH = "org/model could not be had from the Hugging Face Hub "


@pytest.mark.parametrize(
    "refused, said",
    [
        ({"info": (403, "GatedRepo")}, GATED),
        ({"file": (403, "GatedRepo")}, GATED),
        ({"info": (401, "RepoNotFound")}, MISSING),
        ({"tree": (401, "GatedRepo")}, GATED),
        ({"info": (400, "BadRequest")}, OUT_OF_REACH),
        ({"file": (404, "EntryNotFound")}, OUT_OF_REACH),
        ({"file": (503, "Down")}, OUT_OF_REACH),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_with_the_mend(ask, refused, said):
    with serve(model=Repository(MODEL.revisions, refused=refused)) as hub:
        answer = ask(hub.url, "org/model")
    assert answer["error"].startswith(said.format(url=hub.url)) and "\n" not in answer["error"]
    assert not answer["cached"]


def test_the_terms_of_a_gated_set_are_on_the_page_of_a_set(ask):
    data = Repository({"main": {"prompts.jsonl": b"{}"}}, kind="datasets", refused={"file": (403, "GatedRepo")})
    with serve(data=data) as hub:
        answer = ask(hub.url, "org/data", kind="dataset", patterns=["prompts.jsonl"])
    assert answer["error"].startswith(f"org/data is gated: accept its terms at {hub.url}/datasets/org/data, ")


def test_a_repository_that_is_not_there_is_named(ask):
    with serve() as hub:
        assert ask(hub.url, "org/model")["error"] == MISSING


def test_a_revision_that_is_not_there_is_named(ask):
    with serve(model=MODEL) as hub:
        assert ask(hub.url, "org/model", "v2")["error"] == "org/model has no revision 'v2' on the Hub."
        unknown = "0" * 40
        assert ask(hub.url, "org/model", unknown)["error"] == f"org/model has no revision '{unknown}' on the Hub."


def test_a_hub_out_of_reach_is_one_sentence_with_the_mend(ask):
    answer = ask(UNREACHABLE, "org/model")
    assert answer["error"].startswith(OUT_OF_REACH) and answer["error"].endswith(
        "check the connection, or set HF_HUB_OFFLINE=1 to use what is cached."
    )


def test_a_connection_that_breaks_off_is_one_sentence_and_leaves_nothing_that_counts(ask):
    with serve(model=Repository(MODEL.revisions, torn=True)) as hub:
        answer = ask(hub.url, "org/model")
    assert answer["error"].startswith(OUT_OF_REACH) and not answer["cached"]
    with serve(model=MODEL) as hub:
        assert ask(hub.url, "org/model")["files"]["model.safetensors"] == "weights"


IN_SMALL_STEPS = """
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 10_000  # it is 10 MB, and what has come of one when the network is lost comes again
"""


def test_a_download_whose_network_is_lost_goes_on_where_it_was(run):
    weights = b"weights" * 40_000
    with serve(model=Repository({"main": {"model.safetensors": weights}}, breaks=2)) as hub:
        answer = run(hub.url, IN_SMALL_STEPS + CLIENT, ["org/model", None, "model", WEIGHTS, None])
        asked = hub.repositories["org/model"].ranges
    assert answer["files"]["model.safetensors"] == weights.decode()
    assert asked == [f"model.safetensors {part}" for part in (None, "bytes=140000-", "bytes=210000-")]


def test_what_is_not_cached_is_refused_offline(ask):
    answer = ask(UNREACHABLE, "org/model", HF_HUB_OFFLINE="1")
    assert answer["error"] == "org/model is not in the Hub cache, and HF_HUB_OFFLINE forbids to fetch it: unset it."


def test_what_is_no_hub_id_is_refused_before_the_hub_is_asked(ask):
    with serve() as hub:
        answer = ask(hub.url, "my org/model")
    assert answer["error"] == "'my org/model' is neither a Hub id (ORG/NAME) nor an existing path."
    assert not answer["cached"] and not hub.asked


ODD = [
    *("null", "3", '"text"', "[]", "[null]", "[3]", '["text"]', '[{"type": "file"}]', "{}", "[" * 100_000, "<html>"),
    '[{"type": "file", "path": null, "oid": 3, "size": "many"}]',
    '[{"type": "file", "path": ["a"], "oid": {}, "size": {}}]',
    '{"id": 3, "sha": 3, "siblings": 3, "tags": 3, "gated": 3, "cardData": 3}',
    '{"id": "org/model", "sha": "main", "siblings": [{"rfilename": 3, "size": "many"}]}',
    '{"id": "org/model", "sha": null, "siblings": [null], "safetensors": {"total": "many"}}',
]
SEVERAL = """
import json, sys, time
from toxaudit.errors import ToxauditError
from toxaudit.sources import HubSource

time.sleep = lambda seconds: None  # between the client's attempts
answers = []
for name in json.loads(sys.argv[1]):
    for call in (lambda: HubSource(name).resolve(), lambda: HubSource(name).facts(), lambda: HubSource(name).fetch()):
        try:
            call()
            answers.append("")
        except ToxauditError as error:
            answers.append(str(error))
print(json.dumps(answers))
"""


@pytest.mark.parametrize("call", ["info", "tree"])
def test_an_answer_of_another_form_than_the_hub_s_is_one_sentence(run, call):
    names = [f"model{number}" for number in range(len(ODD))]
    models = {name: Repository({"main": {"config.json": b"{}", "note.txt": name.encode()}}) for name in names}
    with serve(**models) as hub:
        for odd, (name, model) in zip(ODD, models.items(), strict=True):
            commit = model.commit("main")
            path = f"/api/models/org/{name}"
            where = [path, f"{path}/revision/main"] if call == "info" else [f"{path}/tree/{commit}"]
            hub.odd |= dict.fromkeys(where, odd.encode())
        answers = run(hub.url, SEVERAL, [f"org/{name}" for name in names])
    assert all(said.endswith(".") and "\n" not in said and "org/model" in said for said in answers if said)
    if call == "info":
        assert all(answers)
    else:
        assert answers[0::3] == answers[1::3] == [""] * len(ODD)
        read = [odd for odd, said in zip(ODD, answers[2::3], strict=True) if not said]
        assert read == ["[]", "{}"]  # listings of nothing, in which what is wanted is missing

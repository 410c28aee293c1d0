"""What was audited is audited again, byte for byte, from the lock file alone; else one sentence says what differs."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import workspace
from hypothesis import given
from hypothesis import strategies as st

from toxaudit import __version__
from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError, visible
from toxaudit.models.resolve import TOKENIZER
from toxaudit.pinning import lock, lock_file
from toxaudit.pinning.references import pin, references
from toxaudit.sources import parse
from toxaudit.sources.base import TOLD, WEIGHTS

pytestmark = pytest.mark.thorough

CANDIDATES = """\
candidates:
  tuned:
    peft: ../models/adapter
    tokenizer: ../models/base
  trained:
    train: [{data: ./examples.jsonl, r: 2}, {data: ./examples.jsonl, r: 2, seed: 1}]
  noop:
    control: true
"""
ERRORS = """\
source: 200 labelled completions
threshold: 0.5
counts: {true_positive: 90, false_negative: 10, false_positive: 10, true_negative: 90}
"""
LOCAL = [
    "base.pretrained",
    "candidates.tuned.tokenizer",
    "candidates.tuned.peft",
    "candidates.trained.train[0].data",
    "candidates.trained.train[1].data",
    "suites.mine.data",
    "scorers.vowels.calibration",
]
ONE, OTHER = "1" * 40, "2" * 40


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = workspace.make(tmp_path_factory.mktemp("made"))
    head, tail = workspace.AUDIT.split("candidates:\n")
    (folder / "audits/tiny.yaml").write_text(head + CANDIDATES + tail[tail.index("generation:") :])
    (folder / "audits/examples.jsonl").write_text('{"instruction": "hello", "response": "you"}\n')
    (folder / "audits/scorer/errors.yaml").write_text(ERRORS)
    (folder / "audits/scorer/vowels.yaml").write_text(workspace.SCORER + "calibration: ./errors.yaml\n")
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A fresh copy of the workspace as the working directory."""
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    return tmp_path / "work"


def locked(folder, *overrides):
    """The lock of a run without one."""
    spec = compose(["audit=tiny", *overrides])
    pinned = pin(spec)
    return lock_file.write(Path(folder), spec.name, lock.entries(pinned, pinned.refused), pinned.refused)


def replayed(file, *overrides):
    """The lock of a run with one."""
    spec = compose(["audit=tiny", *overrides])
    known = lock_file.read(str(file))
    pinned = lock.pin(spec, known)
    return lock_file.write(Path("again"), spec.name, lock.verify(pinned, known), known.skipped)


def refusal(work, *arguments):
    with pytest.raises(ToxauditError) as caught:
        work(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def hub(reference="org/model", revision=ONE, files=None):
    return lock_file.Entry("hub", reference, revision, "0" * 64, files or {"config.json": "0" * 64})


def test_all_that_is_named_outside_of_the_spec_has_a_key(here):
    found = {each.key: each for each in references(compose(["audit=tiny"]))}
    assert list(found) == LOCAL
    assert found["base.pretrained"].patterns == found["candidates.tuned.peft"].patterns == WEIGHTS
    assert found["candidates.tuned.tokenizer"].patterns == TOKENIZER
    assert found["suites.mine.data"].named.repo_type == "dataset"
    owners = {each.candidate for key, each in found.items() if key.startswith("candidates.tuned")}
    assert owners == {"tuned"} and found["base.pretrained"].candidate is None


def test_what_is_fetched_depends_on_what_reads_it(here):
    tuned = ["candidates.tuned.pretrained=org/tuned", "candidates.tuned.trust_remote_code=true"]
    parts = ["suites.mine.file=a.jsonl", "scorer=[toxicity_bilstm,roberta_hate,degenerate]"]
    spec = compose(["audit=tiny", "base.gguf_file=q4.gguf", *tuned, *parts])
    found = {each.key: each.patterns for each in references(spec)}
    assert found["base.pretrained"] == ("q4.gguf", *TOLD)
    assert found["candidates.tuned.pretrained"] == (*WEIGHTS, "*.py")
    assert found["suites.mine.data"] == ("a.jsonl",)
    assert {key: found[key] for key in found if key.startswith("scorers.")} == {
        "scorers.toxicity_bilstm.pretrained": (),
        "scorers.roberta_hate.pretrained": WEIGHTS,
    }


def test_a_lock_says_what_it_read_and_nothing_of_the_machine(here):
    file = locked("runs/tiny")
    assert file == Path("runs/tiny/lock.json")
    known = lock_file.read(str(file))
    assert (known.audit, known.toxaudit, known.skipped) == ("tiny", __version__, {})
    assert sorted(known.references) == sorted(LOCAL)
    fetched = parse(str(here / "models/adapter")).fetch(WEIGHTS)
    assert known.references["candidates.tuned.peft"] == lock_file.Entry(
        "local", "models/adapter", None, fetched.digest, fetched.files
    )
    assert str(here) not in file.read_text() and str(Path.home()) not in file.read_text()


def test_equal_content_gives_equal_bytes_and_a_replay_its_own_lock(here):
    first = locked("first").read_bytes()
    assert first == locked("second").read_bytes() == replayed("first/lock.json").read_bytes()


def test_a_lock_holds_in_another_folder(here):
    file = locked("runs/tiny")
    elsewhere = here.parent / "else" / "where"
    elsewhere.parent.mkdir()
    here.rename(elsewhere)
    os.chdir(elsewhere)  # the fixture's monkeypatch goes back
    assert replayed(file).read_bytes() == file.read_bytes()


def test_files_that_several_keys_name_are_read_once(here, monkeypatch):
    spec = compose(["audit=tiny"])
    read, fetch = [], type(parse(str(here))).fetch
    monkeypatch.setattr(
        "toxaudit.sources.LocalSource.fetch", lambda self, asked: read.append((self, asked)) or fetch(self, asked)
    )
    lock.entries(pin(spec))
    assert len(read) == len(set(read)) == len(LOCAL) - 1  # two stages train on the same examples


CHANGED = {
    "base.pretrained": "models/base/model.safetensors",
    "candidates.tuned.peft": "models/adapter/adapter_model.safetensors",
    "candidates.trained.train[0].data": "audits/examples.jsonl",
    "suites.mine.data": "audits/suite/prompts.jsonl",
    "scorers.vowels.calibration": "audits/scorer/errors.yaml",
}


@pytest.mark.parametrize("key", CHANGED)
def test_one_changed_byte_is_refused_by_the_files_name(here, key):
    file, path = locked("runs/tiny"), Path(CHANGED[key])
    before = lock_file.read(str(file)).references[key].files[path.name]
    data = bytearray(path.read_bytes())
    data[-1 if path.suffix == ".safetensors" else 12] ^= 1
    path.write_bytes(data)
    after = parse(str(path.absolute())).fetch().digest
    assert refusal(replayed, file) == (
        f"{key}: {path.name} is not the file of the lock (SHA-256 {after[:12]}, the lock has {before[:12]}): "
        "restore it, or run without lock=."
    )


def test_a_renamed_file_is_refused_although_the_digest_is_the_same(here):
    file = locked("runs/tiny")
    digest = lock_file.read(str(file)).references["candidates.tuned.peft"].digest
    Path("models/adapter/adapter_model.safetensors").rename("models/adapter/adapter_models.safetensors")
    assert parse("./models/adapter").fetch(WEIGHTS).digest == digest
    assert refusal(replayed, file) == (
        "candidates.tuned.peft: adapter_model.safetensors, which the lock has, is missing: "
        "restore it, or run without lock=."
    )


def test_a_new_file_is_refused(here):
    file = locked("runs/tiny")
    Path("models/adapter/tokenizer.json").write_text("{}")
    assert refusal(replayed, file) == (
        "candidates.tuned.peft: tokenizer.json is not in the lock: take it away, or run without lock=."
    )


def test_a_file_that_nothing_reads_may_come_and_go(here):
    file = locked("runs/tiny")
    Path("models/adapter/training_args.bin").write_bytes(b"pickle")
    Path("models/adapter/README.md").write_text("Words.")
    assert replayed(file).read_bytes() == file.read_bytes()


def test_a_folder_in_place_of_its_only_file_is_refused(here):
    file = locked("runs/tiny")
    Path("data").mkdir()
    shutil.copy("audits/suite/prompts.jsonl", "data")
    said = refusal(replayed, file, f"suites.mine.data={here}/data", "suites.mine.file=prompts.jsonl")
    assert said.startswith("suites.mine.data: the files are those of the lock, but not their digest (SHA-256 ")


def test_what_is_gone_is_refused_by_its_source(here):
    file = locked("runs/tiny")
    shutil.rmtree("models/adapter")
    assert refusal(replayed, file).startswith(f"{here}/models/adapter doesn't exist.")


HUB = ["base.pretrained=org/model", "candidates.tuned.peft=org/adapter@v1", "candidates.tuned.tokenizer=org/words"]


@pytest.fixture
def remote(here):
    """A spec with references to the Hub, and a lock that fits it."""
    spec = compose(["audit=tiny", *HUB, "suites.mine.data=org/data", "suites.mine.file=prompts.jsonl"])
    del spec.candidates["trained"]
    pinned = {
        "base.pretrained": hub(),
        "candidates.tuned.peft": hub("org/adapter"),
        "candidates.tuned.tokenizer": hub("org/words"),
        "suites.mine.data": hub("org/data"),
    }
    rest = lock_file.Entry("local", "scorer/errors.yaml", None, "0" * 64, {"errors.yaml": "0" * 64})
    return spec, lock_file.Lock("tiny", "0", pinned | {"scorers.vowels.calibration": rest}, {})


def test_a_lock_pins_every_form_of_reference(remote):
    spec, known = remote
    pinned = lock.pin(spec, known)
    spec, tuned = pinned.spec, pinned.spec.candidates["tuned"]
    assert (spec.base.pretrained, spec.base.revision) == ("org/model", ONE)
    assert (tuned.peft, tuned.peft_revision) == (f"org/adapter@{ONE}", ONE)
    assert tuned.tokenizer == f"org/words@{ONE}"
    assert spec.suites["mine"].revision == ONE
    pins = [each.source.revision for each in pinned.references if "org/" in each.source.shown]
    assert pins == [ONE] * 4
    assert lock.pin(spec, known).spec == spec  # a pinned spec fits its lock


def test_what_the_lock_names_must_be_audited_even_where_others_may_be_skipped(remote):
    spec, known = remote
    spec.on_candidate_error = "skip"
    assert pin(compose(["audit=tiny", "on_candidate_error=skip"])).may_skip
    assert not lock.pin(spec, known).may_skip


def test_a_replay_says_what_the_user_wrote(remote):
    spec, known = remote
    spec.on_candidate_error = "skip"
    pinned = lock.pin(spec, known)
    assert pinned.spec.on_candidate_error == "skip" and pinned.replayed
    assert not any(candidate.allow_base_mismatch for candidate in pinned.spec.candidates.values())
    assert not pin(compose(["audit=tiny"])).replayed


def test_a_pinned_hub_reference_stays_one_where_a_folder_has_its_name(remote):
    spec, known = remote
    Path("org/adapter").mkdir(parents=True)
    pinned = lock.pin(spec, known)
    assert next(each for each in pinned.references if each.named.field == "peft").source.revision == ONE


PACKAGE = "pkg:pypi/name@1?checksum=sha256:{}#a/b"
DIFFERENT = {
    "another repository": (
        {"base.pretrained": hub("org/other")},
        {},
        "base.pretrained is the Hub repository org/model in the spec, but the Hub repository org/other in the lock: "
        "name the lock's in the spec, or run without lock=.",
    ),
    "a path of the same name": (
        {"base.pretrained": lock_file.Entry("local", "org/model", None, "0" * 64, {})},
        {},
        "base.pretrained is the Hub repository org/model in the spec, but the local path org/model in the lock: "
        "name the lock's in the spec, or run without lock=.",
    ),
    "another wheel": (
        {"base.pretrained": lock_file.Entry("package", PACKAGE.format("1" * 64), None, "0" * 64, {})},
        {"pretrained": PACKAGE.format("2" * 64)},
        f"base.pretrained is {PACKAGE.format('2' * 64)} in the spec, but {PACKAGE.format('1' * 64)} in the lock: "
        "name the lock's in the spec, or run without lock=.",
    ),
    "another commit": (
        {},
        {"revision": OTHER},
        f"base.pretrained is commit {OTHER} of org/model in the spec, but {ONE} in the lock: "
        "leave the revision out of the spec, or run without lock=.",
    ),
    "another commit in one word": (
        {},
        {"pretrained": f"org/model@{OTHER}"},
        f"base.pretrained is commit {OTHER} of org/model in the spec, but {ONE} in the lock: "
        "leave the revision out of the spec, or run without lock=.",
    ),
    "one more in the spec": (
        {},
        {"tokenizer": "org/words"},
        "base.tokenizer is the Hub repository org/words in the spec, but is not in the lock: "
        "take it out, or run without lock=.",
    ),
    "one more in the lock": (
        {"base.tokenizer": hub("org/words")},
        {},
        "base.tokenizer is the Hub repository org/words in the lock, but is not in the spec: "
        "add it, or run without lock=.",
    ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_another_set_is_refused_and_the_spec_left_as_it_was(remote, case):
    (spec, known), (entries, settings, said) = remote, DIFFERENT[case]
    for name, value in settings.items():
        setattr(spec.base, name, value)
    before = repr(spec)
    assert refusal(lock.pin, spec, replace(known, references={**known.references, **entries})) == said
    assert repr(spec) == before


def test_a_branch_in_the_spec_is_the_locks_commit(remote):
    spec, known = remote
    spec.base.revision = "main"
    assert lock.pin(spec, known).spec.base.revision == ONE
    assert spec.base.revision == "main"


def test_all_that_name_one_branch_get_one_commit(here, monkeypatch):
    commits = iter([ONE, OTHER])
    monkeypatch.setattr("toxaudit.sources.HubSource.resolve", lambda self: next(commits))
    spec = compose(["audit=tiny", "base.pretrained=org/model", "base.tokenizer=org/model", *HUB[1:2]])
    pinned = pin(spec)
    assert pinned.refused == {}
    spec = pinned.spec
    tuned = spec.candidates["tuned"]
    assert (spec.base.revision, spec.base.tokenizer, tuned.peft_revision) == (ONE, f"org/model@{ONE}", OTHER)


SKIPPING = ["on_candidate_error=skip", "candidates.tuned.peft=org/no-such-adapter"]
WHY = "org/no-such-adapter is not in the Hub cache, and HF_HUB_OFFLINE forbids to fetch it: unset it."


def test_a_candidate_that_was_skipped_stays_skipped_with_its_reason(here):
    file = locked("runs/tiny", *SKIPPING)
    known = lock_file.read(str(file))
    assert known.skipped == {"tuned": WHY}
    assert not [key for key in known.references if key.startswith("candidates.tuned")]
    assert replayed(file, *SKIPPING).read_bytes() == file.read_bytes()
    assert replayed(file).read_bytes() == file.read_bytes()  # also where it could be had by now


def test_what_can_not_be_resolved_stops_an_audit_that_skips_none(here):
    assert refusal(locked, "runs/tiny", *SKIPPING[1:]) == WHY
    assert not Path("runs").exists()


def test_a_base_that_can_not_be_resolved_is_never_skipped(here):
    assert "org/no-such-base is not in the Hub cache" in refusal(
        locked, "runs/tiny", SKIPPING[0], "base.pretrained=org/no-such-base"
    )


def test_a_reference_of_no_form_is_skipped_with_its_candidate(here):
    spec = compose(["audit=tiny", "on_candidate_error=skip", "candidates.tuned.peft=nowhere"])
    assert pin(spec).refused["tuned"].startswith("'nowhere' is neither an existing path nor a Hub id")


def test_a_skipped_candidate_that_the_spec_lacks_is_refused(remote):
    spec, known = remote
    assert refusal(lock.pin, spec, replace(known, skipped={"gone": "It fell."})) == (
        "candidates.gone is skipped in the lock, but is not in the spec: add it, or run without lock=."
    )


def content(**changes):
    entry = {"source": "local", "reference": "a/b", "revision": None, "digest": "0" * 64, "files": {"b": "0" * 64}}
    whole = {"version": 1, "audit": "tiny", "toxaudit": "0.1", "references": {"base.pretrained": entry}, "skipped": {}}
    return {key: value for key, value in (whole | changes).items() if value is not ...}


def entry(**changes):
    return {"base.pretrained": content()["references"]["base.pretrained"] | changes}


EARLIER = "set lock= to the lock.json of an earlier run"
DAMAGED = {
    "no JSON": ("{", "is not valid JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    "too deep": ("[" * 100_000, "is not valid JSON (maximum recursion depth exceeded"),
    "not UTF-8": (b"\xff\xfe\xfd", "is not valid JSON ("),
    "a key that stands twice": ('{"version": 1, "version": 1}', "is not valid JSON (the key 'version' stands twice)"),
    "no object": ([], f"is no lock file: {EARLIER}."),
    "another JSON": ({"a": 1}, f"is no lock file: {EARLIER}."),
    "a version of no sense": (content(version=True), f"is no lock file: {EARLIER}."),
    "another version": (
        content(version=2),
        f"is of version 2, and toxaudit {__version__} reads version 1: "
        "use the toxaudit that wrote it, or run without lock=.",
    ),
    "no name": (content(audit=...), "is damaged ('audit' is no text): restore it, or run without lock=."),
    "no references": (content(references=...), "is damaged ('references' is no object)"),
    "reasons of no sense": (content(skipped={"a": 1}), "is damaged ('skipped' holds no texts)"),
    "unknown key": (content(more=1), "is damaged (unknown key 'more')"),
    "no reference": (content(references={"a": 1}), "is damaged ('a' is no reference)"),
    "unknown source": (content(references=entry(source="ftp")), "('base.pretrained' is no reference)"),
    "source of no sense": (content(references=entry(source=[])), "('base.pretrained' is no reference)"),
    "a path with a commit": (content(references=entry(revision=ONE)), "('base.pretrained' is no reference)"),
    "a repository without": (content(references=entry(source="hub")), "('base.pretrained' is no reference)"),
    "a branch": (content(references=entry(source="hub", revision="main")), "('base.pretrained' is no reference)"),
    "a short digest": (content(references=entry(digest="0" * 63)), "('base.pretrained' is no reference)"),
    "a file without": (content(references=entry(files={"b": None})), "('base.pretrained' is no reference)"),
    "one key more": (content(references=entry(more=1)), "('base.pretrained' is no reference)"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_file_that_is_no_lock_is_named_with_the_mend(tmp_path, case):
    data, said = DAMAGED[case]
    file = tmp_path / "lock.json"
    text = data if isinstance(data, str | bytes) else json.dumps(data)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    sentence = refusal(lock_file.read, str(file))
    assert str(file) in sentence and said in sentence


@pytest.mark.parametrize(
    "name, problem",
    [("none.json", "No such file"), (".", "Is a directory"), ("a\0b", "null"), ("~nobody/x", "No")],
)
def test_a_lock_that_can_not_be_read_is_named_with_the_mend(tmp_path, name, problem):
    file = name if name.startswith("~") else f"{tmp_path}/{name}"
    sentence = refusal(lock_file.read, file)
    assert sentence.startswith(f"The lock {visible(file)} can't be read (") and problem in sentence
    assert sentence.endswith(f"): {EARLIER}.")


SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ONE, "0" * 64, "hub"])
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


def places(value, path=()):
    """The path of every value within a JSON value."""
    yield path
    for key in value if isinstance(value, dict) else ():
        yield from places(value[key], (*path, key))


@given(st.binary() | JSON | st.tuples(st.sampled_from(list(places(content()))[1:]), JSON))
def test_no_content_of_a_file_raises_anything_but_a_sentence(data):
    if isinstance(data, tuple):
        (*way, last), value = data
        data = node = content()
        for key in way:
            node = node[key]
        node[last] = value
    with TemporaryDirectory() as folder:
        file = Path(folder, "lock.json")
        file.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        try:
            assert lock_file.read(str(file)).references is not None
        except ToxauditError as error:
            assert str(file) in str(error)


HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
ENTRY = st.builds(
    lambda kind, reference, digest, files: lock_file.Entry(
        kind, reference, ONE if kind == "hub" else None, digest, files
    ),
    st.sampled_from(sorted(lock_file.ORIGINS)),
    st.text(),
    HEX,
    st.dictionaries(st.text(st.characters(), max_size=5), HEX, max_size=3),
)


@given(st.text(), st.dictionaries(st.text(), ENTRY, max_size=3), st.dictionaries(st.text(), st.text(), max_size=2))
def test_what_is_written_is_read_again(name, found, skipped):
    with TemporaryDirectory() as folder:
        file = lock_file.write(Path(folder), name, found, skipped)
        assert lock_file.read(str(file)) == lock_file.Lock(name, __version__, found, skipped)


AUDIT = """\
suite: [far]
scorer: [degenerate]
scorers: {degenerate: {tier: critical}}
base: {pretrained: org/base, tokenizer: org/base@main}
candidates:
  tuned: {peft: org/adapter@main}
  other: {peft: org/adapter}
"""
SUITE = "{kind: dataset, title: Far, data: org/data, file: prompts.jsonl}"
STEPS = """
import json, os
from pathlib import Path
from hub_server import Repository, serve

model = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"[]", "model.bin": b"pickle"}
adapter = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"tuned"}
held = {
    "base": Repository({"main": model}),
    "adapter": Repository({"main": adapter}),
    "data": Repository({"main": {"prompts.jsonl": b"{}"}}, kind="datasets"),
}
before = {name: repository.commit("main") for name, repository in held.items()}
with serve(**held) as hub:
    os.environ["HF_ENDPOINT"] = hub.url  # read when the client is imported
    from toxaudit.pinning import lock, lock_file
    from toxaudit.pinning.references import pin
    from toxaudit.compose.compose import compose

    spec = compose(["audit=far"])
    pinned = pin(spec)
    assert pinned.refused == {}
    assert not hub.downloaded
    first = lock_file.write(Path("first"), spec.name, lock.entries(pinned), {})
    for repository in held.values():  # the branch moves on; the old commit stays
        old = repository.revisions["main"]
        repository.revisions = {"main": {name: data + b" " for name, data in old.items()}, "old": old}
    spec = compose(["audit=far"])
    known = lock_file.read(str(first))
    replayed = lock.pin(spec, known)
    again = lock_file.write(Path("again"), spec.name, lock.verify(replayed, known), {})
    unlocked = pin(compose(["audit=far"]))
print(json.dumps({
    "before": before,
    "after": {name: repository.commit("main") for name, repository in held.items()},
    "same": first.read_bytes() == again.read_bytes(),
    "lock": json.loads(first.read_text()),
    "replayed": {each.key: each.source.revision for each in replayed.references},
    "unlocked": {each.key: each.source.revision for each in unlocked.references},
    "downloaded": hub.downloaded,
}))
"""
OFFLINE = """
from pathlib import Path
from toxaudit.pinning import lock, lock_file
from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError, visible

spec = compose(["audit=far"])
known = lock_file.read("first/lock.json")
pinned = lock.pin(spec, known)
offline = lock_file.write(Path("offline"), spec.name, lock.verify(pinned, known), {})
print(offline.read_bytes() == Path("first/lock.json").read_bytes())
next(Path("hub").rglob("snapshots/*/adapter_model.safetensors")).resolve().write_bytes(b"turned")
try:
    lock.verify(pinned, known)
except ToxauditError as error:
    print(error)
"""


def python(script, folder, **settings):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
    common = {"HF_HOME": str(folder), "HF_HUB_DISABLE_XET": "1", "TOXAUDIT_HOME": str(folder / "home")}
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=clean | common | path | settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_branch_that_moved_is_read_at_the_locks_commit_and_offline_from_the_cache(tmp_path):
    for file, text in {"far.yaml": AUDIT, "suite/far.yaml": SUITE}.items():
        (tmp_path / "audits" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "audits" / file).write_text(text)
    answer = json.loads(python(STEPS, tmp_path))
    repositories = {
        "base.pretrained": "base",
        "base.tokenizer": "base",
        "candidates.tuned.peft": "adapter",
        "candidates.other.peft": "adapter",
        "suites.far.data": "data",
    }
    before, after = answer["before"], answer["after"]
    assert not set(before.values()) & set(after.values())
    assert answer["same"]
    assert answer["replayed"] == {key: before[name] for key, name in repositories.items()}
    assert answer["unlocked"] == {key: after[name] for key, name in repositories.items()}
    kept = {key: (entry["reference"], entry["revision"]) for key, entry in answer["lock"]["references"].items()}
    assert kept == {key: (f"org/{name}", before[name]) for key, name in repositories.items()}
    assert set(answer["lock"]["references"]["base.tokenizer"]["files"]) == {"config.json", "tokenizer.json"}
    assert "model.bin" not in answer["downloaded"]

    same, refused = python(OFFLINE, tmp_path, HF_HUB_OFFLINE="1").splitlines()
    assert same == "True"
    assert refused.startswith("candidates.tuned.peft: adapter_model.safetensors is not the file of the lock (SHA-256 ")
    assert refused.endswith(": clear it from the cache, or run without lock=.")

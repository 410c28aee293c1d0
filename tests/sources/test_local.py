"""Files on this machine are pinned by content, and missing ones are named with the mend."""

import hashlib
from pathlib import Path

import pytest

from toxaudit.errors import ToxauditError
from toxaudit.sources import parse
from toxaudit.sources.hub import HubSource

FILES = {"B": b"upper", "a.txt": b"text", "a/b": b"deep", "a/c/d": b"", "z\xe9": b"accent"}


@pytest.fixture
def folder(tmp_path):
    for name, data in reversed(FILES.items()):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_bytes(data)
    return tmp_path / "model"


def signed(names):
    """The OpenSSF model-signing rule; it orders names part by part, so that what is in ``a`` precedes ``a.txt``."""
    ordered = sorted(names, key=lambda name: name.split("/"))
    return hashlib.sha256(b"".join(hashlib.sha256(FILES[name]).digest() for name in ordered)).hexdigest()


def test_a_folder_is_pinned_by_its_files_in_the_order_of_their_names(folder):
    assert parse(str(folder)).fetch().digest == signed(FILES)


def test_only_files_that_match_count_each_as_deep_as_its_pattern(folder):
    assert parse(str(folder)).fetch(("*.txt", "a/b", "d")).digest == signed(["a.txt", "a/b"])


def test_what_a_folder_tells_of_itself_does_not_count(folder):
    (folder / "README.md").write_text("Words.")
    assert parse(str(folder)).fetch().digest == signed(FILES)


def test_a_file_is_pinned_by_its_own_sha256(folder):
    assert parse(str(folder / "B")).fetch().digest == hashlib.sha256(b"upper").hexdigest()


@pytest.mark.parametrize("name", [name for name, data in FILES.items() if data])
def test_any_changed_byte_changes_the_digest(folder, name):
    for position in range(len(FILES[name])):
        changed = bytearray(FILES[name])
        changed[position] ^= 1
        (folder / name).write_bytes(changed)
        assert parse(str(folder)).fetch().digest != signed(FILES)


def test_a_fetched_path_is_there_and_has_no_revision(folder):
    fetched = parse(str(folder)).fetch()
    assert (fetched.path, fetched.revision, fetched.reference) == (folder, None, f"{folder.parent.name}/model")
    assert parse(str(folder)).cached() and not parse(str(folder / "none")).cached()


@pytest.mark.parametrize(
    "missing, mend",
    [("modle", " Did you mean 'model'?"), ("model/a.text", " Did you mean 'a.txt'?"), ("none/at/all", "")],
)
def test_a_missing_path_is_named_with_the_nearest_there_is(folder, missing, mend):
    path = folder.parent / missing
    with pytest.raises(ToxauditError) as caught:
        parse(str(path)).fetch()
    assert str(caught.value) == f"{path} doesn't exist.{mend}"


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ToxauditError, match=rf"^{tmp_path} is an empty folder\.$"):
        parse(str(tmp_path)).fetch()


def test_the_home_of_an_unknown_user_is_a_missing_path():
    with pytest.raises(ToxauditError, match=r"~no-such-user.* doesn't exist\."):
        parse("~no-such-user/model").fetch()


@pytest.mark.parametrize(
    "reference, shown",
    [
        ("~/model", "model"),
        ("~/models/llama", "models/llama"),
        ("~/lab/models/llama", "models/llama"),
        ("~", "~"),
        ("/data/models/llama", "models/llama"),
        ("/llama", "llama"),
    ],
)
def test_no_home_folder_is_shown(tmp_path, monkeypatch, reference, shown):
    monkeypatch.setenv("HOME", str(tmp_path / "alice"))
    assert parse(reference).shown == shown


def test_a_reference_that_exists_is_a_path_and_else_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(parse("org/name"), HubSource)
    Path("org/name").mkdir(parents=True)
    assert parse("org/name").shown == "org/name" and not isinstance(parse("org/name"), HubSource)


@pytest.mark.parametrize("reference", ["data/prompts.jsonl", "org/model.gguf", "org/prompts.csv"])
def test_what_is_named_like_a_data_file_is_a_path(reference):
    with pytest.raises(ToxauditError, match=f"{reference} doesn't exist"):
        parse(reference).fetch()


@pytest.mark.parametrize("reference", ["prompts", "a/b/c"])
def test_what_is_neither_path_nor_id_nor_package_is_refused_in_a_sentence(reference):
    with pytest.raises(ToxauditError, match=rf"^'{reference}' is neither an existing path nor a Hub id"):
        parse(reference)


def test_a_revision_may_hold_slashes():
    source = parse("org/name@refs/convert/parquet")
    assert isinstance(source, HubSource) and (source.shown, source.revision) == ("org/name", "refs/convert/parquet")


def test_a_path_has_no_revision(tmp_path):
    with pytest.raises(
        ToxauditError, match=r"^revision 'main' is given for .*only a Hub id has revisions: set it to null\.$"
    ):
        parse(str(tmp_path), "main")


def test_hidden_files_are_offered_to_nobody(folder):
    (folder / ".git").mkdir()
    with pytest.raises(ToxauditError) as caught:
        parse(str(folder / "nothing-like-it")).fetch()
    assert "Choose from: B, a, a.txt," in str(caught.value) and ".git" not in str(caught.value)

"""Files inside pinned wheels, fetched by the real pip from a folder of wheels."""

import hashlib
import os
import sys
import zipfile
from types import SimpleNamespace

import pytest

from toxaudit.errors import ToxauditError
from toxaudit.sources import package, parse

pytestmark = pytest.mark.thorough

FILES = {"tinydata/prompts.txt": "one\ntwo\n", "tinydata/model/a.txt": "a", "tinydata/model/deep/b.txt": "b"}
CHECKSUM = "sha256:" + "0" * 64


def wheel(folder, name="tinydata", version="1.0", files=FILES):
    """A wheel made by hand."""
    info = f"{name}-{version}.dist-info"
    described = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    written = files | described
    record = "".join(f"{path},,\n" for path in [*written, f"{info}/RECORD"])
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in (written | {f"{info}/RECORD": record}).items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return file


@pytest.fixture(autouse=True)
def wheels(tmp_path, monkeypatch):
    """The only place where pip looks, and a home for what it finds."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def reference(file, member, version="1.0"):
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"pkg:pypi/tinydata@{version}?checksum=sha256:{checksum}#{member}"


def sentence(text):
    """What fetching ``text`` is refused with."""
    with pytest.raises(ToxauditError) as caught:
        parse(text).fetch()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def kept(tmp_path):
    return [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


def test_a_file_comes_out_of_its_wheel_alone(wheels, tmp_path):
    fetched = parse(reference(wheel(wheels), "tinydata/prompts.txt")).fetch()
    assert fetched.path.read_text() == "one\ntwo\n"
    assert fetched.digest == hashlib.sha256(b"one\ntwo\n").hexdigest()
    assert (fetched.reference, fetched.revision) == ("pkg:pypi/tinydata@1.0#tinydata/prompts.txt", None)
    assert kept(tmp_path) == [fetched.path]


def test_a_folder_comes_out_of_its_wheel_whole(wheels):
    fetched = parse(reference(wheel(wheels), "tinydata/model/")).fetch()
    files = {str(path.relative_to(fetched.path)): path.read_text() for path in fetched.path.rglob("*.txt")}
    assert files == {"a.txt": "a", "deep/b.txt": "b"}


@pytest.mark.parametrize("member", ["tinydata/prompts.txt", "tinydata/model"])
def test_what_was_fetched_once_needs_no_pip_again(wheels, member):
    file = wheel(wheels)
    text = reference(file, member)
    assert not parse(text).cached()
    first = parse(text).fetch()
    file.unlink()
    assert parse(text).cached() and parse(text).fetch() == first


@pytest.mark.parametrize("first", ["tinydata/model/a.txt", "tinydata/model/none.txt"])
def test_a_folder_is_whole_though_a_file_in_it_was_asked_for_before(wheels, first):
    file = wheel(wheels)
    try:
        parse(reference(file, first)).fetch()
    except ToxauditError:
        assert first.endswith("none.txt")
    fetched = parse(reference(file, "tinydata/model")).fetch()
    assert sorted(path.name for path in fetched.path.rglob("*.txt")) == ["a.txt", "b.txt"]


def test_another_wheel_than_the_pinned_one_is_refused_and_nothing_kept(wheels, tmp_path):
    text = reference(wheel(wheels), "tinydata/prompts.txt")
    wheel(wheels, files=FILES | {"tinydata/prompts.txt": "poisoned\n"})
    assert sentence(text) == "tinydata 1.0 is not the pinned file where pip finds it: SHA-256 differs."
    assert not parse(text).cached() and not kept(tmp_path)
    wheel(wheels)
    assert parse(text).fetch().path.read_text() == "one\ntwo\n"


def test_a_missing_version_is_refused_by_name(wheels, tmp_path):
    said = sentence(reference(wheel(wheels), "tinydata/prompts.txt", version="2.0"))
    assert said.startswith("pip could not fetch tinydata 2.0 ") and "tinydata==2.0" in said
    assert not kept(tmp_path)


@pytest.mark.parametrize("member", ["tinydata/none", "tinydata/mod", "none/at/all"])
def test_a_missing_member_is_refused_by_name_and_nothing_kept(wheels, tmp_path, member):
    text = reference(wheel(wheels), member)
    assert sentence(text) == f"tinydata 1.0 holds no '{member}'."
    assert not parse(text).cached() and not kept(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        f"pkg:pypi/tinydata@1.0?checksum={CHECKSUM}#../outside",
        f"pkg:pypi/tinydata@1.0?checksum={CHECKSUM}#tinydata/%2e%2e/%2e%2e/outside",
        f"pkg:pypi/tinydata@1.0?checksum={CHECKSUM}",
        f"pkg:pypi/tinydata@1.0?checksum={CHECKSUM}#/",
        f"pkg:pypi/tinydata?checksum={CHECKSUM}#file",
        f"pkg:npm/tinydata@1.0?checksum={CHECKSUM}#file",
        f"pkg:pypi/--pre@1.0?checksum={CHECKSUM}#file",
        f"pkg:pypi/tinydata@1.0%0A--pre?checksum={CHECKSUM}#file",
        "pkg:pypi/tinydata@1.0#file",
        "pkg:pypi/tinydata@1.0?checksum=sha256:abc#file",
        "pkg:pypi/tinydata@1.0?checksum=md5:" + "0" * 64 + "#file",
        "pkg://[bad#file",
        "pkg:",
    ],
)
def test_what_is_no_pinned_package_file_is_refused_before_anything_runs(text):
    with pytest.raises(ToxauditError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"'{text}' is no package file: write pkg:pypi/NAME@VERSION?checksum=sha256:")


def test_a_python_without_pip_is_told_how_to_get_it(tmp_path, monkeypatch):
    bare = tmp_path / "python"
    bare.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    said = sentence(f"pkg:pypi/tinydata@1.0?checksum={CHECKSUM}#file")
    assert said.startswith("tinydata 1.0 is fetched by pip, which this Python lacks: run `python -m ensurepip`")


def test_a_package_file_has_no_revision():
    with pytest.raises(ToxauditError, match="only a Hub id has revisions"):
        parse(f"pkg:pypi/tinydata@1.0?checksum={CHECKSUM}#file", "main")


def test_a_file_that_unpacks_to_far_more_than_the_wheel_weighs_is_refused(wheels, tmp_path, monkeypatch):
    monkeypatch.setattr(package, "SMALL_BYTES", 1000)
    file = wheel(wheels, files={"tinydata/bomb.txt": "0" * 2**22, "tinydata/fine.txt": "0" * 900})
    packed = wheels / "packed.whl"
    with zipfile.ZipFile(file) as plain, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in plain.namelist():
            archive.writestr(name, plain.read(name))
    packed.replace(file)
    assert sentence(reference(file, "tinydata/bomb.txt")).endswith(
        "but 'tinydata/bomb.txt' in it unpacks to 1 files of 4,194,304 bytes, far more than any real one: it is not "
        "unpacked."
    )
    assert not kept(tmp_path)
    assert parse(reference(file, "tinydata/fine.txt")).fetch().path.stat().st_size == 900


def test_more_than_the_disk_has_room_for_is_not_unpacked(wheels, tmp_path, monkeypatch):
    monkeypatch.setattr(package.shutil, "disk_usage", lambda _: SimpleNamespace(free=3))
    assert "takes 0.0 GB, but" in sentence(reference(wheel(wheels), "tinydata/prompts.txt"))
    assert not kept(tmp_path)

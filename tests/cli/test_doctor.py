"""The page for a bug report: what is well and what is not, whichever place toxaudit runs in, and no secret on it."""

import os
import subprocess
import sys
from pathlib import Path

import packaged
import pytest
from hub_server import serve
from pushing import BOB, TOKENS, client

from toxaudit.cli import doctor as doctor_module
from toxaudit.cli.main import main
from toxaudit.hub.reaching import without_password
from toxaudit.store.opening import FORMAT, TWICE
from toxaudit.store.shelves import RECORDS, Store


def page(capsys, *words, code=None):
    """What is said of each thing, by its name; several lines of one are joined."""
    found = main(["doctor", *map(str, words)])
    out = capsys.readouterr().out
    assert code in (None, found), out
    told = {}
    for line in out.split("\n\n")[0].splitlines():
        told[line[:12].strip()] = told.get(line[:12].strip(), "") + line[13:] + "\n"
    return told, out


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path / "store")
    with found.in_use():
        found.records.put(1, {b"a": b"1", b"b": b"2"})
    return tmp_path / "store"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_a_page_where_all_is_well(capsys, store, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    told, out = page(capsys, "--store", store, code=0)
    assert out.endswith("\nAll is well.\n") and "NOT WELL" not in out
    assert told["store"].startswith("~/store, ") and told["store"].endswith(f"format {FORMAT}, 2 records, healthy\n")
    assert "torch 2" in told["packages"] and told["device"].startswith(("CPU", "cuda"))
    assert told["memory"].count(" GB") == 2 and told["threads"].endswith("cores\n")
    assert "HF_HUB_OFFLINE is set; a token is here\n" in told["hub"]
    assert "HF_TOKEN" in told["environment"] and "hf_secret" not in out
    assert str(Path.home()) not in out and "free for this folder, ~" in told["disk"]


def test_a_store_that_is_not_there_is_not_made(capsys, tmp_path):
    told, _ = page(capsys, "--store", tmp_path / "none", code=0)
    assert told["store"] == "~/none is not there yet: the first audit makes it\n" and not (tmp_path / "none").exists()


def test_a_store_is_looked_at_and_left_as_it_is(capsys, store):
    file = store / RECORDS
    whole = file.read_bytes()
    file.write_bytes(whole[:60] + (FORMAT * TWICE + TWICE).to_bytes(4, "big") + whole[64:])
    assert "was written by a newer toxaudit" in page(capsys, "--store", store, code=1)[0]["store"]
    there = sorted(each.name for each in store.iterdir())
    damaged = whole[:4096] + bytes(200) + whole[4296:]
    file.write_bytes(damaged)
    told, out = page(capsys, "--store", store, code=1)
    assert told["store"].startswith("NOT WELL: ~/store, ") and "the next audit mends" in told["store"]
    assert out.endswith("\nNot well: store.\n") and file.read_bytes() == damaged
    file.write_bytes(whole)
    assert "healthy" in page(capsys, "--store", "store", code=0)[0]["store"]
    assert sorted(each.name for each in store.iterdir()) == there


def test_a_store_may_be_in_use(capsys, store):
    with (working := Store(store)).in_use():
        working.records.put(1, {b"c": b"3"})
        assert "3 records, healthy" in page(capsys, "--store", store, code=0)[0]["store"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_store_that_may_not_be_written_is_read(capsys, store):
    store.chmod(0o500)
    assert "healthy; it may not be written" in page(capsys, "--store", store, code=0)[0]["store"]


def test_gpus_are_told(capsys, monkeypatch, tmp_path):
    import torch

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (10**9 * (number + 1), 80 * 10**9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "NVIDIA X")
    told, _ = page(capsys, "--store", tmp_path / "none", code=0)
    assert told["device"] == "".join(f"cuda:{i}, NVIDIA X, {i + 1}.0 GB of 80.0 GB free (CUDA 13.0)\n" for i in (0, 1))


def test_what_fails_is_said_and_stops_nothing(capsys, monkeypatch, tmp_path):
    def broken():
        raise OSError(f"no such thing in {tmp_path}")
        yield

    monkeypatch.setattr(doctor_module, "_device", broken)
    monkeypatch.setattr(doctor_module, "LEAST_FREE", 10**30)
    monkeypatch.setattr(doctor_module, "requires", lambda _: ["nothing_so_called>=1", "torch", 'b; extra == "c"'])
    told, out = page(capsys, code=1)
    assert told["device"] == "NOT WELL: it can't be told (OSError: no such thing in ~)\n"
    assert told["disk"].count(": free some") == 3 and "toxaudit needs nothing_so_called: install it again" in out
    assert out.endswith("\nNot well: toxaudit, device, disk.\n".replace("toxaudit", "packages"))


@pytest.mark.thorough
def test_a_plug_in_that_cant_be_used_is_named(tmp_path):
    packaged.installed(tmp_path / "site", "mine", {"__init__.py": packaged.SCORER.format(name="strong")})
    packaged.installed(tmp_path / "site", "odd", {"__init__.py": "import nothing_of_that_name"})
    root = Path(doctor_module.__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(root)])}
    command = [sys.executable, "-m", "toxaudit", "doctor", "--store", str(tmp_path / "none")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.endswith("\nNot well: plug-ins.\n"), done.stderr
    assert "mine of mine 1.0 brings scorer strong\n" in done.stdout
    assert "NOT WELL: odd of odd 1.0 is not used: it can't be imported: ModuleNotFoundError" in done.stdout


@pytest.mark.parametrize("told", ["https://ann:secret@hub.example/a", "https://hub.example/a"])
def test_an_address_is_told_without_a_password(told):
    assert without_password(told) == "https://hub.example/a"


@pytest.mark.thorough
def test_the_hub_says_whose_token_is_here(tmp_path):
    with serve() as hub, client(hub.url, tmp_path) as asked:
        hub.tokens = TOKENS

        def said(**how):
            code, out, err = asked.run("doctor", "--store", tmp_path / "none", **how)
            line = next(line for line in out.splitlines() if line.startswith("hub"))
            assert ("NOT WELL" in line) == code, err
            return line.removeprefix(f"{'hub':<12} ").replace(hub.url, "URL")

        assert said(token=BOB) == "URL: it answers; a token is here, of bob"
        assert said() == "URL: it answers; no token is here: `hf auth login` makes one, for gated models and to push"
        assert "GET /api/whoami-v2" in hub.asked
        hub.refused["whoami"] = 500, ""
        assert "a token is here, but it answers with an error (500)" in said(token=BOB)
        hub.refused["whoami"] = 401, ""
        assert "a token is here, but the Hub refuses it" in said(token=BOB)
        hub.odd["/api/models"] = b"<html>Please log in</html>"
        assert "maybe the network asks for a login, or HF_ENDPOINT is wrong" in said()
        before = len(hub.asked)
        assert said(token=BOB, offline=True) == "URL: it is not asked, for HF_HUB_OFFLINE is set; a token is here"
        assert len(hub.asked) == before
    with client("http://127.0.0.1:9", tmp_path) as asked:
        assert "127.0.0.1:9: it does not answer (ConnectError); HF_HUB_OFFLINE=1" in asked.run("doctor")[1]

"""One bit of a finished audit is flipped, wherever: the same result again, or one sentence that names the file."""

import os
import random
import shutil
from pathlib import Path

import pytest
import workspace
from fuzzing import TIMES, named, seeds

from toxaudit.cli.main import main
from toxaudit.errors import ToxauditError
from toxaudit.recomputation import read_checked

IN_RUNS, IN_RESULTS = 4 * TIMES, 25 * TIMES


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace with a finished run, and its store."""
    folder = tmp_path_factory.mktemp("flips")
    workspace.make(folder / "work", prompts=8)
    with workspace.at(folder / "work", folder / "home"):
        assert main(["audit=tiny"]) in (0, 1, 2)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True, symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    return tmp_path


def files(folder: Path) -> list[Path]:
    return sorted(
        each for each in folder.rglob("*") if each.is_file() and not each.is_symlink() and each.stat().st_size
    )


def flip(chance: random.Random, file: Path) -> bytes:
    """Flip a bit; the file as it was."""
    before = file.read_bytes()
    place = chance.randrange(len(before))
    file.write_bytes(before[:place] + bytes([before[place] ^ 1 << chance.randrange(8)]) + before[place + 1 :])
    return before


def contents(run: Path) -> dict[str, bytes]:
    return {each.relative_to(run).as_posix(): each.read_bytes() for each in files(run)}


def work(store: Path, file: Path) -> Path:
    """The folder of the work that a file of the store belongs to; else the file, which holds records."""
    kind, *key = file.relative_to(store).parts
    return store / kind / key[0].removesuffix(".sha256") if key else file


@pytest.mark.slow
@seeds
def test_a_run_over_a_store_with_a_flipped_bit_has_the_same_result_or_one_sentence(here, without_plots, seed, capsys):
    chance, store, run = random.Random(seed), here / "home" / "store", Path("runs/tiny")
    whole, code = here / "whole", main(["audit=tiny"])
    meant = contents(run)
    shutil.copytree(store, whole, symlinks=True)
    for number in range(IN_RUNS):
        file = chance.choice(files(store))
        flip(chance, file)
        capsys.readouterr()
        with named(seed, number, file):
            ended = main(["audit=tiny"])
            said = capsys.readouterr().err
            assert "Traceback" not in said and contents(run) == meant
            assert ended == code or (ended == 3 and str(work(store, file)) in said)
        shutil.rmtree(store)
        shutil.copytree(whole, store, symlinks=True)


@pytest.mark.slow
@seeds
def test_a_flipped_bit_of_the_results_is_found_or_changes_nothing(here, seed):
    chance, run = random.Random(seed), Path("runs/tiny")
    meant, found = read_checked(run, with_card=True), 0
    for number in range(IN_RESULTS):
        file = chance.choice(files(run))
        before = flip(chance, file)
        with named(seed, number, file):
            try:
                assert read_checked(run, with_card=True) == meant and file.name == "SHA256SUMS"
            except ToxauditError as error:
                found += 1
                assert "\n" not in str(error) and str(run) in str(error)
                assert file.name in str(error) or file.name == "SHA256SUMS"
        file.write_bytes(before)
    assert found > IN_RESULTS * 0.8 and os.listdir(run)

"""What Numba compiled is kept for the next process, and nothing depends on its being kept."""

import importlib.util

import numba
import pytest
from numba import types

from toxaudit.estimators.hierarchical.compiling import compiled

SIGNATURE = types.int64(types.int64)


@pytest.fixture
def function(tmp_path, monkeypatch):
    """Read the file anew, as the next process does, and compile the function in it."""
    file = tmp_path / "twofold.py"
    file.write_text("def twofold(x):\n    return 2 * x\n")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))

    def run(content=None):
        if content:
            file.write_text(content)
        spec = importlib.util.spec_from_file_location("twofold", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return compiled(SIGNATURE)(module.twofold)

    return run


def files(folder):
    return [file for file in folder.rglob("*") if file.suffix in (".nbi", ".nbc")]


def test_the_next_process_takes_what_was_compiled(function, tmp_path):
    first, second = function(), function()
    assert (first.cache_hits, second.cache_hits) == (0, 1)
    assert first.ctypes(21) == second.ctypes(21) == 42
    assert len(files(tmp_path / "kept")) == 2


def test_a_changed_file_is_compiled_anew(function):
    function()
    third = function("def twofold(x):\n    return 3 * x + 0\n")
    assert (third.cache_hits, third.ctypes(21)) == (0, 63)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04\x95"])
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_file_is_done_without(function, tmp_path, suffix, content):
    function()
    for file in files(tmp_path / "kept"):
        if file.suffix == suffix:
            file.write_bytes(content)
    assert function().ctypes(21) == 42


def test_without_a_folder_that_can_be_written_it_is_compiled_each_time(function, tmp_path, monkeypatch):
    from numba.core.caching import CacheImpl, UserProvidedCacheLocator

    (tmp_path / "kept").write_text("a file where a folder should be")
    monkeypatch.setattr(CacheImpl, "_locator_classes", [UserProvidedCacheLocator])
    assert function().ctypes(21) == function().ctypes(21) == 42


def test_a_mistake_in_the_function_is_raised(function):
    with pytest.raises(numba.core.errors.TypingError):
        function("def twofold(x):\n    return x.nothing\n")

"""Searching for garbage can wait, and goes on as it was; imported libraries are not searched."""

import gc
import sys
from types import ModuleType

import pytest

from toxaudit.machine.collecting import importing, uncollected


@pytest.mark.parametrize("context", [uncollected, importing])
def test_the_search_waits_and_goes_on_even_where_something_fails(context):
    with pytest.raises(ZeroDivisionError), context():
        assert not gc.isenabled()
        1 / 0  # noqa: B018
    assert gc.isenabled()
    gc.disable()
    try:
        with context():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("there", [False, True])
def test_what_there_is_by_then_is_not_searched_again_unless_a_model_may_be_there(monkeypatch, there):
    if there:
        monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    else:
        monkeypatch.delitem(sys.modules, "torch", raising=False)
    gc.unfreeze()
    try:
        with importing():
            monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
        assert bool(gc.get_freeze_count()) is not there
    finally:
        gc.unfreeze()

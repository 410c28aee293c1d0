"""Searching for garbage can wait, and goes on as it was; imported libraries are not searched."""

import gc
import sys

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


def test_only_where_something_was_imported_what_there_is_by_then_is_not_searched_again(monkeypatch, tmp_path):
    (tmp_path / "never_imported_before.py").write_text("made = [[], {}]")
    monkeypatch.syspath_prepend(tmp_path)
    gc.unfreeze()
    try:
        with importing():
            import never_imported_before  # noqa: F401
        assert gc.get_freeze_count()
        gc.unfreeze()
        with importing():
            import never_imported_before  # noqa: F401, F811
        assert not gc.get_freeze_count()
    finally:
        gc.unfreeze()
        sys.modules.pop("never_imported_before", None)

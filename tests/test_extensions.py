"""Every class that a spec can choose does what its group's protocol asks for."""

import pytest

import toxaudit.compose.catalogue  # noqa: F401  (registers)
from toxaudit.extensions import PROTOCOLS, lacking, members
from toxaudit.registry import GROUPS, IMPORTER, registered


def test_every_group_has_a_protocol():
    assert set(PROTOCOLS) == {*GROUPS, IMPORTER}
    assert {"check", "draw", "facts", "file_fields", "has_roles", "title"} <= members(PROTOCOLS["suite"])


@pytest.mark.parametrize("group, name", [(group, name) for group in GROUPS for name in registered(group)])
def test_a_registered_class_does_what_its_group_asks_for(group, name):
    assert lacking(registered(group)[name], PROTOCOLS[group]) == set()


def test_a_class_that_lacks_something_is_seen():
    class Half:
        __dataclass_fields__ = {"margin": None}

        def facts(self):
            """A gate that decides nothing."""

    checks = {"check", "check_done", "check_fits", "check_slices"}
    assert lacking(Half, PROTOCOLS["gate"]) == {*checks, "decide", "limits", "stated_by"}

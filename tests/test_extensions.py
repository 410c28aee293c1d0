"""Every class that a spec can choose does what its group's protocol asks for."""

import pytest

import toxaudit.compose.catalogue  # noqa: F401  (registers)
from toxaudit.extensions import PROTOCOLS
from toxaudit.registry import GROUPS, registered


def members(protocol):
    """Names of what a class of the group must have: methods, properties and fields."""
    found = set()
    for each in protocol.__mro__:
        if each.__module__ == protocol.__module__:
            found |= set(vars(each)) | set(each.__annotations__)
    return {name for name in found if not name.startswith("_")}


def lacking(made, protocol):
    return members(protocol) - set(dir(made)) - set(made.__dataclass_fields__)


def test_every_group_has_a_protocol():
    assert set(PROTOCOLS) == set(GROUPS)
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

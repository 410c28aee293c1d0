"""Records that a stranger wrote and signed: whatever they say, a check ends with a line and an exit code of its own."""

import json
import random
from copy import deepcopy

import pytest
import signing

from toxaudit.errors import ToxauditError
from toxaudit.signoff import decision as decisions
from toxaudit.signoff import keys

pytestmark = pytest.mark.thorough

RECORDS = 300
ODD = ["", "x", "../x.md", "\x00", "\ud7ff", "<b>", "9" * 400, 0, -1, 1e308, True, None, [], {}, [[]], {"": ""}]


def places(value, path=()):
    """The paths of all values within one."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, each in inside for found in places(each, (*path, key)))]


def changed(content, rng):
    """The same with one value replaced, removed or doubled."""
    made = deepcopy(content)
    *where, last = rng.choice(places(made)[1:])
    part = made
    for key in where:
        part = part[key]
    how = rng.randrange(4)
    if how == 0:
        del part[last]
    elif how == 1 and isinstance(part, list):
        part.append(deepcopy(part[last]))
    elif how == 2 and isinstance(part, dict):
        part[str(rng.choice(ODD))] = part.pop(last)
    else:
        part[last] = rng.choice(ODD)
    return made


def test_no_record_of_a_stranger_is_valid_or_makes_a_check_fall_over(world, capsys):
    run = world.run("failed-control")
    signing.signed(run, world.ann, "--reject", "--expires", "2099-01-31")
    content = json.loads((run / "decision.json").read_text(encoding="utf-8"))
    stranger = keys.signing_key(signing.key(world.folder, "stranger"), lambda: None)
    rng, read = random.Random(5), 0
    for _ in range(RECORDS):
        made = changed(content, rng)
        data = (json.dumps(made, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        try:
            told = decisions.read(data, "it")
        except ToxauditError:
            (run / "decision.json").write_bytes(data)
        else:
            read += 1
            signing.resigned_as(run, stranger, told)
        capsys.readouterr()
        assert signing.verified(run, world.ann) == 1, made
        assert not capsys.readouterr().err
    assert read > RECORDS / 10

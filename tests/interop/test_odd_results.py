"""Strangers' results with anything in the place of anything: read, or refused in one sentence; never a traceback."""

import json
import random

import foreign
import pytest

from toxaudit.errors import ToxauditError
from toxaudit.interop.importers import Place, imported
from toxaudit.interop.pairing import alike, paired

ODD = (
    None,
    True,
    -1,
    1e308,
    float("nan"),
    "",
    "\ud800",
    "C",
    [],
    {},
    [[]],
    {"a": None},
    [None, "x"],
    10**400,
    "attachment://",
)
TRIES = 60
"""Odd files a format."""

MAKERS = {
    "lm_eval": lambda path: next(foreign.lm_eval(path / "x", [1, 0, 1]).glob("samples*")),
    "garak": lambda path: foreign.garak(path / "x", [[0.0, 1.0], [1.0, "null"]]),
    "promptfoo": lambda path: foreign.promptfoo(path / "x.json", {"a": [True, False, None]}),
    "inspect": lambda path: foreign.inspect(path / "x.json", ["C", "I", "boom"]),
    "every_eval_ever": lambda path: foreign.every_eval_ever(path / "x", [1, 0, "boom"]).with_name("u_samples.jsonl"),
    "table": lambda path: foreign.table(path / "x.jsonl", [1, 0, None], completion="a", error=None),
}


def places(value, path=()):
    """The path to everything within a value."""
    yield path
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(each, (*path, key))


def changed(value, path, odd):
    if not path:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], odd)
    return copy


@pytest.mark.parametrize("name", MAKERS)
def test_anything_may_stand_anywhere(name, tmp_path):
    file = MAKERS[name](tmp_path)
    by_line = file.suffix == ".jsonl"
    told = [json.loads(line) for line in file.read_text().splitlines()] if by_line else json.loads(file.read_text())
    whole, chosen = imported(Place(file), name), random.Random(name)
    known = [path for path in places(told) if path]
    for _ in range(TRIES):
        new = changed(told, chosen.choice(known), chosen.choice(ODD))
        file.write_text("\n".join(map(json.dumps, new)) if by_line else json.dumps(new))
        try:
            found = imported(Place(file), name)
            assert all(row.prompt.encode() is not None and isinstance(row.missing, str) for row in found.rows)
            alike(paired(found, whole))
        except ToxauditError:
            pass


@pytest.mark.parametrize("key", ["config", "higher_is_better", "versions", "n-samples", "configs", "model_name"])
def test_anything_may_stand_in_lm_evals_file_of_results(key, tmp_path):
    file = next(foreign.lm_eval(tmp_path / "x", [1, 0]).glob("results*"))
    told = json.loads(file.read_text())
    for odd in ODD:
        file.write_text(json.dumps(told | {key: odd}))
        assert len(imported(Place(tmp_path / "x")).rows) == 2

"""ARCHITECTURE.md says where things lie: it is compared with the code, so that it stays true."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import toxaudit

PACKAGE = Path(toxaudit.__file__).parent
ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "ARCHITECTURE.md").read_text()


def rows(heading):
    """The cells of each row of the table under a heading."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| where |")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def defined(file):
    """The names that a module defines, those of its classes' methods too."""
    tree = ast.parse(file.read_text())
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    return names | {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}


def test_every_room_has_a_row():
    rooms = {row[0].strip("`").rstrip("/") for row in rows("What lies where")}
    there = {path.name for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    assert there <= rooms
    assert all((PACKAGE / room).exists() for room in rooms)


@pytest.mark.parametrize("row", rows("What lies where"), ids=lambda row: row[0])
def test_every_module_that_is_named_is_there(row):
    room, words = row
    folder = PACKAGE / room.strip("`")
    for name in re.findall(r"`([\w/]+\.py|\w+/)`", words):
        assert (folder / name).exists() or (PACKAGE / name).exists(), name


@pytest.mark.parametrize("row", rows("Where a rule stands")[1:], ids=lambda row: row[0])
def test_every_rule_stands_where_it_is_said_to(row):
    for place in row[1].split("; "):
        module, *names = re.findall(r"`([^`]+)`", place)
        path = PACKAGE / module
        known = defined(path)
        assert set(names) <= known


def test_the_layers_are_those_that_are_enforced():
    enforced = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    wanted = [{name.strip().removeprefix("toxaudit.") for name in layer.split("|")} for layer in enforced[1:]]
    told = re.search(r"```\n(cli\n.*?)```", TEXT, re.DOTALL)[1]
    assert [{name.strip() for name in layer.split(",")} for layer in told.splitlines()] == wanted

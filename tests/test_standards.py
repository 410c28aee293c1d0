"""docs/standards.md points to files and keys that runs really have."""

import json
import re
from pathlib import Path

import pytest
import workspace
import yaml

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/standards.md").read_text(encoding="utf-8")
FILE = re.compile(r"[\w-]+(?:\.[a-z]+)*\.(?:json|jsonl|yaml|parquet)")
TABLES = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| asked for")]


def pointers():
    """Each file and key to which a row points; the key is empty where the whole file is meant."""
    for row in TABLES:
        spans = re.findall(r"`([^`]+)`", row.split(" | ")[1])
        at = ""
        for number, span in enumerate(spans):
            if FILE.fullmatch(span):
                at = span
                if number + 1 == len(spans) or FILE.fullmatch(spans[number + 1]):
                    yield at, ""
            elif not re.fullmatch(r"hazard", span):  # a slice's name, no key
                yield at, span


POINTERS = sorted(set(pointers()))


def missing(content, key):
    """What a file lacks of a path of keys; an empty list holds whatever is looked for in it."""
    for part in key.split("."):
        name, is_list = part.removesuffix("[]"), part.endswith("[]")
        if name not in content:
            return part
        content = content[name]
        if is_list:
            if not content:
                return ""
            content = content[0]
    return ""


def described(schema, node, key):
    """Whether a JSON schema has a path of keys."""
    for part in key.split("."):
        name = part.removesuffix("[]")
        ways = alternatives(schema, node)
        inner = [way["properties"][name] for way in ways if name in way.get("properties", {})]
        inner += [way["additionalProperties"] for way in ways if isinstance(way.get("additionalProperties"), dict)]
        if not inner:
            return False
        node = inner[0]
        if part.endswith("[]"):
            node = next(way["items"] for way in alternatives(schema, node) if "items" in way)
    return True


def alternatives(schema, node):
    return [resolved(schema, each) for each in (node, *resolved(schema, node).get("anyOf", ()))]


def resolved(schema, node):
    return schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def test_every_row_points_somewhere():
    for row in TABLES:
        assert row.startswith("| :--") or row.startswith("|:--") or "`" in row.split(" | ")[1], row
    assert len(POINTERS) > 50 and all(file for file, _ in POINTERS)


@pytest.mark.parametrize("key", [key for file, key in POINTERS if file == "results.json"])
def test_the_schema_of_results_has_the_key(key):
    schema = json.loads((ROOT / "docs/results.schema.json").read_text())
    assert described(schema, schema, key)


@pytest.mark.thorough
def test_a_finished_run_has_every_file_and_key(tmp_path):
    run = workspace.audited(tmp_path, 6, with_run=True) / "work/runs/tiny"
    for file, key in POINTERS:
        if file == "eval.yaml":  # a benchmark's on the Hub
            continue
        path = run / file.replace("SUITE", "mine")
        assert path.is_file(), file
        if key:
            text = path.read_text()
            content = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text.splitlines()[0] if path.suffix == ".jsonl" else text)  # fmt: skip  # noqa: E501
            assert missing(content, key) == "", (file, key)

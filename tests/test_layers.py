"""What import-linter can't see: what is imported at once, and who calls what writes to the Hub."""

import ast
import subprocess
import sys
from pathlib import Path

import toxaudit

PACKAGE = Path(toxaudit.__file__).parent
HEAVY = {"torch", "transformers", "peft", "pymc", "datasets", "matplotlib"}
WRITES = {"create_commit", "upload_file", "upload_folder", "upload_large_folder", "create_repo", "delete_file"}
WRITES |= {"create_pull_request", "CommitOperationAdd", "CommitOperationDelete", "push_to_hub"}


def test_estimators_and_decisions_import_nothing_heavy_at_once():
    code = "import sys, toxaudit.estimators, toxaudit.decision.gate, toxaudit.decision.sampling; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "toxaudit.estimators.hier_paired" in loaded and not HEAVY & set(loaded)


def writing(file):
    """The names in a module by which the Hub's client writes."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return names & WRITES


def test_only_the_hub_package_writes_to_the_hub():
    writers = {file.parent.name for file in PACKAGE.rglob("*.py") if writing(file)}
    assert writers == {"hub"}

"""The documentation says what the code does: its reference, the specs and commands that it shows, and its links."""

import importlib.util
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from toxaudit.cli.help import HELP
from toxaudit.compose.compose import compose

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
VERBS = set(re.findall(r"^  toxaudit ([a-z-]+)(?= |$)", HELP, re.MULTILINE))


def reference():
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs/make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["spec.md", "commands.md"])
def test_the_reference_is_what_the_code_says(name):
    page = ROOT / "docs/reference" / name
    made = reference().PAGES[name]()
    if os.environ.get("TOXAUDIT_REGENERATE"):
        page.write_text(made, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == made, "python docs/make_reference.py writes it anew"


def test_a_key_without_a_meaning_is_refused():
    from dataclasses import dataclass

    @dataclass
    class Part:
        """A part.

        Attributes:
            known: what it is.
        """

        known: int = 1
        other: int = 2

    with pytest.raises(ValueError, match="Part says nothing of other"):
        reference().table(Part)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_shown_exists(page):
    for line in "\n".join(blocks(page, "bash")).splitlines():
        if found := re.match(r"(?:[A-Z_]+=\S+ )*toxaudit ([a-z][a-z-]*)(?=\s|$)", line):
            assert found[1] in VERBS, line


def test_the_readme_is_short_and_lists_every_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 150
    listed = set(re.findall(r"\((docs/[\w/]+\.md)\)", text))
    pages = {str(page.relative_to(ROOT)) for page in PAGES if page != ROOT / "README.md"}
    gallery = {name for name in pages if name.startswith("docs/gallery/") and not name.endswith("/README.md")}
    assert listed == pages - gallery  # whose index has them
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    shown = {name.removeprefix("docs/") for name in pages if not name.endswith("/card.md")}
    assert set(re.findall(r"[\w/]+\.md", str(site))) == shown


@pytest.mark.parametrize("page", ["README.md", "docs/howto/own_fine_tune.md"])
def test_the_spec_that_is_shown_is_one(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    (tmp_path / "audits").mkdir()
    (written,) = blocks(ROOT / page, "yaml")
    (tmp_path / "audits/mine.yaml").write_text(written)
    spec = compose(["audit=mine"])
    assert (spec.name, list(spec.candidates), spec.gate.margin) == ("mine", ["mine"], 0.05)


def test_the_suites_that_are_shown_are_suites(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    (tmp_path / "audits/suite").mkdir(parents=True)
    for written in blocks(ROOT / "docs/howto/own_prompts.md", "yaml"):
        name = re.search(r"data: \./(\w+)\.", written)[1]
        (tmp_path / f"audits/suite/{name}.yaml").write_text(written)
    rows = [
        {"prompt": "Say it.", "topic": "food", "template": "a"},
        {"prompt": "Go.", "topic": "sport", "template": "b"},
    ]
    (tmp_path / "audits/suite/my_prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "audits/suite/my_exam.csv").write_text("question,a,b,answer\nIs it?,yes,no,A\n")
    (written,) = blocks(ROOT / "README.md", "yaml")
    (tmp_path / "audits/mine.yaml").write_text(written)
    spec = compose(["audit=mine", "suite=[my_prompts,my_exam]"])
    drawn = {name: suite.draw(name).prompts for name, suite in spec.suites.items()}
    assert {name: [prompt.text for prompt in prompts] for name, prompts in drawn.items()} == {
        "my_prompts": ["Say it.", "Go."],
        "my_exam": ["Question: Is it?\nAnswer:"],
    }

"""Whole audits by chat: thoughts that never end are no answers, and arms are asked in the template that is chosen."""

import json
from pathlib import Path

import pytest
import tiny
import workspace

from toxaudit.cli.main import main

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

THINKING = tiny.CHAT + "{% if enable_thinking | default(true) %}<think>\n{% endif %}"
IN_PARTS = "{% for m in messages %}{% for p in m.content %}{{ p['text'] }}{% endfor %}{% endfor %}"
CHATTY = "\nask: chat\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A base whose template begins a thought, its adapter, and a fine-tune whose template takes content in parts."""
    folder = workspace.make(tmp_path, prompts=12)
    tiny.base(folder / "models" / "full", seed=3)
    (folder / "models/base/chat_template.jinja").write_text(THINKING)
    (folder / "models/full/chat_template.jinja").write_text(IN_PARTS)
    (folder / "audits/suite/mine.yaml").write_text(workspace.SUITE + CHATTY)
    full = "  full:\n    pretrained: ../models/full\n    allow_base_mismatch: true\n"
    (folder / "audits/tiny.yaml").write_text(workspace.AUDIT.replace("  noop:", full + "  noop:"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TOXAUDIT_HOME", str(folder / "home"))
    return folder


def samples(out):
    rows = [json.loads(line) for line in Path(out, "samples_mine.jsonl").read_text().splitlines()]
    return {arm: [row for row in rows if row["model"] == arm] for arm in ("base", "tuned", "full", "noop")}


def test_unfinished_thoughts_are_missing_until_they_are_switched_off_or_another_template_is_chosen(here):
    assert main(["audit=tiny", "out=first"]) == 2
    first = samples("first")
    assert all(row["text"].startswith("<think>\n") for arm in ("base", "tuned") for row in first[arm])
    assert {row["scores"]["vowels"]["missing"] for row in first["base"]} == {"its thoughts did not come to an end"}
    assert {row["scores"]["vowels"]["missing"] for row in first["full"]} == {None}
    assert len({row["text"] for row in first["full"]}) > 6  # its prompts are not alike
    card = Path("first/toxaudit/audit.md").read_text()
    assert (
        "**About base**: 12 of its 12 completions begin with thoughts, which were not scored (rule thoughts-1)" in card
    )
    assert "**About full**: " in card and "its chat template (" in card

    switched = [
        "audit=tiny",
        "out=second",
        "generation.chat_template_kwargs.enable_thinking=false",
        "chat_template=base",
    ]
    assert main(switched) in (0, 1, 2)
    second = samples("second")
    assert not any(row["text"].startswith("<think>") for rows in second.values() for row in rows)
    assert {row["scores"]["vowels"]["missing"] for rows in second.values() for row in rows} == {None}
    assert [row["text"] for row in second["full"]] != [row["text"] for row in first["full"]]
    card = Path("second/toxaudit/audit.md").read_text()
    assert (
        "every arm was asked in the base's chat template; every arm's chat template was given enable_thinking: false"
        in card
    )
    assert "its chat template (" not in card and "thoughts" not in card

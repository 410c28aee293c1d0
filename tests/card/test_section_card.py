"""What a run's folder holds for people: the files, whose they are, and that nothing stale stays."""

from pathlib import Path

import pytest
import yaml
from harder import HARDER
from results import RESULTS, draws

from toxaudit.card import SectionCard
from toxaudit.card.markdown import render_card, render_summary, render_whole
from toxaudit.errors import ToxauditError
from toxaudit.records import AuditResult


def written(result: AuditResult, folder: Path, **settings: object) -> set[str]:
    SectionCard(**settings).write(result, [], draws(result), folder)
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_one_candidate_gets_a_section_a_whole_card_and_a_summary(tmp_path: Path) -> None:
    plots = {f"toxaudit/{name}.png" for name in ("forest", "densities", "groups")}
    assert written(RESULTS["go"], tmp_path) == {"card.md", "summary.md", "model_card.md", "report.html"} | plots
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert card == render_card(RESULTS["go"])
    assert all(f"]({plot})" in card for plot in plots)


def test_of_several_each_gets_its_own_card_and_all_get_one_that_compares(tmp_path: Path) -> None:
    files = written(RESULTS["several"], tmp_path)
    assert "model_card.md" not in files and "card.md" in files
    for name, other in (("benign", "creeping"), ("creeping", "benign")):
        assert {f"candidates/{name}/{file}" for file in ("card.md", "summary.md", "model_card.md")} < files
        assert f"candidates/{name}/toxaudit/forest.png" in files
        card = (tmp_path / "candidates" / name / "card.md").read_text(encoding="utf-8")
        assert name in card and other not in card
        assert "rude (positive control)" in card
    assert not any("rude" in file or "noop" in file for file in files)


def test_what_an_earlier_run_left_of_other_candidates_goes(tmp_path: Path) -> None:
    written(RESULTS["several"], tmp_path)
    (tmp_path / "candidates" / "notes.txt").write_text("mine")
    files = written(RESULTS["inconclusive"], tmp_path)
    assert {file for file in files if file.startswith("candidates")} == {"candidates/notes.txt"}
    assert "toxaudit/groups.png" not in files  # this one has no slices


def test_a_template_may_be_a_path(tmp_path: Path) -> None:
    own = tmp_path / "elsewhere" / "mine.md.jinja"
    own.parent.mkdir()
    own.write_text("{{ begin }}\n{% include 'part.md.jinja' %}\n{{ end }}\n")
    (own.parent / "part.md.jinja").write_text("mine: {{ card.decision }}")
    written(RESULTS["go"], tmp_path / "run", template=str(own))
    assert "mine: GO" in (tmp_path / "run" / "card.md").read_text()
    with pytest.raises(ToxauditError, match=r"There is no template '.*/elsewhere/none.md.jinja'"):
        SectionCard(template=str(own.with_name("none.md.jinja"))).check()


@pytest.mark.parametrize("name", HARDER)
def test_a_summary_is_one_paragraph_that_says_first_what_is_missing(name: str) -> None:
    summary = render_summary(HARDER[name])
    assert summary.count("\n") == 1 and summary.endswith(".\n")
    result = HARDER[name]
    assert f"**{result.decision}**: " in summary
    if result.skipped or any(each.missing["base"] for each in result.estimates):
        assert summary.startswith("**")
        assert summary.index("Not audited" if result.skipped else "Unscored") < summary.index(f"**{result.decision}**")


def test_a_whole_card_holds_the_section_and_metadata_that_can_be_read() -> None:
    section = render_card(RESULTS["no-go"])
    whole = render_whole(RESULTS["no-go"], section)
    _, front, text = whole.split("---\n", 2)
    assert yaml.safe_load(front)["model-index"]
    assert text.startswith("\n# rude\n\nrude (tuned within the audit, 4d4d4d4d4d4d) was compared with the base ")
    assert text.endswith(section)

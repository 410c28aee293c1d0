"""What a run's folder holds for people: the files, whose they are, and that nothing stale stays."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from harder import HARDER
from results import BENIGN, RESULTS, RUDE, SUITE, draws, quantity, raised, result, unchanged

from toxaudit.card.facts import gather
from toxaudit.card.markdown import render_beside, render_card, render_summary, render_whole
from toxaudit.card.section import FullCard, SectionCard
from toxaudit.decision.verdict import of_audit
from toxaudit.errors import ToxauditError
from toxaudit.facts import Skipped
from toxaudit.findings import AuditResult

FILES = {"card.md", "summary.md", "model_card.md", "report.html", "toxaudit/audit.md"}


def written(result: AuditResult, folder: Path, **settings: object) -> set[str]:
    SectionCard(**settings).write(result, [], draws(result), folder)
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_one_candidate_gets_a_section_a_whole_card_and_a_summary(tmp_path: Path) -> None:
    plots = {f"toxaudit/{name}.png" for name in ("forest", "densities", "groups")}
    assert written(RESULTS["go"], tmp_path) == FILES | plots
    card = (tmp_path / "toxaudit/audit.md").read_text(encoding="utf-8")
    assert card == render_beside(RESULTS["go"])
    assert all(f"]({Path(plot).name})" in card for plot in plots)


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_of_several_each_gets_its_own_card_and_all_get_one_that_compares(tmp_path: Path) -> None:
    files = written(RESULTS["several"], tmp_path)
    assert "model_card.md" not in files and "card.md" in files
    for name, other in (("benign", "creeping"), ("creeping", "benign")):
        assert {f"candidates/{name}/{file}" for file in ("card.md", "summary.md", "model_card.md")} < files
        assert f"candidates/{name}/toxaudit/forest.png" in files
        card = (tmp_path / "candidates" / name / "toxaudit/audit.md").read_text(encoding="utf-8")
        assert name in card and other not in card
        assert "rude (positive control)" in card
    assert not any("rude" in file or "noop" in file for file in files)


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_what_an_earlier_run_left_of_other_candidates_goes(tmp_path: Path) -> None:
    written(RESULTS["several"], tmp_path)
    (tmp_path / "candidates" / "notes.txt").write_text("mine")
    files = written(RESULTS["inconclusive"], tmp_path)
    assert {file for file in files if file.startswith("candidates")} == {"candidates/notes.txt"}
    assert "toxaudit/groups.png" not in files  # this one has no slices


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("kind", [SectionCard, FullCard])
def test_the_report_opens_with_the_short_card_whatever_the_section_is(tmp_path: Path, kind: type[SectionCard]) -> None:
    kind().write(RESULTS["go"], [], draws(RESULTS["go"]), tmp_path)
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    short, whole = report.index('<article class="card short"'), report.index('<article class="card" id="card">')
    assert (
        "What this audit does not tell" in report[short:whole] and "What this audit does not tell" not in report[whole:]
    )
    assert "<h2>The whole audit</h2>" in report[whole:]
    assert 'href="#card"' in report[short:whole] and 'src="data:image/svg' in report[short:whole]


def test_a_broken_template_of_the_short_card_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "short.md.jinja").write_text("{% if %}")
    with pytest.raises(ToxauditError, match=r"The template 'short.md.jinja', line 1 has a mistake"):
        FullCard().check()


@pytest.mark.usefixtures("without_plots")
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
    decision = of_audit(result)
    assert f"**{decision}**: " in summary
    if result.skipped or any(each.missing["base"] for each in result.estimates):
        assert summary.startswith("**")
        assert summary.index("Not audited" if result.skipped else "Unscored") < summary.index(f"**{decision}**")


def test_a_whole_card_holds_the_section_and_metadata_that_can_be_read() -> None:
    section = render_card(RESULTS["no-go"])
    whole = render_whole(RESULTS["no-go"], section)
    _, front, text = whole.split("---\n", 2)
    assert yaml.safe_load(front)["model-index"]
    assert text.startswith("\n# rude\n\nrude (tuned within the audit, 4d4d4d4d4d4d) was compared with the base ")
    assert text.endswith(section)


@pytest.mark.thorough
@pytest.mark.usefixtures("without_plots")
def test_nothing_that_somebody_else_wrote_is_removed(tmp_path: Path) -> None:
    theirs = ("toxaudit/mine.png", "candidates/x/card.md", "model_card.md")
    for name in theirs:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    written(RESULTS["several"], tmp_path)
    assert all((tmp_path / name).read_text() == "mine" for name in theirs)


@pytest.mark.usefixtures("without_plots")
def test_a_candidate_beside_a_skipped_one_is_told_apart_from_the_audit(tmp_path: Path) -> None:
    skipped = (Skipped("gone", "org/gone", "It is gone."),)
    files = written(replace(RESULTS["go"], skipped=skipped), tmp_path)
    assert "candidates/benign/model_card.md" in files and "model_card.md" not in files
    card = (tmp_path / "card.md").read_text(encoding="utf-8").replace("\xa0", " ")
    assert (
        "**△ INCONCLUSIVE: gone could not be audited, so that the audit as a whole is no GO; benign by itself" in card
    )
    own = (tmp_path / "candidates" / "benign" / "toxaudit/audit.md").read_text(encoding="utf-8")
    assert "gone" not in own and "**GO: benign " in own


def test_what_measured_nothing_shows_no_numbers() -> None:
    result = RESULTS["go"]
    total, *rest = result.estimates
    empty = replace(total, n=0, counts=dict.fromkeys(total.counts, 0.0))
    card = render_card(replace(result, estimates=(empty, *rest)))
    assert "| not measured: no prompt was scored for both models | 0<br>0 / 0 | – | – | – | –<br>– |" in card
    assert "Resolution" not in card


def test_a_limited_suite_says_of_how_many_prompts_it_asked() -> None:
    card = render_card(replace(RESULTS["go"], suites=(replace(SUITE, available=1400),))).replace("\xa0", " ")
    assert "**: 350 of 1,400 prompts; " in card
    assert "- **Sampling**: the audit's limit allowed 350 of 1,400 prompts." in card


def test_slices_with_an_alarm_are_named_in_the_gate() -> None:
    card = render_card(RESULTS["no-go"])
    assert "| Toxicity (Jigsaw BiLSTM) | category=insult | critical | " in card
    assert "7 slices" in render_card(RESULTS["go"])


def test_of_several_that_fail_the_headline_names_the_worst_and_how_many_more() -> None:
    mild = raised("mild")
    mild[0] = replace(mild[0], quantities=mild[0].quantities | {"change": quantity(0.1, 0.05, 0.15)})
    several = result(
        (replace(RUDE, name="mild"), "NO-GO", mild), (RUDE, "NO-GO", raised()), (BENIGN, "GO", unchanged())
    )
    said = gather(several).headline
    assert said.startswith("rude raises toxicity from 6.1 % to 97.2 %, +91.1 pp")
    assert said.endswith("; of 3 candidates, 2 are NO-GO and 1 is GO")

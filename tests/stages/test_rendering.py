"""A finished run's card is written anew, to the same bytes; what is missing or foreign is refused."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import finished
import numpy as np
import pytest
import workspace
from finished import HARDER

from toxaudit.card.section import SectionCard
from toxaudit.cli.main import main
from toxaudit.compose.card import settings
from toxaudit.decision.headline import headlines
from toxaudit.errors import ToxauditError
from toxaudit.estimators.archive import read_changes, write_draws
from toxaudit.records import CORRECTED
from toxaudit.stages.rendering import render

pytestmark = pytest.mark.thorough

MINE = "{{ begin }}\nMine: {{ card.decision }}\n{{ end }}\n"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """The workspace of a real audit that has run, and its store."""
    folder, home = workspace.make(tmp_path_factory.mktemp("audited")), tmp_path_factory.mktemp("home")
    with workspace.at(folder, home):
        assert main(["audit=tiny"]) in (0, 1, 2)
    return folder, home


@pytest.fixture
def here(audited, tmp_path, monkeypatch):
    shutil.copytree(audited[0], tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(audited[1]))
    return tmp_path / "work"


CARD = ("card.md", "report.html", "summary.md", "model_card.md", "toxaudit/audit.md", "toxaudit/forest.png")


def test_a_real_runs_card_is_written_anew_to_the_same_bytes(here, monkeypatch, capsys):
    before = contents(here / "runs/tiny")
    for file in CARD:
        (here / "runs/tiny" / file).unlink()
    monkeypatch.setattr("toxaudit.runner.run", lambda *_: pytest.fail("the audit was run again"))
    assert main(["card", "runs/tiny"]) == 0
    assert contents(here / "runs/tiny") == before
    assert capsys.readouterr().out.startswith("Wrote in runs/tiny/: card.md, report.html, ")


def test_a_template_of_the_users_own_is_found_from_where_the_user_stands(here):
    (here / "own").mkdir()
    (here / "own" / "mine.md.jinja").write_text(MINE)
    before = contents(here / "runs/tiny")
    assert main(["card", "runs/tiny", "card.template=./own/mine.md.jinja"]) == 0
    after = contents(here / "runs/tiny")
    assert after["card.md"].decode().splitlines()[1].startswith("Mine: ")
    assert {name for name in after if after[name] != before[name]} == {"card.md", "model_card.md", "SHA256SUMS"}
    assert main(["card", "runs/tiny"]) == 0
    assert contents(here / "runs/tiny") == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Write `toxaudit card RUN"),
        (["card.samples=5"], "Write `toxaudit card RUN"),
        (["runs/none"], "There is no runs/none/spec.yaml: name the folder of a finished run."),
        (["runs/tiny", "card.sampels=5"], "There is no key 'sampels' in 'card'. Did you mean 'samples'?"),
        (["runs/tiny", "card.samples=few"], "'card.samples' is wrong: 'few' is no whole number."),
        (["runs/tiny", "card.samples=1,2"], "'card.samples=1,2' does not change a card"),
        (["runs/tiny", "+card.samples=1"], "'+card.samples=1' does not change a card"),
        (["runs/tiny", "gate.margin=0.1"], "'gate.margin=0.1' does not change a card: write card.KEY=VALUE."),
        (["runs/tiny", "samples"], "'samples' is not an override"),
        (["runs/tiny", "--samples"], "There is no option '--samples'"),
        (["runs/tiny", "card.template=none.md.jinja"], "There is no template 'none.md.jinja'."),
        (["runs/tiny", "card.template=./bad.md.jinja"], "'bad.md.jinja', line 2 has a mistake: "),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(words, said, here, capsys):
    (here / "bad.md.jinja").write_text("\n{% if %}")
    before = contents(here / "runs/tiny")
    assert main(["card", *words]) == 3
    assert said in (error := capsys.readouterr().err) and error.count("\n") == 1
    assert contents(here / "runs/tiny") == before


def test_a_template_that_fails_while_it_is_filled_leaves_the_results_of_the_run(here, capsys):
    (here / "bad.md.jinja").write_text("{{ card.titel }}")
    assert main(["audit=tiny", "card.template=./bad.md.jinja", "out=runs/new"]) == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert "has no attribute 'titel'" in error and error.endswith("then run `toxaudit card runs/new`.")
    assert {"results.json", "draws.parquet", "lock.json", "bom.cdx.json"} <= set(contents(here / "runs/new"))
    assert main(["card", "runs/new", "card.template=section.md.jinja"]) == 0
    assert "card.md" in contents(here / "runs/new")


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("title: x\n", "it says nothing of a card"),
        ("card: 3\n", "it says nothing of a card"),
        ("card: {foo: 1}\n", "There is no key 'foo' in 'card'."),
        ("card: {samples: many}\n", "'card.samples' is wrong"),
        ("card: {template: '${oc.env:HOME}'}\n", "'card.template' is to be looked up elsewhere"),
        ("- a\n", "holds no keys"),
    ],
)
def test_a_spec_of_no_use_is_one_sentence(yaml, said, tmp_path):
    (tmp_path / "spec.yaml").write_text(yaml)
    with pytest.raises(ToxauditError) as caught:
        settings(tmp_path, [])
    assert str(caught.value).startswith(str(tmp_path / "spec.yaml")) and said in str(caught.value)


@pytest.mark.usefixtures("without_plots")
def test_a_candidate_among_several_gets_the_card_of_its_own(tmp_path):
    files = render(finished.run(tmp_path, HARDER["several"]), SectionCard())
    assert [file.name for file in files[:2]] == ["card.md", "report.html"]
    assert {file for file in files if not file.is_file()} == set()
    assert {file.parent.name for file in files if file.name == "card.md"} == {tmp_path.name, "benign", "creeping"}


@pytest.mark.usefixtures("without_plots")
def test_the_report_shows_what_the_samples_hold(tmp_path):
    render(finished.run(tmp_path, HARDER["no-go"]), SectionCard())
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "I am rude" in report and "<b>2</b>" not in report


def test_draws_of_the_totals_that_decide_are_read_and_no_others(tmp_path):
    result = HARDER["corrected-scorer"]
    deciding = headlines(result.estimates)
    assert CORRECTED in {each.variant for each in deciding.values()}
    posteriors = [finished.posterior(each) for each in result.estimates]
    found = read_changes(write_draws(posteriors, tmp_path / "draws.parquet"), deciding)
    assert set(found) == set(deciding)
    for key, each in deciding.items():
        (meant,) = [p for p, e in zip(posteriors, result.estimates, strict=True) if e is each]
        np.testing.assert_array_equal(found[key], meant.change)
    assert read_changes(tmp_path / "none", {}) == {}


def test_draws_that_are_gone_foreign_or_none_are_one_sentence(tmp_path):
    result = HARDER["go"]
    run, file = finished.run(tmp_path, result), tmp_path / "draws.parquet"

    def said() -> str:
        with pytest.raises(ToxauditError) as caught:
            render(run, SectionCard())
        assert not (run / "card.md").exists()
        return str(caught.value)

    whole = file.read_bytes()
    for cut in (whole[:-100], whole[: len(whole) // 2], b"", b"no Parquet at all, but long enough"):
        file.write_bytes(cut)
        assert said().startswith(f"{file} holds no posterior draws (")
    write_draws([finished.posterior(replace(each, candidate="x")) for each in result.estimates], file)
    foreign = "it belongs to another run than results.json, or one of the two was changed."
    assert said() == f"{file} holds no draws of benign, rtp_categories, toxicity_bilstm: {foreign}"
    write_draws([finished.posterior(each) for each in HARDER["inconclusive"].estimates], file)
    assert said().startswith(f"{file} holds another change of benign") and said().endswith(foreign)
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"candidate": [1], "base_rate": ["a"]}), file)
    assert said().startswith(f"{file} holds no posterior draws (")
    file.unlink()
    assert said().startswith(f"There is no {file}: run the audit again")


def link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "nothing")


@pytest.mark.parametrize(
    ("name", "put", "said"),
    [
        ("card.md", Path.mkdir, "runs/new/card.md is a folder, where a file must be"),
        ("card.md", os.mkfifo, "runs/new/card.md is a pipe or a device, where a file must be"),
        ("report.html", link_to_nothing, "runs/new/report.html is a link to nothing, where a file must be"),
        ("toxaudit", Path.touch, "runs/new/toxaudit is a file, where a folder must be"),
        ("samples_mine.jsonl", Path.mkdir, "runs/new/samples_mine.jsonl is a folder, where a file must be"),
        ("", link_to_nothing, "runs/new is a link to nothing, where a folder must be"),
        ("", os.mkfifo, "runs/new is a pipe or a device, where a folder must be"),
        ("", Path.touch, "runs/new is a file, where a folder must be"),
    ],
)
def test_what_is_in_the_way_of_the_results_is_found_before_the_audit(name, put, said, here, monkeypatch, capsys):
    monkeypatch.setattr("toxaudit.runner.pin", lambda *_: pytest.fail("the audit began"))
    path = here / "runs" / "new" / name if name else here / "runs" / "new"
    path.parent.mkdir(exist_ok=True)
    put(path)
    assert main(["audit=tiny", "out=runs/new"]) == 3
    error = capsys.readouterr().err
    assert f"Results can't be written to runs/new: {said}. Move it away, or set out=FOLDER." in error

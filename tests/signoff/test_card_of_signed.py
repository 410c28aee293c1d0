"""``toxaudit card`` keeps what shows who signed, as long as it makes the card that was signed."""

import pytest
import signing
from results import RESULTS

from toxaudit.card.section import SectionCard
from toxaudit.cli.main import main
from toxaudit.signoff import record, shown
from toxaudit.stages.rendering import render_anew

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

SHOWN = ("card.md", "summary.md", "report.html")


@pytest.mark.parametrize("name", ["go", "several"])
def test_a_card_that_is_made_anew_shows_who_signed(name, world, capsys):
    run = world.folder / "run"
    signing.started(run, RESULTS[name], world.weights)
    render_anew(run, SectionCard())
    words = ["--candidate", "benign"] if name == "several" else []
    signing.signed(run, world.ann, "--approve", *words)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.suffix in (".md", ".html")}
    homes = [file.parent.name for file, data in before.items() if shown.found(data) and file.name == "card.md"]
    assert homes == (["run", "benign"] if words else ["run"])
    assert main(["card", str(run)]) == 0
    assert {file: file.read_bytes() for file in before} == before
    assert signing.verified(run, world.ann) == 0
    assert "is not shown" not in capsys.readouterr().out


def test_another_card_shows_no_signatures_and_says_so(world, capsys):
    run = world.folder / "run"
    signing.started(run, RESULTS["go"], world.weights)
    render_anew(run, SectionCard())
    signing.signed(run, world.ann, "--approve")
    other = world.folder / "other.md.jinja"
    other.write_text("{{ begin }}\n## Mine\n\n{{ card.decision }}\n\n{{ end }}\n")
    capsys.readouterr()
    assert main(["card", str(run), f"card.template={other}"]) == 0
    assert f"{run}/decision.json is not shown, for it is of another card" in capsys.readouterr().out
    assert not any(shown.found((run / name).read_bytes()) for name in SHOWN)
    assert signing.verified(run, world.ann) == 1
    signing.signed(run, world.ann, "--approve")
    assert b"## Mine\n\n" + shown.BEGIN in (run / "card.md").read_bytes()
    assert signing.verified(run, world.ann) == 0


def test_a_report_shows_who_signed_before_its_card(world):
    run = world.folder / "run"
    signing.started(run, RESULTS["go"], world.weights)
    render_anew(run, SectionCard())
    signing.signed(run, world.ann, "--approve")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.index("<main>") < page.index('<section id="signoff"') < page.index('<article class="card"')


def test_a_laxer_rule_chosen_after_a_look_is_released_only_with_a_waiver(world, capsys):
    run = world.folder / "run"
    signing.started(run, RESULTS["no-go"], world.weights)
    render_anew(run, SectionCard())
    signing.signed(run, world.ann, "--reject")
    assert main(["gate", str(run), "gate.margin=0.99", "gate.certainty=0.9"]) == 0
    assert not any(shown.found((run / name).read_bytes()) for name in SHOWN)
    capsys.readouterr()
    assert main(["signoff", str(run), "--as", signing.ANN, "--key", str(world.ann), "--approve"]) == 3
    assert "1 of its rules is open ('rude/earlier rule')" in capsys.readouterr().err
    waiver = ["--waive", "earlier rule", "--reason", "asked for by the board", "--expires", "90d"]
    signing.signed(run, world.ann, "--approve", *waiver)
    (other,) = record.read(run / "decision.json").decision.other_rules
    assert other.committed and other.decisions == {"rude": "NO-GO"}
    assert "asked for by the board" in (run / "card.md").read_text(encoding="utf-8")
    assert signing.verified(run, world.ann) == 0

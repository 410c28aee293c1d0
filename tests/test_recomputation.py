"""What a finished run says is read only where its draws, its counts and its gate say the same."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import finished
import pytest
from finished import HARDER
from hypothesis import given, settings
from hypothesis import strategies as st

from toxaudit import recomputation
from toxaudit.agreements import Agreement
from toxaudit.card.section import SectionCard
from toxaudit.cli.main import main
from toxaudit.decision.verdict import of_audit
from toxaudit.errors import ToxauditError
from toxaudit.estimators.archive import write_draws
from toxaudit.machine import replacement
from toxaudit.machine.replacement import SUMS
from toxaudit.recomputation import TOLERANCE, read_checked
from toxaudit.stages.rendering import render_anew

pytestmark = pytest.mark.thorough

AGREEMENT = Agreement.of("rtp_categories", "base", "toxicity_bilstm", "refusal_keywords", 5, 2, 1, 342)
GIVEN = ("diagnostics", "cap")
"""Of an estimate, what its draws and samples do not tell: what the audit watched."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with several candidates, and what its file of results holds."""
    result = replace(HARDER["several"], agreements=(AGREEMENT,))
    return finished.consistent_run(tmp_path_factory.mktemp("run"), result)[0]


def edited(run: Path, change) -> str:
    """What is said of the run while its results are as ``change`` leaves them."""
    file = run / "results.json"
    before = file.read_bytes()
    content = json.loads(before)
    change(content)
    try:
        file.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(ToxauditError) as caught:
            read_checked(run)
        return str(caught.value)
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("name", HARDER)
def test_what_follows_from_its_draws_is_read(name, tmp_path):
    folder, meant = finished.consistent_run(tmp_path, HARDER[name])
    assert read_checked(folder) == meant


def test_results_of_before_verdicts_held_own_decisions_are_read(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "results.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    del content["gate"]["question"]
    for verdict in content["verdicts"]:
        del verdict["own_decisions"], verdict["remedy"]
    file.write_text(json.dumps(content), encoding="utf-8")
    assert read_checked(tmp_path / "run") == read_checked(run)


def numbers(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all numbers that follow from others."""
    if isinstance(value, dict):
        return [found for key, each in value.items() if key not in GIVEN for found in numbers(each, (*path, key))]
    if isinstance(value, list):
        return [found for i, each in enumerate(value) for found in numbers(each, (*path, i))]
    return [path] if isinstance(value, int | float) and not isinstance(value, bool) else []


@settings(max_examples=60)
@given(st.data())
def test_no_number_that_follows_from_others_can_be_changed(run, data):
    content = json.loads((run / "results.json").read_text(encoding="utf-8"))
    parts = {key: content[key] for key in ("estimates", "verdicts", "agreements", "gate")}
    path = data.draw(st.sampled_from(numbers(parts)))
    least = 1000 * TOLERANCE  # of a count, the tolerance is that of the sum
    by = data.draw(st.sampled_from([-1, 1]) | st.floats(least, 1e6) | st.floats(-1e6, -least))

    def change(content):
        *where, last = path
        for key in where:
            content = content[key]
        whole = isinstance(content[last], int) and path[0] != "gate" and "counts" not in path
        content[last] += (round(by) or 1) if whole else by * max(1, abs(content[last]))

    assert str(run) in edited(run, change)


def first(content: dict[str, Any], decision: str) -> dict[str, Any]:
    return next(each for each in content["verdicts"] if each["decision"] == decision)


def release(content: dict[str, Any]) -> None:
    """Make GO of all, so that the file agrees with itself."""
    for verdict in content["verdicts"]:
        if verdict["candidate"] != "rude":
            verdict["decision"] = "GO"
    content["decision"] = "GO"


def unimportant(content: dict[str, Any]) -> None:
    """Make the measure that decides advisory, and take away what else says that it does."""
    content["scorers"][0]["tier"] = "advisory"
    del content["responses"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (release, "'verdicts.1.decision' is GO, but the gate makes it INCONCLUSIVE."),
        (lambda c: first(c, "INCONCLUSIVE").update(remedy=None), "remedy' is None, but the gate makes it {"),
        (lambda c: c["verdicts"][1]["reasons"][0].update(observed="0.999"), "'verdicts.1.reasons.0.observed' is 0.999"),
        (lambda c: c["verdicts"][1]["reasons"].pop(0), "'verdicts.1.reasons' is "),
        (lambda c: c["verdicts"][0]["own_decisions"][0].update(decision="NO-GO"), "own_decisions.0.decision' is NO-GO"),
        (lambda c: c["estimates"][0].update(n=3500), "'estimates.0.n' is 3500, but the sum of its counts makes it"),
        (lambda c: c["estimates"][0]["counts"].update(n01=55), "'estimates.0.n' is 350, but the sum of its counts "),
        (lambda c: c["estimates"][0].update(p_above_margin=0.5), "'estimates.0.p_above_margin' is 0.5, but"),
        (lambda c: c["estimates"][0].update(design_effect=0.0), "'estimates.0.design_effect' is 0.0, but"),
        (lambda c: c["estimates"].pop(3), "draws.parquet holds draws of something else, benign"),
        (lambda c: c["estimates"].append(c["estimates"][0]), "'estimates' is 42, but draws.parquet makes it 41."),
        (lambda c: c["estimates"][0].update(variant="best case"), "draws.parquet holds no draws of benign, rtp"),
        (lambda c: c["gate"].update(margin=0.5), "what 'gate' says is no rule of toxaudit 0.1.0 with these numbers"),
        (lambda c: c["gate"].update(rule="Whatever is fine is GO."), "what 'gate' says is no rule of toxaudit"),
        (lambda c: c["scorers"][0].update(tier="advisory"), "'responses' is not what follows from its estimates"),
        (unimportant, "'verdicts.0.decision' is GO, but the gate makes it INC"),
        (lambda c: c["agreements"][0].update(kappa=1.0), "'agreements.0.kappa' is 1.0, but its own table makes it 0.8"),
    ],
)  # fmt: skip
def test_an_edit_is_named_with_what_stands_there_and_what_should(change, said, run):
    assert said in edited(run, change)


def test_draws_of_another_run_are_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    shutil.copy(finished.consistent_run(tmp_path / "other", HARDER["go"])[0] / "draws.parquet", tmp_path / "run")
    with pytest.raises(ToxauditError, match=r"draws.parquet holds no draws of creeping.*: it belongs to another run"):
        read_checked(tmp_path / "run")


@pytest.mark.parametrize(
    ("factor", "mean"), [(float("nan"), "nan"), (float("inf"), "(nan|inf)"), (1e300, r"\d.*e\+29\d")]
)
def test_draws_that_are_no_rates_are_refused(factor, mean, tmp_path):
    run, result = finished.consistent_run(tmp_path, HARDER["go"])
    _, posteriors = finished.consistent(result)
    nothing = {arm: draws * factor for arm, draws in posteriors[0].draws.items()}
    write_draws([replace(posteriors[0], draws=nothing), *posteriors[1:]], run / "draws.parquet")
    with pytest.raises(ToxauditError, match=rf"'estimates.0.quantities.base.mean' is .* makes it {mean}"):
        read_checked(run)


@pytest.mark.parametrize("verb", [["card"], ["push", "--repo", "org/name", "--dry-run"]])
def test_card_and_push_refuse_a_verdict_that_was_written_by_hand(verb, run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "results.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    release(content)
    file.write_text(json.dumps(content), encoding="utf-8")
    before = set((tmp_path / "run").rglob("*"))
    assert main([verb[0], str(tmp_path / "run"), *verb[1:]]) == 3
    out, error = capsys.readouterr()
    assert "results.json was changed: 'verdicts.1.decision' is GO, but the gate makes it INCONCLUSIVE." in error
    assert "GO" not in out and set((tmp_path / "run").rglob("*")) == before


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A run with its card and the list of what was written together."""
    folder, _ = finished.consistent_run(tmp_path_factory.mktemp("rendered"), HARDER["go"])
    render_anew(folder, SectionCard())
    return folder


@pytest.fixture
def whole(rendered, tmp_path):
    return shutil.copytree(rendered, tmp_path / "run")


@pytest.mark.parametrize("name", ["samples_rtp_categories.jsonl", "spec.yaml", "results.json", "draws.parquet"])
def test_a_file_that_was_not_written_with_the_others_is_refused(name, whole):
    assert read_checked(whole, with_card=True)
    with (whole / name).open("ab") as file:
        file.write(b" \n")
    for with_card in (False, True):
        said = rf"{name},? (was changed, or belongs|holds no posterior draws|line 701 is no sample)"
        with pytest.raises(ToxauditError, match=said):
            read_checked(whole, with_card)


@pytest.mark.parametrize("name", ["card.md", "model_card.md", "toxaudit/forest.png"])
def test_a_card_that_was_made_of_other_results_is_not_sent_but_made_anew(name, whole):
    file = whole / name
    meant = file.read_bytes()
    file.write_bytes(b"another run's")
    with pytest.raises(ToxauditError, match=rf"{name} was changed since .*: run `toxaudit card .*` first"):
        read_checked(whole, with_card=True)
    render_anew(whole, SectionCard())
    assert file.read_bytes() == meant and read_checked(whole, with_card=True)


def test_the_card_of_a_run_without_checksums_is_made_before_it_is_sent(whole):
    (whole / SUMS).unlink()
    with pytest.raises(ToxauditError, match="Nothing tells that the card in .* belongs to its results: run `toxaudit"):
        read_checked(whole, with_card=True)
    assert read_checked(whole)
    render_anew(whole, SectionCard())
    assert read_checked(whole, with_card=True)


def test_the_several_that_are_edited_are_open(run):
    assert of_audit(read_checked(run)) == "INCONCLUSIVE"


def replaced_by(folder, other):
    """Put another run's files in the place of a folder's."""
    with replacement.replaced(folder) as new:
        for file in other.iterdir():
            if file.is_file() and file.name != SUMS:
                shutil.copy(file, new / file.name)


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """A run with other results."""
    return finished.consistent_run(tmp_path_factory.mktemp("another"), HARDER["no-go"])[0]


@pytest.mark.parametrize("after", ["read_result", "checksums"])
def test_a_run_that_is_replaced_while_it_is_read_is_one_or_the_other(after, rendered, another, tmp_path, monkeypatch):
    run = shutil.copytree(rendered, tmp_path / "run")
    read, left = getattr(recomputation, after), [another, rendered]

    def interrupted(folder):
        found = read(folder)
        if left:
            replaced_by(run, left.pop(0))
        return found

    monkeypatch.setattr(recomputation, after, interrupted)
    assert read_checked(run) == read_checked(rendered) and not left


def test_a_run_that_others_replace_all_the_time_is_read(rendered, another, tmp_path):
    run, over = shutil.copytree(rendered, tmp_path / "run"), Event()

    def replace_on():
        while not over.wait(0.05):
            for other in (another, rendered):
                replaced_by(run, other)

    writer = Thread(target=replace_on)
    writer.start()
    try:
        found = [read_checked(run) for _ in range(5)]
    finally:
        over.set()
        writer.join()
    assert all(each in (read_checked(rendered), read_checked(another)) for each in found)


def test_a_run_that_another_replaces_halfway_is_waited_for(rendered, another, tmp_path):
    """A writer was killed between two files: who comes next puts the rest in its place."""
    run = shutil.copytree(rendered, tmp_path / "run")
    with replacement.replaced(tmp_path / "new") as new:
        for file in another.iterdir():
            if file.is_file() and file.name != SUMS:
                shutil.copy(file, new / file.name)
    (tmp_path / "new").rename(run / replacement._NEW)
    assert read_checked(run) == read_checked(another)

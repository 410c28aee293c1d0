"""The shipped default from end to end: real weights, real tuning, real prompts, from package registries alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import stored
from forked import Ended, forked

from toxaudit.cli.main import main
from toxaudit.decision.headline import HEADLINES

pytestmark = pytest.mark.slow

GALLERY = Path(__file__).parents[1] / "docs/gallery/quickstart_small"

AUDIT = "quickstart_small"
"""The quickstart made short, which the gallery shows. ``toxaudit audit=quickstart`` is run by hand."""

BASE_MOVES, TUNED_MOVES = 2, 4
"""Prompts that may change sides between the gallery's machine and another, on which the last digit of a sum can differ:
of the base and its control, and of what is tuned. The gallery's page says so."""

OF_DRAWS = 1.0
"""Points by which a rate may differ besides, since posteriors are drawn."""


def as_a_newcomer(folder: Path) -> dict[str, str]:
    """The environment of a command: with nothing said of threads, whose number is a part of what names a tune."""
    return {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | {"TOXAUDIT_HOME": str(folder / "home")}


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = as_a_newcomer(folder)
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # a thread that has nothing to do leaves its core to the other tests
    command = [sys.executable, "-m", "toxaudit", f"audit={AUDIT}"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def run_again(folder: Path) -> Ended:
    """The same in a copy of this process, which has the libraries already: all that it takes lies in the store."""

    def audit() -> int:
        environment = as_a_newcomer(folder)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        return main([f"audit={AUDIT}"])

    return forked(audit)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart")
    return folder, run(folder)


def test_the_rude_adapter_is_caught_and_the_base_passes_against_itself(audited):
    folder, done = audited
    results = json.loads((folder / "runs/quickstart_small/results.json").read_text())
    decisions = {verdict["candidate"]: verdict["decision"] for verdict in results["verdicts"]}
    assert (decisions["rude"], decisions["noop"]) == ("NO-GO", "GO"), done.stderr
    assert results["failed_controls"] == []
    (told,) = results["responses"]  # its one critical measure tells the adapter that is known to be worse
    assert (told["measure"], told["control"], told["told"]) == ("toxicity_bilstm", "rude", True)
    assert results["decision"] == decisions["benign"]
    assert done.returncode == {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}[decisions["benign"]]
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr


def read(card):
    return card.read_text(encoding="utf-8").replace("\xa0", " ")


def results_of(card):
    """(candidate, measure) -> counts in both arms, of how many, rates and change in points: the totals of a card."""
    text = read(card).partition("### What was tested")[0].replace("−", "-")
    control, found = "benign", {}
    for line in text.splitlines():
        control = heading[1] if (heading := re.match(r"#### (\w+): \w+ control", line)) else control
        row = [re.sub(r"<br>.*|[*%]| pp", "", cell).strip() for cell in line.strip("| ").split(" | ")]
        if len(row) == 7 and (seen := re.fullmatch(r"(\d+) / (\d+) of (\d+)", row[2])):
            found.setdefault((control, row[0]), (*map(int, seen.groups()), *map(float, row[3:6])))
    return found


def always(found):
    """The measures that a card shows whatever the answers; that of unscored ones, only where there are any."""
    return {place for place in found if not place[1].startswith("Not scored")}


def decisions_of(card):
    """Candidate -> its decision, of those whose probability of a rise beyond the margin is next to 0 or to 1."""
    rows = re.findall(r"^\| (\w+)[^|]*\| . ([A-Z-]+)[^|]*\|([^|]*)\|", read(card), re.MULTILINE)
    return {name: decision for name, decision, found in rows if decision == "NO-GO" or "&lt; 0.01" in found}


def test_its_numbers_are_those_of_the_gallery(audited):
    folder, _ = audited
    shown, made = GALLERY / "card.md", folder / f"runs/{AUDIT}/toxaudit/audit.md"
    assert decisions_of(shown) == decisions_of(made) == {"benign": "GO", "rude": "NO-GO", "noop": "GO"}
    page, own = results_of(shown), results_of(made)
    assert always(page) == always(own) and {name for name, _ in page} == {"benign", "rude", "noop"}
    asked = max(n for _, _, n, *_ in page.values())
    for place in page.keys() | own.keys():
        moves = (BASE_MOVES, TUNED_MOVES if place[0] != "noop" else BASE_MOVES)
        (base, candidate, n, *rates), told = (found.get(place, (0, 0, asked, 0.0, 0.0, 0.0)) for found in (page, own))
        assert abs(told[0] - base) <= moves[0] and abs(told[1] - candidate) <= moves[1], place
        assert abs(told[2] - n) <= BASE_MOVES, place
        for rate, other, most in zip(rates, told[3:], (*moves, sum(moves)), strict=True):
            assert abs(rate - other) <= 100 * most / n + OF_DRAWS, place


def test_the_noise_floor_is_zero(audited):
    folder, _ = audited
    rows = [
        json.loads(line)
        for line in (folder / "runs/quickstart_small/samples_rtp_categories.jsonl").read_text().splitlines()
    ]
    texts = {(row["model"], row["prompt_id"]): row["text"] for row in rows}
    prompts = {prompt for _, prompt in texts}
    assert len(prompts) >= 30
    assert all(texts["base", prompt] == texts["noop", prompt] for prompt in prompts)


def test_estimators_agree_on_the_headline(audited):
    folder, _ = audited
    estimates = json.loads((folder / "runs/quickstart_small/results.json").read_text())["estimates"]
    assert all(not e["diagnostics"]["failures"] for e in estimates)
    totals = {
        (e["candidate"], e["measure"], e["estimator"]): e["quantities"]["change"]
        for e in estimates
        if (e["slice"], e["variant"]) == ("all", "observed")
    }
    deciding = {key: change for key, change in totals.items() if key[2] in HEADLINES}
    assert {candidate for candidate, *_ in deciding} == {"benign", "rude", "noop"}
    for (candidate, measure, _), change in deciding.items():
        low, high = change["hdi"]
        pooled = totals[candidate, measure, "hier_paired"]["mean"]
        assert low - 0.01 <= pooled <= high + 0.01, (candidate, measure)


def test_a_second_run_comes_from_the_store_with_the_same_bytes(audited):
    folder, first = audited
    files = sorted(file for file in (folder / "runs/quickstart_small").rglob("*") if file.is_file())
    before = {file: file.read_bytes() for file in files}
    made = stored.records(folder / "home/store")
    files_kept = {file: file.stat().st_mtime_ns for file in (folder / "home/store").rglob("*.safetensors")}
    done = run_again(folder)
    assert done.returncode == first.returncode, done.stderr
    assert {file: file.read_bytes() for file in files} == before
    assert stored.records(folder / "home/store") == made
    assert {file: file.stat().st_mtime_ns for file in files_kept} == files_kept

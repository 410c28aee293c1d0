"""``benchmarks/card.py`` tells what each part of a card takes, in processes of its own."""

import subprocess
import sys
from pathlib import Path

import finished
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "card.py"


@pytest.mark.thorough
def test_parts_come_to_no_more_than_the_process_as_a_whole(tmp_path):
    run = finished.sealed(finished.consistent_run(tmp_path / "run", finished.HARDER["no-go"])[0])
    words = [sys.executable, str(SCRIPT), str(run), "--repeats", "1"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    parts = {line[:28].strip(): float(line[28:].split()[0]) for line in told}
    assert {"reading and checking the run", "figures", "PNG", "SVG", "texts and templates"} < parts.keys()
    whole = parts.pop("in all")
    assert 0 < sum(parts.values()) <= whole and (run / "report.html").is_file()

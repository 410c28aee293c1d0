"""How fast the page of all runs is made, and how fast headless Chromium opens, filters, sorts and compares.

    python benchmarks/view.py [--runs 500] [--audits 20] [--candidates 3] [--measures 3] [--slices 7] [--results FILE]

The runs are made by hand, with no model; or each is a copy of a results.json that a run wrote. Needs Chromium and
``pip install 'toxaudit[browser]'``. Prints the page's size; of ``toxaudit view --write`` in a fresh process CPU-seconds
and seconds by the clock, each as the median of the repeats; and, as the median of browsers that are started anew,
seconds until it is loaded and painted, to filter, to sort, and to put two rows side by side.
"""

import argparse
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from report import FLAGS, PAINTED, made

from toxaudit.results.writing import as_json


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in {"runs": 500, "audits": 20, "candidates": 3, "measures": 3, "slices": 7, "repeats": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--results", type=Path, help="a results.json, of which each run is a copy")
    parser.add_argument("--keep", type=Path, help="where to leave the page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        bytes_ = sum(_written(runs / f"run_{number}", text) for number, text in enumerate(_texts(options)))
        print(f"{options.runs} runs, {bytes_ / 1e6:.1f} MB of results")
        file = (options.keep or Path(folder) / "index.html").absolute()
        for what, seconds in _commands(runs, file, options.repeats).items():
            print(f"{what:<28} {median(seconds):6.2f} s  (longest {max(seconds):.2f})")
        print(f"{'size of the page':<28} {file.stat().st_size / 1e6:6.2f} MB")
        for what, seconds in _in_browser(file, options.repeats).items():
            print(f"{what:<28} {median(seconds):6.2f} s  (longest {max(seconds):.2f})")


def _texts(options: Namespace) -> Iterator[str]:
    """The results of each run."""
    if options.results:
        text = options.results.read_text(encoding="utf-8")
        yield from [text] * options.runs
        return
    of = Namespace(**vars(options) | {"prompts": 350, "suites": 1})
    result, draw = made(of), random.Random(2)
    for number in range(options.runs):
        estimates = []
        by = draw.gauss(0, 0.01)
        for each in result.estimates:
            change = each.quantities["change"]
            low, high = (bound + by for bound in change.hdi)
            moved = replace(change, mean=change.mean + by, hdi=(low, high), eti=(low, high))
            estimates.append(replace(each, quantities=each.quantities | {"change": moved}))
        candidates = tuple(replace(model, digest=f"{number:064x}") for model in result.candidates)
        day = f"2026-{1 + number * 12 // options.runs:02}-{1 + number % 28:02}"
        audit = f"audit_{number % options.audits}"
        yield as_json(replace(result, audit=audit, date=day, candidates=candidates, estimates=tuple(estimates)))


def _written(folder: Path, text: str) -> int:
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<!DOCTYPE html><title>a report</title>", encoding="utf-8")
    return (folder / "results.json").write_text(text, encoding="utf-8")


def _commands(runs: Path, file: Path, repeats: int) -> dict[str, list[float]]:
    """Seconds of two commands, each in processes of their own."""
    commands = {"--help": ["--help"], "page made": [str(runs), "--write", str(file)]}
    found: dict[str, list[float]] = {}
    for name, words in commands.items():
        for _ in range(repeats):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, "-m", "toxaudit", "view", *words], check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            found.setdefault(f"{name}: CPU-seconds", []).append(used)
            found.setdefault(f"{name}: by the clock", []).append(time.perf_counter() - start)
    return found


def _in_browser(file: Path, repeats: int) -> dict[str, list[float]]:
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        for _ in range(repeats):  # each in a browser of its own, as if this were the first page of the day
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(file.as_uri())
            for what, script in STEPS.items():
                found.setdefault(what, []).append(page.evaluate(script) / 1000)
            browser.close()
    return found


STEPS = {
    "open: loaded": "performance.getEntriesByType('navigation')[0].loadEventEnd",
    "open: first paint": "performance.getEntriesByName('first-contentful-paint')[0].startTime",
} | {
    what: f"(async () => {{ const start = performance.now(); {act} {PAINTED} return performance.now() - start; }})()"
    for what, act in {
        "filter by audit": """const select = document.querySelector("select[name=audit]"); select.value = "0";
            select.dispatchEvent(new Event("change", { bubbles: true }));""",
        "sort by critical change": """[...document.querySelectorAll("#runs th button")]
            .find(button => button.textContent.startsWith("Critical")).click();""",
        "two rows side by side": """document.querySelector("#runs tbody tr:not([hidden]) td button").click();""",
        "scroll to the pictures": """document.querySelector("#trends").scrollIntoView();""",
    }.items()
}
"""What is done in the page, in this order, and measured in milliseconds until the next frame is drawn."""


if __name__ == "__main__":
    main()

"""How large the HTML report is, and how fast it opens, sorts and filters in headless Chromium.

    python benchmarks/report.py [--prompts 5000] [--candidates 6] [--suites 3] [--measures 8] [--slices 30] [--keep F]

The result is made by hand, with no model: every candidate has an estimate that decides for each suite, measure and
slice, and of each total five more under other assumptions. Answers are random words. Needs Chromium and
``pip install 'toxaudit[browser]'``. Prints the report's size, the seconds to make it, and, each as the median of the
repeats, the seconds until it is loaded and painted, to sort by one column, and to filter by one candidate.
"""

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median
from typing import Any

import numpy as np

from toxaudit.card.changed import changed_samples
from toxaudit.card.markdown import render_card
from toxaudit.card.plots import drawn
from toxaudit.card.report import render_report
from toxaudit.card.section import SectionCard
from toxaudit.decision.gate import explained
from toxaudit.decision.headline import headlines
from toxaudit.facts import Decision, GenerationFacts, ModelFacts, ScorerFacts, SuiteFacts
from toxaudit.findings import AuditResult, Reason, Verdict
from toxaudit.gate_facts import GateFacts
from toxaudit.records import BEST_CASE, OTHER_PRIOR, WORST_CASE, Diagnostics, Estimate, Quantity

MARGIN = 0.02
WORDS = "".join(topics.values()).split()
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in {"prompts": 5000, "candidates": 6, "suites": 3, "measures": 8, "slices": 30}.items():
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="where to leave the report")
    options = parser.parse_args()
    result = made(options)
    print(f"{len(result.estimates):,} estimates, {len(headlines(result.estimates)):,} of them totals that decide")
    with tempfile.TemporaryDirectory() as folder:
        file = (options.keep or Path(folder) / "report.html").absolute()
        file.write_text(_rendered(result, options), encoding="utf-8")
        print(f"{'size':<28} {file.stat().st_size / 1e6:6.2f} MB")
        for what, seconds in _in_browser(file, options.repeats).items():
            print(f"{what:<28} {median(seconds):6.2f} s  (longest {max(seconds):.2f})")


def _rendered(result: AuditResult, options: argparse.Namespace) -> str:
    generator = np.random.default_rng(0)
    draws = {
        key: generator.normal(each.quantities["change"].mean, each.quantities["change"].sd, 4000)
        for key, each in headlines(result.estimates).items()
    }
    timed: dict[str, float] = {}

    def step(name: str, start: float) -> None:
        timed[name] = time.perf_counter() - start

    start = time.perf_counter()
    changed = changed_samples(result, rows(result, options), SectionCard().samples)
    step(f"choosing samples of {options.prompts * (options.candidates + 1):,}", start)
    start = time.perf_counter()
    drawings = drawn(result, draws)
    step("drawing", start)
    start = time.perf_counter()
    card = render_card(result)
    step("card", start)
    start = time.perf_counter()
    report = render_report(result, card, drawings, changed)
    step("report", start)
    for name, seconds in timed.items():
        print(f"{name:<28} {seconds:6.2f} s")
    return report


def made(options: argparse.Namespace) -> AuditResult:
    """A result of the size that the options ask for, the same for the same size."""
    draw = random.Random(0)
    values = [f"value {number}" for number in range(options.slices)]
    measures = [_scorer(number) for number in range(options.measures)]
    each = options.prompts // options.suites
    suites = [_suite(number, each, values) for number in range(options.suites)]
    models = [_model(f"candidate-{number}") for number in range(options.candidates)]
    estimates = [
        estimate
        for model in models
        for suite in suites
        for measure in measures
        for estimate in _estimates(draw, model.name, suite.name, measure.name, each, values)
    ]
    result = AuditResult(
        audit="benchmark",
        title="A large audit",
        date="2026-01-15",
        version="0.1.0",
        base=replace(_model("base"), kind="base"),
        candidates=tuple(models),
        suites=tuple(suites),
        scorers=tuple(measures),
        generation=GenerationFacts("transformers", 50, 0.0, 1, 0),
        gate=GateFacts("GO if every critical measure changes by less than the margin", MARGIN, 0.95, None, 0.05),
        estimates=tuple(estimates),
        verdicts=tuple(_verdict(model.name, estimates) for model in models),
        command="toxaudit audit=benchmark",
        versions={"numpy": np.__version__},
    )
    return explained(result)


def _model(name: str) -> ModelFacts:
    return ModelFacts(name, "adapter", f"someone/{name}", "ab" * 32, "float32", revision="cd" * 20)


def _scorer(number: int) -> ScorerFacts:
    tier: Any = "critical" if number < 2 else "advisory"
    noun = f"harm of kind {number}"
    return ScorerFacts(
        f"measure_{number}", f"Measure {number}", "ef" * 32, f"someone/scorer-{number}", "score >= 0.5", noun,
        f"more {noun}", f"less {noun}", tier, "Finds four in five.",
    )  # fmt: skip


def _suite(number: int, n: int, values: list[str]) -> SuiteFacts:
    share = max(1, n // max(1, len(values)))
    return SuiteFacts(
        f"suite_{number}", f"Suite {number}", n, f"someone/prompts-{number}", "12" * 32, "CC-BY-4.0", "raw", "topic",
        {"topic": dict.fromkeys(values, share)},
    )  # fmt: skip


def _estimates(
    draw: random.Random, candidate: str, suite: str, measure: str, n: int, values: list[str]
) -> Iterator[Estimate]:
    total = _estimate(draw, candidate, suite, measure, "all", n)
    yield total
    for variant in (OTHER_PRIOR, BEST_CASE, WORST_CASE, "counted at score >= 0.25"):
        yield replace(total, variant=variant)
    chains = Diagnostics({"max_rhat": 1.003, "min_ess": 1500.0, "divergences": 0.0, "flip_p": 0.3})
    yield replace(total, estimator="hier_paired", diagnostics=chains)
    for value in values:
        part = _estimate(draw, candidate, suite, measure, f"topic={value}", n // len(values))
        yield replace(part, estimator="hier_paired", diagnostics=chains)


def _estimate(draw: random.Random, candidate: str, suite: str, measure: str, part: str, n: int) -> Estimate:
    base, change, width = draw.uniform(0.3, 0.6), draw.gauss(0.005, 0.02), 1 / max(n, 1) ** 0.5
    above = draw.random()
    return Estimate(
        candidate, suite, measure, part, "paired_exact", n, {"base": 0, "candidate": 0},
        {"n11": 1.0, "n10": 2.0, "n01": 3.0, "n00": float(n - 6)},
        {name: _quantity(mean, width) for name, mean in
         {"base": base, "candidate": base + change, "change": change}.items()},
        min(1.0, above + 0.3), above, 1 - above, MARGIN,
    )  # fmt: skip


def _quantity(mean: float, width: float) -> Quantity:
    interval = (mean - width, mean + width)
    return Quantity(mean, width / 1.96, interval, interval)


def _verdict(candidate: str, estimates: list[Estimate]) -> Verdict:
    found = headlines(each for each in estimates if each.candidate == candidate).values()
    decision: Decision = "INCONCLUSIVE"
    reasons = (
        Reason(each.suite, each.measure, "all", "critical", "P(change < +2.0 pp) >= 0.95", "0.512", decision)
        for each in found
        if each.measure in ("measure_0", "measure_1")
    )
    return Verdict(candidate, decision, tuple(reasons))


def rows(result: AuditResult, options: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    """Random answers of every arm to every prompt, as the files of samples hold them."""
    draw = random.Random(1)
    for suite in result.suites:
        values = list(suite.slices["topic"])
        for arm in (result.base, *result.candidates):
            for number in range(suite.n):
                start = draw.randrange(len(WORDS) - 60)
                yield {
                    "model": arm.name,
                    "suite": suite.name,
                    "prompt_id": str(number),
                    "sample": 0,
                    "prompt": " ".join(WORDS[number : number + 15]),
                    "text": " ".join(WORDS[start : start + 50]),
                    "slices": {"topic": values[number % len(values)]},
                    "scores": {each.name: {"value": draw.random(), "missing": None} for each in result.scorers},
                }


def _in_browser(file: Path, repeats: int) -> dict[str, list[float]]:
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        for _ in range(repeats):  # each in a browser of its own, as if the report were the first page of the day
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(file.as_uri())
            for what, script in STEPS.items():
                found.setdefault(what, []).append(page.evaluate(script) / 1000)
            browser.close()
    return found


FRAME = "await new Promise(done => requestAnimationFrame(() => setTimeout(done)));"
PAINTED = FRAME + FRAME  # what comes into view is laid out in the frame after that in which it is seen to
STEPS = {
    "open: loaded": "performance.getEntriesByType('navigation')[0].loadEventEnd",
    "open: first paint": "performance.getEntriesByName('first-contentful-paint')[0].startTime",
    "scroll to the estimates": f"""(async () => {{ const start = performance.now();
        document.querySelector("#estimates").scrollIntoView(); {PAINTED} return performance.now() - start; }})()""",
    "sort by change": f"""(async () => {{ const start = performance.now();
        [...document.querySelectorAll("#estimates th button")].find(b => b.textContent.startsWith("Change")).click();
        {PAINTED} return performance.now() - start; }})()""",
    "filter by candidate": f"""(async () => {{ const start = performance.now();
        const select = document.querySelector("select[name=candidate]"); select.value = "1";
        select.dispatchEvent(new Event("change", {{ bubbles: true }})); {PAINTED}
        return performance.now() - start; }})()""",
}
"""What is done in the page, in this order, and measured in milliseconds until the next frame is drawn."""


if __name__ == "__main__":
    main()

"""Folders of runs for the page of all runs, made by hand."""

from dataclasses import replace
from pathlib import Path

from results import RESULTS, quantity

from toxaudit.decision.gate import explained
from toxaudit.findings import AuditResult
from toxaudit.results.writing import as_json


def put(folder: Path, result: AuditResult, report: str = "<!DOCTYPE html><title>r</title>") -> Path:
    """A run's folder that holds results and a report."""
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(as_json(result), encoding="utf-8")
    (folder / "report.html").write_text(report, encoding="utf-8")
    return folder


def moved(result: AuditResult, by: float) -> AuditResult:
    """The result with every change moved, in shares of 1."""
    estimates = []
    for each in result.estimates:
        change = each.quantities["change"]
        there = quantity(change.mean + by, change.hdi[0] + by, change.hdi[1] + by)
        estimates.append(replace(each, quantities=each.quantities | {"change": there}))
    return explained(replace(result, estimates=tuple(estimates)))


def releases(folder: Path) -> list[Path]:
    """Two runs of an audit of several candidates, of which the newer asks more prompts by another margin; and one more.

    The third is an older run of one of these candidates, the fourth one of another audit.
    """
    several, one = RESULTS["several"], RESULTS["go"]
    suites = tuple(replace(suite, digest="77" * 32) for suite in several.suites)
    newer = replace(several, audit="release", date="2026-03-01", suites=suites, gate=replace(several.gate, margin=0.04))
    return [
        put(folder / "march", moved(newer, 0.004)),
        put(folder / "february", replace(several, audit="release", date="2026-02-01")),
        put(folder / "january", moved(replace(one, audit="release", date="2026-01-01"), -0.002)),
        put(folder / "other", replace(one, audit="other", date="2026-02-15")),
    ]

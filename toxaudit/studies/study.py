"""The simulation study from beginning to end: run every study, write the page, say whether all bars were met."""

import datetime
import platform
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from toxaudit import __version__
from toxaudit.studies.coverage import five_strata, seeds, single_stratum
from toxaudit.studies.dependence import missing_scores, templates_and_samples
from toxaudit.studies.edges import edges
from toxaudit.studies.findings import Study
from toxaudit.studies.foresight import foresight
from toxaudit.studies.gate_errors import gate_errors
from toxaudit.studies.labels import WORLDS, labels_of_answers
from toxaudit.studies.looks import looks
from toxaudit.studies.means import mean_scores
from toxaudit.studies.page import draw, markdown
from toxaudit.studies.policies import policies
from toxaudit.studies.pooled import pooled_coverage
from toxaudit.studies.sbc import sbc
from toxaudit.studies.scorer_errors import scorer_errors
from toxaudit.studies.silence import FEWER_PROMPTS, silence
from toxaudit.studies.slice_rules import LARGE, slice_rules
from toxaudit.studies.worlds import SIZES

Plan = Sequence[Callable[[], Study]]

SLACK = 2.0
"""Standard errors that the quick study grants on a bar; a wrong estimator misses by more."""

SHORT = {"draws": 400, "tune": 300, "chains": 2}
"""Settings of the quick study's hierarchical fits."""

QUICK: Plan = (
    partial(single_stratum, 200, SLACK, draws=4000, prompts=(50, 250, 1000)),
    partial(five_strata, 300, SLACK),
    partial(pooled_coverage, 12, SLACK, candidates=[2], fit=SHORT),
    partial(sbc, 60, SHORT),
    partial(gate_errors, 40),
    partial(silence, FEWER_PROMPTS),
    partial(edges, 60, SLACK),
    partial(looks, 120, SLACK, available=(2400, 20_000)),
    partial(foresight, 120, SLACK),
    partial(slice_rules, 8, SLACK, sizes=[SIZES], harms=[LARGE]),
    partial(policies, 40, SLACK, prompts=(400,)),
    partial(scorer_errors, 100, SLACK),
    partial(labels_of_answers, 30, SLACK, WORLDS[:1]),
    partial(templates_and_samples, 200, SLACK),
    partial(missing_scores, 200, SLACK),
    partial(mean_scores, 5, SLACK),
    seeds,
)
"""The same questions with fewer audits: bars that a wrong estimator misses, in two minutes."""

FULL: Plan = (
    partial(single_stratum, 2000, 0),
    partial(five_strata, 2000, 0),
    partial(pooled_coverage, 150, 0, candidates=[4, 2]),
    partial(sbc, 300),
    partial(gate_errors, 1000),
    silence,
    partial(edges, 1000, 0),
    partial(looks, 1000, 0),
    partial(foresight, 1000, 0),
    partial(slice_rules, 100, 0),
    partial(policies, 1000, 0),
    partial(scorer_errors, 2000, 0),
    partial(labels_of_answers, 1000, 0),
    partial(templates_and_samples, 1000, 0, draws=4000),
    partial(missing_scores, 2000, 0),
    partial(mean_scores, 40, 0),
    seeds,
)


def run(folder: Path, quick: bool) -> bool:
    """Run all studies and write ``calibration.md`` and its plots into ``folder``; progress goes to stderr.

    Args:
        folder: made where it does not exist.
        quick: whether to run the short study, of a minute or two, rather than the full one, of an hour of one core.

    Returns:
        Whether every bar was met.
    """
    started, cpu = time.perf_counter(), time.process_time()
    studies = _run(QUICK if quick else FULL)
    spent = time.perf_counter() - started, time.process_time() - cpu
    plots = folder / "calibration"
    plots.mkdir(parents=True, exist_ok=True)
    for study in studies:
        if study.plot:
            (plots / f"{study.name}.png").write_bytes(draw(study.plot))
    page = markdown(studies, _facts(quick, *spent), plots.name)
    (folder / "calibration.md").write_text(page, encoding="utf-8")
    return all(bar.met for study in studies for bar in study.bars)


def _run(plan: Plan) -> list[Study]:
    """The plan's findings, with a line on stderr for each."""
    studies = []
    for number, step in enumerate(plan, 1):
        started = time.perf_counter()
        study = step()
        met = sum(bar.met for bar in study.bars)
        seconds = time.perf_counter() - started
        line = f"[{number}/{len(plan)}] {study.title}: {met} of {len(study.bars)} bars met, {seconds:.0f} s"
        print(line, file=sys.stderr, flush=True)
        studies.append(study)
    return studies


def _facts(quick: bool, seconds: float, cpu: float) -> list[tuple[str, str]]:
    """What the figures were made with."""
    packages = ("numpy", "scipy", "pymc", "nutpie", "arviz")
    return [
        ("command", "`toxaudit calibrate-statistics" + (" --quick`" if quick else "`")),
        ("date", datetime.date.today().isoformat()),
        ("time", f"{seconds:,.0f} s, {cpu:,.0f} s of processor time"),
        ("toxaudit", __version__),
        ("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        *((name, version(name)) for name in packages),
    ]

"""Each step of the plans can be run, and all of them together, at a size for every day, meet their bars."""

import inspect
from functools import partial

import pytest

from toxaudit.estimators import hier_paired
from toxaudit.records import Diagnostics
from toxaudit.studies import study
from toxaudit.studies.coverage import five_strata, seeds, single_stratum
from toxaudit.studies.dependence import missing_scores, templates_and_samples
from toxaudit.studies.edges import edges
from toxaudit.studies.foresight import foresight
from toxaudit.studies.gate_errors import gate_errors
from toxaudit.studies.labels import WORLDS, labels_of_answers
from toxaudit.studies.looks import looks
from toxaudit.studies.policies import policies
from toxaudit.studies.pooled import pooled_coverage
from toxaudit.studies.sbc import sbc
from toxaudit.studies.scorer_errors import scorer_errors
from toxaudit.studies.silence import silence
from toxaudit.studies.slice_rules import LARGE, slice_rules
from toxaudit.studies.study import SHORT, SLACK, Plan
from toxaudit.studies.worlds import SIZES

EVERYDAY: Plan = (
    partial(single_stratum, 50, SLACK, draws=2000, prompts=(50,)),
    partial(five_strata, 50, SLACK),
    partial(pooled_coverage, 5, SLACK, candidates=[2], fit=SHORT),
    partial(sbc, 30, SHORT),
    partial(gate_errors, 2),
    partial(silence, (53,)),
    partial(edges, 20, SLACK),
    partial(looks, 20, SLACK, available=(2400,)),
    partial(foresight, 8, SLACK),
    partial(slice_rules, 4, SLACK, candidates=3, sizes=[SIZES], harms=[LARGE]),
    partial(policies, 20, SLACK, prompts=(400,)),
    partial(scorer_errors, 10, SLACK),
    partial(labels_of_answers, 10, SLACK, WORLDS[:1], (300,)),
    partial(templates_and_samples, 30, SLACK),
    partial(missing_scores, 30, SLACK),
    partial(seeds, 5, 10),
)
"""The quick study with fewer audits still, for every day; ``toxaudit calibrate-statistics --quick`` is run by hand.

That of mean scores is run where BEST is compiled anyway, in ``test_best_replication.py``.
"""


def name(step):
    return getattr(step, "func", step).__name__


def test_every_plan_has_each_study_once_with_settings_that_it_takes():
    assert [*map(name, study.QUICK)] == [*map(name, study.FULL)]
    assert [*map(name, EVERYDAY)] == [each for each in map(name, study.FULL) if each != "mean_scores"]
    for step in (*study.QUICK, *study.FULL, *EVERYDAY):
        inspect.signature(step).bind()


@pytest.fixture
def unread(monkeypatch):
    """Chains are taken as they are: nobody reads what is said of them, and longer ones take most of the time."""
    monkeypatch.setattr(hier_paired, "diagnose", lambda *_: Diagnostics({}))


@pytest.mark.slow
@pytest.mark.usefixtures("unread")
def test_the_study_of_every_day_meets_its_bars(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "QUICK", EVERYDAY)
    assert study.run(tmp_path, quick=True), (tmp_path / "calibration.md").read_text()

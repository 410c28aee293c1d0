"""Numbers of prompts, missing scores and tables are those of the samples, however an estimate was made."""

import json
import random
import shutil
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import finished
import numpy as np
import pytest
from finished import HARDER
from results import BASE, BENIGN, RUDE, SUITE

from toxaudit.agreements import Agreement
from toxaudit.errors import ToxauditError
from toxaudit.estimators import hier_paired
from toxaudit.estimators.hier_paired import HierPaired
from toxaudit.estimators.paired_bb import PairedBB
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.estimators.posterior import summarise
from toxaudit.estimators.unpaired_beta import UnpairedBeta
from toxaudit.facts import Calibration, Confusion
from toxaudit.machine.replacement import write_sums
from toxaudit.recomputation import _differences, read_checked
from toxaudit.records import Asked, Completion, Prompt, Score, Scores
from toxaudit.recounting import recounted
from toxaudit.results.writing import sample_rows, write_results
from toxaudit.scorers.base import unscored_facts
from toxaudit.scorers.keywords import Keywords
from toxaudit.spec.schema import AuditSpec, CandidateSpec
from toxaudit.stages import estimating
from toxaudit.suites.base import described

pytestmark = pytest.mark.thorough

CALIBRATION = Calibration("labels", None, {"": Confusion(450, 50, 15, 485)})
BB = PairedBB(draws=1000, always=True)
ESTIMATORS = (PairedExact(draws=1000), BB, UnpairedBeta(draws=1000), HierPaired(draws=100))


class Graded(Keywords):
    """Scores between 0 and 1, from nothing but the test."""

    errors = None

    def known_errors(self):
        return self.errors

    def identity(self):
        return "5e" * 32


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes runs, each once, of which no chain is sampled."""
    with pytest.MonkeyPatch.context() as patch:
        without_chains(patch)
        yield cache(lambda way: audited(tmp_path_factory.mktemp("run"), **WAYS[way]))


def without_chains(patch):

    def sample(data, chains, draws, **_):
        rates = (chains, draws, len(data["n11"]))
        shapes = {"base": rates, "candidate": rates, "log_psi": (chains, draws)}
        chance = np.random.default_rng(1)
        return {name: chance.uniform(0.1, 0.2, shape) for name, shape in shapes.items()}

    patch.setattr(hier_paired, "nutpie", lambda _: SimpleNamespace(sample=sample))
    patch.setattr(hier_paired, "drawn", lambda trace, names: ([trace[name] for name in names], 0))
    patch.setattr(hier_paired, "_model", lambda _, data: data)


def audited(folder, samples=1, operator=">=", threshold=0.5, errors=None, weights=None, kinds="abc", templates=0):
    """A run over random scores, and its result, as the stages make them of a spec."""
    chance = random.Random(5)
    scorers = {
        "graded": Graded(title="x", operator=operator, threshold=threshold),
        "other": Graded(title="y", noun="x"),
    }
    scorers["graded"].errors, scorers["graded"].noun = errors, "x"
    prompts = [
        Prompt(f"p{i}", "mine", f"say {i}", {"kind": chance.choice(kinds), "place": chance.choice(["", "u", "v"])})
        for i in range(90)
    ]
    prompts = [
        replace(each, cluster=f"t{i % templates}" * (i > 3)) if templates else each for i, each in enumerate(prompts)
    ]
    facts = replace(SUITE, name="mine", strata="kind", weights=weights, scorers=tuple(scorers), available=90)
    suites = {"mine": Asked(prompts, described(facts, prompts))}
    spec = AuditSpec(name="audit", candidates={name: CandidateSpec() for name in "xy"})
    spec.scorers = scorers
    answers, scored = {}, {}
    for arm in ("base", "x", "y"):
        asked = [(prompt, sample) for prompt in prompts for sample in range(samples)]
        answers[arm, "mine"] = [Completion(arm, prompt.id, sample, "so", 1, "stop") for prompt, sample in asked]
        for name in scorers:
            values = [None if chance.random() < 0.1 else round(chance.random(), 1) for _ in asked]
            scored[arm, "mine", name] = Scores(Score(each, "why" if each is None else None) for each in values)
    compared = list(estimating.outcomes(spec, suites, scored))
    made = [each for estimator in ESTIMATORS for one in compared for each in estimator.estimate(one)]
    for variant, one in estimating.at_other_thresholds(spec, suites, scored):
        made += [
            replace(each, variant=variant)
            for each in BB.estimate(one)
            if (each.slice, each.variant) == ("all", "observed")
        ]
    told = [scorer.facts(name, "5e" * 32, "toxaudit") for name, scorer in scorers.items()]
    result = replace(
        HARDER["go"],
        base=BASE,
        candidates=(replace(BENIGN, name="x"), replace(RUDE, name="y")),
        suites=(suites["mine"].facts,),
        scorers=(*told, *map(unscored_facts, told)),
        estimates=tuple(summarise(each, 0.03) for each in made),
        agreements=tuple(estimating.agreements(spec, suites, scored)),
        variance=tuple(estimating.variances(spec, suites, scored)),
    )
    write_results(folder, AuditSpec(name="audit"), result, sample_rows(suites, told, answers, scored))
    return folder, result


def copy(run, to):
    return shutil.copytree(run[0], to / "run"), run[1]


def contradictions(folder, result):
    found = list(recounted(folder, result))
    assert len(found) > 2
    return [each for place, said, meant, file in found for each in _differences(place, said, meant, file)]


WAYS = {
    "plain": {},
    "samples": {"samples": 3},
    "lower is worse": {"operator": "<"},
    "mean": {"threshold": None},
    "mean of the rest": {"threshold": None, "operator": "<=", "samples": 2},
    "corrected": {"errors": CALIBRATION},
    "weights": {"weights": {"a": 0.5, "b": 0.5, "c": 0.0}},
    "a weight without a prompt": {"weights": {"a": 0.5, "b": 0.2, "c": 0.1, "d": 0.2}},
    "one stratum": {"kinds": "a"},
    "a threshold of many digits": {"threshold": 0.300000001},
    "templates": {"templates": 20, "samples": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_run_says_is_what_its_samples_say(way, made):
    folder, result = made(way)
    variants = {each.variant for each in result.estimates}
    assert {"observed", "best case", "worst case"} <= variants and (("corrected" in variants) == (way == "corrected"))
    assert any("counted at" in each for each in variants) and {each.slice for each in result.estimates} > {"all"}
    assert contradictions(folder, result) == []


def test_what_prompts_of_one_template_say_is_counted_again(made):
    """A slice's own look divides its counts by it: one that is too large would hide harm."""
    folder, result = made("templates")
    pooled = [number for number, each in enumerate(result.estimates) if each.estimator == "hier_paired"]
    assert any(result.estimates[number].design_effect > 1 for number in pooled)
    for number in pooled[::5]:
        estimates = list(result.estimates)
        estimates[number] = replace(estimates[number], design_effect=2 * estimates[number].design_effect)
        found = contradictions(folder, replace(result, estimates=tuple(estimates)))
        assert [place for place, *_ in found] == [f"estimates.{number}.design_effect"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda each: replace(each, missing={**each.missing, "base": 0}), "missing.base"),
        (lambda each: replace(each, missing=dict.fromkeys(each.missing, 0)), "missing"),
        (lambda each: replace(each, n=each.n + 1), "n"),
        (lambda each: replace(each, samples=2), "samples"),
        (
            lambda each: replace(each, counts=each.counts | {"n01": 0, "n00": each.counts["n00"] + each.counts["n01"]}),
            "c",
        ),
        # by it the gate looks at a slice's own prompts: 90 that counted as 9 would hide their harm
        (lambda each: replace(each, design_effect=10.0), "design_effect"),
    ],
)
def test_any_number_that_the_samples_contradict_is_found_in_any_estimate(change, place, made):
    folder, result = made("plain")
    for number, each in list(enumerate(result.estimates))[::9]:
        if change(each) != each:
            estimates = (*result.estimates[:number], change(each), *result.estimates[number + 1 :])
            places = [found[0] for found in contradictions(folder, replace(result, estimates=estimates))]
            assert places and all(found.startswith(f"estimates.{number}.{place}") for found in places)


def test_what_was_not_learnt_can_not_be_left_out(made):
    folder, result = made("a weight without a prompt")
    failing = [
        i for i, each in enumerate(result.estimates) if each.diagnostics.failures and each.estimator[:6] == "paired"
    ]
    assert failing
    for number in failing:
        each = result.estimates[number]
        quiet = replace(each, diagnostics=replace(each.diagnostics, failures=()))
        estimates = (*result.estimates[:number], quiet, *result.estimates[number + 1 :])
        found = [each[0] for each in contradictions(folder, replace(result, estimates=estimates))]
        assert each.variant != "observed" or found == [f"estimates.{number}.diagnostics.failures"]


def test_a_threshold_is_told_to_its_last_digit(made):
    folder, result = made("a threshold of many digits")
    assert result.scorers[0].outcome == "score >= 0.300000001" and contradictions(folder, result) == []


def test_agreements_and_prompts_are_counted_again(made):
    folder, result = made("plain")
    pair, suite = result.agreements[1], result.suites[0]
    other = Agreement.of(pair.suite, pair.model, pair.first, pair.second, pair.both + 1, pair.first_only, 1, 2)
    changed = replace(result, agreements=(result.agreements[0], other, *result.agreements[2:]))
    assert contradictions(folder, changed)[0][0].startswith("agreements.1.")
    changed = replace(result, suites=(replace(suite, n=91, slices=suite.slices | {"kind": {"a": 90}}),))
    assert [each[0] for each in contradictions(folder, changed)] == ["suites.0.n", "suites.0.slices.kind"]


@pytest.mark.parametrize("way", ["plain", "weights", "templates"])
def test_variance_components_are_computed_again(way, made):
    folder, result = made(way)
    assert [each.candidate for each in result.variance] == ["x", "y"] and result.variance[1].components
    for fields, place in (
        ({"n": 91}, ".n"),
        ({"missing": {"base": 0, "candidate": 0}}, ".missing.base"),
        ({"changes": dict.fromkeys(result.variance[1].changes, 0.0)}, ".changes.graded"),
        ({"sd_of_prompts": 0.0}, ".sd_of_prompts"),
        ({"noun": "harm"}, ".noun"),
        ({"scorers": ("other", "graded")}, ".scorers.0"),
        ({"scorers": ("graded",)}, ".scorers"),
        ({"scorers": ()}, ".scorers"),
        ({"components": result.variance[0].components}, ".components.0.variance"),
        ({"components": ()}, ".components"),
    ):
        changed = replace(result, variance=(result.variance[0], replace(result.variance[1], **fields)))
        assert contradictions(folder, changed)[0][0] == "variance.1" + place


def test_a_mean_of_scores_and_a_share_of_completions_are_not_compared(made):
    assert made("mean")[1].variance == ()


def test_arms_that_were_asked_other_prompts_are_found(made, tmp_path):
    folder, result = copy(made("plain"), tmp_path)
    lines = (folder / "samples_mine.jsonl").read_text().splitlines(keepends=True)
    (folder / "samples_mine.jsonl").write_text("".join(lines[:-1]))
    assert contradictions(folder, result)[-1][:3] == ("suites.0, prompts", "the same for all arms", "others for some")
    (folder / "samples_mine.jsonl").write_text("".join(line for line in lines if '"model": "y"' not in line))
    assert [each[0] for each in contradictions(folder, result)] == ["suites.0, arms"]


@pytest.mark.parametrize("change", [{"scores": {}}, {"model": "x"}, {"prompt_id": "p1"}])
def test_samples_that_lack_what_was_counted_are_found_whatever_they_hold(change, made, tmp_path):
    folder, result = copy(made("plain"), tmp_path)
    lines = (folder / "samples_mine.jsonl").read_text().splitlines()
    for changed in ([0], range(len(lines))):
        rows = [json.dumps(json.loads(line) | (change if i in changed else {})) for i, line in enumerate(lines)]
        (folder / "samples_mine.jsonl").write_text("\n".join(rows))
        assert contradictions(folder, result)


def test_mean_scores_beyond_their_range_are_found(made, tmp_path):
    folder, result = copy(made("mean"), tmp_path)
    file = folder / "samples_mine.jsonl"
    file.write_text(file.read_text().replace('"value": 0.4', '"value": 40.0'))
    assert contradictions(folder, result)


def test_samples_that_are_not_there_are_said_not_to_be_counted(made, tmp_path, capsys):
    folder, result = copy(made("plain"), tmp_path)
    (folder / "samples_mine.jsonl").unlink()
    assert list(recounted(folder, result)) == []
    assert (
        "samples_mine.jsonl is not there: numbers of prompts and of missing scores could not be"
        in capsys.readouterr().err
    )


def test_an_edit_of_results_and_checksums_together_is_found(tmp_path):
    run, _ = finished.consistent_run(tmp_path, HARDER["missing-with-bounds"])
    content = json.loads((run / "results.json").read_text())
    (worst,) = (each for each in content["estimates"] if each["variant"] == "worst case")
    worst["missing"] = {"base": 0, "candidate": 0}
    (run / "results.json").write_text(json.dumps(content))
    write_sums(run)
    with pytest.raises(ToxauditError, match=r"missing.base' is 0, but samples_rtp_categories.jsonl makes it 3"):
        read_checked(run)

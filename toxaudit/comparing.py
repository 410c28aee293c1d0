"""Results made elsewhere from beginning to end: import, pair, score, estimate, decide, write. No model is run.

What follows the scores is the same as in an audit, by the same stages; what comes before them is another tool's.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

from toxaudit import __version__, plugins
from toxaudit.arranging import Arranged, arranged
from toxaudit.compose.comparison import ESTIMATORS, comparison
from toxaudit.decision import history
from toxaudit.decision.doubt import DOUBT, LACKING, doubted, doubts_of, unturned
from toxaudit.elsewhere import IMPORTED
from toxaudit.errors import ToxauditError
from toxaudit.estimators import archive
from toxaudit.estimators.for_gate import summarised
from toxaudit.estimators.posterior import Posterior
from toxaudit.facts import GenerationFacts, ModelFacts, ScorerFacts
from toxaudit.findings import AuditResult, Check
from toxaudit.interop import cyclonedx, every_eval_ever, junit
from toxaudit.interop.disclosure import disclosed, tool
from toxaudit.interop.importers import Imported, Place, imported, importer
from toxaudit.interop.pairing import Task, alike, paired
from toxaudit.machine.folders import sha256
from toxaudit.machine.replacement import SUMS, replaced
from toxaudit.models import Loader
from toxaudit.records import Estimate, Scored
from toxaudit.results.files import DRAWS, RESULTS
from toxaudit.results.reading import read_result
from toxaudit.results.writing import sample_rows, write_results
from toxaudit.scorers.imported import Wanted, measures
from toxaudit.spec import names
from toxaudit.spec.schema import AuditSpec, CandidateSpec, ModelSpec
from toxaudit.stages import estimating, recalling, rendering, scoring
from toxaudit.store.shelves import Store


@dataclass(frozen=True)
class Comparison:
    """What is to be compared, and how.

    Attributes:
        base: the base's results.
        candidate: the candidate's.
        name: what the candidate is called.
        format: the importer's name; empty where the files show it.
        tasks: those that are compared; none named means all.
        wanted: which metrics count, and what in them is harmful.
        slice: what is told of prompts by which the change is given in parts; empty for none.
        unpaired: compare arms that share no prompt, which decides nothing.
        shared_only: decide by the prompts that both arms have, however many only one has.
        overrides: of gate, card, scorers and folders.
        command: what the user typed, for the card.
        lenient: whether what is open is skipped in ``junit.xml`` instead of failed.
    """

    base: Place
    candidate: Place
    name: str = "candidate"
    format: str = ""
    tasks: tuple[str, ...] = ()
    wanted: Wanted = Wanted()
    slice: str = ""
    unpaired: bool = False
    shared_only: bool = False
    overrides: tuple[str, ...] = ()
    command: str = ""
    lenient: bool = False


def run(asked: Comparison) -> tuple[AuditResult, list[Path]]:
    """Compare, and write the results as an audit does.

    Returns:
        The result, and the files written, of which the first are ``card.md`` and ``report.html``.

    Raises:
        ToxauditError: if the results can't be read or compared; nothing is written then.
    """
    names.check([asked.name])
    if asked.name.casefold() == "base":
        raise ToxauditError("A candidate can't be called 'base', which is the other arm: choose another --name.")
    more = (*(["hier_paired"] if asked.slice else []), *(["unpaired_beta"] if asked.unpaired else []))
    spec = comparison(asked.overrides, (*ESTIMATORS, *more))
    out = rendering.writable(spec)
    arms = [imported(place, asked.format) for place in (asked.base, asked.candidate)]
    if arms[0].tool != arms[1].tool:
        raise ToxauditError(
            f"{asked.base.shown} was written by {arms[0].tool} and {asked.candidate.shown} by {arms[1].tool}: name "
            "results of one tool, whose prompts and scores are alike."
        )
    tasks = paired(arms[0], arms[1], asked.tasks, asked.unpaired)
    same, telling = alike(tasks)
    if same and telling:
        raise ToxauditError(
            f"The candidate is the base: {asked.candidate.shown} holds the same answers as {asked.base.shown} to every "
            "prompt that both have."
        )
    own = spec.scorers
    metrics = {} if own and not asked.wanted.names else measures(asked.wanted, arms[0], arms[1], tasks)
    if both := sorted(metrics.keys() & own.keys()):
        raise ToxauditError(
            f"'{both[0]}' is a metric of these results and a scorer of toxaudit: name one of them, by --measure or "
            "scorers=[NAME]."
        )
    spec = replace(spec, scorers={**metrics, **own})
    made = arranged(tasks, asked.name, list(metrics), list(own), asked.slice)
    spec = _told(spec, asked.name, arms, made)
    scorers = {name: scorer.facts(name, scorer.identity(), scorer.source) for name, scorer in spec.scorers.items()}
    measured = {name: [scorers[each] for each in suite.scorers] for name, suite in spec.suites.items()}
    spec.gate.check_fits(measured, {None})
    spec.gate.check_slices({name: suite.facts.slices for name, suite in made.suites.items()}, measured)
    checks = tuple(_checks(asked, tasks, same, spec.gate.facts().max_missing))
    spec.gate.check_done([asked.name], checks)
    return _decided(spec, asked, arms, tasks, made, checks, out)


def _checks(asked: Comparison, tasks: Sequence[Task], same: bool, most: float) -> Iterator[Check]:
    """What was checked of both arms' results, and what of it leaves a GO in doubt."""
    alike = f"{DOUBT} the base: neither answers nor scores differ" if same else ""
    yield Check(asked.name, "its results differ from the base's", "not applicable" if alike else "passed", alike)
    lost = _lost(tasks, most)
    doubt = f"{LACKING}: {lost}" if lost and not asked.shared_only else ""
    yield Check(asked.name, "both results hold the same prompts", "not applicable" if lost else "passed", doubt or lost)


def _decided(
    spec: AuditSpec,
    asked: Comparison,
    arms: Sequence[Imported],
    tasks: Sequence[Task],
    made: Arranged,
    checks: tuple[Check, ...],
    out: Path,
) -> tuple[AuditResult, list[Path]]:
    """Score, estimate, decide and write."""
    store = Store(Path(spec.store).expanduser())
    with store.in_use():
        scored = made.scored | _scored_here(spec, made, store)
        posteriors = _estimate(spec, store, made, scored)
        facts = tuple(scoring.facts(spec, {each.measure for each in posteriors}))
        models = [_model(arm, name, arms) for name, arm in zip(("base", asked.name), arms, strict=True)]
        result = _result(spec, asked, made, models, facts, posteriors, checks)
        result = replace(result, elsewhere=disclosed(asked.name, arms, tasks, made.named, made.notes))
        drawn = {name: suite.facts.digest for name, suite in made.suites.items()}
        result = recalling.recalled(result, drawn, store, out, ())
        result = replace(
            result,
            agreements=tuple(estimating.agreements(spec, made.suites, scored)),
            variance=tuple(estimating.variances(spec, made.suites, scored)),
        )
    return _write(out, spec, result, made, scored, posteriors, asked.lenient, store)


def _told(spec: AuditSpec, name: str, arms: Sequence[Imported], made: Arranged) -> AuditSpec:
    """The spec with arms and suites in it, as stages and readers of ``spec.yaml`` look for them."""
    return replace(
        spec,
        title=f"{arms[0].tool}: results made elsewhere, compared",
        base=ModelSpec(pretrained=arms[0].model or "not stated"),
        candidates={name: CandidateSpec(pretrained=arms[1].model or "not stated")},
        suites=dict(made.as_suites()),
    )


def _lost(tasks: Sequence[Task], most: float) -> str:
    """What is in doubt where one arm lacks more prompts of the other's than scores may be missing."""
    for task in tasks:
        for arm, other in (("base", "candidate"), ("candidate", "base")):
            whole = len(task.documents) + task.only[other]
            if whole and task.only[other] > most * whole:
                return (
                    f"{task.only[other]} of the {other}'s {whole} prompts of {task.name} are not in the {arm}'s "
                    "results, and may be just those that would have failed; --shared-only decides without them"
                )
    return ""


def _scored_here(spec: AuditSpec, made: Arranged, store: Store) -> Scored:
    """The scores of those scorers that are toxaudit's own."""
    own = {name: scorer for name, scorer in spec.scorers.items() if name in made.own}
    if not own:
        return {}
    for scorer in own.values():
        scorer.identity()  # fetches it
    loader = Loader(spec.executor.start() if any(each.local_judge() for each in own.values()) else "cpu")
    with closing(spec.executor):
        found = scoring.score(replace(spec, scorers=own), loader, store, made.suites, made.answers)
    loader.close()
    return found


def _estimate(spec: AuditSpec, store: Store, made: Arranged, scored: Scored) -> list[Posterior]:
    compared = list(estimating.outcomes(spec, made.suites, scored))
    found = [
        each
        for kind in spec.estimators.values()
        for one in compared
        for each in estimating.posteriors(store, kind, one)
    ]
    graded = made.graded(scored)
    for variant, each in estimating.at_other_thresholds(spec, graded, scored):
        found += estimating.observed_totals(spec, store, each, variant)
    return found


def _model(arm: Imported, name: str, arms: Sequence[Imported]) -> ModelFacts:
    """What is known of an arm: what its tool calls it, and the digest of what it answered, in whatever order."""
    return ModelFacts(
        name=name,
        kind=IMPORTED,
        reference=arm.model or "not stated",
        digest=arm.digest,
        dtype="not known",
        notes=(f"its answers came from results of {tool(arm)}", *arm.notes),
    )


def _result(
    spec: AuditSpec,
    asked: Comparison,
    made: Arranged,
    models: Sequence[ModelFacts],
    scorers: tuple[ScorerFacts, ...],
    posteriors: Sequence[Posterior],
    checks: tuple[Check, ...],
) -> AuditResult:
    measured = {scorer.name: scorer for scorer in scorers}
    decide = partial(
        spec.gate.decide, scorers=measured, measures={name: suite.scorers for name, suite in spec.suites.items()}
    )
    found: list[Estimate] = [summarised(each, spec.gate, measured) for each in posteriors]
    result = AuditResult(
        audit=spec.name,
        title=spec.title,
        date=date.today().isoformat(),
        version=__version__,
        base=models[0],
        candidates=(models[1],),
        suites=tuple(suite.facts for suite in made.suites.values()),
        scorers=scorers,
        generation=GenerationFacts("elsewhere", 0, 0.0, made.samples, 0),
        gate=spec.gate.facts(),
        estimates=(),
        verdicts=(),
        checks=checks,
        command=asked.command,
        versions=plugins.versions(("numpy",), spec, importer(asked.base.path, asked.format)),
        settings=history.settings(spec.sampling, list(spec.estimators.values())),
    )
    found = doubted(decide, unturned(decide, found, asked.name), doubts_of(result))
    return replace(result, estimates=tuple(found), verdicts=(decide(asked.name, found),))


def _write(
    out: Path,
    spec: AuditSpec,
    result: AuditResult,
    made: Arranged,
    scored: Scored,
    posteriors: list[Posterior],
    lenient: bool,
    store: Store,
) -> tuple[AuditResult, list[Path]]:
    """Put all files in the place of an earlier run's, at once."""
    with replaced(out, rendering.of_before(out)) as new:
        files = write_results(new, spec, result, sample_rows(made.suites, result.scorers, made.answers, scored))
        result = read_result(new)
        files += [cyclonedx.write(result, new), junit.write(result, new, lenient), *every_eval_ever.write(result, new)]
        files.append(archive.write_draws(posteriors, new / DRAWS))
        cards = rendering.render(new, spec.card)
    store.remember(out, sha256(out / RESULTS))
    return result, [out / file.relative_to(new) for file in (*cards, *files, new / SUMS)]

"""An audit from beginning to end: read this first. Only this module knows the order of the stages.

Every stage's work is looked up in the store first, so a killed run resumes and a repeated one costs nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from toxaudit import __version__, commitment, labels, plugins
from toxaudit.checks import Checklist
from toxaudit.decision import history
from toxaudit.decision.doubt import doubted
from toxaudit.errors import ToxauditError
from toxaudit.estimators import archive
from toxaudit.estimators.for_gate import summarised
from toxaudit.estimators.outcomes import PairedOutcomes
from toxaudit.estimators.posterior import Posterior
from toxaudit.extensions import Card
from toxaudit.facts import LabelFacts, ModelFacts
from toxaudit.findings import AuditResult, Check
from toxaudit.interop import cyclonedx, every_eval_ever, junit
from toxaudit.labels import LabelFile
from toxaudit.machine import progress
from toxaudit.machine.folders import sha256, write_atomically
from toxaudit.machine.replacement import SUMS, replaced
from toxaudit.models import Arm, Loader
from toxaudit.pinning import lock, lock_file
from toxaudit.pinning.references import Pinned, pin
from toxaudit.records import Answers, Asked, Scored
from toxaudit.results.files import DRAWS, RESULTS
from toxaudit.results.reading import read_result
from toxaudit.results.writing import sample_rows, write_results
from toxaudit.spec.schema import AuditSpec
from toxaudit.stages import analysing, answering, arms, asking, estimating, labelling, recalling, rendering, scoring
from toxaudit.stages.arms import Arms
from toxaudit.store.shelves import Store
from toxaudit.suites import design


def run(
    spec: AuditSpec, command: str, swept: Sequence[AuditSpec] = (), lenient: bool = False
) -> tuple[AuditResult, list[Path]]:
    """Do the audit and write its results.

    Args:
        spec: composed and checked.
        command: what the user typed, for the card.
        swept: the other specs of the same sweep.
        lenient: whether ``junit.xml`` counts what is open as skipped instead of failed.

    Returns:
        The result, and the files written, of which the first are ``card.md`` and ``report.html``.

    Raises:
        ToxauditError: if the audit can't be finished; finished work is kept, and no result is half-written.
    """
    out = rendering.writable(spec)
    store = Store(Path(spec.store).expanduser())
    said = labels.of_spec(spec)
    swept = [each for each in swept if recalling.same_answers(spec, each)]
    with store.in_use(), closing(spec.executor):
        ready = _ready(spec, store)
        committed = _commit(ready, out, store)
        ready, suites, answers, scored = _asked(ready, store)
        spec = ready.audited
        compared = list(estimating.outcomes(spec, suites, scored))
        compared, told = labelling.attached(spec, said, compared, suites, answers)
        posteriors = _estimate(spec, store, suites, scored, compared)
        result = _result(spec, command, ready.found, suites, posteriors, scoring.thought_notes(answers), told)
        tokens = partial(answering.tokens, spec, ready.loader, suites)
        result = analysing.analysed(spec, result, ready.found.audited, suites, ready.loader, tokens)
        result = recalling.recalled(replace(result, commitment=committed.record), ready.drawn, store, out, swept)
    result = replace(
        result,
        agreements=tuple(estimating.agreements(spec, suites, scored)),
        variance=tuple(estimating.variances(spec, suites, scored)),
        checks=(*ready.checks, *ready.found.checks),
    )
    sampled = sample_rows(suites, result.scorers, _answers_of(ready.found, answers), scored)
    return _write(out, store, ready, result, sampled, posteriors, said, committed.data, lenient)


@dataclass(frozen=True)
class _Ready:
    """An audit of which all is fetched and checked that can be before a prompt is asked.

    Attributes:
        pinned: the audit, every reference at one commit.
        pins: what each reference stood for.
        suites: all prompts that may be asked.
        checks: those of the design that are done.
        loader: of the arms' weights.
        found: the arms.
    """

    pinned: Pinned
    pins: dict[str, lock_file.Entry]
    suites: dict[str, Asked]
    checks: Sequence[Check]
    loader: Loader
    found: Arms

    @property
    def audited(self) -> AuditSpec:
        """The spec as far as it concerns candidates that are audited."""
        spec = self.pinned.spec
        return replace(spec, candidates={arm.name: spec.candidates[arm.name] for arm in self.found.audited[1:]})

    @property
    def drawn(self) -> dict[str, str]:
        """Suite -> digest of its prompts."""
        return {name: asked.facts.digest for name, asked in self.suites.items()}


def _ready(spec: AuditSpec, store: Store) -> _Ready:
    """Fetch and check what costs least first: prompts, then scorers, then arms."""
    pinned, pins = _pinned(spec)
    spec = pinned.spec
    suites = asking.drawn(spec)
    checks = Checklist()
    design.check(spec, suites, checks)
    for name, scorer in spec.scorers.items():
        scorer.identity()  # fetches it: a scorer that can't be had must not cost a generation
        design.check_calibrated(spec, name, checks)
    loader = Loader(spec.executor.start())
    chats = tuple({each.facts.system_instruction or "" for each in suites.values() if each.facts.ask == "chat"})
    found = arms.assemble(pinned, loader, store, chats)
    found = arms.without(found, pinned, answering.unreadable(spec, loader, store, found.audited, suites))
    ready = _Ready(pinned, pins or lock.entries(pinned, found.skipped), suites, checks.done, loader, found)
    real = [name for name, each in ready.audited.candidates.items() if not (each.control or each.expect)]
    spec.gate.check_done(real, found.checks)
    return ready


def _commit(ready: _Ready, out: Path, store: Store) -> commitment.Written:
    """Write down what is fixed from here on, and how much of it was answered before."""
    named = {key: entry.digest for key, entry in ready.pins.items()}
    before = partial(answering.stored, ready.audited, store, ready.found.audited[1:], ready.suites)
    prompts = asking.committed(ready.pinned.spec, ready.suites)
    return commitment.commit(out, ready.pinned.spec, named, prompts, store, before)


def _asked(ready: _Ready, store: Store) -> tuple[_Ready, dict[str, Asked], Answers, Scored]:
    """The prompts that were asked, completions and scores; and the arms that remain once it is known what they say."""
    with closing(ready.pinned.spec.executor):
        suites, answers, scored = _answer(ready.audited, ready.loader, store, ready.found.audited, ready.suites)
    ready.loader.close()
    again = partial(answering.asked_again, ready.pinned.spec, ready.loader, store, suites, answers)
    return replace(ready, found=arms.told_apart(ready.found, ready.pinned, answers, again)), suites, answers, scored


def _answers_of(found: Arms, answers: Answers) -> Answers:
    names = {arm.name for arm in found.audited}
    return {(arm, suite): given for (arm, suite), given in answers.items() if arm in names}


def _write(
    out: Path,
    store: Store,
    ready: _Ready,
    result: AuditResult,
    sampled: Iterable[Mapping[str, Any]],
    posteriors: list[Posterior],
    said: LabelFile | None,
    committed: bytes,
    lenient: bool,
) -> tuple[AuditResult, list[Path]]:
    """Put all files of the run in the place of an earlier one's, at once; what is returned is read from them."""
    spec = ready.pinned.spec
    skipped = {name: each.reason for name, each in ready.found.skipped.items()}
    pins = lock.without(ready.pinned, ready.pins, skipped)
    with replaced(out, rendering.of_before(out)) as new:
        files = write_results(new, spec, result, sampled)
        result = read_result(new)  # what is said of it from here on is what the file says
        files += [cyclonedx.write(result, new), junit.write(result, new, lenient), *every_eval_ever.write(result, new)]
        files.append(archive.write_draws(posteriors, new / DRAWS))
        files.append(lock_file.write(new, spec.name, pins, skipped))
        write_atomically(new / commitment.COMMITMENT, committed)
        files.append(new / commitment.COMMITMENT)
        if said:
            files.append(labels.copied(said, new))
        cards, failed = _rendered(new, spec.card)
    commitment.conclude(out)
    store.remember(out, sha256(out / RESULTS))
    if failed:
        raise ToxauditError(
            f"{failed} The results are in {out}, but not yet their card: mend this, then run `toxaudit card {out}`."
        ) from failed
    return result, [out / file.relative_to(new) for file in (*cards, *files, new / SUMS)]


def _rendered(new: Path, card: Card) -> tuple[list[Path], ToxauditError | None]:
    """The files of the card, or why there are none: then no card of an earlier run may stay beside the results."""
    try:
        return rendering.render(new, card), None
    except ToxauditError as error:
        return [], error


def _pinned(spec: AuditSpec) -> tuple[Pinned, dict[str, lock_file.Entry]]:
    """Every reference of the spec at one commit, or at that of a lock file.

    Returns:
        The audit so pinned, and what a lock file says is to be read, verified; nothing without one.
    """
    if not spec.lock:
        return pin(spec), {}
    locked = lock_file.read(spec.lock)
    pinned = lock.pin(spec, locked)
    return pinned, lock.verify(pinned, locked)


def _answer(
    spec: AuditSpec, loader: Loader, store: Store, audited: Sequence[Arm], suites: dict[str, Asked]
) -> tuple[dict[str, Asked], Answers, Scored]:
    """Completions and scores, and the prompts asked for them: all, or as many as the sampling finds enough."""
    ordered = asking.ordered(spec, suites)
    fewest = estimating.fewest_prompts(spec)
    sizes = {
        name: max(spec.sampling.first_round(len(prompts)), min(fewest[name], len(prompts)))
        for name, prompts in ordered.items()
    }
    while True:
        asked = {name: asking.first(spec, suites[name], prompts, sizes[name]) for name, prompts in ordered.items()}
        answers = answering.answer(spec, loader, store, audited, asked)
        scored = scoring.score(spec, loader, store, asked, answers)
        if all(sizes[name] == len(prompts) for name, prompts in ordered.items()):
            return asked, answers, scored
        widths, margins = estimating.widths(spec, asked, scored), estimating.smallest_margins(spec)
        wanted = {
            name: spec.sampling.next_round(sizes[name], len(prompts), widths[name], margins[name])
            for name, prompts in ordered.items()
        }
        if wanted == sizes:
            return asked, answers, scored
        sizes = wanted


def _estimate(
    spec: AuditSpec, store: Store, suites: dict[str, Asked], scored: Scored, compared: Sequence[PairedOutcomes]
) -> list[Posterior]:
    """The posterior of every change, and of every change at other thresholds."""
    elsewhere = list(estimating.at_other_thresholds(spec, suites, scored))
    found = []
    with progress.bar("estimating", len(compared) * len(spec.estimators) + len(elsewhere), "posterior") as bar:
        for estimator in spec.estimators.values():
            for each in compared:
                found += estimating.posteriors(store, estimator, each)
                bar.update()
        for variant, each in elsewhere:
            found += estimating.observed_totals(spec, store, each, variant)
            bar.update()
    return found


def _result(
    spec: AuditSpec,
    command: str,
    found: Arms,
    suites: dict[str, Asked],
    posteriors: Sequence[Posterior],
    notes: Mapping[str, str],
    told: tuple[LabelFacts, ...],
) -> AuditResult:
    """All that was found; ``notes`` say of arms what their completions showed, ``told`` what people said of some."""
    scorers = scoring.facts(spec, {each.measure for each in posteriors})
    measured = {scorer.name: scorer for scorer in scorers}
    estimates = [summarised(each, spec.gate, measured) for each in posteriors]
    base, *candidates = (_noted(arm.facts(), notes.get(arm.name)) for arm in found.audited)
    measures = {name: suite.scorers for name, suite in spec.suites.items()}
    decide = partial(spec.gate.decide, scorers=measured, measures=measures)
    estimates = doubted(decide, estimates, found.doubts)
    verdicts = tuple(decide(name, [e for e in estimates if e.candidate == name]) for name in spec.candidates)
    return AuditResult(
        audit=spec.name,
        title=spec.title or spec.name,
        date=date.today().isoformat(),
        version=__version__,
        base=base,
        candidates=tuple(candidates),
        suites=tuple(asked.facts for asked in suites.values()),
        scorers=tuple(scorers),
        generation=asking.facts(spec, found.audited),
        gate=spec.gate.facts(),
        estimates=tuple(estimates),
        verdicts=verdicts,
        command=command,
        sampling=spec.sampling.sentence(),
        skipped=tuple(found.skipped.values()),
        settings=history.settings(spec.sampling, list(spec.estimators.values())),
        labels=told,
        versions=plugins.versions(("torch", "transformers", "peft", "pymc", "numpy"), spec),
    )


def _noted(facts: ModelFacts, note: str | None) -> ModelFacts:
    return replace(facts, notes=(*facts.notes, note)) if note else facts

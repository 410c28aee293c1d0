"""An audit from beginning to end: read this first. Only this module knows the order of the stages.

Every stage's work is looked up in the store first, so a killed run resumes and a repeated one costs nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from toxaudit import __version__, commitment, labels
from toxaudit.checks import Checklist
from toxaudit.decision import history
from toxaudit.decision.doubt import doubted
from toxaudit.errors import ToxauditError
from toxaudit.estimators import archive
from toxaudit.estimators.for_gate import summarised
from toxaudit.estimators.outcomes import PairedOutcomes
from toxaudit.estimators.posterior import Posterior
from toxaudit.extensions import Card, Suite
from toxaudit.facts import GenerationFacts, LabelFacts, ModelFacts
from toxaudit.findings import AuditResult
from toxaudit.interop import cyclonedx, every_eval_ever, junit
from toxaudit.labels import LabelFile
from toxaudit.machine import progress
from toxaudit.machine.folders import write_atomically
from toxaudit.machine.replacement import SUMS, replaced
from toxaudit.models import Arm, Loader, ResolvedModel
from toxaudit.pinning import lock, lock_file
from toxaudit.pinning.references import Pinned, pin
from toxaudit.records import Answers, Asked, Prompt, Scored
from toxaudit.results.files import DRAWS
from toxaudit.results.reading import read_result
from toxaudit.results.writing import sample_rows, write_results
from toxaudit.spec.schema import AuditSpec
from toxaudit.stages import answering, arms, estimating, labelling, recalling, rendering, scoring
from toxaudit.stages.arms import Arms
from toxaudit.store.shelves import Store
from toxaudit.suites import design
from toxaudit.suites.base import described


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
    with store.lock():
        pinned, pins = _pinned(spec)
        spec = pinned.spec
        suites = {name: _ask(name, suite) for name, suite in spec.suites.items()}
        checks = Checklist()
        design.check(spec, suites, checks)
        for name, scorer in spec.scorers.items():
            scorer.identity()  # fetches it: a scorer that can't be had must not cost a generation
            design.check_calibrated(spec, name, checks)
        loader = Loader(spec.executor.start())
        chats = tuple({each.facts.system_instruction or "" for each in suites.values() if each.facts.ask == "chat"})
        found = arms.assemble(pinned, loader, store, chats)
        found = arms.without(found, pinned, answering.unreadable(spec, loader, store, found.audited, suites))
        spec.gate.check_done(_real(_of(spec, found)), found.checks)
        pins = pins or lock.entries(pinned, found.skipped)
        drawn = {name: asked.facts.digest for name, asked in suites.items()}
        before = partial(answering.stored, _of(spec, found), store, found.audited[1:], suites)
        named = {key: entry.digest for key, entry in pins.items()}
        committed = commitment.commit(out, spec, named, drawn, store, before)
        suites, answers, scored = _answer(_of(spec, found), loader, store, found.audited, suites)
        loader.close()
        again = partial(answering.asked_again, spec, loader, store, suites, answers)
        found = arms.told_apart(found, pinned, answers, again)
        asked_of = _of(spec, found)
        compared = list(estimating.outcomes(asked_of, suites, scored))
        compared, told = labelling.attached(asked_of, said, compared, suites, answers)
        posteriors = _estimate(asked_of, store, suites, scored, compared)
        result = _result(asked_of, command, found, suites, posteriors, scoring.thought_notes(answers), told)
        result = replace(result, commitment=committed.record)
        result = recalling.recalled(result, drawn, store, out, swept)
    agreements = tuple(estimating.agreements(asked_of, suites, scored))
    variance = tuple(estimating.variances(asked_of, suites, scored))
    result = replace(result, agreements=agreements, variance=variance, checks=(*checks.done, *found.checks))
    sampled = sample_rows(suites, result.scorers, _answers_of(found, answers), scored)
    skipped = {name: each.reason for name, each in found.skipped.items()}
    pins = lock.without(pinned, pins, skipped)
    return _write(out, spec, result, sampled, posteriors, pins, skipped, said, committed.data, lenient)


def _of(spec: AuditSpec, found: Arms) -> AuditSpec:
    """The spec as far as it concerns candidates that are audited."""
    return replace(spec, candidates={arm.name: spec.candidates[arm.name] for arm in found.audited[1:]})


def _real(spec: AuditSpec) -> list[str]:
    """The names of the candidates that are no controls."""
    return [name for name, candidate in spec.candidates.items() if not (candidate.control or candidate.expect)]


def _answers_of(found: Arms, answers: Answers) -> Answers:
    names = {arm.name for arm in found.audited}
    return {(arm, suite): given for (arm, suite), given in answers.items() if arm in names}


def _write(
    out: Path,
    spec: AuditSpec,
    result: AuditResult,
    sampled: Iterable[Mapping[str, Any]],
    posteriors: list[Posterior],
    pins: Mapping[str, lock_file.Entry],
    skipped: Mapping[str, str],
    said: LabelFile | None,
    committed: bytes,
    lenient: bool,
) -> tuple[AuditResult, list[Path]]:
    """Put all files of the run in the place of an earlier one's, at once; what is returned is read from them."""
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
    ordered = {name: spec.sampling.order(each.prompts, each.facts.strata) for name, each in suites.items()}
    fewest = estimating.fewest_prompts(spec)
    sizes = {
        name: max(spec.sampling.first_round(len(prompts)), min(fewest[name], len(prompts)))
        for name, prompts in ordered.items()
    }
    while True:
        asked = {name: _first(suites[name], prompts, sizes[name]) for name, prompts in ordered.items()}
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


def _first(suite: Asked, ordered: Sequence[Prompt], n: int) -> Asked:
    """The suite with its first ``n`` prompts in the order of asking, themselves in the suite's own order."""
    if n == len(ordered):
        return suite
    chosen = {prompt.id for prompt in ordered[:n]}
    prompts = [prompt for prompt in suite.prompts if prompt.id in chosen]
    return Asked(prompts, described(suite.facts, prompts))


def _ask(name: str, suite: Suite) -> Asked:
    drawn = suite.draw(name)
    return Asked(drawn.prompts, suite.facts(name, drawn))


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
        generation=GenerationFacts(
            backend=spec.backend.numerics,
            max_new_tokens=spec.generation.max_new_tokens,
            temperature=spec.generation.temperature,
            samples=spec.generation.samples,
            seed=spec.generation.seed,
            chat_template_kwargs=dict(spec.generation.chat_template_kwargs),
            chat_template=_template(found.audited, spec),
        ),
        gate=spec.gate.facts(),
        estimates=tuple(estimates),
        verdicts=verdicts,
        command=command,
        sampling=spec.sampling.sentence(),
        skipped=tuple(found.skipped.values()),
        settings=history.settings(spec.sampling, list(spec.estimators.values())),
        labels=told,
        versions={package: version(package) for package in ("torch", "transformers", "peft", "pymc", "numpy")},
    )


def _template(audited: Sequence[Arm], spec: AuditSpec) -> str:
    """In which chat template arms were asked, fit for publishing."""
    others = (arm.template for arm in audited if isinstance(arm, ResolvedModel) and arm.template)
    return next((other.shown for other in others), spec.chat_template)


def _noted(facts: ModelFacts, note: str | None) -> ModelFacts:
    return replace(facts, notes=(*facts.notes, note)) if note else facts

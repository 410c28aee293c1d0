"""An audit from beginning to end: read this first. Only this module knows the order of the stages.

Every stage's work is looked up in the store first, so a killed run resumes and a repeated one costs nothing.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from toxaudit import __version__, arms, comparison, lock, progress
from toxaudit.arms import Arms
from toxaudit.card.report import ChangedSample
from toxaudit.comparison import Asked
from toxaudit.errors import ToxauditError
from toxaudit.estimators import archive
from toxaudit.estimators.outcomes import Posterior, summarise
from toxaudit.models import Loader, ResolvedModel
from toxaudit.records import (
    AuditResult,
    Completion,
    Estimate,
    GenerationFacts,
    Prompt,
    Score,
    ScorerFacts,
    digest,
)
from toxaudit.references import pin
from toxaudit.results import Answers, Scored, sample_rows, write_results
from toxaudit.scorers.base import Unscored
from toxaudit.spec import AuditSpec
from toxaudit.store import Shelf, Store
from toxaudit.suites.base import described

CHUNK = 64  # completions scored and stored together


def run(spec: AuditSpec, command: str) -> tuple[AuditResult, list[Path]]:
    """Do the audit and write its results.

    Args:
        spec: composed and checked.
        command: what the user typed, for the card.

    Returns:
        The result, and the files written: ``card.md``, ``report.html``, ``forest.png``, ``results.json``,
        ``samples.jsonl``.

    Raises:
        ToxauditError: one sentence; finished work is kept, and no result is half-written.
    """
    out = _writable(Path(spec.out).expanduser())
    store = Store(Path(spec.store).expanduser())
    with store.lock():
        pins, refused = _pinned(spec)
        suites = {name: _ask(name, suite) for name, suite in spec.suites.items()}
        comparison.check_design(spec, suites)
        for scorer in spec.scorers.values():
            scorer.identity()  # fetches it: a scorer that can't be had must not cost a generation
        loader = Loader(spec.executor.start())
        chat = any(asked.facts.ask == "chat" for asked in suites.values())
        found = arms.assemble(spec, loader, store, chat, refused)
        skipped = {name: each.reason for name, each in found.skipped.items()}
        pins = pins or lock.entries(spec, skipped)
        asked_of = replace(spec, candidates={arm.name: spec.candidates[arm.name] for arm in found.audited[1:]})
        suites, answers, scored = _answer(asked_of, loader, store, found.audited, suites)
        loader.close()
        posteriors = _estimate(asked_of, store, suites, scored)
    estimates = [summarise(each, spec.gate.margin, spec.gate.cap) for each in posteriors]
    result = _result(asked_of, command, found, suites, estimates)
    prompts = {name: asked.prompts for name, asked in suites.items()}
    written = spec.card.write(result, _changed(asked_of, suites, answers, scored), out)
    written += write_results(out, spec, result, sample_rows(prompts, answers, scored))
    written.append(archive.write_draws(posteriors, out / "draws.parquet"))
    return result, [*written, lock.write(out, spec, pins, skipped)]


def _pinned(spec: AuditSpec) -> tuple[dict[str, lock.Entry], dict[str, str]]:
    """Every reference of the spec at one commit, or at that of a lock file.

    Returns:
        What a lock file says is to be read, verified; nothing without one. Candidates that can't be had, and why.
    """
    if not spec.lock:
        return {}, pin(spec)
    locked = lock.read(spec.lock)
    lock.apply(spec, locked)
    return lock.verify(spec, locked), dict(locked.skipped)


def _answer(
    spec: AuditSpec, loader: Loader, store: Store, audited: Sequence[ResolvedModel], suites: dict[str, Asked]
) -> tuple[dict[str, Asked], Answers, Scored]:
    """Completions and scores, and the prompts asked for them: all, or as many as the sampling finds enough."""
    ordered = {name: spec.sampling.order(each.prompts, each.facts.strata) for name, each in suites.items()}
    sizes = {name: spec.sampling.first_round(len(prompts)) for name, prompts in ordered.items()}
    while True:
        asked = {name: _first(suites[name], prompts, sizes[name]) for name, prompts in ordered.items()}
        answers = _generate(spec, loader, store, audited, asked)
        scored = _score(spec, store, answers)
        if all(sizes[name] == len(prompts) for name, prompts in ordered.items()):
            return asked, answers, scored
        widths = comparison.widths(spec, asked, scored)
        wanted = {
            name: spec.sampling.next_round(sizes[name], len(prompts), widths[name], spec.gate.margin)
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


def _writable(folder: Path) -> Path:
    """``folder``, after a look whether results could be written there at the end."""
    ground = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise ToxauditError(f"Results can't be written to {folder}: set out=FOLDER.")
    return folder


def _ask(name: str, suite: Any) -> Asked:
    prompts, fetched = suite.prompts(name)
    return Asked(prompts, suite.facts(name, prompts, fetched))


def _generate(
    spec: AuditSpec, loader: Loader, store: Store, audited: Sequence[ResolvedModel], suites: dict[str, Asked]
) -> Answers:
    """Every arm's completion of every prompt, those over the base's weights first: the checks left it loaded."""
    base = audited[0].loaded_as
    in_order = sorted(audited, key=lambda arm: (arm.loaded_as != base, arm.loaded_as))
    answers: Answers = {}
    for found in spec.executor.map(partial(_generate_arm, spec, loader, store, suites), in_order):
        answers |= found
    return {(arm.name, suite): answers[arm.name, suite] for arm in audited for suite in suites}


def _generate_arm(
    spec: AuditSpec, loader: Loader, store: Store, suites: dict[str, Asked], arm: ResolvedModel
) -> Answers:
    shelves = {name: _completions(spec, store, arm, asked) for name, asked in suites.items()}
    samples = range(spec.generation.samples)
    missing = {
        name: [key for prompt in asked.prompts for key in _keys(prompt, samples) if key not in shelves[name]]
        for name, asked in suites.items()
    }
    total = len(samples) * sum(len(asked.prompts) for asked in suites.values())
    with progress.bar(f"generating {arm.name}", total, "completion") as bar:
        bar.update(total - sum(map(len, missing.values())))
        if any(missing.values()):
            with spec.backend.open(loader, arm) as model:
                for name in (name for name in suites if missing[name]):
                    for sample in samples:
                        _fill(shelves[name], model, suites[name], spec, sample, bar.update)
    return {
        (arm.name, name): [
            Completion(model=arm.name, prompt_id=prompt.id, sample=sample, **shelves[name][key])
            for prompt in asked.prompts
            for sample, key in enumerate(_keys(prompt, samples))
        ]
        for name, asked in suites.items()
    }


def _keys(prompt: Prompt, samples: Iterable[int]) -> list[str]:
    """The names of a prompt's completions on a shelf."""
    return [prompt.digest + (f"#{sample}" if sample else "") for sample in samples]


def _completions(spec: AuditSpec, store: Store, arm: ResolvedModel, asked: Asked) -> Shelf:
    """The shelf of one arm's completions: named by all that changes a completion, and nothing else."""
    generation = asdict(spec.generation)
    del generation["samples"]  # each has a name and a random stream of its own
    if not spec.generation.temperature:
        del generation["seed"]  # greedy decoding draws no random numbers
    identity = {
        "version": 1,
        "model": arm.identity,
        "backend": spec.backend.numerics,
        "generation": generation,
        "ask": asked.facts.ask,
        "made with": {package: version(package) for package in ("torch", "transformers", "peft")},
    }
    return store.shelf("completions", identity)


def _fill(shelf: Shelf, model: Any, asked: Asked, spec: AuditSpec, sample: int, tick: Callable[[int], Any]) -> None:
    keys = {prompt.id: _keys(prompt, [sample])[0] for prompt in asked.prompts}

    def done(prompt: Prompt) -> bool:
        return keys[prompt.id] in shelf

    for batch in model.generate(asked.prompts, asked.facts.ask, spec.generation, done, sample):
        shelf.add({keys[c.prompt_id]: {"text": c.text, "tokens": c.tokens, "finish": c.finish} for c in batch})
        tick(len(batch))


def _score(spec: AuditSpec, store: Store, answers: Answers) -> Scored:
    """Every scorer's score of every completion; equal texts are scored once."""
    scored: Scored = {}
    for name, scorer in spec.scorers.items():
        shelf = store.shelf("scores", {"version": 1, "scorer": scorer.identity()})
        texts = list(dict.fromkeys(completion.text for found in answers.values() for completion in found))
        with progress.bar(f"scoring {name}", len(texts), "text") as bar:
            for start in range(0, len(texts), CHUNK):
                chunk = texts[start : start + CHUNK]
                # a chunk is scored whole or not at all, so that a resumed run computes in the same batches
                if not all(digest(text) in shelf for text in chunk):
                    shelf.add({digest(t): _stored(s) for t, s in zip(chunk, scorer.score(chunk), strict=True)})
                bar.update(len(chunk))
        for (arm, suite), completions in answers.items():
            scored[arm, suite, name] = [
                Score(arm, c.prompt_id, c.sample, name, **shelf[digest(c.text)]) for c in completions
            ]
    return scored


def _stored(score: float | Unscored) -> dict[str, Any]:
    if isinstance(score, Unscored):
        return {"value": None, "missing": score.reason}
    return {"value": round(score, 6), "missing": None}


def _estimate(spec: AuditSpec, store: Store, suites: dict[str, Asked], scored: Scored) -> list[Posterior]:
    """The posterior of every change."""
    compared = list(comparison.outcomes(spec, suites, scored))
    found = []
    with progress.bar("estimating", len(compared) * len(spec.estimators), "posterior") as bar:
        for estimator in spec.estimators.values():
            for each in compared:
                found += comparison.posteriors(store, estimator, each)
                bar.update()
    return found


def _result(
    spec: AuditSpec,
    command: str,
    found: Arms,
    suites: dict[str, Asked],
    estimates: list[Estimate],
) -> AuditResult:
    scorers: list[ScorerFacts] = [s.facts(name, s.identity(), s.source) for name, s in spec.scorers.items()]
    tiers = {scorer.name: scorer.tier for scorer in scorers}
    verdicts = tuple(
        spec.gate.decide(name, [e for e in estimates if e.candidate == name], tiers, list(suites))
        for name in spec.candidates
    )
    return AuditResult(
        audit=spec.name,
        title=spec.title or spec.name,
        date=date.today().isoformat(),
        version=__version__,
        base=found.audited[0].facts(),
        candidates=tuple(arm.facts() for arm in found.audited[1:]),
        suites=tuple(asked.facts for asked in suites.values()),
        scorers=tuple(scorers),
        generation=GenerationFacts(
            backend=spec.backend.numerics,
            max_new_tokens=spec.generation.max_new_tokens,
            temperature=spec.generation.temperature,
            samples=spec.generation.samples,
            seed=spec.generation.seed,
        ),
        gate=spec.gate.facts(),
        estimates=tuple(estimates),
        verdicts=verdicts,
        command=command,
        sampling=spec.sampling.sentence(),
        skipped=tuple(found.skipped.values()),
        versions={package: version(package) for package in ("torch", "transformers", "peft", "pymc", "numpy")},
    )


def _changed(spec: AuditSpec, suites: dict[str, Asked], answers: Answers, scored: Scored) -> list[ChangedSample]:
    """Per candidate that is no control, the completions whose critical scores rose most."""
    critical = next((name for name, scorer in spec.scorers.items() if scorer.tier == "critical"), None)
    changed: list[ChangedSample] = []
    if critical is None:
        return changed
    for candidate in spec.candidates:
        rows = []
        for suite, asked in suites.items():
            before, after = scored["base", suite, critical], scored[candidate, suite, critical]
            prompts = [prompt for prompt in asked.prompts for _ in range(spec.generation.samples)]
            for i, prompt in enumerate(prompts):
                old, new = before[i].value, after[i].value
                if old is not None and new is not None and old != new:
                    texts = answers["base", suite][i].text, answers[candidate, suite][i].text
                    rows.append(ChangedSample(candidate, suite, critical, prompt.text, *texts, old, new))
        rows.sort(key=lambda row: (row.base_score - row.candidate_score, row.prompt))
        changed += rows[: spec.card.samples]
    return changed

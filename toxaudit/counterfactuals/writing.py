"""A generator asked for sentences from beginning to end, and files of what was kept of its answers and what was not.

The generator is the base of a spec without candidates; the spec's suites say what it is asked, and their scorers what
may not be kept. Answers and scores come from the store, or go there, so that a killed command goes on where it was.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from toxaudit import __version__
from toxaudit.checks import Checklist
from toxaudit.counterfactuals import keeping
from toxaudit.errors import ToxauditError
from toxaudit.facts import BASE_ARM, ModelFacts
from toxaudit.machine.folders import write_atomically
from toxaudit.models import Loader
from toxaudit.pinning.references import pin
from toxaudit.records import Answers, Asked, Scored
from toxaudit.spec.schema import AuditSpec
from toxaudit.stages import answering, arms, asking, scoring
from toxaudit.store.shelves import Store
from toxaudit.suites import design

KEPT, LEFT_OUT = "counterfactuals.jsonl", "left_out.jsonl"
"""The files of what was kept, which suites and recipes read, and of what was not, each row with its reason."""


@dataclass(frozen=True)
class Written:
    """The file that was written, how many rows it has, and for each reason how many answers were left out."""

    file: Path
    kept: int
    left_out: dict[str, int]


def written(spec: AuditSpec, out: Path) -> Written:
    """Ask the generator, leave out what failed, and write both with where they come from.

    Args:
        spec: composed and checked; its base is the generator.
        out: the folder for the files.

    Raises:
        ToxauditError: if the spec has candidates or a suite of choices, the file is there already, the generator can't
            be had, or nothing could be kept.
    """
    file = out / KEPT
    if file.exists():
        raise ToxauditError(f"{file} is there already: remove it, or set out=FOLDER.")
    _require_fit(spec)
    store = Store(Path(spec.store).expanduser())
    with store.in_use():
        rows = list(_made(spec, store))
    kept = [row for row in rows if keeping.REASON not in row]
    others = [row for row in rows if keeping.REASON in row]
    reasons = Counter(str(row[keeping.REASON]) for row in others).most_common()
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / LEFT_OUT, keeping.as_lines(others))
    if not kept:
        reason, count = reasons[0]
        raise ToxauditError(
            f"None of {len(rows):,} answers can be kept, {count:,} of them for this reason: {reason}. All are in "
            f"{out / LEFT_OUT}: ask otherwise, or name another generator by base.pretrained."
        )
    write_atomically(file, keeping.as_lines(kept))
    return Written(file, len(kept), dict(reasons))


def _require_fit(spec: AuditSpec) -> None:
    """Refuse what says nothing of a generator."""
    if spec.candidates:
        name = next(iter(spec.candidates))
        raise ToxauditError(f"A generator is the base of a spec without candidates, but this has '{name}': drop that.")
    for key, what in (("lock", "a lock file is that of an audit's run"), ("labels", "people label an audit's answers")):
        if getattr(spec, key):
            raise ToxauditError(f"{key} does nothing here: {what}.")
    for name, suite in spec.suites.items():
        if clash := next((each for each in getattr(suite, "slices", ()) if each in keeping.OWN), None):
            raise ToxauditError(
                f"suites.{name} has a slice '{clash}', as another column is called: give it another name."
            )


def _made(spec: AuditSpec, store: Store) -> Iterator[dict[str, Any]]:
    """A row for each answer of the generator."""
    pinned = pin(spec)
    spec = pinned.spec
    suites = asking.drawn(spec)
    if chosen := next((name for name, each in suites.items() if each.facts.choices), None):
        raise ToxauditError(f"suites.{chosen} offers choices, of which a generator writes none: leave it out.")
    design.check(spec, suites, Checklist())
    for scorer in spec.scorers.values():
        scorer.identity()  # fetches it: a scorer that can't be had must not cost a generation
    loader = Loader(spec.executor.start())
    chats = tuple({each.facts.system_instruction or "" for each in suites.values() if each.facts.ask == "chat"})
    found = arms.assemble(pinned, loader, store, chats)
    found = arms.without(found, pinned, answering.unreadable(spec, loader, store, found.audited, suites))
    answers: Answers = answering.answer(spec, loader, store, found.audited, suites)
    scored: Scored = scoring.score(spec, loader, store, suites, answers)
    loader.close()
    for name, asked in suites.items():
        by = [(spec.scorers[each], scored[BASE_ARM, name, each]) for each in spec.suites[name].scorers]
        origin = _origin(spec, found.audited[0].facts(), asked)
        yield from keeping.rows(asked, answers[BASE_ARM, name], by, origin)


def _origin(spec: AuditSpec, model: ModelFacts, asked: Asked) -> dict[str, Any]:
    """Where the sentences of a suite come from: data, generator, how it was asked, and when."""
    generation = spec.generation
    return {
        "data": asked.facts.source,
        "data_revision": asked.facts.revision,
        "generator": model.reference,
        "revision": model.revision,
        "generator_sha256": None if model.server else model.digest,
        "server": model.server,
        "ask": asked.facts.ask,
        "system": asked.facts.system_instruction if model.system_instruction is None else model.system_instruction,
        "max_new_tokens": generation.max_new_tokens,
        "temperature": generation.temperature,
        "seed": generation.seed,
        "backend": spec.backend.numerics,
        "date": date.today().isoformat(),
        "toxaudit": __version__,
    }

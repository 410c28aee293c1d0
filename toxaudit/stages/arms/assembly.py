"""The spec's base and candidates -> the arms of the audit: fetched and pinned, tuned by their recipes, checked."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from toxaudit import training
from toxaudit.backends import served_preflight
from toxaudit.backends.openai import OpenAI
from toxaudit.checks import Checklist, notes
from toxaudit.errors import ToxauditError
from toxaudit.facts import BASE_ARM, Skipped
from toxaudit.findings import Check
from toxaudit.machine import progress
from toxaudit.models import (
    Arm,
    Loader,
    Preflight,
    ResolvedModel,
    ServedModel,
    effect,
    left_out,
    resolve_base,
)
from toxaudit.models.served import served_base, shown
from toxaudit.pinning.references import Pinned
from toxaudit.records import Answers, Completion
from toxaudit.spec import references
from toxaudit.spec.schema import AuditSpec, CandidateSpec
from toxaudit.stages.arms import making
from toxaudit.store import identities
from toxaudit.store.shelves import Store

READS = "it can read every prompt"
OBTAINED = "it can be had and read"
"""The check that fails where no other has."""
REFERENCE = "the arms that it rests on are audited"


@dataclass
class Arms:
    """The arms of an audit.

    Attributes:
        audited: the base first; with every check passed.
        skipped: candidates that may not be audited, and why; only where the spec says ``on_candidate_error: skip``.
        checks: the records of all checks, arm by arm in the order of the spec.
        doubts: candidates that nothing tells from their references, and why: none of them can be released.
    """

    audited: list[Arm] = field(default_factory=list)
    skipped: dict[str, Skipped] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    doubts: dict[str, str] = field(default_factory=dict)


def assemble(pinned: Pinned, loader: Loader, store: Store, chats: tuple[str, ...]) -> Arms:
    """Fetch, tune and check all arms.

    Args:
        pinned: the audit, and the candidates that are known already not to be auditable, with the reasons.
        loader: holds the base's weights at the end, if any arm had to be loaded.
        store: of finished work.
        chats: the system prompts, empty for none, of the suites that ask in the chat template.

    Raises:
        ToxauditError: if the base can't be audited, if a candidate can't and the spec says to stop, or if no candidate
            can.
    """
    assembled, spec, server = Arms(), pinned.spec, pinned.server
    for name, sentence in pinned.refused.items():
        _leave_out(assembled, spec, name, sentence)
        assembled.checks.append(Check(name, OBTAINED, "failed", assembled.skipped[name].reason))
    # rows of recipes are small, and must be right before gigabytes come down
    recipes = _recipes(assembled, pinned, loader.device)
    base: Arm = served_base(spec.base, server) if server else resolve_base(spec.base, loader.device, store)
    base = making.asked(replace(base, system_instruction=spec.base.system_instruction), base, spec)
    with spec.executor.tuning(loader) as tuning:
        by_recipe = making.ByRecipe(recipes, spec.candidates, tuning, loader.device, store)
        resolved = _resolved(assembled, pinned, base, by_recipe, chats)
    arms = [resolved[name] for name in (base.name, *spec.candidates) if name in resolved]
    _check_any_left(assembled, spec, arms)
    assembled.audited = _checked(assembled, pinned, arms, loader, store, chats)
    return _followed(assembled, pinned)


def _resolved(
    assembled: Arms, pinned: Pinned, base: Arm, by_recipe: making.ByRecipe, chats: tuple[str, ...]
) -> dict[str, Arm]:
    """The base and all candidates that can be had, by their names."""
    spec, resolved = pinned.spec, {base.name: base}
    by_recipe.begin_from(base)
    for name in _order(spec.candidates):
        if name in assembled.skipped:
            continue
        by_recipe.finish(name)
        with _may_skip(assembled, pinned, name) as checks:
            _require_others(assembled, spec, name, checks)
            reference = resolved[spec.candidates[name].against]
            if name in by_recipe.recipes:
                arm: Arm = by_recipe.made(name)
            elif spec.candidates[name].merge:
                arm = making.as_sum(name, spec, resolved, by_recipe.store)
            else:
                arm = making.named(name, pinned, base, reference, by_recipe.device, by_recipe.store)
            arm = making.unlike_reference(arm, spec.candidates[name], reference, chats, checks)
            arm = replace(arm, against=reference.name, grid=references.place(spec, name))
            resolved[name] = making.asked(arm, base, spec)
            by_recipe.begin_from(resolved[name])
    return resolved


def _order(candidates: Mapping[str, CandidateSpec]) -> list[str]:
    """The candidates, each after those that it rests on, and what needs no tuning first: from there, much can begin."""
    order = references.in_order({name: [*references.rests_on(each)] for name, each in candidates.items()})
    tuned: set[str] = set()
    for name in order:
        if candidates[name].train or tuned & references.rests_on(candidates[name]).keys():
            tuned.add(name)
    return sorted(order, key=tuned.__contains__)


def told_apart(arms: Arms, pinned: Pinned, answers: Answers, again: Callable[[Arm, Arm], effect.Again]) -> Arms:
    """The arms that remain once it is known what all have answered: none all of whose answers are its reference's.

    Args:
        arms: the arms.
        pinned: the audit.
        answers: of all of them.
        again: asks the reference and a candidate behind a server again.

    Raises:
        ToxauditError: if a candidate is not told from its reference and the spec says to stop, or if no candidate
            remains.
    """
    base = arms.audited[0]
    known = replace(arms, audited=[base], skipped=dict(arms.skipped), checks=list(arms.checks), doubts={})
    for arm in arms.audited[1:]:
        with _may_skip(known, pinned, arm.name) as checks:
            doubt = ""
            if arm.kind != "control":
                done = [check for check in arms.checks if check.arm == arm.name]
                pairs = _answered_by_both(arm, answers)
                reference = next(each for each in arms.audited if each.name == arm.against)
                ask = partial(again, reference, arm) if isinstance(arm, ServedModel) else None
                doubt = effect.require_by_answers(checks, done, pairs, _lookalike(arm), ask, arm.against)
            known.doubts |= {arm.name: doubt} if doubt else {}
            known.audited.append(replace(arm, notes=(*arm.notes, *notes(checks.done), *([doubt] if doubt else []))))
    return _followed(known, pinned)


def without(arms: Arms, pinned: Pinned, refusals: Mapping[str, ToxauditError]) -> Arms:
    """The arms that remain once it is known which can't read a prompt.

    Args:
        arms: the arms.
        pinned: the audit.
        refusals: why, by the names of those arms.

    Raises:
        ToxauditError: if the base is among them, if a candidate is and the spec says to stop, or if none remains.
    """
    base, *others = arms.audited
    if base.name in refusals:
        raise refusals[base.name]
    known = replace(arms, audited=[base], skipped=dict(arms.skipped), checks=list(arms.checks))
    for arm in others:
        with _may_skip(known, pinned, arm.name) as checks:
            if error := refusals.get(arm.name):
                checks.fail(READS, error)
                raise error
            known.audited.append(arm)
    return _followed(known, pinned)


def _followed(arms: Arms, pinned: Pinned) -> Arms:
    """The arms whose references are audited, too, in the order of the spec.

    Raises:
        ToxauditError: if another arm's is not and the spec says to stop, or if no candidate remains.
    """
    known = replace(arms, skipped=dict(arms.skipped), checks=list(arms.checks))
    for name in references.in_order({arm.name: [arm.against] for arm in arms.audited if arm.name != BASE_ARM}):
        with _may_skip(known, pinned, name) as checks:
            _require_others(known, pinned.spec, name, checks)
    known.audited = [arm for arm in arms.audited if arm.name not in known.skipped]
    _check_any_left(known, pinned.spec, known.audited)
    return _ordered(known, pinned.spec)


def _require_others(arms: Arms, spec: AuditSpec, name: str, checks: Checklist) -> None:
    """Refuse a candidate that rests on another one that is left out."""
    for other, how in references.rests_on(spec.candidates[name]).items():
        if left := arms.skipped.get(other):
            error = ToxauditError(f"{name}: it {how} {other}, which is not audited: {left.reason}")
            checks.fail(REFERENCE, error)
            raise error


def _answered_by_both(arm: Arm, answers: Answers) -> Iterator[tuple[Completion, Completion]]:
    for name, suite in answers:
        if name == arm.name:
            yield from zip(answers[name, suite], answers[arm.against, suite], strict=True)


def _lookalike(arm: Arm) -> str:
    """What may be the matter with an arm that answers as its reference, and what to do."""
    mend = f"or set candidates.{arm.name}.control: true (without a model) to measure the noise"
    if isinstance(arm, ServedModel):
        return f"the server may answer by one model under both names; have it serve '{shown(arm.model)}', {mend}"
    return f"nothing shows that it changes anything; name another model, {mend}"


def _recipes(assembled: Arms, pinned: Pinned, device: str) -> dict[str, training.Recipe]:
    """The recipes of the candidates that are tuned, with their rows, each after that of which it goes on."""
    recipes: dict[str, training.Recipe] = {}
    known: dict[str, training.ReadStage] = {}
    for name, candidate in pinned.spec.candidates.items():
        if candidate.train and name not in assembled.skipped:
            with _may_skip(assembled, pinned, name):
                recipes[name] = training.read(pinned.spec.candidates, name, known)
                training.check_device(recipes[name], device)
    return {name: recipes[name] for name in _order(pinned.spec.candidates) if name in recipes}


def _ordered(arms: Arms, spec: AuditSpec) -> Arms:
    """The same in the order of the spec; checks of one arm stay as they were done."""
    order = ("base", *spec.candidates)
    skipped = {name: arms.skipped[name] for name in spec.candidates if name in arms.skipped}
    checks = sorted(arms.checks, key=lambda check: order.index(check.arm))
    return replace(arms, skipped=skipped, checks=checks)


def _check_any_left(assembled: Arms, spec: AuditSpec, arms: list[Arm]) -> None:
    """Refuse to audit controls alone, unless the spec has nothing else."""
    controls = {name for name, candidate in spec.candidates.items() if candidate.control or candidate.expect}
    wanted = set(spec.candidates) - controls or controls
    if spec.candidates and not wanted & {arm.name for arm in arms}:
        reasons = " ".join(f"{each.name}: {each.reason}" for each in assembled.skipped.values())
        raise ToxauditError(f"No candidate can be audited. {reasons}")


def _checked(
    assembled: Arms,
    pinned: Pinned,
    resolved: list[Arm],
    loader: Loader,
    store: Store,
    chats: tuple[str, ...],
) -> list[Arm]:
    """The arms that pass the checks, with the notes that these leave on them."""
    spec = pinned.spec
    served = [arm for arm in resolved if isinstance(arm, ServedModel)]
    here = [arm for arm in resolved if isinstance(arm, ResolvedModel)]
    packages = () if served else ("torch", "transformers", "peft")
    shelf = store.shelf(identities.Checks(resolved[0].identity, identities.versions(*packages)))
    refused, takes = partial(_skip, assembled, pinned), spec.generation.chat_template_kwargs
    with progress.bar("checking models", len(resolved), "model") as bar:
        if served:
            suites = ((name, suite.ask, bool(suite.choices)) for name, suite in spec.suites.items())
            asked = served_preflight.probes(suites, chats, takes)
            backend = cast(OpenAI, spec.backend)  # the one that asks a server
            passed = served_preflight.preflight(backend, loader, shelf, asked, served, refused, bar.update)
        else:
            passed = Preflight(loader, shelf, chats, refused, takes).run(here, bar.update)
        bar.update(bar.total - bar.n)
    assembled.checks += (check for checks in passed.values() for check in checks)
    return [replace(arm, notes=arm.notes + notes(passed[arm.name])) for arm in resolved if arm.name in passed]


@contextmanager
def _may_skip(assembled: Arms, pinned: Pinned, name: str) -> Iterator[Checklist]:
    checks = Checklist(name)
    try:
        yield checks
    except ToxauditError as error:
        _skip(assembled, pinned, checks, error)
    else:
        assembled.checks += checks.done


def _skip(assembled: Arms, pinned: Pinned, checks: Checklist, error: ToxauditError) -> None:
    """Leave a candidate out and record why, in its checks too; stop instead if the spec says so."""
    if not pinned.may_skip:
        raise error
    _leave_out(assembled, pinned.spec, checks.arm, str(error))
    checks.fail(OBTAINED, error)  # unless it is noted already
    reason = assembled.skipped[checks.arm].reason  # what a card may say
    assembled.checks += (replace(check, text=reason) if check.outcome == "failed" else check for check in checks.done)


def _leave_out(assembled: Arms, spec: AuditSpec, name: str, sentence: str) -> None:
    skipped = left_out.skipped(spec, name, sentence)
    assembled.skipped[name] = skipped
    progress.say(f"{name} is not audited: {skipped.reason}")

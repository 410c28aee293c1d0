"""One arm, as its spec says how it comes into being: named, tuned by a recipe, or a sum of others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from toxaudit import training
from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError
from toxaudit.extensions import Tuning
from toxaudit.facts import BASE_ARM, the
from toxaudit.models import Arm, ResolvedModel, ServedModel, effect, resolve_candidate, tokenizer, tuned
from toxaudit.models.served import served_candidate
from toxaudit.pinning.references import Pinned
from toxaudit.spec.schema import AuditSpec, CandidateSpec
from toxaudit.store.shelves import Store


def named(name: str, pinned: Pinned, base: Arm, reference: Arm, device: str, store: Store) -> Arm:
    """A candidate that is not tuned within the audit; a control is its reference again."""
    spec = pinned.spec.candidates[name]
    under = reference if spec.control else base
    if isinstance(under, ServedModel) or isinstance(reference, ServedModel):
        assert isinstance(under, ServedModel)  # as all of an audit's arms are then
        return served_candidate(name, spec, under)
    return resolve_candidate(name, spec, under, device, store, pinned.replayed, reference)


@dataclass(frozen=True)
class ByRecipe:
    """The candidates that are tuned within the audit, each from the base or from a candidate that is not.

    Attributes:
        recipes: candidate -> its recipe.
        candidates: all of the audit.
        tuning: who tunes.
        device: torch's name of what computes.
        store: of finished work.
    """

    recipes: Mapping[str, training.Recipe]
    candidates: Mapping[str, CandidateSpec]
    tuning: Tuning
    device: str
    store: Store

    def begin_from(self, root: Arm) -> None:
        """Begin with those whose first stage goes on from this arm."""
        for name in self.recipes:
            recipe = self.recipes[name]
            if recipe.root == root.name:
                assert isinstance(root, ResolvedModel)  # a server's model can't be tuned, which pinning has refused
                make = partial(training.make, recipe, root, self.device, self.store)
                self.tuning.begin(name, make, self.candidates[name].starts_from)

    def finish(self, name: str) -> None:
        """Wait until it is made or can't be, if it is one of them that has begun."""
        self.tuning.finish(name)

    def made(self, name: str) -> ResolvedModel:
        """One of them, which has begun."""
        made = self.tuning.made(name)
        return tuned(name, self.candidates[name], made.arm, made.sentence, made.stages)


def as_sum(name: str, spec: AuditSpec, resolved: Mapping[str, Arm], store: Store) -> ResolvedModel:
    """A candidate that is a sum of others; one that moves nothing is the arm that it is merged into, again."""
    candidate = spec.candidates[name]
    here = {arm: model for arm, model in resolved.items() if isinstance(model, ResolvedModel)}
    assert candidate.merge  # and a server's models can't be merged, which pinning has refused
    into, of = here[candidate.merge.into], candidate.merge.of
    made = training.merge(name, here[BASE_ARM], into, [(here[each], weight) for each, weight in of.items()], store)
    made = tuned(name, candidate, made, training.sum_in_words(into.name, of))
    if candidate.control:
        return replace(made, kind="control", expect=candidate.expect or "GO", batch_size=candidate.batch_size or 1)
    return replace(made, kind="merge")


def unlike_reference(arm: Arm, spec: CandidateSpec, reference: Arm, chats: tuple[str, ...], checks: Checklist) -> Arm:
    """The arm with its system prompt; refused where it is its reference itself, unless it is a control."""
    if spec.control:
        return replace(arm, system_instruction=reference.system_instruction)
    arm = replace(arm, system_instruction=spec.system_instruction)
    own, others = (
        [chat if each.system_instruction is None else each.system_instruction for chat in chats]
        for each in (arm, reference)
    )
    itself = f"candidates.{arm.name} is {the(reference.name)} itself; to measure the noise, set control: true."
    same = arm.identity == reference.identity, own == others
    effect.require(checks, "files and system prompts", same, ToxauditError(itself))
    return arm


def asked(arm: Arm, base: Arm, spec: AuditSpec) -> Arm:
    """The arm with the chat template that it is asked in; a server's model is asked in its server's."""
    if isinstance(arm, ServedModel) or isinstance(base, ServedModel):
        return arm
    return replace(arm, template=tokenizer.asked_in(arm, base, spec.chat_template))

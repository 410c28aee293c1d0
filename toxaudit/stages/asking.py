"""The spec's suites -> what is asked: all prompts, or the first of them, and how completions are generated."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from toxaudit.commitment import IN_ORDER
from toxaudit.decision.sampling import in_order
from toxaudit.facts import GenerationFacts
from toxaudit.models import Arm, ResolvedModel
from toxaudit.records import Asked, Prompt
from toxaudit.spec.schema import AuditSpec
from toxaudit.suites.base import described


def drawn(spec: AuditSpec) -> dict[str, Asked]:
    """All prompts that may be asked, suite by suite.

    Raises:
        ToxauditError: if a suite can't be read.
    """
    draws = {name: (suite, suite.draw(name)) for name, suite in spec.suites.items()}
    return {name: Asked(draw.prompts, suite.facts(name, draw)) for name, (suite, draw) in draws.items()}


def ordered(spec: AuditSpec, suites: Mapping[str, Asked]) -> dict[str, Sequence[Prompt]]:
    """The prompts of each suite in the order in which rounds ask them."""
    return {
        name: spec.sampling.order(each.prompts, each.facts.strata, each.facts.shares) for name, each in suites.items()
    }


def committed(spec: AuditSpec, suites: Mapping[str, Asked]) -> dict[str, str]:
    """What is committed to of each suite's prompts: their digest; in rounds, that of the order of asking."""
    if spec.sampling.in_rounds:
        return {name: IN_ORDER + in_order(prompts) for name, prompts in ordered(spec, suites).items()}
    return {name: each.facts.digest for name, each in suites.items()}


def first(spec: AuditSpec, suite: Asked, ordered: Sequence[Prompt], n: int) -> Asked:
    """The suite with its first ``n`` prompts in the order of asking, themselves in the suite's own order."""
    rest = in_order(ordered[n:]) if spec.sampling.in_rounds else None
    if n == len(ordered):
        return replace(suite, facts=replace(suite.facts, rest=rest))
    chosen = {prompt.id for prompt in ordered[:n]}
    prompts = [prompt for prompt in suite.prompts if prompt.id in chosen]
    return Asked(prompts, replace(described(suite.facts, prompts), rest=rest))


def facts(spec: AuditSpec, audited: Sequence[Arm]) -> GenerationFacts:
    """How the completions were generated."""
    return GenerationFacts(
        backend=spec.backend.numerics,
        max_new_tokens=spec.generation.max_new_tokens,
        temperature=spec.generation.temperature,
        samples=spec.generation.samples,
        seed=spec.generation.seed,
        chat_template_kwargs=dict(spec.generation.chat_template_kwargs),
        chat_template=_template(audited, spec),
    )


def _template(audited: Sequence[Arm], spec: AuditSpec) -> str:
    """In which chat template arms were asked, fit for publishing."""
    others = (arm.template for arm in audited if isinstance(arm, ResolvedModel) and arm.template)
    return next((other.shown for other in others), spec.chat_template)

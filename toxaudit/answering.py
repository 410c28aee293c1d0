"""Prompts -> completions, of every arm: from the store, or generated."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any

from toxaudit import progress
from toxaudit.models import Loader, ResolvedModel
from toxaudit.records import Completion, Prompt, SuiteFacts
from toxaudit.results import Answers, Asked
from toxaudit.spec import AuditSpec
from toxaudit.store import Shelf, Store


def answer(
    spec: AuditSpec, loader: Loader, store: Store, audited: Sequence[ResolvedModel], suites: dict[str, Asked]
) -> Answers:
    """Every arm's completion of every prompt, those over the base's weights first: the checks left it loaded."""
    base = audited[0].loaded_as
    in_order = sorted(audited, key=lambda arm: (arm.loaded_as != base, arm.loaded_as))
    answers: Answers = {}
    for found in spec.executor.map(partial(_of_arm, spec, loader, store, suites), in_order):
        answers |= found
    return {(arm.name, suite): answers[arm.name, suite] for arm in audited for suite in suites}


def samples(spec: AuditSpec, facts: SuiteFacts) -> range:
    """The numbers of a prompt's samples: what is chosen by likelihood is chosen once."""
    return range(1 if facts.choices else spec.generation.samples)


def _of_arm(spec: AuditSpec, loader: Loader, store: Store, suites: dict[str, Asked], arm: ResolvedModel) -> Answers:
    shelves = {name: _shelf(spec, store, arm, asked.facts) for name, asked in suites.items()}
    wanted = {
        name: [key for prompt in asked.prompts for key in _keys(prompt, samples(spec, asked.facts))]
        for name, asked in suites.items()
    }
    missing = {name: [key for key in keys if key not in shelves[name]] for name, keys in wanted.items()}
    total = sum(map(len, wanted.values()))
    with progress.bar(f"generating {arm.name}", total, "completion") as bar:
        bar.update(total - sum(map(len, missing.values())))
        if any(missing.values()):
            with spec.backend.open(loader, arm) as model:
                for name in (name for name in suites if missing[name]):
                    for sample in samples(spec, suites[name].facts):
                        _fill(shelves[name], model, arm, suites[name], spec, sample, bar.update)
    return {
        (arm.name, name): [
            Completion(model=arm.name, prompt_id=prompt.id, sample=sample, **_restored(shelves[name][key]))
            for prompt in asked.prompts
            for sample, key in enumerate(_keys(prompt, samples(spec, asked.facts)))
        ]
        for name, asked in suites.items()
    }


def _keys(prompt: Prompt, samples: Iterable[int]) -> list[str]:
    """The names of a prompt's completions on a shelf."""
    return [prompt.digest + (f"#{sample}" if sample else "") for sample in samples]


def _system(arm: ResolvedModel, facts: SuiteFacts) -> str | None:
    """The system prompt: the arm's own, or the suite's where the arm has none of its own (an empty one is one)."""
    if facts.ask != "chat":
        return None
    return (facts.system_instruction if arm.system_instruction is None else arm.system_instruction) or None


def _shelf(spec: AuditSpec, store: Store, arm: ResolvedModel, facts: SuiteFacts) -> Shelf:
    """The shelf of one arm's completions: named by all that changes a completion, and nothing else."""
    generation = asdict(spec.generation)
    del generation["samples"]  # each has a name and a random stream of its own
    if not spec.generation.temperature:
        del generation["seed"]  # greedy decoding draws no random numbers
    identity = {
        "version": 1,
        "model": arm.identity,
        "backend": spec.backend.numerics,
        "generation": "choices" if facts.choices else generation,
        "ask": facts.ask,
        "made with": {package: version(package) for package in ("torch", "transformers", "peft")},
    }
    if system := _system(arm, facts):
        identity["system"] = system
    return store.shelf("completions", identity)


def _fill(
    shelf: Shelf,
    model: Any,
    arm: ResolvedModel,
    asked: Asked,
    spec: AuditSpec,
    sample: int,
    tick: Callable[[int], Any],
) -> None:
    keys = {prompt.id: _keys(prompt, [sample])[0] for prompt in asked.prompts}
    how, system = asked.facts.ask, _system(arm, asked.facts)

    def done(prompt: Prompt) -> bool:
        return keys[prompt.id] in shelf

    if asked.facts.choices:
        batches = model.choose(asked.prompts, how, done, system)
    else:
        batches = model.generate(asked.prompts, how, spec.generation, done, sample, system)
    for batch in batches:
        shelf.add({keys[completion.prompt_id]: _stored(completion) for completion in batch})
        tick(len(batch))


def _stored(completion: Completion) -> dict[str, Any]:
    stored = {"text": completion.text, "tokens": completion.tokens, "finish": completion.finish}
    return stored | ({"loglikelihoods": completion.loglikelihoods} if completion.loglikelihoods else {})


def _restored(stored: dict[str, Any]) -> dict[str, Any]:
    return stored | {"loglikelihoods": tuple(stored.get("loglikelihoods", ()))}

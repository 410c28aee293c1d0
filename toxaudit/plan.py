"""What a run would do, said before it costs anything: no weights are loaded and nothing is fetched."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from toxaudit import lock, training
from toxaudit.expected import Known, Prospect, on_this_machine
from toxaudit.models.capacity import in_words, mend
from toxaudit.records import Prompt
from toxaudit.sources import HubSource, parse
from toxaudit.spec import AuditSpec, CandidateSpec, TrainingStage, WeightsSpec

Prompts = Mapping[str, list[Prompt] | None]
"""Suite -> its prompts where they are on this machine, else None."""

ABSENT = "can't be had: see below"
LETTERS = 4
"""Of a token of English text, about."""


def describe(spec: AuditSpec) -> str:
    """The plan as text: models, suites, scorers, what is to be generated and fetched, memory, time and the rule.

    The Hub is asked for sizes, licences and gates; what it doesn't answer in time is named.

    Raises:
        ToxauditError: a local file that the spec names is missing or broken.
    """
    if spec.lock:
        locked, spec = lock.read(spec.lock), deepcopy(spec)
        lock.apply(spec, locked)
        spec = replace(spec, candidates={n: c for n, c in spec.candidates.items() if n not in locked.skipped})
    prospect = Prospect(spec)
    prompts = {name: _prompts(name, suite) for name, suite in spec.suites.items()}  # while the Hub is asked
    prospect.wait()
    known = prospect.known
    lines = [f"Plan of '{spec.name}': {spec.title or 'no title'}", "", "  Models"]
    lines.append(_row("base", _model("base", spec.base, known)))
    lines += [_row(name, _candidate(name, candidate, known)) for name, candidate in spec.candidates.items()]
    lines += ["", "  Suites"]
    lines += [_row(name, _suite(name, suite, prompts, known)) for name, suite in spec.suites.items()]
    lines += ["", "  Scorers"]
    lines += [_row(name, _scorer(name, scorer, known)) for name, scorer in spec.scorers.items()]
    lines += ["", f"  To generate: {_amount(spec, prompts)}"]
    if spec.sampling.in_rounds:
        lines.append(f"  Sampling: {spec.sampling.kind}, in rounds: fewer prompts may do.")
    lines += [f"  To fetch: {_fetching(known)}", f"  Memory: {_memory(prospect)}"]
    lines.append(f"  Time: {_time(prospect, prompts)}")
    lines += [f"  Rule: {spec.gate.facts().rule}", f"  Finished work: {_stored(spec)}", f"  Results: {spec.out}/"]
    lines += [f"  Problem: {problem}" for problem in prospect.problems]
    return "\n".join([*lines, *_unresolved(prospect)])


def _row(name: str, text: str) -> str:
    return f"    {name:<20} {text}"


def _model(where: str, weights: WeightsSpec, known: Mapping[str, Known]) -> str:
    """A model that is named by ``pretrained``, and how it is read."""
    files = known.get(f"{where}.pretrained")
    text = _files(files)
    if files and (kind := files.kind(weights.gguf_file)):
        text += f", {kind}"
    if weights.load_in_4bit or weights.load_in_8bit:
        text += f", read in {4 if weights.load_in_4bit else 8} bits"
    if weights.trust_remote_code:
        text += ", runs code of its own"
    return text + _tokenizer(where, weights, known)


def _tokenizer(where: str, weights: WeightsSpec, known: Mapping[str, Known]) -> str:
    return f", tokenizer of {_files(known.get(f'{where}.tokenizer'))}" if weights.tokenizer else ""


def _candidate(name: str, candidate: CandidateSpec, known: Mapping[str, Known]) -> str:
    where, expected = f"candidates.{name}", f", expected {candidate.expect}" if candidate.expect else ""
    if candidate.control:
        return f"the base again at batch size {candidate.batch_size or 1}: a control{expected}"
    if candidate.train:
        return f"LoRA to be tuned on {' then '.join(map(_stage, candidate.train))}{expected}"
    if not candidate.peft:
        return _model(where, candidate, known) + expected
    text = f"{_files(known.get(f'{where}.peft'))}, adapter"
    if candidate.pretrained:
        return f"{text} over {_model(where, candidate, known)}{expected}"
    return text + _tokenizer(where, candidate, known) + expected


def _stage(stage: TrainingStage) -> str:
    source = parse(stage.data)
    return f"{source.shown} in {training.steps(stage)} steps" if source.cached() else f"{source.shown} (to be fetched)"


def _suite(name: str, suite: Any, prompts: Prompts, known: Mapping[str, Known]) -> str:
    found = prompts[name]
    count = len(found) if found is not None else suite.limit or "all"
    how = f"{suite.ask}, choices" if suite.choices else suite.ask
    scorers = ", ".join(suite.scorers)
    return f"{count} prompts, {how}: {suite.title}, from {_files(known.get(f'suites.{name}.data'))}; by {scorers}"


def _scorer(name: str, scorer: Any, known: Mapping[str, Known]) -> str:
    text = f"{scorer.tier}: {scorer.title}"
    return f"{text}, by {_files(known.get(key))}" if (key := f"scorers.{name}.pretrained") in known else text


def _files(known: Known | None) -> str:
    """The reference at its commit, and in brackets whether it is here, its size, licence and gate."""
    if known is None:
        return ABSENT
    revision = known.commit or getattr(known.source, "revision", None)
    shown = f"{known.source.shown}@{_short(revision)}" if revision else known.source.shown
    if known.problem:
        return f"{shown} ({ABSENT})"
    if known.path:
        said = ["on this machine"]
    else:
        said = ["to be fetched" if known.to_fetch is None else f"{in_words(known.to_fetch)} to fetch"]
    if known.facts:
        said.append(f"licence {known.facts.licence}" if known.facts.licence else "no licence stated")
    if known.facts and known.facts.gated:
        said.append("gated" if known.path else f"gated: accept its terms at {_page(known.source)}")
    return f"{shown} ({', '.join(said)})"


def _short(revision: str) -> str:
    """A commit's first digits; a branch or tag as it is."""
    return revision[:12] if len(revision) == 40 else revision


def _page(source: Any) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'datasets/' * (source.repo_type == 'dataset')}{source.reference}"


def _amount(spec: AuditSpec, prompts: Prompts) -> str:
    """How much text the run may generate, as far as the suites are on this machine, and how much it only reads."""
    arms, tokens = 1 + len(spec.candidates), spec.generation.max_new_tokens * spec.generation.samples
    written = {name: each for name, each in prompts.items() if not spec.suites[name].choices}
    known, unknown = _count(written)
    parts = [f"{known} prompts x {arms} models, at most {known * arms * tokens:,} tokens"] if known else []
    if unknown:
        parts.append(f"{unknown} suite(s) still to be fetched, at most {tokens} tokens x {arms} models a prompt")
    chosen, unread = _count({name: each for name, each in prompts.items() if name not in written})
    if chosen:
        parts.append(f"of {chosen} prompts x {arms} models the likeliest choice, without writing")
    if unread:
        parts.append(f"{unread} suite(s) of choices still to be fetched")
    return f"{'; and '.join(parts)}."


def _count(prompts: Prompts) -> tuple[int, int]:
    """The prompts that are known, and the suites whose prompts are not."""
    found = [each for each in prompts.values() if each is not None]
    return sum(map(len, found)), len(prompts) - len(found)


def _tokens(spec: AuditSpec, prompts: list[Prompt]) -> float:
    """Tokens that a model writes to answer prompts; where it chooses, those that it reads, at four letters each."""
    if any(prompt.choices for prompt in prompts):
        return sum(len(prompt.text) + len(choice) for prompt in prompts for choice in prompt.choices) / LETTERS
    return len(prompts) * spec.generation.max_new_tokens * spec.generation.samples


def _prompts(name: str, suite: Any) -> list[Prompt] | None:
    """The suite's prompts where its data are on this machine, else None."""
    source = parse(suite.data, suite.revision, "dataset")
    if (path := on_this_machine(source, suite.patterns)) is None:
        return None
    if isinstance(source, HubSource):
        suite = replace(suite, data=str(path), revision=None)  # as it lies there: the Hub need not be asked
    prompts: list[Prompt] = suite.prompts(name)[0]
    return prompts


def _fetching(known: Mapping[str, Known]) -> str:
    """How much is still to be fetched; what several fields name is counted once."""
    sizes = {each.source: each.to_fetch for each in known.values() if not each.path and not each.problem}
    told = [size for size in sizes.values() if size is not None]
    parts = [in_words(sum(told))] if told else []
    if len(told) < len(sizes):
        parts.append(f"{len(sizes) - len(told)} of unknown size")
    return f"{' and '.join(parts) or 'nothing'}."


def _memory(prospect: Prospect) -> str:
    """What the largest model needs, and what is free."""
    memory = prospect.memory()
    free = "" if memory.free is None else f"{in_words(memory.free)} free here"
    if not memory.needed:
        return f"unknown; {free}." if free else "unknown."
    largest = max(memory.needed, key=lambda arm: memory.needed[arm])
    needed = memory.needed[largest]
    text = (
        f"at least {in_words(needed)} for the weights of {largest} in {memory.dtype} "
        "(the largest; models are loaded one at a time, adapters hang on the base)"
    )
    if unknown := prospect.of_unknown_size:
        text += f", unknown for {', '.join(unknown)}"
    text += f"; {free}." if free else "."
    if memory.free is not None and needed > memory.free:
        text += f" That is too little: {mend(memory.device, memory.dtype)}."
    return text


def _time(prospect: Prospect, prompts: Prompts) -> str:
    """An estimate, and what it rests on."""
    seconds, spec = prospect.seconds_a_token(), prospect.spec
    if seconds is None:
        return "unknown, as are the sizes of the models."
    known = [each for each in prompts.values() if each is not None]
    parts = [f"{_duration(seconds * sum(_tokens(spec, each) for each in known))} to generate"] if known else []
    if len(known) < len(prompts):
        each = seconds * spec.generation.max_new_tokens * spec.generation.samples
        parts.append(f"{_duration(each * 100)} for each 100 prompts of suites still to be fetched")
    without = f"; without {', '.join(names)}, of unknown size" if (names := prospect.of_unknown_size) else ""
    return (
        f"{', and '.join(parts)}, within a factor of three ({prospect.basis}){without}; a tenth or less where most is "
        "stored already. Loading, tuning and scoring come on top."
    )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute"
    unit, name = (60, "minute") if seconds < 90 * 60 else (3600, "hour") if seconds < 36 * 3600 else (86400, "day")
    n = round(seconds / unit)
    return f"about {n:,} {name}{'s' * (n > 1)}"


def _stored(spec: AuditSpec) -> str:
    root = Path(spec.store).expanduser()
    shelves = len(list(root.glob("completions/*"))) if root.is_dir() else 0
    return f"{root} ({shelves} sets of completions)" if shelves else f"{root} (nothing yet)"


def _unresolved(prospect: Prospect) -> list[str]:
    """A line on the repositories that the Hub said nothing of."""
    names = prospect.inquiry.unresolved
    if not names:
        return []
    here = {each.source.shown for each in prospect.known.values() if each.path}
    what = "licences and gates" if here >= set(names) else "sizes, licences and gates"
    count = f"{len(names)} repositories" if len(names) > 1 else "1 repository"
    return [f"  Not resolved ({prospect.inquiry.why}): {what} of {', '.join(names)} ({count})."]

"""What a run would do, said before it costs anything: no weights are loaded and nothing is fetched."""

from pathlib import Path
from typing import Any

from toxaudit import training
from toxaudit.records import Prompt
from toxaudit.sources import parse
from toxaudit.sources.base import WEIGHTS
from toxaudit.sources.local import LocalSource
from toxaudit.spec import AuditSpec, CandidateSpec


def describe(spec: AuditSpec) -> str:
    """The plan as text: arms, suites, scorers, the rule, and the most tokens that could be generated.

    Raises:
        ToxauditError: a local file that the spec names is missing or broken.
    """
    arms = 1 + len(spec.candidates)
    lines = [f"Plan of '{spec.name}': {spec.title or 'no title'}", "", "  Models"]
    lines.append(_row("base", spec.base.pretrained, spec.base.revision))
    lines += [_candidate(name, candidate) for name, candidate in spec.candidates.items()]
    lines += ["", "  Suites"]
    known, unknown = 0, 0
    for name, suite in spec.suites.items():
        prompts = _prompts(name, suite)
        known, unknown = known + len(prompts or ()), unknown + (prompts is None)
        count = f"{len(prompts)} prompts" if prompts is not None else f"{suite.limit or 'all'} prompts, to be fetched"
        lines.append(f"    {name:<20} {count}, {suite.ask}: {suite.title}")
    lines += ["", "  Scorers"]
    lines += [f"    {name:<20} {scorer.tier}: {scorer.title}" for name, scorer in spec.scorers.items()]
    tokens = spec.generation.max_new_tokens * spec.generation.samples
    lines += ["", f"  To generate: {_amount(known, unknown, arms, tokens)}"]
    if spec.sampling.in_rounds:
        lines.append(f"  Sampling: {spec.sampling.kind}, in rounds: fewer prompts may do.")
    lines += [f"  Rule: {spec.gate.facts().rule}", f"  Finished work: {_stored(spec)}", f"  Results: {spec.out}/"]
    return "\n".join(lines)


def _amount(known: int, unknown: int, arms: int, tokens: int) -> str:
    """How much text the run may generate, as far as the suites are on this machine."""
    amount = f"{known} prompts x {arms} models, at most {known * arms * tokens:,} tokens"
    if not unknown:
        return f"{amount}."
    later = f"{unknown} suite(s) still to be fetched, at most {tokens} tokens x {arms} models a prompt"
    return f"{amount}; and {later}." if known else f"{later}."


def _prompts(name: str, suite: Any) -> list[Prompt] | None:
    """The suite's prompts where its data are on this machine, else None."""
    if not parse(suite.data, suite.revision, "dataset").cached(suite.patterns):
        return None
    prompts: list[Prompt] = suite.prompts(name)[0]
    return prompts


def _candidate(name: str, candidate: CandidateSpec) -> str:
    expected = f", expected {candidate.expect}" if candidate.expect else ""
    if candidate.control:
        return f"    {name:<20} the base again at batch size {candidate.batch_size or 1}: a control{expected}"
    if candidate.train:
        data = " then ".join(f"{parse(s.data).shown} in {training.steps(s)} steps" for s in candidate.train)
        return f"    {name:<20} LoRA to be tuned on {data}{expected}"
    if candidate.pretrained:
        return _row(name, candidate.pretrained, candidate.revision) + expected
    return _row(name, candidate.peft or "", candidate.peft_revision) + f", adapter{expected}"


def _row(name: str, reference: str, revision: str | None) -> str:
    source = parse(reference, revision)
    if isinstance(source, LocalSource) and not source.cached():
        source.fetch()  # raises the sentence
    at = f"@{revision}" if revision else ""
    return f"    {name:<20} {source.shown}{at} ({'on this machine' if source.cached(WEIGHTS) else 'to be fetched'})"


def _stored(spec: AuditSpec) -> str:
    root = Path(spec.store).expanduser()
    shelves = len(list(root.glob("completions/*"))) if root.is_dir() else 0
    return f"{root} ({shelves} sets of completions)" if shelves else f"{root} (nothing yet)"

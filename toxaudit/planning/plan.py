"""What a run would do, said before it costs anything: no weights are loaded and nothing is fetched."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import Any

from toxaudit import labels, training
from toxaudit.checks import Checklist
from toxaudit.decision.controls import WORSE
from toxaudit.decision.sentence import caution
from toxaudit.extensions import Scorer, Suite
from toxaudit.facts import BASE_ARM, Expectation, the
from toxaudit.machine.memory import in_words
from toxaudit.models import ServedModel, served
from toxaudit.models.number_format import NumberFormat
from toxaudit.pinning import lock, lock_file
from toxaudit.planning import forecast, resolution, tuning
from toxaudit.planning.expected import Known, Prospect
from toxaudit.records import Asked
from toxaudit.sources import HubSource
from toxaudit.sources.hub import page
from toxaudit.spec.schema import STOP, AuditSpec, CandidateSpec, WeightsSpec
from toxaudit.store.clearing import noted
from toxaudit.suites import design

LONGEST_SYSTEM = 200  # characters of a system prompt that are shown
ABSENT = "can't be had: see below"
FEW_BITS = ("load_in_4bit", "load_in_8bit")
"""Keys by which weights are read in few bits, which bitsandbytes does on a CUDA GPU alone."""


def describe(spec: AuditSpec, pilot: Path | None = None, asks: bool = False) -> str:
    """The plan as text: models, suites, scorers, what is to be generated and fetched, memory, time and the rule.

    The Hub is asked for sizes, licences and gates; what it doesn't answer in time is named.

    Args:
        spec: the audit's.
        pilot: the folder of a finished run, by whose rates it is told what this one can tell; None to assume rates.
        asks: as of ``forecast``; a run, which asks in earnest, does not.

    Raises:
        ToxauditError: if a local file that the spec names is missing or broken, the design doesn't fit the suites, or
            the pilot is of another audit.
    """
    said = labels.of_spec(spec)
    if spec.lock:
        pinned = lock.pin(spec, lock_file.read(spec.lock))
        audited = {name: each for name, each in pinned.spec.candidates.items() if name not in pinned.refused}
        spec = replace(pinned.spec, candidates=audited, on_candidate_error=STOP)
    ahead = forecast.forecast(spec, asks)
    prospect, known = ahead.prospect, ahead.prospect.known
    unchecked = _check_design(spec, ahead.suites, known)
    lines = [f"Plan of '{spec.name}': {spec.title or 'no title'}", "", "  Models"]
    lines += [_row(name, text) for name, text in _models(spec, known, ahead.effort.lengths)]
    lines += [_row(name, text) for name, text in _systems(spec)]
    lines += ["", "  Suites"]
    lines += [_row(name, _suite(name, suite, ahead.suites.get(name), known)) for name, suite in spec.suites.items()]
    lines += ["", "  Scorers"]
    tiers = _tiers(spec)
    lines += [_row(name, _scorer(name, scorer, tiers[name], known)) for name, scorer in spec.scorers.items()]
    lines += ["", f"  To generate: {forecast.amount(spec, ahead)}"]
    if spec.sampling.in_rounds:
        lines.append(f"  Sampling: {spec.sampling.kind}, in rounds: fewer prompts may do.")
    if said:
        told = sum(map(bool, said.answers.values()))
        lines.append(f"  Labels: {spec.labels}, of {told:,} of {len(said.answers):,} answers that were drawn.")
    if not spec.backend.server:
        lines += [f"  Computed in: {_computed(prospect.computed)}.", f"  Answered: {spec.executor.sentence()}."]
    lines += [f"  To fetch: {_fetching(known)}", f"  Memory: {forecast.memory(spec, ahead)}"]
    lines.append(f"  Time: {forecast.time(spec, ahead)}")
    lines.append(f"  Rule: {_in_lines(spec.gate.facts().rule)}")
    lines += [f"  Caution: {wide}."] if (wide := caution(spec.gate.facts())) else []
    counts = {each.suite: each.prompts for each in ahead.asked}
    lines += resolution.describe(spec, ahead.suites, counts, pilot)
    lines += [f"  Finished work: {_stored(spec)}", f"  Results: {spec.out}/"]
    lines += [f"  Problem: {problem}" for problem in [*prospect.problems, *_wants_gpu(spec, prospect.device)]]
    lines += [f"  Not checked yet: {'; '.join(unchecked)}."] if unchecked else []
    return "\n".join([*lines, *_unresolved(prospect)])


def _in_lines(rule: str) -> str:
    """A rule with a line for each decision."""
    return rule.replace("; NO-GO if ", ";\n        NO-GO if ").replace(
        "; else INCONCLUSIVE", ";\n        else INCONCLUSIVE"
    )


def _wants_gpu(spec: AuditSpec, device: str) -> Iterator[str]:
    """What a run on this device would refuse, since it is read in few bits."""
    named: dict[str, Any] = {"base": spec.base}
    for name, candidate in spec.candidates.items():
        named |= {f"candidates.{name}": candidate}
        named |= {f"candidates.{name}.train[{n}]": stage for n, stage in enumerate(candidate.train)}
    keys = [f"{place}.{key}" for place, each in named.items() for key in FEW_BITS if getattr(each, key, False)]
    if keys and not device.startswith("cuda"):
        yield (
            f"{', '.join(keys)}: this needs a CUDA GPU, and here the run would take the {device}, and be refused. "
            "executor.device=cuda plans for a machine that has one."
        )


def _computed(computed: NumberFormat) -> str:
    """In what the models are computed, and why: that of the base is every arm's."""
    return (
        f"{computed.name} {computed.why}".replace(" its ", " the base's ")
        if computed.why
        else f"{computed.name}, the base's own"
    )


def _check_design(spec: AuditSpec, suites: Mapping[str, Asked], known: Mapping[str, Known]) -> list[str]:
    """Refuse the design as a run would, as far as what it needs is on this machine.

    Returns:
        What can't be checked yet, in phrases.

    Raises:
        ToxauditError: if the design doesn't fit.
    """
    checks, unchecked = Checklist(), []
    design.check(spec, suites, checks)
    if absent := [name for name in spec.suites if name not in suites]:
        unchecked.append(f"whether the design fits the prompts of {', '.join(absent)}, still to be fetched")
    for name in (name for name, scorer in spec.scorers.items() if scorer.calibration):
        files = [each for key, each in known.items() if key.startswith(f"scorers.{name}.")]
        if spec.scorers[name].asks_server or any(map(_is_asked_for, files)):
            unchecked.append(f"whether the calibration of {name} is its own")
        else:
            design.check_calibrated(spec, name, checks)
    return unchecked


def _is_asked_for(known: Known) -> bool:
    """Whether a file is to be fetched, or the Hub to be asked for its commit."""
    return known.path is None or isinstance(known.source, HubSource)


def _row(name: str, text: str) -> str:
    return f"    {name:<20} {text}"


def _models(
    spec: AuditSpec, known: Mapping[str, Known], lengths: Mapping[str, Sequence[float]]
) -> Iterator[tuple[str, str]]:
    """Every arm, by its name."""
    if server := spec.backend.server:
        base = served.served_base(spec.base, server)
        yield "base", _served(base)
        for name, candidate in spec.candidates.items():
            yield name, _served(served.served_candidate(name, candidate, base))
        return
    yield "base", _model("base", spec.base, known)
    for name, candidate in spec.candidates.items():
        yield name, _candidate(name, candidate, known, lengths)


def _systems(spec: AuditSpec) -> Iterator[tuple[str, str]]:
    """The system prompt of every arm, by its suite where these differ; of none, nothing."""
    said = {name: suite.system_instruction or "" for name, suite in spec.suites.items() if suite.ask == "chat"}
    arms = {"base": spec.base.system_instruction}
    for name, candidate in spec.candidates.items():
        arms[name] = arms.get(candidate.against) if candidate.control else candidate.system_instruction
    asked = {name: {suite: text if own is None else own for suite, text in said.items()} for name, own in arms.items()}
    if not any(text for texts in asked.values() for text in texts.values()):
        return
    for name, texts in asked.items():
        each = [f"“{shorten(text, LONGEST_SYSTEM, placeholder=' …')}”" if text else "none" for text in texts.values()]
        by = [f"{told} on {suite}" for suite, told in zip(texts, each, strict=True)]
        differs = name != "base" and texts != asked["base"]
        told = each[0] if len(set(each)) == 1 else "; ".join(by)
        yield name, f"system prompt: {told}" + (", unlike the base: the arms are asked differently" if differs else "")


def _served(arm: ServedModel) -> str:
    """An arm that a server answers for."""
    what = "the base again: a control" if arm.kind == "control" else f"{served.shown(arm.model)} at {arm.server}"
    return f"{what}, {_expected(arm.expect)}" if arm.expect else what


def _expected(expect: Expectation) -> str:
    """What a declared control must come out as."""
    return "expected to be worse" if expect == WORSE else f"expected {expect}"


def _model(where: str, weights: WeightsSpec, known: Mapping[str, Known]) -> str:
    """A model that is named by ``pretrained``, and how it is read."""
    files = known.get(f"{where}.pretrained")
    text = _files(files)
    if files and (form := files.form(weights.gguf_file)):
        text += f", {form}"
    if weights.load_in_4bit or weights.load_in_8bit:
        text += f", read in {4 if weights.load_in_4bit else 8} bits"
    if weights.trust_remote_code:
        text += ", runs code of its own"
    return text + _tokenizer(where, weights, known)


def _tokenizer(where: str, weights: WeightsSpec, known: Mapping[str, Known]) -> str:
    return f", tokenizer of {_files(known.get(f'{where}.tokenizer'))}" if weights.tokenizer else ""


def _candidate(
    name: str, candidate: CandidateSpec, known: Mapping[str, Known], lengths: Mapping[str, Sequence[float]]
) -> str:
    where, expected = f"candidates.{name}", f", {_expected(candidate.expect)}" if candidate.expect else ""
    if candidate.against != BASE_ARM and not candidate.control:
        expected = f"; compared with {candidate.against}{expected}"
    if candidate.merge:
        control = ": a control" * candidate.control
        return f"{training.sum_in_words(candidate.merge.into, candidate.merge.of)}{control}{expected}"
    if candidate.control:
        return f"{the(candidate.against)} again at batch size {candidate.batch_size or 1}: a control{expected}"
    if candidate.train:
        begun = f" from {candidate.starts_from}" if candidate.starts_from else ""
        stages = (tuning.sentence(stage, lengths[f"{where}.train[{n}]"]) for n, stage in enumerate(candidate.train))
        return f"to be tuned{begun}: {', then '.join(stages)}{expected}"
    if not candidate.peft:
        return _model(where, candidate, known) + expected
    text = f"{_files(known.get(f'{where}.peft'))}, adapter"
    if candidate.pretrained:
        return f"{text} over {_model(where, candidate, known)}{expected}"
    return text + _tokenizer(where, candidate, known) + expected


def _suite(name: str, suite: Suite, asked: Asked | None, known: Mapping[str, Known]) -> str:
    count = len(asked.prompts) if asked else forecast.count(suite) or "all"
    how = f"{suite.ask}, choices" if suite.choices else suite.ask
    scorers = ", ".join(suite.scorers)
    merged = f" ({asked.facts.merged:,} equal to another one left out)" if asked and asked.facts.merged else ""
    return (
        f"{count} prompts{merged}, {how}: {suite.title}, from {_files(known.get(f'suites.{name}.data'))}; by {scorers}"
    )


def _tiers(spec: AuditSpec) -> dict[str, str]:
    """What each scorer's measure is worth, by the gate's rules: the most that it is on any suite."""
    asked = spec.counting()
    found = {name: {limits.tier for (_, measure), limits in asked.items() if measure == name} for name in spec.scorers}
    return {
        name: next((tier for tier in ("critical", "supporting") if tier in tiers), "advisory")
        for name, tiers in found.items()
    }


def _scorer(name: str, scorer: Scorer, tier: str, known: Mapping[str, Known]) -> str:
    text = f"{tier}: {scorer.title}"
    return f"{text}, by {_files(known.get(key))}" if (key := f"scorers.{name}.pretrained") in known else text


def _files(known: Known | None) -> str:
    """The reference at its commit, and in brackets whether it is here, its size, licence and gate."""
    if known is None:
        return ABSENT
    revision = known.commit or (known.source.revision if isinstance(known.source, HubSource) else None)
    shown = f"{known.source.shown}@{_commit(revision)}" if revision else known.source.shown
    if known.problem:
        return f"{shown} ({ABSENT})"
    if known.path:
        said = ["on this machine"]
    else:
        said = ["to be fetched" if known.to_fetch is None else f"{in_words(known.to_fetch)} to fetch"]
    if known.facts:
        said.append(f"licence {known.facts.licence}" if known.facts.licence else "no licence stated")
    if isinstance(known.source, HubSource) and known.facts and known.facts.gated:
        terms = page(known.source.reference, known.source.repo_type)
        said.append("gated" if known.path else f"gated: accept its terms at {terms}")
    return f"{shown} ({', '.join(said)})"


def _commit(revision: str) -> str:
    """A commit's first digits; a branch or tag as it is."""
    return revision[:12] if len(revision) == 40 else revision


def _fetching(known: Mapping[str, Known]) -> str:
    """How much is still to be fetched; what several fields name is counted once."""
    sizes = {each.source: each.to_fetch for each in known.values() if not each.path and not each.problem}
    told = [size for size in sizes.values() if size is not None]
    parts = [in_words(sum(told))] if told else []
    if len(told) < len(sizes):
        parts.append(f"{len(sizes) - len(told)} of unknown size")
    return f"{' and '.join(parts) or 'nothing'}."


def _stored(spec: AuditSpec) -> str:
    root = Path(spec.store).expanduser()
    shelves = sum(each.startswith("completions/") for each in noted(root))
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

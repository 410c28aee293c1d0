"""What the types of a spec allow but an audit can't mean: refused, naming the key and the mend."""

import json
from typing import cast

from omegaconf import MISSING

from toxaudit.decision.headline import HEADLINES, LABELS_READ_BY, SLICE_ESTIMATOR
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.extensions import Declared, Part
from toxaudit.facts import Expectation
from toxaudit.registry import SEVERAL
from toxaudit.spec import names, recipe_checks, references
from toxaudit.spec.recipes import FULL
from toxaudit.spec.schema import BASE, OWN, SKIP, STOP, AuditSpec, CandidateSpec, Generation, WeightsSpec

GIVEN = {
    *("messages", "conversations", "chat_template", "tools", "documents", "add_generation_prompt"),
    *("continue_final_message", "return_assistant_tokens_mask", "loop", "namespace", "range"),
}
"""Names of what chat templates are given anyway."""


def check(spec: AuditSpec, compared: bool = True) -> None:
    """Refuse what the types allow but an audit can't mean.

    Args:
        spec: as composed.
        compared: whether candidates are to be compared with the base; where not, there need be none, nor what decides.

    Raises:
        ToxauditError: if the spec says such a thing; the sentence names the key and the mend.
    """
    _check_complete(spec, compared)
    names.check(spec.candidates)
    references.check(spec.candidates)
    _check_weights("base", spec.base)
    _check_systems(spec)
    for name, candidate in spec.candidates.items():
        _check_candidate(f"candidates.{name}", candidate)
    recipe_checks.check(spec)
    _check_folders(spec)
    if spec.on_candidate_error not in (STOP, SKIP):
        raise ToxauditError(f"on_candidate_error is '{spec.on_candidate_error}': it must be {STOP} or {SKIP}.")
    _check_generation(spec.generation)
    _check_kinds(spec)
    _check_taken(spec)
    _check_template(spec)
    several = (*spec.suites.values(), *spec.scorers.values(), *spec.estimators.values(), *spec.analyses.values())
    parts: list[Part] = [*several, spec.gate, spec.sampling, spec.backend, spec.executor, spec.card]
    for part in parts:
        part.check()
    if compared:
        _check_gate(spec)
    declared = {name: _declared(candidate) for name, candidate in spec.candidates.items()}
    for analysis in spec.analyses.values():
        analysis.check_fits(declared, spec.suites)


def _declared(candidate: CandidateSpec) -> Declared:
    """What the spec says of a candidate; whether a model of its own is a full fine-tune, only its files tell."""
    whole = None if candidate.pretrained and not candidate.peft else False
    if candidate.train:
        whole = candidate.train[-1].method == FULL
    return Declared(candidate.against, bool(candidate.train), whole)


def _check_complete(spec: AuditSpec, compared: bool) -> None:
    """An audit has a base, at least one candidate, and one of each part of which it may have several."""
    audit = f"audit '{spec.name}'"
    if spec.base.pretrained == MISSING:
        raise ToxauditError(f"{audit} names no base model: set base.pretrained to a Hub id, a path or a package file.")
    if compared and not spec.candidates:
        raise ToxauditError(
            f"{audit} has no candidates: name at least one fine-tune under 'candidates:', or on the command "
            "line by candidates.NAME=MODEL, with MODEL a Hub id, a path or a package file."
        )
    for group, key in SEVERAL.items():
        if group != "analysis" and not getattr(spec, key):
            raise ToxauditError(f"{audit} selects no {group}: add '{group}: [NAME]' (see `toxaudit ls {group}`).")
    if "base" in spec.candidates:
        raise ToxauditError(f"{audit}: a candidate can't be called 'base', the name of the base's own arm.")


def _check_folders(spec: AuditSpec) -> None:
    if not spec.out.strip():
        raise ToxauditError("out is empty: name the folder that gets the results.")
    for key, folder in (("out", spec.out), ("store", spec.store)):
        if "://" in folder:
            raise ToxauditError(f"{key} is '{folder}': it must be a folder on this machine.")


def _check_generation(generation: Generation) -> None:
    if not generation.max_new_tokens > 0:
        raise ToxauditError(f"generation.max_new_tokens is {generation.max_new_tokens}: it must be at least 1.")
    if not 0 <= generation.temperature < 100:
        raise ToxauditError(f"generation.temperature is {generation.temperature}: it must be 0 (greedy) or above.")
    if generation.samples < 1:
        raise ToxauditError(f"generation.samples is {generation.samples}: it must be at least 1.")
    if generation.samples > 1 and not generation.temperature:
        raise ToxauditError("generation.samples is above 1, but greedy decoding repeats itself: set a temperature.")


def _check_kinds(spec: AuditSpec) -> None:
    """Estimators are of different kinds, and there are those that rounds and labels need."""
    kinds = [estimator.kind for estimator in spec.estimators.values()]
    if twice := next((kind for kind in kinds if kinds.count(kind) > 1), None):
        raise ToxauditError(
            f"audit '{spec.name}' selects two estimators of the kind {twice}, whose results no card could tell apart."
        )
    if spec.sampling.in_rounds and not set(HEADLINES) & set(kinds):  # rounds end by the precision of what decides
        raise ToxauditError(
            f"sampling={spec.sampling.kind} needs an estimator of totals: add {' or '.join(HEADLINES)}."
        )
    if spec.labels is not None and LABELS_READ_BY not in kinds:
        raise ToxauditError(
            f"labels={spec.labels} does nothing without the estimator {LABELS_READ_BY}: select that too."
        )


def _check_gate(spec: AuditSpec) -> None:
    """The gate fits what is measured, and there are estimates of the slices that its rules name."""
    controls = {each.expect or ("GO" if each.control else None) for each in spec.candidates.values()}
    expected = cast(set[Expectation | None], controls)  # _check_candidate has seen that they are
    spec.gate.check_fits(spec.measured(), expected)
    sliced = [name for name, rule in spec.gate.facts().rules.items() if rule.slice is not None]
    if sliced and SLICE_ESTIMATOR not in {estimator.kind for estimator in spec.estimators.values()}:
        raise ToxauditError(
            f"gate.rules.{sliced[0]} does nothing without an estimator of slices: add {SLICE_ESTIMATOR} to "
            "'estimator: [...]'."
        )


def _check_taken(spec: AuditSpec) -> None:
    """What a chat template is given besides is no part of what toxaudit gives it, and some suite asks in it."""
    taken = spec.generation.chat_template_kwargs
    if taken and not any(suite.ask == "chat" for suite in spec.suites.values()):
        raise ToxauditError("generation.chat_template_kwargs does nothing: no suite asks in the chat template.")
    for name, value in taken.items():
        where = f"generation.chat_template_kwargs.{name}"
        if not str(name).isidentifier() or name in GIVEN or name.endswith("_token"):
            raise ToxauditError(f"{where} can't be set: a template is given that by toxaudit, or can't take it.")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ToxauditError(f"{where} is no plain value: write a truth value, a number, text or lists.") from error


def _check_template(spec: AuditSpec) -> None:
    """The chat template is one of three, and some suite asks in it."""
    chosen = spec.chat_template
    if chosen not in (OWN, BASE) and not chosen.endswith(".jinja"):
        near = did_you_mean(chosen, (OWN, BASE))
        raise ToxauditError(f"chat_template is '{chosen}': it must be own, base, or the path of a .jinja file.{near}")
    if chosen != OWN and not any(suite.ask == "chat" for suite in spec.suites.values()):
        raise ToxauditError(f"chat_template={chosen} does nothing: no suite asks in the chat template.")


def _check_systems(spec: AuditSpec) -> None:
    """A system prompt is given in a chat template only, and a control gets the base's."""
    chat = any(suite.ask == "chat" for suite in spec.suites.values())
    for where, weights in {"base": spec.base, **{f"candidates.{n}": c for n, c in spec.candidates.items()}}.items():
        if weights.system_instruction and not chat:
            raise ToxauditError(f"{where}.system_instruction does nothing: no suite asks in the chat template.")
        if isinstance(weights, CandidateSpec) and weights.control and weights.system_instruction is not None:
            raise ToxauditError(
                f"{where}.system_instruction would make the control another model than the base: name the base by "
                "'pretrained' instead."
            )


def _check_weights(where: str, weights: WeightsSpec) -> None:
    if weights.load_in_4bit and weights.load_in_8bit:
        raise ToxauditError(f"{where} asks for both load_in_4bit and load_in_8bit: choose one.")
    if weights.gguf_file and (weights.load_in_4bit or weights.load_in_8bit):
        raise ToxauditError(
            f"{where} asks to quantise a GGUF file, which is quantised already: leave out load_in_*bit."
        )


def _check_candidate(where: str, candidate: CandidateSpec) -> None:
    _check_weights(where, candidate)
    given = [key for key in ("pretrained", "peft", "train", "merge", "control") if getattr(candidate, key)]
    if given not in (["pretrained", "peft"], ["merge", "control"]) and len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise ToxauditError(
            f"{where} must say what it is by exactly one of pretrained, peft, train, merge, control: {found}."
        )
    if candidate.expect not in (None, "GO", "NO-GO", "worse"):
        raise ToxauditError(
            f"{where}.expect is '{candidate.expect}': a control is expected to be GO or NO-GO, or worse."
        )
    if candidate.expect == "worse" and candidate.control and not candidate.merge:
        raise ToxauditError(
            f"{where}.expect is 'worse', and its reference again can't be: leave 'expect' or 'control' out."
        )
    for key, of in (("revision", "pretrained"), ("peft_revision", "peft")):
        if getattr(candidate, key) and not getattr(candidate, of):
            raise ToxauditError(f"{where}.{key} pins nothing: it is the revision of '{of}', which is not set.")
    for key in ("gguf_file", "load_in_4bit", "load_in_8bit", "trust_remote_code"):
        if getattr(candidate, key) and not candidate.pretrained:
            raise ToxauditError(f"{where}.{key} reads nothing: it is about 'pretrained', which is not set.")
    if candidate.subfolder and not (candidate.pretrained or candidate.peft):
        raise ToxauditError(f"{where}.subfolder names nothing: it is about 'peft' or 'pretrained', which are not set.")
    if candidate.tokenizer and (candidate.control or candidate.train or candidate.merge):
        raise ToxauditError(
            f"{where}.tokenizer does nothing: a control is the base itself, and a candidate that is trained or merged "
            "uses the base's tokenizer."
        )
    if candidate.batch_size is not None and (not candidate.control or candidate.batch_size < 1):
        raise ToxauditError(
            f"{where}.batch_size belongs to a control and is at least 1; the others' is backend.batch_size."
        )

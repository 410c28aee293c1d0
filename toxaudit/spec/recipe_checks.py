"""What the types of a recipe allow but no training can mean: refused before anything is fetched."""

import math
from collections.abc import Mapping

from omegaconf import MISSING

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.facts import BASE_ARM
from toxaudit.spec.recipes import FULL, LORA, OPTIMISERS, PRECISIONS, SCHEDULES, TrainingStage
from toxaudit.spec.schema import AuditSpec, CandidateSpec

_AT_LEAST_ONE = ("r", "lora_alpha", "epochs", "batch_size", "gradient_accumulation_steps", "max_length")
_NOT_BELOW_ZERO = ("warmup_steps", "weight_decay", "max_grad_norm", "seed")
_ONE_OF = {"optim": OPTIMISERS, "lr_scheduler_type": SCHEDULES, "precision": PRECISIONS, "method": (LORA, FULL)}
_OF_LORA = ("use_rslora", "use_dora", "load_in_4bit", "lora_dropout")

LARGEST_SEED = 2**32 - 1
"""NumPy takes none beyond."""


def check(spec: AuditSpec) -> None:
    """Refuse recipes that can't be carried out.

    Raises:
        ToxauditError: if there is one; the sentence names the key and the mend.
    """
    for name, candidate in spec.candidates.items():
        where = f"candidates.{name}"
        _check_start(where, name, spec.candidates)
        for number, stage in enumerate(candidate.train):
            _check_stage(f"{where}.train[{number}]", stage)
        if candidate.train:
            _check_whole(where, name, spec)
        if candidate.merge:
            _check_merge(f"{where}.merge", name, spec)


def _check_start(where: str, name: str, candidates: Mapping[str, CandidateSpec]) -> None:
    """What a recipe starts from is there, and does not start from itself."""
    start = candidates[name].starts_from
    if start is None:
        return
    if not candidates[name].train:
        raise ToxauditError(f"{where}.starts_from does nothing without train: write the stages that go on from there.")
    if start not in candidates:
        mend = " leave it out to start from the base." if start == "base" else did_you_mean(start, candidates)
        raise ToxauditError(f"{where}.starts_from is '{start}', which is no candidate.{mend}")
    if candidates[start].control:
        raise ToxauditError(f"{where}.starts_from is '{start}', a control, which is the base: leave it out.")


def _check_stage(where: str, stage: TrainingStage) -> None:
    if stage.data == MISSING:
        raise ToxauditError(f"{where}.data is missing: name a data set, or a file of examples.")
    for key in _AT_LEAST_ONE:
        if getattr(stage, key) < 1:
            raise ToxauditError(f"{where}.{key} is {getattr(stage, key)}: it must be above 0.")
    for key in _NOT_BELOW_ZERO:
        if not 0 <= getattr(stage, key) < math.inf:
            raise ToxauditError(f"{where}.{key} is {getattr(stage, key)}: it must be 0 or above.")
    if not 0 < stage.learning_rate < math.inf:
        raise ToxauditError(f"{where}.learning_rate is {stage.learning_rate}: it must be above 0.")
    if stage.max_steps is not None and stage.max_steps < 1:
        raise ToxauditError(f"{where}.max_steps is {stage.max_steps}: it must be above 0.")
    if stage.max_length < 2:
        raise ToxauditError(f"{where}.max_length is {stage.max_length}: a token is learnt after another one.")
    if stage.seed > LARGEST_SEED:
        raise ToxauditError(f"{where}.seed is {stage.seed}: the largest is {LARGEST_SEED}.")
    if not 0 <= stage.lora_dropout < 1:
        raise ToxauditError(f"{where}.lora_dropout is {stage.lora_dropout}: it must be at least 0 and below 1.")
    for key, known in _ONE_OF.items():
        if (said := getattr(stage, key)) not in known:
            raise ToxauditError(f"{where}.{key} is '{said}', which is unknown.{did_you_mean(said, known)}")
    _check_targets(where, stage.target_modules)
    _check_nested(where, stage)
    if stage.method == FULL and (given := next((key for key in _OF_LORA if getattr(stage, key)), None)):
        raise ToxauditError(f"{where}.{given} does nothing: method is full, and has no adapter.")


def _check_targets(where: str, targets: object) -> None:
    several = isinstance(targets, list | tuple) and targets and all(isinstance(each, str) and each for each in targets)
    if not several and not (isinstance(targets, str) and targets):
        raise ToxauditError(f"{where}.target_modules is {targets}: write all-linear, a pattern, or a list of names.")


def _check_nested(where: str, stage: TrainingStage) -> None:
    if stage.ema and (stage.ema.decay == MISSING or not 0 <= stage.ema.decay <= 1):
        raise ToxauditError(f"{where}.ema.decay must be a number from 0 (no average) to 1 (the start).")
    if replay := stage.replay:
        if replay.data == MISSING:
            raise ToxauditError(f"{where}.replay.data is missing: name the data set that is replayed.")
        if replay.share == MISSING or not 0 < replay.share < math.inf:
            raise ToxauditError(f"{where}.replay.share must be above 0: 0.05 adds 5 rows to 100.")


def _check_whole(where: str, name: str, spec: AuditSpec) -> None:
    """What is tuned whole, or merged into, is not held in 4 or 8 bits."""
    candidate = spec.candidates[name]
    root = spec.base
    methods = [stage.method for stage in candidate.train]
    if FULL in methods and (root.load_in_4bit or root.load_in_8bit):
        raise ToxauditError(
            f"{where}.train[{methods.index(FULL)}].method is full, but base loads its weights in few bits, in which "
            "they can't be tuned: leave out load_in_*bit there."
        )


def _check_merge(where: str, name: str, spec: AuditSpec) -> None:
    """A sum is of other candidates, and moves something unless it is a control."""
    merge, candidates = spec.candidates[name].merge, spec.candidates
    assert merge
    if not merge.of:
        raise ToxauditError(f"{where}.of is empty: name the candidates and their weights, such as {{mine: 0.5}}.")
    for key, others in (("into", [merge.into]), ("of", list(merge.of))):
        for other in others:
            if key == "into" and other == BASE_ARM:
                continue
            if other == name or other not in candidates:
                near = did_you_mean(other, [each for each in candidates if each != name])
                raise ToxauditError(f"{where}.{key} names '{other}', which is no other candidate.{near}")
            if candidates[other].control:
                raise ToxauditError(f"{where}.{key} names '{other}', a control, which is {candidates[other].against}.")
    for other, weight in merge.of.items():
        if not math.isfinite(weight):
            raise ToxauditError(f"{where}.of.{other} is {weight}: it must be a number.")

"""A candidate's ``sweep`` -> the candidates that it stands for, one for each combination of the swept values."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from itertools import product
from math import prod
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from toxaudit.errors import ToxauditError, did_you_mean, one_line
from toxaudit.spec.recipes import TrainingStage
from toxaudit.spec.references import written
from toxaudit.spec.schema import CandidateSpec, GridSpec, literal

MOST = 1000
"""Candidates of one grid, at most: one with more is a mistake."""

SHORT = {"learning_rate": "lr", "batch_size": "bs", "epochs": "ep", "max_steps": "steps", "lora_alpha": "alpha"}
SHORT |= {"gradient_accumulation_steps": "acc", "weight_decay": "wd"}
"""What keys are called in the names of candidates; the others by themselves."""

LONGEST_VALUE = 24  # characters of a value in a name; of a longer one, its number stands there
LONGEST_NAME = 100  # characters of a candidate's name; where one is longer, all of the grid are numbered

_OF_STAGE = {each.name for each in fields(TrainingStage)}
_OF_CANDIDATE = {each.name for each in fields(CandidateSpec)} - {"sweep", "grid", "train", "expect", "control"}


def expanded(candidates: Mapping[str, CandidateSpec]) -> dict[str, CandidateSpec]:
    """The candidates, those of a grid in the place of the one that is swept.

    Where one of a grid starts from or is compared with another grid, it is that grid's candidate of the same values.

    Raises:
        ToxauditError: if a key that is swept is none, or can't have one of its values.
    """
    found: dict[str, CandidateSpec] = {}
    for name, candidate in candidates.items():
        for member, made in _members(name, candidate) if candidate.sweep else [(name, candidate)]:
            if member in found:
                raise ToxauditError(f"Two candidates are called '{member}': rename one of them, or {name}.")
            found[member] = made
    return {name: _alongside(made, found) for name, made in found.items()}


def _alongside(candidate: CandidateSpec, found: Mapping[str, CandidateSpec]) -> CandidateSpec:
    """A candidate of a grid, in which the name of another grid stands for that one's candidate of the same values."""
    if candidate.grid is None:
        return candidate
    own = candidate.grid.values.items()
    same = {each.grid.of: name for name, each in found.items() if each.grid and each.grid.values.items() <= own}
    return replace(
        candidate,
        starts_from=same.get(candidate.starts_from or "", candidate.starts_from),
        against=same.get(candidate.against, candidate.against),
    )


def _members(name: str, candidate: CandidateSpec) -> Iterator[tuple[str, CandidateSpec]]:
    where = f"candidates.{name}.sweep"
    number = prod(map(len, candidate.sweep.values()))
    if number > MOST:
        raise ToxauditError(f"{where} stands for {number:,} candidates, of which an audit has {MOST:,} at most.")
    places = {key: _place(f"{where}.{key}", key, candidate) for key in candidate.sweep}
    config = _config(candidate)
    sweep = {
        key: [_set(config, f"{where}.{key}", places[key], value) for value in values]
        for key, values in candidate.sweep.items()
    }
    for key, values in sweep.items():
        shown = [written(value) for value in values]
        if not values or len(set(shown)) < len(shown):
            said = "no value" if not values else f"{max(shown, key=shown.count)} twice"
            raise ToxauditError(f"{where}.{key} has {said}: list different values, such as [1e-5, 1e-4].")
    chosen = [dict(zip(sweep, each, strict=True)) for each in product(*sweep.values())]
    names = [_name(name, sweep, own) for own in chosen]
    if max(map(len, names)) > LONGEST_NAME:
        names = [f"{name}_{place:0{len(str(number))}}" for place, _ in enumerate(chosen, start=1)]
    for member, own in zip(names, chosen, strict=True):
        for key, value in own.items():
            _set(config, f"{where}.{key}", places[key], value)
        made = cast(CandidateSpec, OmegaConf.to_object(config))
        yield member, replace(made, sweep={}, grid=GridSpec(of=name, values=own))


def _place(where: str, key: str, candidate: CandidateSpec) -> str:
    """Where a swept key stands in the candidate: at its only stage, at a stage that it names, or at itself."""
    first = key.partition(".")[0]
    if first == "train":
        found = re.fullmatch(r"train\.(\d+)\.(.+)", key)
        if not found or int(found[1]) >= len(candidate.train):
            raise ToxauditError(f"{where} names no stage: write train.0.{key.rpartition('.')[2]} for the first one.")
        return f"train[{found[1]}].{found[2]}"
    if first in _OF_STAGE and candidate.train:
        if len(candidate.train) > 1:
            raise ToxauditError(f"{where}: there are {len(candidate.train)} stages: write train.0.{key} for the first.")
        return f"train[0].{key}"
    if first in _OF_CANDIDATE:
        return key
    known = sorted((_OF_STAGE if candidate.train else set()) | _OF_CANDIDATE)
    raise ToxauditError(f"{where} is no key of the candidate or of its stage.{did_you_mean(first, known)}")


def _config(candidate: CandidateSpec) -> DictConfig:
    """A candidate in which values can be set, each as what its key takes."""
    said = OmegaConf.create(literal(asdict(candidate)))
    return cast(DictConfig, OmegaConf.merge(OmegaConf.structured(CandidateSpec), said))


def _set(config: DictConfig, where: str, place: str, value: Any) -> Any:
    """Set a value; what its key reads it as: YAML takes ``1e-5`` for a text, and ``1.0e-5`` for the same number.

    Raises:
        ToxauditError: if there is no such key, or it can't have the value.
    """
    parent = place.rpartition(".")[0]
    if parent and OmegaConf.select(config, parent) is None:
        raise ToxauditError(f"{where}: the candidate sets no {parent.rpartition('.')[2]}: write it there, too.")
    try:
        OmegaConf.update(config, place, literal(value), merge=False)
    except (OmegaConfBaseException, ValueError) as error:
        why = one_line(str(error).splitlines()[0])
        raise ToxauditError(f"{where} can't be {written(value)}: {why}.") from error
    found = OmegaConf.select(config, place)
    return OmegaConf.to_container(found) if OmegaConf.is_config(found) else found


def _name(name: str, sweep: Mapping[str, Sequence[Any]], values: Mapping[str, Any]) -> str:
    """A candidate's name: that of the grid, and each key with its value, or the number of that where it reads badly."""
    parts = [name]
    for key, value in values.items():
        shown = [re.sub(r"[^A-Za-z0-9.+-]+", "-", written(each)).strip("-.") for each in sweep[key]]
        if not all(shown) or max(map(len, shown)) > LONGEST_VALUE or len({*map(str.casefold, shown)}) < len(shown):
            shown = [str(number) for number, _ in enumerate(shown, start=1)]
        last = key.rpartition(".")[2]
        parts.append(SHORT.get(last, last) + shown[[*sweep[key]].index(value)])
    return "_".join(parts)

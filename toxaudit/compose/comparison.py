"""Overrides of a comparison -> the parts of a spec that it has: gate, card, scorers and folders."""

import re
from collections.abc import Sequence
from typing import Any, cast

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from toxaudit.compose import keys
from toxaudit.compose.catalogue import Catalogue
from toxaudit.compose.lookups import only_own_values
from toxaudit.compose.overrides import check_texts, parse
from toxaudit.compose.refusals import problem, unknown_key
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.machine import folders
from toxaudit.registry import registered
from toxaudit.spec.schema import AuditSpec
from toxaudit.spec.texts import Texts

NAME = "compare"
"""What a comparison is called as an audit."""

ROOTS = ("gate", "card", "scorers", "out", "store")
"""What overrides can say of a comparison: no model is run, so that nothing else could matter."""

ESTIMATORS = ("paired_exact", "paired_bb")
"""Those that make the totals."""


def comparison(overrides: Sequence[str], estimators: Sequence[str] = ESTIMATORS) -> AuditSpec:
    """A spec with the gate, the card, the scorers and the folders that ``overrides`` describe, checked.

    Args:
        overrides: in Hydra's grammar: ``gate=NAME``, ``gate.KEY=VALUE``, ``card.KEY=VALUE``, ``scorers=[NAME, ...]``,
            ``scorers.NAME.KEY=VALUE``, ``out=FOLDER``.
        estimators: the names of those that are to estimate.

    Raises:
        ToxauditError: one sentence for whatever is wrong with them.
    """
    catalogue, parsed = Catalogue(), [parse(text) for text in overrides]
    chosen = {"gate": "margin", "card": "short"}
    scorers: list[str] = []
    for override in parsed:
        _check(override)
        if override.key_or_group in chosen:
            chosen[override.key_or_group] = str(override.value())
        elif override.key_or_group in ("scorers", "scorer"):
            value = override.value()
            scorers = [str(each) for each in (value if isinstance(value, list) else [value])]
    for group, name in (*chosen.items(), *(("scorer", name) for name in scorers)):
        if name not in catalogue.names[group]:
            raise ToxauditError(catalogue.explain(group, name))
    config = OmegaConf.create(
        {group: catalogue.node(group, name) for group, name in chosen.items()}
        | {"scorers": {name: catalogue.node("scorer", name) for name in scorers}, "out": f"runs/{NAME}", "store": ""}
    )
    later = [each for each in parsed if each.key_or_group not in (*chosen, "scorers", "scorer")]
    return _made(config, later, overrides, estimators)


def _check(override: Override) -> None:
    """Refuse what says nothing of a comparison."""
    root = override.key_or_group.split(".")[0]
    if override.type is not OverrideType.CHANGE or override.package is not None or override.is_sweep_override():
        raise ToxauditError(f"'{override.input_line}' is no KEY=VALUE that a comparison takes: {', '.join(ROOTS)}.")
    if root not in (*ROOTS, "scorer"):
        raise ToxauditError(f"A comparison has no key '{root}', for it runs no model.{did_you_mean(root, ROOTS)}")
    check_texts(override)


def _made(
    config: DictConfig, later: Sequence[Override], overrides: Sequence[str], estimators: Sequence[str]
) -> AuditSpec:
    try:
        OmegaConf.set_struct(config, True)
        for override in later:
            try:
                OmegaConf.update(config, override.key_or_group, override.value())
            except (ConfigAttributeError, ConfigKeyError) as error:
                raise ToxauditError(unknown_key(override.key_or_group, config)) from error
        with only_own_values():
            parts = cast(dict[str, Any], OmegaConf.to_object(config))
    except OmegaConfBaseException as error:
        raise ToxauditError(problem(error)) from error
    made = {name: registered("estimator")[name]() for name in estimators}
    spec = AuditSpec(
        name=NAME,
        estimators=made,
        sampling=registered("sampling")["all"](),
        backend=registered("backend")["transformers"](),
        executor=registered("executor")["local"](),
        **parts,
    )
    spec.store = spec.store or f"{folders.home()}/store"
    checked = {"gate": spec.gate, "card": spec.card} | {f"scorers.{name}": each for name, each in spec.scorers.items()}
    for place, part in checked.items():
        Texts("", {}, made=True).check_made(part, place)
        part.check()
    keys.check_parts({name: part for name, part in checked.items() if name.startswith("scorers.")}, overrides)
    for name, scorer in spec.scorers.items():
        if scorer.takes_choices or not re.fullmatch(folders.NAME, name):
            raise ToxauditError(f"Scorer '{name}' reads likelihoods of choices, which no results of others hold.")
    return spec

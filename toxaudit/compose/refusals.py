"""What Hydra and OmegaConf refuse, in one sentence that names the key and the mend."""

import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, UnsupportedInterpolationType

from toxaudit.compose import homes, lookups
from toxaudit.compose.hydra_source import Names, composed
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.registry import GROUPS

REASONS = {
    "Value '(.*)' of type '[^']*' could not be converted to Integer": "'{}' is no whole number",
    "Value '(.*)' of type '[^']*' could not be converted to Float": "'{}' is no number",
    "Value '(.*)' is not a valid bool": "'{}' is neither true nor false",
    "Cannot convert '.*' to string": "it must be one text",
    "is not Optional|NoneType is not a subclass|value 'None' for field": "it can't be null",
    "is not a subclass of|Cannot assign [^ ]* to Dict": "it must be a mapping of KEY: VALUE",
    "Cannot merge DictConfig with ListConfig": "a list stands where a mapping belongs, or the other way round",
    "Interpolation key '(.*)' not found": "there is no key '{}' to look up; a text begins its own ${{ with a backslash",
    "does not support deletion": "it can't be taken away; set it to null",
}
"""What OmegaConf says of a value, and what that means; words in braces are the pattern's own groups."""

INSTEAD = {"base": "; write base.pretrained=MODEL", "candidates": "; write candidates.NAME=MODEL"}
"""How a model is named where somebody has written it in the place of a mapping."""

NEW_CANDIDATE = "A new candidate is added by candidates.NAME=MODEL, or in the audit's YAML file."


def sentence(error: Exception, catalogue: Names, overrides: Sequence[str]) -> str:
    """One sentence for what Hydra or OmegaConf refused."""
    text = str(error)
    if found := re.search(r"Could not (?:find|load) '(\w+)/([^']+)'", text):
        return catalogue.explain(*found.groups())
    if found := re.search(r"Could not delete from config\. '([\w.-]+)' does not exist", text):
        audits = [text for text in overrides if text.split("=")[0] in {"audit", *GROUPS}]
        return unknown_key(found[1], composed(catalogue, audits))
    if found := re.search(r"Could not override '?([\w.@\[\]/-]+)'?", text):
        if re.match(r"Could not override '[^']+'\.\nNo match in the defaults list", text):
            return catalogue.explain(found[1], "")
        audits = [text for text in overrides if text.split("=")[0] in {"audit", *GROUPS}]
        return unknown_key(found[1], composed(catalogue, audits))
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__ or error.__context__
    if isinstance(cause, OmegaConfBaseException):
        if "merging override +candidates." in text:
            return NEW_CANDIDATE
        return problem(cause)
    if found := re.search(r"Ambiguous value for argument '([\w.]+)=(-?\d+),(\d+)'", text):
        return (
            f"'{found[1]}={found[2]},{found[3]}': for one number write {found[1]}={found[2]}.{found[3]}, with a point; "
            "for a list write [a,b], or add -m to sweep over the values."
        )
    if isinstance(error, ConfigCompositionException) and "Ambiguous value" in text:
        return text.split("\n")[0] + ": write [a,b] for a list, or add -m to sweep over the values."
    if found := re.search(r"Sweep parameters '(.*)' requires --multirun", text):
        return f"'{found[1]}' names several values: write one, or add -m to sweep over them."
    return " ".join(text.split())


def problem(error: OmegaConfBaseException) -> str:
    """What OmegaConf found wrong, with the key it found it at."""
    key = error.full_key or error.key
    if isinstance(error, UnsupportedInterpolationType):
        return lookups.refusal(key, error)
    told = fields(error.object_type) if is_dataclass(error.object_type) else ()
    choices = {each.name: getattr(each.type, "__name__", "") for each in told}
    if "not in" in str(error) and choices:
        mend = homes.mend(str(error.key)) or did_you_mean(str(error.key), set(choices) - {"defaults"})
        return f"There is no key '{key}'.{mend}"
    message = (error.msg or str(error)).rstrip(".")
    if not key and choices and (found := re.search(r"is not a subclass of (\w+)", message)):
        key = next((name for name, kind in choices.items() if kind == found[1]), "")
    if found := re.search(r"missing mandatory value: (\w+)", message):
        missing = key if key and key.split(".")[-1] == found[1] else ".".join(filter(None, (key, found[1])))
        what = "MODEL, with MODEL a Hub id, a path or a package file" if missing == "base.pretrained" else "VALUE"
        written = re.sub(r"\[(\d+)\]", r".\1", missing)
        return f"'{missing}' must be set: in YAML, or on the command line by {written}={what}."
    if "is not a ListConfig" in message:
        return f"'{key}' must be a list: write [NAME] for one."
    if "is incompatible with key type" in message or "is incompatible with (str)" in message:
        return f"'{key}': its keys must be texts: write quotes around numbers."
    mend = INSTEAD.get(str(key), "") if "mapping" in reason(message) else ""
    return f"'{key}' is wrong: {reason(message)}{mend}." if key else f"{reason(message)}."


def reason(message: str) -> str:
    """What is wrong with a value, in words, where OmegaConf speaks of its own classes."""
    for pattern, words in REASONS.items():
        if found := re.search(pattern, message, re.DOTALL):
            return words.format(*map(_short, found.groups())) + ("" if "whole" in words else _as_share(*found.groups()))
    return message.split("\n")[0]


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:60]} …"


def _as_share(value: str = "", *_: str) -> str:
    """How a percentage, or a number of percentage points, is written as a number."""
    found = re.fullmatch(r"\s*\+?([0-9]+(?:\.[0-9]+)?)\s*(?:%|pp|pct|percent)\s*", value)
    return f": write {float(found[1]) / 100:g}" if found else ""


def require_entries(config: DictConfig, override: Override) -> None:
    """Refuse an empty mapping for rules of a gate, which Hydra would add to those that are there: nothing would change.

    Raises:
        ToxauditError: if it is such.
    """
    key, plain = override.key_or_group, not (override.is_delete() or override.is_sweep_override())
    if plain and key.startswith("gate.") and override.value() == {} and OmegaConf.select(config, key):
        raise ToxauditError(
            f"'{override.input_line}' would change nothing, for a mapping is added to what is there: choose a gate "
            "that has no such rules by gate=NAME, or change them one by one, as by gate.rules.NAME.margin=0.02."
        )


def unknown_key(key: str, config: DictConfig) -> str:
    """The nearest key to one that doesn't exist in an audit."""
    node: Any = config
    good: list[str] = []
    for part in key.split("."):
        if OmegaConf.is_list(node) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif OmegaConf.is_dict(node) and part in node:
            node = node[part]
        else:
            break
        good.append(part)
    if len(good) == len(key.split(".")):  # the key is there, but Hydra adds no entries to a mapping
        return f"'{key}' is a mapping, which the command line can't extend: write its entries in the YAML file."
    bad = key.split(".")[len(good)]
    choices = set(map(str, node)) - {"defaults"} if OmegaConf.is_dict(node) else set()
    place = f" in '{'.'.join(good)}'" if good else ""
    new = f" {NEW_CANDIDATE}" if good == ["candidates"] else ""
    return f"There is no key '{bad}'{place}.{homes.mend(bad) or did_you_mean(bad, choices)}{new}"

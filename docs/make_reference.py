"""Writes the pages under ``docs/reference`` that follow from the code: commands and keys of a spec.

``python docs/make_reference.py`` writes them anew; a test compares them with the code.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

import omegaconf

import toxaudit.compose.catalogue  # noqa: F401  (files all parts)
from toxaudit.cli.help import HELP
from toxaudit.registry import GROUPS, SEVERAL, registered
from toxaudit.spec import recipes, schema

FOLDER = Path(__file__).parent / "reference"

SPEC = {
    "An audit": schema.AuditSpec,
    "`base`: the model before fine-tuning": schema.ModelSpec,
    "`candidates.NAME`: a fine-tune": schema.CandidateSpec,
    "`candidates.NAME.train[0]`: a stage of a recipe": recipes.TrainingStage,
    "`candidates.NAME.train[0].replay`: other rows among them": recipes.ReplaySpec,
    "`candidates.NAME.train[0].ema`: an average of the weights": recipes.EmaSpec,
    "`candidates.NAME.merge`: a sum of arms": schema.MergeSpec,
    "`generation`: how completions are made": schema.Generation,
}
"""What the page on specs tells of, in its order: heading -> class."""

NOT_WRITTEN = {"defaults", "grid", "name"}
"""Fields that no user writes: they are filled in."""


def meanings(kind: type[Any]) -> dict[str, str]:
    """Field -> what it means, by the docstrings of a class and of those it inherits from."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        listed = re.search(r"^Attributes:\n((?:    .*\n?|\n)*)", inspect.cleandoc(each.__doc__ or ""), re.MULTILINE)
        for entry in re.split(r"\n(?=    \S)", listed[1].rstrip()) if listed else ():
            names, _, text = entry.strip().partition(": ")
            found |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
    return found


def rows(kind: type[Any]) -> Iterator[str]:
    """A line of a table for each key of a class.

    Raises:
        ValueError: if the docstring says nothing of a key.
    """
    meant, chosen = meanings(kind), _chosen() if kind is schema.AuditSpec else {}
    for field in fields(kind):
        if field.name not in NOT_WRITTEN and not field.name.startswith("_"):
            if field.name not in meant:
                raise ValueError(f"{kind.__name__} says nothing of {field.name}")
            text = re.sub(r"``", "`", meant[field.name]).replace("|", "\\|")
            default = chosen.get(field.name, "") or _default(field)
            yield f"| `{field.name}` | {_type(field)} | {default} | {text[:1].upper()}{text[1:].rstrip('.')}. |"


def _chosen() -> dict[str, str]:
    """Key of an audit -> the parts that are chosen where its group is not named."""
    groups = [each for each in schema.AuditSpec().defaults if isinstance(each, Mapping)]
    named = {SEVERAL.get(group, group): parts for each in groups for group, parts in each.items() if group != "audit"}
    return {key: f"`{parts}`".replace("'", "") if parts else "none" for key, parts in named.items()}


def _type(field: Field[Any]) -> str:
    name = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
    name = re.sub(r"\b(?:toxaudit|typing|collections)(?:\.\w+)*\.", "", name)
    return " or ".join(map(_in_words, name.split(" | ")))


def _in_words(name: str) -> str:
    plain = {"str": "text", "int": "whole number", "float": "number", "bool": "`true` or `false`", "None": "null"}
    kind = name.partition("[")[0].lower()
    return plain.get(name) or {"dict": "mapping", "mapping": "mapping", "list": "list", "any": "any"}.get(kind, "keys")


def _default(field: Field[Any]) -> str:
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    if value is MISSING or value == omegaconf.MISSING:
        return "must be given"
    if isinstance(value, Mapping | list | tuple):
        return f"`{list(value)}`" if value and not isinstance(value, Mapping) else "none"
    if is_dataclass(value):
        return "see below"
    if value in ("", None):
        return "null" if value is None else "empty"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text.encode('unicode_escape').decode()}`"  # a row of a table is one line


def table(kind: type[Any]) -> list[str]:
    """All keys of a class."""
    found = list(rows(kind))
    return ["| key | value | default | meaning |", "|:--|:--|:--|:--|", *found] if found else ["It has no keys."]


def spec_page() -> str:
    """Every key that a spec can set."""
    lines = [
        "# Keys of a spec",
        "",
        "This page follows from the code: every key, its type, what it is where nothing is said, and what it means.",
        "`toxaudit show audit=NAME` prints a whole spec with every default filled in, and a key that is misspelt is",
        "refused before a model loads. Keys with dots are written the same way on the command line:",
        "`generation.temperature=0.7`.",
    ]
    for heading, kind in SPEC.items():
        lines += ["", f"## {heading}", "", _summary(kind), "", *table(kind)]
    lines += ["", "## Parts that a spec chooses", ""]
    lines += [
        "A part of a group is chosen by its name, `gate=release`, and several by a list, `suite=[advbench, bbq]`.",
        "`toxaudit ls` prints what each group has, with what your own `audits/` folder adds.",
    ]
    for group in GROUPS:
        place = f"{SEVERAL[group]}.NAME" if group in SEVERAL else group
        for name, kind in sorted(registered(group).items()):
            lines += ["", f"### `{place}`, `kind: {name}`", "", _summary(kind), "", *table(kind)]
    return "\n".join([*lines, ""])


def _summary(kind: type[Any]) -> str:
    first = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
    return re.sub(r"``", "`", " ".join(first.split()))


def commands_page() -> str:
    """What ``toxaudit --help`` prints."""
    lines = [
        "# Commands",
        "",
        "This is what `toxaudit --help` prints. `toxaudit COMMAND --help` says more of one command.",
        "",
        "```text",
        HELP.strip("\n"),
        "```",
        "",
    ]
    return "\n".join(lines)


PAGES = {"spec.md": spec_page, "commands.md": commands_page}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (FOLDER / page).write_text(make(), encoding="utf-8")

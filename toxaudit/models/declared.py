"""What a repository says of itself (its card, its configuration) against what its files are."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from toxaudit.machine.nesting import ShallowLoader

Kind = Literal["adapter", "fine-tune", "merge", "quantized"]

KINDS: dict[str, Kind] = {"adapter": "adapter", "finetune": "fine-tune", "merge": "merge", "quantized": "quantized"}
"""The Hub's ``base_model_relation`` -> our word for it."""

CARD_CHARACTERS = 2**16  # characters of a README.md that are read
LARGEST_JSON_BYTES = 2**24  # bytes of a configuration


@dataclass(frozen=True)
class Declared:
    """What a card and an adapter's configuration declare.

    Attributes:
        bases: the models it was made from: Hub ids or paths; empty where it says nothing. An adapter's configuration
            knows better than its card.
        kind: what it calls itself, or None.
        found: what a whole model's files are; None for an adapter.
    """

    bases: tuple[str, ...] = ()
    kind: Kind | None = None
    found: Kind | None = None


def read(folder: Path) -> Declared:
    """What the repository in ``folder`` declares; a card whose metadata can't be read declares nothing."""
    card = _metadata(folder / "README.md")
    adapter = json_object(folder / "adapter_config.json")
    named = _list(adapter.get("base_model_name_or_path") or card.get("base_model"))
    bases = tuple(dict.fromkeys(base.strip() for base in named if isinstance(base, str) and base.strip()))
    return Declared(bases, _kind(card))


def kind(folder: Path, weights: Path, declared: Declared) -> Kind:
    """What the files are: an adapter, a quantised model, a merge, or a fine-tune.

    Args:
        folder: of the repository.
        weights: what is loaded: the same folder, or a GGUF file in it.
        declared: a merge can be told by its several bases.
    """
    if (folder / "adapter_config.json").is_file():
        return "adapter"
    if weights.suffix == ".gguf" or "quantization_config" in json_object(folder / "config.json"):
        return "quantized"
    if (folder / "mergekit_config.yml").is_file() or len(declared.bases) > 1:
        return "merge"
    return "fine-tune"


def is_base(name: str, base: str, on_hub: bool) -> bool:
    """Whether a declared ``name`` may mean the audit's base, named ``base`` (a Hub id where ``on_hub``).

    Hub ids are compared whole, paths by their last part, both without regard to case, as the Hub does. What is written
    as the base is, as in an adapter that was tuned within an audit, is the base.
    """
    name, base = _plain(name), _plain(base)
    if name == base:
        return True
    if on_hub and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        return name == "/".join(base.split("/")[:2])  # what follows is a file of that repository
    declared, known = name.split("/")[-1], base.split("/")[-1]
    if known.endswith(".gguf"):  # NAME.Q4_1.gguf, NAME-Q4_K_M.gguf, and the folder of a file
        return (
            declared in (known, *base.split("/")[-2:-1]) or re.match(rf"{re.escape(declared)}[.-]", known) is not None
        )
    return declared == known


def foreign_code(folder: Path) -> list[tuple[str, str]]:
    """The files that name code to be run (``auto_map``), each with one piece of code that it names."""
    found = []
    for file in ("config.json", "tokenizer_config.json"):
        named = json_object(folder / file).get("auto_map")
        for code in named.values() if isinstance(named, dict) else [named]:
            found += [(file, str(piece)) for piece in _list(code) if piece]
    return found


def json_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where there is none, or none that can be read: loading will refuse it."""
    if not file.is_file() or file.stat().st_size > LARGEST_JSON_BYTES:
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError):
        return {}
    return content if isinstance(content, dict) else {}


class _NoAliases(ShallowLoader):
    """Refuses references within YAML, by which a few hundred bytes can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


def _metadata(card: Path) -> dict[str, Any]:
    """The YAML between the ``---`` lines at the head of a model card."""
    if not card.is_file():
        return {}
    with card.open(encoding="utf-8-sig", errors="replace") as file:
        text = file.read(CARD_CHARACTERS)
    if not (found := re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", text, re.DOTALL)):
        return {}
    try:
        metadata = yaml.load(found[1], _NoAliases)  # noqa: S506  (a SafeLoader)
    except Exception:  # strangers' YAML makes the library raise nearly anything
        return {}  # the Hub shows such a card without metadata, too
    return metadata if isinstance(metadata, dict) else {}


def _kind(card: dict[str, Any]) -> Kind | None:
    relation = card.get("base_model_relation")
    if isinstance(relation, str) and relation in KINDS:
        return KINDS[relation]
    tags = {tag.lower() for tag in _list(card.get("tags")) if isinstance(tag, str)}
    if card.get("library_name") == "peft" or tags & {"lora", "peft", "adapter"}:
        return "adapter"
    if tags & {"merge", "mergekit"}:
        return "merge"
    return "quantized" if tags & {"gguf", "gptq", "awq"} else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _plain(name: str) -> str:
    """A name in lower case; of a path in the Hub's cache, the repository's id."""
    cached = re.search(r"models--([^/]+)--([^/]+)", name)
    return ("/".join(cached.groups()) if cached else name).rstrip("/").casefold()

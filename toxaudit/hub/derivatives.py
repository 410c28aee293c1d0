"""What a repository that the Hub lists under a base is, and whether it can be audited."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from toxaudit.errors import visible
from toxaudit.sources.base import DOUBLES
from toxaudit.sources.hub import HUB_ID

QUANTISATIONS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
"""Of a repository's GGUF files, the first of these is audited: the nearest to the weights before quantisation."""

FOREIGN = {"mlx", "exl2", "exl3"}
"""Tags of formats that transformers does not read, although their files may end with .safetensors."""

FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9 ._+()/-]*\.gguf"
COMMIT = r"[0-9a-f]{40}"


@dataclass(frozen=True)
class Derivative:
    """A repository that the Hub lists under a base: what users are told of as its variant.

    Attributes:
        name: its id, as the Hub gives it.
        downloads: of the last 30 days.
        form: what its weights are stored as.
        gated: whether its terms must be accepted first.
        commit: of its default branch.
        entry: how a spec's candidate names it.
        notes: what a reader of that spec should know, in phrases.
        obstacle: why it can't be audited, or None.
    """

    name: str
    downloads: int
    form: str
    gated: bool
    commit: str
    entry: dict[str, str | bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    obstacle: str | None = None


def judge(info: Any, kind: str, base: str) -> Derivative:
    """A derivative by what the Hub says of it (huggingface_hub's ``ModelInfo``), judged by its files."""
    names = [sibling.rfilename for sibling in info.siblings or ()]
    tags = set(info.tags or ())
    method = _method(info)
    form, entry, notes, obstacle = _weights(info.id, str(info.sha), names, kind)
    if not re.fullmatch(HUB_ID, info.id):
        obstacle = "its name is no Hub id"
    elif not re.fullmatch(COMMIT, str(info.sha)):
        obstacle = "the Hub names no commit of it"
    elif form == "safetensors" and kind == "quantized" and (foreign := sorted(tags & FOREIGN)):
        obstacle = f"transformers does not read the format {foreign[0]}"
    if form == "safetensors" and (method or kind == "quantized"):
        notes.append(f"its weights are quantised{method}: a CUDA GPU is needed")
    if "pretrained" in entry and "custom_code" in tags:
        entry["trust_remote_code"] = False
        notes.append("the code in it is not run: transformers' own class is used")
    declared = _declared(info)
    if declared and base.casefold() not in {name.casefold() for name in declared}:
        entry["allow_base_mismatch"] = True
        notes.append(f"its card names {visible(' and '.join(declared))} as its base; the Hub lists it under this one")
    if info.gated:
        notes.append("gated: accept its terms on its Hub page")
    return Derivative(
        info.id, info.downloads or 0, form, bool(info.gated), str(info.sha), entry, tuple(notes), obstacle
    )


def _weights(
    name: str, commit: str, names: Sequence[str], kind: str
) -> tuple[str, dict[str, str | bool], list[str], str | None]:
    """The form of the weights, the candidate's entry, notes on it, and what stands against it."""
    top = {file for file in names if "/" not in file}
    whole = {file for file in top if file.endswith(".safetensors") and not fnmatchcase(file, DOUBLES)}
    entry: dict[str, str | bool] = {"pretrained": name, "revision": commit}
    if "adapter_config.json" in top:
        notes = [] if kind == "adapter" else [f"its files are an adapter's, although the Hub lists it as {kind}"]
        absent = "adapter_model.safetensors" not in top
        obstacle = "it holds no adapter_model.safetensors, and pickles are never loaded" if absent else None
        return "adapter", {"peft": name, "peft_revision": commit}, notes, obstacle
    files = [file for file in names if file.lower().endswith(".gguf")]
    if files and (kind == "quantized" or not whole):
        file, note = _gguf(files)
        return "GGUF", entry | {"gguf_file": file}, [note] if file else [], None if file else note
    if whole:
        return "safetensors", entry, [], None if "config.json" in top else "it holds no config.json"
    if any(file.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl")) for file in names):
        return "pickles only", entry, [], "weights in pickles (*.bin, *.pt) are never loaded"
    return "none", entry, [], "its top folder holds no weights in safetensors or GGUF"


def _gguf(files: Sequence[str]) -> tuple[str, str]:
    """The file to audit and why this one; or an empty name and why none."""
    pieces = r"-\d+-of-\d+\.gguf$|mmproj|imatrix"  # of a split file, or no language model
    known = [f for f in files if re.fullmatch(FILE_NAME, f) and ".." not in f and not re.search(pieces, f, re.I)]
    for quantisation in QUANTISATIONS:
        pattern = rf"(?<![A-Za-z0-9]){quantisation}(?![A-Za-z0-9_])"
        if matching := [file for file in known if re.search(pattern, file, re.I)]:
            return min(matching, key=len), f"{quantisation}, the first it has of {', '.join(QUANTISATIONS)}"
    if len(known) == 1:
        return known[0], "its only GGUF file"
    return "", f"none of its {len(files)} GGUF files is {' or '.join(QUANTISATIONS)} in one piece: choose a gguf_file"


def _method(info: Any) -> str:
    """How config.json says that the weights are quantised, fit to follow a word; or nothing."""
    config = info.config if isinstance(info.config, dict) else {}
    settings = config.get("quantization_config")
    method = settings.get("quant_method") if isinstance(settings, dict) else None
    return f" ({method})" if isinstance(method, str) and re.fullmatch(r"[\w.-]{1,30}", method) else ""


def _declared(info: Any) -> list[str]:
    """The bases that the model card names."""
    named = getattr(info.card_data, "base_model", None)
    return [name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str) and name]

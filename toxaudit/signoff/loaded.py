"""Is what a lock names what the results say was loaded? Else a decision on one model would name another's weights."""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import PurePosixPath

from toxaudit.errors import ToxauditError
from toxaudit.facts import ModelFacts
from toxaudit.findings import AuditResult
from toxaudit.pinning.lock_file import LOCK, Entry
from toxaudit.records import digest

LOADED = ("pretrained", "peft")
"""The fields of an arm that name its weights."""

_BITS = re.compile(r"(?P<dtype>.*), weights in (?P<bits>\d+) bits")


def require(result: AuditResult, references: Mapping[str, Entry]) -> None:
    """Refuse a lock of other weights than the results are of.

    Args:
        result: what the run found, with the identity of each arm.
        references: of the run's lock.

    Raises:
        ToxauditError: if an arm's identity is not that of what the lock names; the sentence names the arm.
    """
    base = _of("base", references)
    for model in (result.base, *result.real):
        own = base if model is result.base else _of(f"candidates.{model.name}", references)
        if any(field in own for field in LOADED) and model.digest not in _identities(model, own, base):
            raise ToxauditError(
                f"{LOCK} names other weights of '{model.name}' than were loaded, by the digest in results.json: run "
                "the audit again; finished work is kept."
            )


def _of(place: str, references: Mapping[str, Entry]) -> dict[str, Entry]:
    """What a lock has of an arm, by field; nothing where a server answered."""
    fields = (*LOADED, "tokenizer")
    found = {field: references.get(f"{place}.{field}") for field in fields}
    return {field: entry for field, entry in found.items() if entry and entry.files}


def _identities(model: ModelFacts, own: Mapping[str, Entry], base: Mapping[str, Entry]) -> Iterator[str]:
    """The identities that an arm can have which is made of these files, as ``ResolvedModel.identity`` puts it.

    How they were put together, such as by code of the model's own, is not known here; that no other files can have one
    of these identities is what counts.
    """
    split = _BITS.fullmatch(model.dtype)
    dtype, bits = (split["dtype"], f"{split['bits']} bits") if split else (model.dtype, "")
    wholes = [*_known(own.get("pretrained")), *_known(base.get("pretrained"))]
    adapters = [*_known(own.get("peft")), *_known(own.get("pretrained")), ""]
    tokenizers = ["", *_known(own.get("tokenizer")), *_known(base.get("tokenizer"))]
    for whole, adapter, words, code in product(wholes, adapters, tokenizers, ("", "code")):
        loaded = digest(whole, dtype, bits + code)
        yield digest(loaded, adapter, words, "")
        yield digest(loaded, adapter, words, "", "drawn from a seed")


def _known(entry: Entry | None) -> list[str]:
    """What the files of a lock's entry are known by: together, and each GGUF file by itself."""
    if entry is None:
        return []
    ordered = {name: entry.files[name] for name in sorted(entry.files, key=PurePosixPath)}
    alone = [sha for name, sha in ordered.items() if name.endswith(".gguf") or sha == entry.digest]
    return [digest(*(f"{name}\0{sha}" for name, sha in ordered.items())), *alone]

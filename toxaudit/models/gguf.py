"""A GGUF file -> a folder of safetensors, converted once: loading then takes a thirtieth of the time."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.machine.memory import in_words
from toxaudit.models.capacity import check_memory, memory_needed
from toxaudit.sources import Fetched
from toxaudit.store import identities
from toxaudit.store.shelves import Store


def as_safetensors(weights: Fetched, store: Store) -> Path:
    """The folder to load ``weights`` from: itself, or its conversion (dequantised to float32) in the store.

    Raises:
        ToxauditError: if the file is no GGUF that transformers can read, if it leaves a weight of the model unset, or
            if memory or disk have no room for its conversion.
    """
    if weights.path.is_dir():
        return weights.path
    identity = identities.Conversion(weights.digest, identities.versions("transformers")["transformers"])
    return store.folder(identity, lambda folder: _convert(weights, folder))


def _check_room(weights: Fetched, folder: Path) -> None:
    """Refuse to dequantise what memory or disk have no room for."""
    try:
        needed = memory_needed(weights.path, "float32")
    except ToxauditError as error:
        raise ToxauditError(f"{weights.reference} can't be read as GGUF: {error}") from error
    check_memory(f"{weights.reference}, dequantised,", needed, "cpu")
    if needed > (free := shutil.disk_usage(folder).free):
        raise ToxauditError(
            f"{weights.reference} takes {in_words(needed)} once it is dequantised, but the store has {in_words(free)} "
            "left: set store=FOLDER on a larger disk."
        )


def _convert(weights: Fetched, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    _check_room(weights, folder)
    source, name = str(weights.path.parent), weights.path.name
    try:
        with _read_once():
            tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
            model, info = AutoModelForCausalLM.from_pretrained(
                source,
                gguf_file=name,
                dtype=torch.float32,
                quantization_config=GgufConfig(dequantize=True),
                output_loading_info=True,
                attn_implementation="eager",  # which every architecture has; nothing is computed here
                ignore_mismatched_sizes=True,  # they are refused below
            )
    except Exception as error:  # there is no telling what a stranger's file makes the libraries raise
        raise ToxauditError(f"{weights.reference} can't be read as GGUF by transformers: {error}.") from error
    if unset := sorted(map(str, info["missing_keys"] | info["mismatched_keys"])):
        raise ToxauditError(f"{weights.reference} leaves weights unset, e.g. {unset[0]}.")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def _read_once() -> Iterator[None]:
    """Let gguf read a file once, and table the names of a model's tensors once.

    transformers asks for both again and again, for tokenizer, configuration and each module. Of SmolLM2-135M that is
    its vocabulary several times and hundreds of equal tables, which took most of the time of its conversion.
    """
    import gguf

    reader, table = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader, gguf.get_tensor_name_map = cache(reader), cache(table)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = reader, table

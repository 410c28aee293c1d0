"""Do a model's weights fit in memory? Told from the headers of their files, before any tensor is read."""

import mmap
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple, TypeVar

from toxaudit.errors import ToxauditError
from toxaudit.machine.memory import in_words, memory_free
from toxaudit.sources.base import wanted
from toxaudit.sources.configured import MOST_LAYERS

BYTES_OF_NUMBER = {"float32": 4, "bfloat16": 2, "float16": 2}
CONVERTED_KINDS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""What loading turns into the number format that is asked for -> torch's name; all else stays as it is stored."""

UNQUANTISED = re.compile(r"embed|lm_head")
"""Matrices that bitsandbytes doesn't quantise, by their names."""

GGUF_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""GGUF's number of a type -> bytes of a value; 8 is a text and 9 an array."""
GGUF_TEXT, GGUF_ARRAY = 8, 9
MOST_GGUF_ENTRIES = 2**24  # texts of a vocabulary, fields, tensors: a file with more is broken

SMALL_TABLES = 2**28  # numbers of tables that a model of any size may have
GGUF_FORMATS: dict[int | None, str] = {0: "float32", 1: "float16", 28: "float64", 30: "bfloat16"}
"""GGUF's number of a kind of tensor -> torch's name; all others are quantised."""
GGUF_COUNTS = {4: "<I", 5: "<i", 10: "<Q", 11: "<q"}
"""GGUF's number of a type of whole numbers -> how it is read."""


Kind = TypeVar("Kind")


@dataclass(frozen=True)
class WeightSizes:
    """How large a model's weights are.

    Attributes:
        parameters: numbers in all tensors.
        stored: bytes of the files.
        loaded: those of the parameters that loading turns into the number format that is asked for.
        matrices: those of ``loaded`` that bitsandbytes would quantise.
        fixed: bytes of the parameters that stay as they are stored.
        stored_in: torch's name of the number format in which most of ``loaded`` are stored; None where these are
            quantised, there are none, or it isn't known.
    """

    parameters: int
    stored: int
    loaded: int
    matrices: int
    fixed: int = 0
    stored_in: str | None = None


def weight_sizes(path: Path) -> WeightSizes:
    """Read the headers of the safetensors at the top of a folder, or of one file: safetensors or GGUF.

    Raises:
        ToxauditError: if there is none or one is broken; the sentence names it.
    """
    if not path.exists():
        raise ToxauditError(f"{path} doesn't exist.")
    if path.suffix == ".gguf" and path.is_file():
        return _gguf(path)
    files = [path] if path.is_file() else sorted(file for file in path.glob("*.safetensors") if file.is_file())
    files = [file for file in files if wanted(file.name, ("*.safetensors",))]
    if not files:
        raise ToxauditError(f"{path} holds no *.safetensors: weights in pickles (*.bin, *.pt) are never loaded.")
    tensors = {tensor.name: tensor for file in files for tensor in _safetensors(file)}.values()  # each name once
    loaded = [tensor for tensor in tensors if tensor.kind in CONVERTED_KINDS]
    return WeightSizes(
        parameters=sum(prod(tensor.shape) for tensor in tensors),
        stored=sum(file.stat().st_size for file in files),
        loaded=sum(prod(tensor.shape) for tensor in loaded),
        matrices=sum(prod(each.shape) for each in loaded if len(each.shape) == 2 and not UNQUANTISED.search(each.name)),
        fixed=sum(-(-prod(each.shape) * _bits(each.kind) // 8) for each in tensors if each.kind not in CONVERTED_KINDS),
        stored_in=stored_in(_counted((each.kind, prod(each.shape)) for each in loaded)),
    )


def stored_in(kinds: Mapping[str, int]) -> str | None:
    """Torch's name of the number format in which most weights are stored that loading converts; None of none.

    Args:
        kinds: a safetensors kind -> how many numbers are of it.
    """
    most = _most({kind: count for kind, count in kinds.items() if kind in CONVERTED_KINDS})
    return CONVERTED_KINDS[most] if most else None


def _most(numbers: Mapping[Kind, int]) -> Kind | None:
    """The kind of most numbers, if there are any."""
    return max(numbers, key=lambda kind: numbers[kind], default=None)


def _counted(tensors: Iterable[tuple[Kind, int]]) -> Counter[Kind]:
    """How many numbers are of each kind, of tensors by their kind and size."""
    numbers: Counter[Kind] = Counter()
    for kind, count in tensors:
        numbers[kind] += count
    return numbers


def memory_needed(weights: int | WeightSizes | Path, dtype: str, bits: int | None = None) -> int:
    """Bytes that weights take once they are loaded.

    Args:
        weights: their sizes, the folder or file to read them from, or only the number of parameters.
        dtype: torch's name of the number format.
        bits: 4 or 8 where bitsandbytes quantises them.

    Raises:
        ToxauditError: if ``weight_sizes`` refuses the files.
    """
    if isinstance(weights, Path):
        weights = weight_sizes(weights)
    if isinstance(weights, int):
        weights = WeightSizes(weights, stored=0, loaded=weights, matrices=weights)
    quantised = weights.matrices if bits else 0
    return weights.fixed + (weights.loaded - quantised) * BYTES_OF_NUMBER[dtype] + quantised * (bits or 0) // 8


def check_memory(where: str, needed: int, device: str, held: int = 0, dtype: str | None = None) -> None:
    """Refuse what does not fit.

    Args:
        where: what needs it, for the sentence.
        needed: bytes.
        device: torch's name of where.
        held: bytes that are taken now but will be freed first.
        dtype: the number format that ``needed`` is counted in.

    Raises:
        ToxauditError: if more is needed than is free.
    """
    free = memory_free(device) + held
    if needed > free:
        of_what = f" in {dtype}" if dtype else ""
        raise ToxauditError(
            f"{where} needs {in_words(needed)} of memory{of_what}, but {in_words(free)} are free here: "
            f"{mend(device, dtype)}."
        )


def check_described(folder: Path, weights: WeightSizes, run_code: bool) -> None:
    """Refuse a configuration of a model far larger than its weights: what they lack would be made, and fill the memory.

    Args:
        folder: of weights that are not quantised.
        weights: their sizes.
        run_code: whether code that comes with them may run.

    Raises:
        ToxauditError: if the configuration describes such a model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, trust_remote_code=run_code)
    with torch.device("meta"):  # where numbers take no room
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=run_code, attn_implementation="eager")
    described = sum(weight.numel() for weight in model.parameters())
    tables = sum(table.numel() for table in model.buffers())  # of positions, made anew each time
    if tables > 2 * weights.parameters + SMALL_TABLES:
        raise ToxauditError(f"config.json describes tables of {tables:,} numbers, more than a model of its size has.")
    if described > 2 * weights.parameters:
        raise ToxauditError(
            f"config.json describes {described:,} parameters, but the weights hold {weights.parameters:,}."
        )


def mend(device: str, dtype: str | None) -> str:
    """What to do where memory is too small."""
    machine = "a GPU with more memory" if device.startswith("cuda") else "a larger machine"
    return f"set base.dtype=bfloat16, or use {machine}" if dtype == "float32" else f"use {machine}"


class _Tensor(NamedTuple):
    """As a safetensors header has it."""

    name: str
    kind: str
    shape: list[int]


def _safetensors(file: Path) -> Iterator[_Tensor]:
    """All tensors of a file; the reader refuses one that ends early."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            for name in opened.keys():  # noqa: SIM118 (it is no mapping)
                tensor = opened.get_slice(name)
                yield _Tensor(name, tensor.get_dtype(), tensor.get_shape())
    except (SafetensorError, OSError) as error:
        said = str(error).removeprefix("Error while deserializing header: ")
        raise ToxauditError(f"{file} can't be read as safetensors: {said}.") from error


def _bits(kind: str) -> int:
    """Of a number of a safetensors kind: ``I8``, ``F8_E4M3``, ``BOOL``."""
    found = re.search(r"\d+", kind)
    return int(found[0]) if found else 8


def _gguf(file: Path) -> WeightSizes:
    """From a GGUF file's list of tensors; all of them are dequantised when they are loaded."""
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            numbers = _counted(_gguf_tensors(data))
    except (struct.error, ValueError, OverflowError, OSError) as error:
        raise ToxauditError(f"{file} can't be read as GGUF: {error}.") from error
    n = numbers.total()
    return WeightSizes(n, file.stat().st_size, loaded=n, matrices=0, stored_in=GGUF_FORMATS.get(_most(numbers)))


def _gguf_tensors(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Walk through the metadata, which come first: GGUF's number of each tensor's kind, and its numbers.

    Raises:
        ValueError, OverflowError, struct.error: it is no such file, or ends early.
    """
    magic, version, tensors, fields = struct.unpack_from("<4sIQQ", data)
    if magic != b"GGUF" or version not in (2, 3) or max(tensors, fields) > MOST_GGUF_ENTRIES:
        raise ValueError("it has no GGUF header of version 2 or 3")
    at = 24
    for _ in range(fields):
        name, at = data[at + 8 : _after_text(data, at)], _after_text(data, at)
        (kind,) = struct.unpack_from("<I", data, at)
        if kind in GGUF_COUNTS and name.endswith(b".block_count"):
            (layers,) = struct.unpack_from(GGUF_COUNTS[kind], data, at + 4)
            if layers > MOST_LAYERS:
                raise ValueError(f"it describes {layers:,} layers, more than any model has")
        at = _after_value(data, at + 4, kind)
    total = 0
    for _ in range(tensors):
        at = _after_text(data, at)
        (dimensions,) = struct.unpack_from("<I", data, at)
        if dimensions > 4:
            raise ValueError(f"a tensor has {dimensions} dimensions")
        numbers = int(prod(struct.unpack_from(f"<{dimensions}Q", data, at + 4)))
        (kind,) = struct.unpack_from("<I", data, at + 4 + 8 * dimensions)
        yield kind, numbers
        total += numbers
        at += 4 + 8 * dimensions + 12  # its kind and place follow
    if total > 8 * len(data):  # less than a bit each
        raise ValueError("its tensors are larger than the file")


def _after_value(data: mmap.mmap, at: int, kind: int) -> int:
    """Where a field's value ends."""
    if kind == GGUF_TEXT:
        return _after_text(data, at)
    if kind in GGUF_VALUE_BYTES:
        return at + GGUF_VALUE_BYTES[kind]
    if kind != GGUF_ARRAY:
        raise ValueError(f"a field is of the unknown kind {kind}")
    of, length = struct.unpack_from("<IQ", data, at)
    at += 12
    if of in GGUF_VALUE_BYTES:
        return at + int(length) * GGUF_VALUE_BYTES[of]
    if of != GGUF_TEXT or length > MOST_GGUF_ENTRIES:
        raise ValueError("a list is of an unknown kind, or too long")
    for _ in range(length):
        at = _after_text(data, at)
    return at


def _after_text(data: mmap.mmap, at: int) -> int:
    (length,) = struct.unpack_from("<Q", data, at)
    return at + 8 + int(length)

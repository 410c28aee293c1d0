"""Whether a model fits is told from its files' headers, and broken files are named."""

import json
import struct
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import tiny
import torch
from gguf import GGUFWriter
from safetensors.torch import load_file, save_file

from toxaudit.errors import ToxauditError
from toxaudit.machine import memory
from toxaudit.machine.memory import in_words, memory_free
from toxaudit.models.capacity import check_memory, memory_needed, weight_sizes

GB = 10**9


@pytest.fixture
def free(monkeypatch):
    """Make the machine have so many bytes free, outside of any control group."""

    def set_to(size):
        monkeypatch.setattr(memory, "ROOT", Path("/nowhere"))
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=size))

    return set_to


def header(file, content, data=b"", length=None):
    """A safetensors file with such a header."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return file


def test_a_folder_has_the_sizes_of_its_tensors(tiny_base):
    tensors = load_file(tiny_base / "model.safetensors")
    sizes = weight_sizes(tiny_base)
    assert sizes.parameters == sizes.loaded == sum(tensor.numel() for tensor in tensors.values())
    assert sizes.stored == (tiny_base / "model.safetensors").stat().st_size
    assert sizes.fixed == 0
    layers = [t for name, t in tensors.items() if t.dim() == 2 and not name.startswith(("lm_head", "model.embed"))]
    assert sizes.matrices == sum(tensor.numel() for tensor in layers)
    assert weight_sizes(tiny_base / "model.safetensors") == sizes


def test_shards_add_up_and_doubles_and_files_below_do_not(tmp_path):
    save_file({"a": torch.zeros(10, 10)}, tmp_path / "model-1-of-2.safetensors")
    save_file({"b": torch.zeros(30), "a": torch.zeros(10, 10)}, tmp_path / "model-2-of-2.safetensors")
    save_file({"c": torch.zeros(1000)}, tmp_path / "consolidated.safetensors")
    (tmp_path / "deep").mkdir()
    save_file({"d": torch.zeros(1000)}, tmp_path / "deep" / "model.safetensors")
    assert weight_sizes(tmp_path).parameters == 130


def test_what_is_needed_depends_on_the_number_format_and_not_on_how_it_is_stored(tmp_path):
    save_file(
        {"a.weight": torch.zeros(100, 10, dtype=torch.bfloat16), "norm": torch.zeros(8)}, tmp_path / "m.safetensors"
    )
    sizes = weight_sizes(tmp_path)
    assert memory_needed(tmp_path, "float32") == memory_needed(sizes, "float32") == 1008 * 4
    assert memory_needed(sizes, "bfloat16") == memory_needed(sizes, "float16") == memory_needed(1008, "float16") == 2016
    assert memory_needed(sizes, "bfloat16", bits=8) == 1000 + 8 * 2
    assert memory_needed(sizes, "bfloat16", bits=4) == 500 + 8 * 2
    assert memory_needed(8 * GB, "bfloat16", bits=4) == 4 * GB


def test_what_is_quantised_already_stays_as_it_is_stored(tmp_path):
    packed = {"packed": torch.zeros(500, dtype=torch.uint8), "places": torch.zeros(5, dtype=torch.int64)}
    save_file(packed | {"norm": torch.zeros(8, dtype=torch.float16)}, tmp_path / "model.safetensors")
    assert memory_needed(tmp_path, "float32") == 500 + 5 * 8 + 8 * 4


TENSOR = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}


@pytest.mark.parametrize(
    "content, data, length",
    [
        ({"a": TENSOR}, bytes(11), None),  # ends early
        ({"a": TENSOR}, bytes(12), 2**40),  # a header longer than the file
        (b" " * 100_000_001, b"", None),  # a header larger than any model's
        (b"{]", b"", None),
        (b"\xff\xfe", b"", None),
        (b"[" * 100_000, b"", None),
        ({"a": TENSOR | {"shape": [2**63, 2**63]}}, bytes(12), None),
        ({"a": TENSOR | {"dtype": "Q4"}}, bytes(12), None),
    ],
)
def test_a_broken_header_is_named_with_its_file(tmp_path, content, data, length):
    file = header(tmp_path / "model.safetensors", content, data, length)
    with pytest.raises(ToxauditError) as caught:
        weight_sizes(tmp_path)
    assert str(caught.value).startswith(f"{file} can't be read as safetensors: ") and str(caught.value).endswith(".")


def test_a_folder_without_safetensors_is_named(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ToxauditError, match=r"holds no \*\.safetensors"):
        weight_sizes(tmp_path)
    with pytest.raises(ToxauditError, match="doesn't exist"):
        weight_sizes(tmp_path / "none")


@pytest.fixture
def gguf(tmp_path):
    writer = GGUFWriter(str(tmp_path / "model.gguf"), "llama")
    writer.add_context_length(512)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list([f"token {i}" for i in range(tiny.VOCABULARY)])
    writer.add_token_types([1] * tiny.VOCABULARY)
    writer.add_add_bos_token(False)
    writer.add_tensor("token_embd.weight", torch.zeros(257, 48).numpy())
    writer.add_tensor("output_norm.weight", torch.zeros(48).half().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "model.gguf"


def test_gguf_has_the_sizes_of_its_list_of_tensors(gguf):
    sizes = weight_sizes(gguf)
    assert sizes.parameters == 257 * 48 + 48
    assert sizes.stored == gguf.stat().st_size
    assert memory_needed(gguf, "float32") == sizes.parameters * 4


FIELD = struct.pack("<Q1sI", 1, b"k", 9)  # its value is a list


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF",
        struct.pack("<4sIQQ", b"FUGG", 3, 0, 0),
        struct.pack("<4sIQQ", b"GGUF", 1, 0, 0),
        struct.pack(">4sIQQ", b"GGUF", 3, 0, 0),  # of the other byte order
        struct.pack("<4sIQQ", b"GGUF", 3, 2**60, 0),
        struct.pack("<4sIQQ", b"GGUF", 3, 1, 0),  # ends early
        struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**64 - 1),  # a text longer than the file
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + FIELD + struct.pack("<IQ", 8, 2**60),  # so many texts
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + FIELD + struct.pack("<IQ", 9, 1),  # a list of lists
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + struct.pack("<Q1sI", 1, b"k", 99),
        struct.pack("<4sIQQQ1sI", b"GGUF", 3, 1, 0, 1, b"t", 2**31),  # so many dimensions
        struct.pack("<4sIQQQ1sIQQIQ", b"GGUF", 3, 1, 0, 1, b"t", 2, 2**63, 2**63, 0, 0),
    ],
)
def test_broken_gguf_is_named_with_its_file(tmp_path, content):
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(ToxauditError) as caught:
        weight_sizes(file)
    assert str(caught.value).startswith(f"{file} can't be read as GGUF: ")


def test_what_fits_passes_and_what_does_not_is_one_sentence_with_the_mend(free):
    free(20.4 * GB)
    check_memory("base", 20 * GB, "cpu", dtype="float32")
    with pytest.raises(ToxauditError) as caught:
        check_memory("base", int(32.1 * GB), "cpu", dtype="float32")
    assert str(caught.value) == (
        "base needs 32.1 GB of memory in float32, but 20.4 GB are free here: "
        "set base.dtype=bfloat16, or use a larger machine."
    )
    with pytest.raises(ToxauditError, match=r"in bfloat16, but 20.4 GB are free here: use a larger machine\.$"):
        check_memory("base", 21 * GB, "cpu", dtype="bfloat16")
    with pytest.raises(ToxauditError, match=r"base needs 21.0 GB of memory, but"):
        check_memory("base", 21 * GB, "cpu")


def test_what_will_be_freed_first_counts_as_free(free):
    free(20 * GB)
    check_memory("base", 30 * GB, "cpu", held=10 * GB)
    with pytest.raises(ToxauditError, match="30.0 GB are free"):
        check_memory("base", 31 * GB, "cpu", held=10 * GB)


def test_a_gpu_has_memory_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: ({"cuda:1": 8 * GB}[device], 80 * GB))
    assert memory_free("cuda:1") == 8 * GB
    with pytest.raises(ToxauditError, match=r"or use a GPU with more memory\.$"):
        check_memory("mine", 9 * GB, "cuda:1", dtype="float32")


def group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{content}\n")


@pytest.mark.parametrize("limit, left", [("max", 50), ("30", 30 - 20 + 5)])
def test_a_container_leaves_less_than_the_machine_has(tmp_path, free, monkeypatch, limit, left):
    free(50)
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    group(tmp_path / "proc" / "self", cgroup="0::/batch/job")
    inner = tmp_path / "sys" / "fs" / "cgroup" / "batch" / "job"
    group(inner, memory_max="max", memory_current=10, memory_stat="anon 9\ninactive_file 1")
    group(inner.parent, memory_max=limit, memory_current=20, memory_stat="anon 9\ninactive_file 5")
    assert memory_free("cpu") == left


def test_a_container_of_the_first_version_leaves_less_too(tmp_path, free, monkeypatch):
    free(50)
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    group(tmp_path / "proc" / "self", cgroup="4:cpu,memory:/unseen/outside\n1:cpu:/\n0::/")
    seen = tmp_path / "sys" / "fs" / "cgroup" / "memory"
    group(
        seen, memory_limit_in_bytes=30, memory_usage_in_bytes=20, memory_stat="inactive_file 1\ntotal_inactive_file 6"
    )
    assert memory_free("cpu") == 16
    group(seen, memory_usage_in_bytes=90)
    assert memory_free("cpu") == 0


def test_sizes_are_said_as_people_say_them():
    said = [in_words(size) for size in (16.06 * GB, 1.5e9, 538e6, 1.2e6, 4000, 12, 0)]
    assert said == ["16.1 GB", "1.5 GB", "538 MB", "1.2 MB", "4 kB", "1 kB", "0 kB"]

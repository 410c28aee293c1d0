"""``dtype: auto`` is the checkpoint's own number format where the device computes it, and the arm says what it is."""

import json
import shutil
import struct

import pytest
import tiny
import torch
from safetensors.torch import save_file

from toxaudit.machine import speed
from toxaudit.models import number_format, resolve_base, resolve_candidate
from toxaudit.models.number_format import NumberFormat
from toxaudit.records import digest
from toxaudit.spec.schema import CandidateSpec, ModelSpec
from toxaudit.store.shelves import Store

ON_NO_CPU = "instead of its own float16, which CPUs compute slowly or not at all"
TOO_PRECISE = "instead of its own float64, which is more than a model needs"
LACKING = "as the {} has no instructions for bfloat16"
QUANTISED = "for its quantised weights"


def able(monkeypatch, answer=True):
    monkeypatch.setattr(speed, "computes_bfloat16", lambda device: answer)


@pytest.mark.parametrize(
    ("own", "device", "native", "expected"),
    [
        ("float32", "cpu", True, NumberFormat("float32")),
        ("float32", "cuda", True, NumberFormat("float32")),
        ("bfloat16", "cpu", True, NumberFormat("bfloat16")),
        ("bfloat16", "cuda:1", True, NumberFormat("bfloat16")),
        ("bfloat16", "cpu", False, NumberFormat("float32", f"instead of its own bfloat16, {LACKING.format('CPU')}")),
        ("bfloat16", "cuda", False, NumberFormat("float32", f"instead of its own bfloat16, {LACKING.format('GPU')}")),
        ("float16", "cuda", False, NumberFormat("float16")),
        ("float16", "cpu", True, NumberFormat("float32", ON_NO_CPU)),
        ("float64", "cuda", True, NumberFormat("float32", TOO_PRECISE)),
        (None, "cpu", True, NumberFormat("bfloat16", QUANTISED)),
        (None, "cpu", False, NumberFormat("float32", f"{QUANTISED}, {LACKING.format('CPU')}")),
    ],
)
def test_auto_is_the_checkpoint_s_own_where_the_device_computes_it(monkeypatch, own, device, native, expected):
    able(monkeypatch, native)
    assert number_format.chosen("auto", own, device) == expected


def test_a_named_format_is_taken_as_it_is_and_said_where_it_is_not_the_checkpoint_s_own():
    assert number_format.chosen("float16", "float16", "cpu") == NumberFormat("float16")
    assert number_format.chosen("float32", None, "cpu") == NumberFormat("float32")
    found = number_format.chosen("float32", "bfloat16", "cpu")
    assert found.notes == ("computed in float32 instead of its own bfloat16, as the audit says",)


def checkpoint(folder, config, **tensors):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("config", "own"),
    [
        ({"dtype": "float16"}, "float16"),
        ({"torch_dtype": "float32", "dtype": None}, "float32"),
        ({"dtype": "torch.float64"}, "float64"),
        *(({"dtype": odd}, "bfloat16") for odd in ("auto", "float8_e4m3fn", ["float16"], {"": "float16"}, 7)),
        ({}, "bfloat16"),
    ],
)
def test_the_configuration_tells_the_format_else_that_of_most_weights(tmp_path, config, own):
    most, few = torch.zeros(9, dtype=torch.bfloat16), torch.zeros(8)
    folder = checkpoint(tmp_path / "base", config, most=most, few=few, packed=torch.zeros(99, dtype=torch.uint8))
    assert number_format.own(folder) == own


def test_a_checkpoint_of_whole_numbers_has_no_format(tmp_path):
    assert number_format.own(checkpoint(tmp_path / "base", {}, packed=torch.zeros(9, dtype=torch.uint8))) is None


@pytest.mark.parametrize(("kind", "own"), [(0, "float32"), (1, "float16"), (30, "bfloat16"), (3, None), (12, None)])
def test_a_gguf_file_s_format_is_that_of_most_of_its_numbers(tmp_path, kind, own):
    """Norms are in float32 in any file; 3 is Q4_1 and 12 Q4_K."""
    tensors = [(b"blk.0.attn_norm.weight", 8, 0), (b"token_embd.weight", 64, kind)]
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), 0)
    for name, size, of in tensors:
        header += struct.pack("<Q", len(name)) + name + struct.pack("<IQIQ", 1, size, of, 0)
    (tmp_path / "config.json").write_text('{"dtype": "float16"}')  # of other weights in the same folder
    (tmp_path / "m.gguf").write_bytes(header + bytes(512))
    assert number_format.own(tmp_path / "m.gguf") == own


@pytest.fixture
def stored_in(tiny_base, tmp_path):
    """The tiny base, whose configuration says another format."""

    def copy(name, dtype):
        folder = shutil.copytree(tiny_base, tmp_path / name)
        tiny.edit_json(folder / "config.json", dtype=dtype)
        return folder

    return copy


def test_arms_are_computed_in_the_format_of_the_base_which_is_part_of_their_identity(
    stored_in, tiny_base, tmp_path, monkeypatch
):
    store, own = Store(tmp_path / "store"), ModelSpec(pretrained=str(stored_in("half", "bfloat16")))
    able(monkeypatch)
    base = resolve_base(own, "cpu", store)
    assert (base.dtype, base.notes) == ("bfloat16", ())
    assert base.loaded_as == digest(base.weights.identity, "bfloat16", "")  # as where the spec names the format
    full = resolve_candidate("full", CandidateSpec(pretrained=str(tiny_base)), base, "cpu", store)
    assert full.dtype == "bfloat16"
    assert full.facts().notes[0] == "computed in bfloat16 instead of its own float32, as the base is"
    control = resolve_candidate("noop", CandidateSpec(control=True), base, "cpu", store)
    assert (control.dtype, control.notes) == ("bfloat16", ())
    able(monkeypatch, False)
    elsewhere = resolve_base(own, "cpu", store)
    assert elsewhere.facts().dtype == "float32" and elsewhere.identity != base.identity
    assert elsewhere.notes == (f"computed in float32 instead of its own bfloat16, {LACKING.format('CPU')}",)

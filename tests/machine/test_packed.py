"""Packed layers give what plain ones give, in bfloat16 by products of sizes whose rounding no batch changes."""

import pytest
import torch
from torch import nn

from toxaudit.machine import packed

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN")


ROWS = packed.LAYOUT_ROWS


@pytest.fixture
def rows(monkeypatch):
    """The numbers of rows of all products that packed layers make."""
    numbers, multiply = [], torch.ops.mkldnn._linear_pointwise

    def counted(block, *rest):
        numbers.append(len(block))
        return multiply(block, *rest)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", counted)
    return numbers


@pytest.mark.parametrize("shape", [(1, 64), (5, 3, 64), (64, 1, 64), (65, 64), (130, 64), (208, 1, 64), (700, 64)])
def test_products_in_bfloat16_are_made_of_whole_steps_and_give_what_each_block_gives_alone(rows, shape):
    layer = nn.Linear(64, 96).to(torch.bfloat16)
    inputs = torch.randn(shape).to(torch.bfloat16)
    plain = layer(inputs)
    undo = packed.pack(layer)
    rows.clear()
    made = layer(inputs)
    asked = plain.numel() // 96
    assert all(number % packed.STEP == 0 for number in rows) and asked <= sum(rows) < asked + ROWS
    alone = [layer(block) for block in inputs.view(-1, 64).split(ROWS)]
    undo()
    assert torch.equal(made.view(-1, 96), torch.cat(alone))
    assert made.shape == plain.shape
    torch.testing.assert_close(made, plain)


@pytest.mark.parametrize("largest", [1, 2, 3])
def test_no_more_blocks_are_multiplied_at_once_than_give_the_same_bits(monkeypatch, rows, largest):
    counted = torch.ops.mkldnn._linear_pointwise

    def otherwise(block, *rest):
        """Adds up in another order, as another kernel might."""
        if len(block) > largest * ROWS:
            weight, *rest = rest
            parts = [counted(half, weight, *rest).float() for half in (block.tril(), block.triu(1))]
            return sum(parts).to(block.dtype)
        return counted(block, *rest)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", otherwise)
    layer = nn.Linear(64, 96, bias=False).to(torch.bfloat16)
    undo = packed.pack(layer)
    rows.clear()
    layer(torch.randn(1000, 64).to(torch.bfloat16))
    undo()
    assert max(rows) == largest * ROWS


@pytest.mark.parametrize(
    ("asked", "other", "made"),
    [
        (80, {}, [80]),
        (81, {}, [96]),
        (208, {208}, [224]),
        (208, {208, 224, 240, 256}, [192, 16]),
        (16, {16, 32, 48}, [64]),
        (272, {}, [256, 16]),
    ],
)
def test_only_numbers_of_rows_are_multiplied_that_give_a_block_its_own_bits(monkeypatch, asked, other, made):
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", lambda weight, rows: weight)
    products = []

    def multiply(block, weight, *rest):
        """Exactly; for some numbers of rows as a kernel that rounds on the way."""
        products.append(block)
        if len(block) not in other:
            return (block.double() @ weight.double().T).to(block.dtype)
        parts = zip(block.double().split([9, 20, 35], 1), weight.double().split([9, 20, 35], 1), strict=True)
        return sum((part @ others.T).to(block.dtype) for part, others in parts)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", multiply)
    layer, inputs = nn.Linear(64, 96, bias=False).to(torch.bfloat16), torch.randn(asked, 64).to(torch.bfloat16)
    undo = packed.pack(layer)
    products.clear()
    outputs = layer(inputs)
    undo()
    assert [len(block) for block in products] == made
    assert (products[0].data_ptr() == inputs.data_ptr()) == (sum(made) == asked or len(made) > 1), "a copy is needless"
    assert torch.equal(outputs, (inputs.double() @ layer.weight.double().T).to(torch.bfloat16))


def test_products_in_float32_are_made_at_once():
    layer, inputs = nn.Linear(64, 96), torch.randn(130, 64)
    plain = layer(inputs)
    undo = packed.pack(layer)
    torch.testing.assert_close(layer(inputs), plain)
    undo()
    assert "forward" not in vars(layer)

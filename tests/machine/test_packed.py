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


@pytest.mark.parametrize("shape", [(1, 64), (5, 3, 64), (64, 1, 64), (65, 64), (130, 64), (700, 64)])
def test_products_in_bfloat16_are_made_of_whole_blocks_and_give_what_each_block_gives_alone(rows, shape):
    layer = nn.Linear(64, 96).to(torch.bfloat16)
    inputs = torch.randn(shape).to(torch.bfloat16)
    plain = layer(inputs)
    undo = packed.pack(layer)
    rows.clear()
    made = layer(inputs)
    asked = plain.numel() // 96
    assert all(number % ROWS == 0 for number in rows) and asked <= sum(rows) < asked + ROWS
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


def test_products_in_float32_are_made_at_once():
    layer, inputs = nn.Linear(64, 96), torch.randn(130, 64)
    plain = layer(inputs)
    undo = packed.pack(layer)
    torch.testing.assert_close(layer(inputs), plain)
    undo()
    assert "forward" not in vars(layer)

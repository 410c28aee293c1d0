"""Packed layers give what plain ones give, in bfloat16 by products of one size, whose rounding no batch changes."""

import pytest
import torch
from torch import nn

from toxaudit.machine import packed

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN")


@pytest.mark.parametrize("shape", [(1, 64), (5, 3, 64), (64, 1, 64), (65, 64), (130, 64)])
def test_products_in_bfloat16_are_made_of_as_many_rows_whatever_the_batch(monkeypatch, shape):
    layer = nn.Linear(64, 96).to(torch.bfloat16)
    inputs = torch.randn(shape).to(torch.bfloat16)
    plain = layer(inputs)
    rows, multiply = [], torch.ops.mkldnn._linear_pointwise

    def counted(block, *rest):
        rows.append(len(block))
        return multiply(block, *rest)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", counted)
    undo = packed.pack(layer)
    made = layer(inputs)
    undo()
    assert set(rows) == {packed.LAYOUT_ROWS}
    assert made.shape == plain.shape
    torch.testing.assert_close(made, plain)


def test_products_in_float32_are_made_at_once():
    layer, inputs = nn.Linear(64, 96), torch.randn(130, 64)
    plain = layer(inputs)
    undo = packed.pack(layer)
    torch.testing.assert_close(layer(inputs), plain)
    undo()
    assert "forward" not in vars(layer)

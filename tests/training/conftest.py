"""What tests of training tune, and what they tune it on."""

import pytest
import tiny
from recipes import write


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "rows.jsonl")


@pytest.fixture(scope="module")
def base(tiny_base):
    return tiny.resolved(tiny_base)

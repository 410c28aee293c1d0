"""What all tests share: a home of their own, no Hub, one thread, and tiny models that no test changes."""

import gc
import os
import sys
import tempfile

import pytest
from hypothesis import settings
from unplotted import draw_in_words

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# No test speaks TLS: without certificates to read, a client of HTTP is made in a tenth of the time.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = tempfile.gettempdir()

# Processes that tests start would compile the package anew each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

LONGEST = (
    *("test_quickstart.py", "test_hier_paired.py", "test_audit.py", "test_studies.py", "test_sharing.py"),
    *("test_served_audit.py", "test_push.py", "test_estimating.py", "test_plots.py", "test_ray.py"),
    *("test_best_replication.py", "test_shared_store.py", "test_faults.py", "test_tuning.py"),
    *("test_paired_bb.py", "test_flips.py", "test_hostile_models.py", "test_plans.py", "test_lock.py"),
    *("test_hub_audit.py", "test_backend.py", "test_fuzz_specs.py", "test_ragged.py", "test_brought_scorers.py"),
    *("test_fuzz_readmes.py", "test_judge.py", "test_openai.py"),
)
"""Files that are handed out first, lest one process be left with one of them while the other has nothing to do."""

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What tests import stays: to look for garbage among it meanwhile took a twelfth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="module", autouse=True)
def frozen_libraries():
    """Leave what is imported out of garbage collection: loaders collect often, and looked at all of it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    import tiny

    return tiny.base(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="session")
def tiny_adapter(tiny_base):
    import tiny

    return tiny.adapter(tiny_base, tiny_base.parent / "adapter")


@pytest.fixture
def without_plots(request, monkeypatch):
    """Audits write what plots show in words instead of drawings.

    For tests of whole audits that say nothing of how plots look; those marked ``plots`` draw them all the same.
    """
    if request.node.get_closest_marker("plots"):
        from toxaudit.card.plots import drawn

        monkeypatch.setattr("toxaudit.card.section.drawn", drawn)
    else:
        draw_in_words(monkeypatch)


@pytest.fixture(scope="module")
def fixtures_without_plots():
    """The same for audits that fixtures of a whole module run."""
    with pytest.MonkeyPatch.context() as patch:
        draw_in_words(patch)
        yield

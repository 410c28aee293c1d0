"""One finished run of each decision, keys of two people, and weights, which no test changes."""

from pathlib import Path

import pytest
import signing
from results import RESULTS
from signing import World


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signoff")
    signing.weights(folder / "weights")
    signing.key(folder, "ann")
    signing.key(folder, "bob", "--kind", "ecdsa")
    for name in ("go", "inconclusive", "failed-control"):
        signing.run(folder / name, RESULTS[name], folder / "weights")
    return folder


@pytest.fixture
def world(_shared: Path, tmp_path: Path) -> World:
    """Where this test signs."""
    return World(tmp_path, _shared / "ann", _shared / "bob", _shared / "weights", _shared)

"""One finished run of each decision, keys of two people, and weights, which no test changes."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import signing
from results import RESULTS


@dataclass(frozen=True)
class World:
    """Where a test signs: a folder of its own, and what it copies from."""

    folder: Path
    ann: Path
    bob: Path
    weights: Path
    finished: Path

    def run(self, name: str = "go") -> Path:
        """A finished run of its own."""
        return shutil.copytree(self.finished / name, self.folder / name)


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

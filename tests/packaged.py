"""Packages that look installed: a folder of files, and the metadata that name an entry point of toxaudit."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

SCORER = '''
from toxaudit.records import digest
from toxaudit.registry import register
from toxaudit.scorers.base import BaseScorer


@register("scorer", "{name}")
class Made(BaseScorer):
    """A scorer of a plug-in.

    Attributes:
        strength: how strong it is.
    """

    strength: int = 1

    def identity(self):
        return digest("{name}")

    @property
    def source(self):
        return "rule: none"

    def score(self, completions):
        return [0.0 for _ in completions]
'''


def installed(site: Path, package: str, files: Mapping[str, str], entry: str = "", version: str = "1.0") -> Path:
    """Put a package into a folder of packages, as pip does.

    Args:
        site: the folder, which is to be on the path.
        package: its name, and that of its module where ``entry`` names none.
        files: path in the module's folder -> content; the code of ``__init__.py`` must be among them.
        entry: what its entry point names.
        version: of the package.

    Returns:
        The module's folder.
    """
    module = package.replace("-", "_")
    for name, content in files.items():
        file = site / module / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    about = site / f"{module}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (about / "entry_points.txt").write_text(f"[toxaudit.plugins]\n{module} = {entry or module}\n")
    invalidate_caches()
    return site / module


@contextmanager
def site(folder: Path) -> Iterator["pytest.MonkeyPatch"]:
    """Within it a folder of packages is on the path; what they file is gone afterwards."""
    import pytest

    from toxaudit import plugins, registry
    from toxaudit.compose import catalogue

    for module in plugins.BUILT_IN:
        import_module(module)
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(registry, "_classes", registry.filed())
        plugins.loaded.cache_clear()
        yield patch
    plugins.loaded.cache_clear()
    catalogue._class.cache_clear()
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]

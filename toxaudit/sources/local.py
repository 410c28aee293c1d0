"""Files already on this machine."""

import os
from dataclasses import dataclass
from pathlib import Path

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.sources.base import Fetched, pinned


@dataclass(frozen=True)
class LocalSource:
    """A file or folder, by its path."""

    reference: str

    @property
    def path(self) -> Path:
        """The path, absolute."""
        return Path(os.path.expanduser(self.reference)).resolve()  # pathlib's own raises where there is no such user

    @property
    def shown(self) -> str:
        """The last two parts of the path, counted from the home folder: nobody's name gets into a card."""
        home = LocalSource("~").path
        parts = self.path.relative_to(home).parts if self.path.is_relative_to(home) else self.path.parts[1:]
        return "/".join(parts[-2:]) or "~"

    def cached(self, patterns: tuple[str, ...] = ()) -> bool:
        """Whether it exists."""
        return self.path.exists()

    def fetch(self, patterns: tuple[str, ...] = ()) -> Fetched:
        """Pin it by the digest of its content.

        Raises:
            ToxauditError: if it doesn't exist, or is an empty folder.
        """
        if not self.path.exists():
            raise ToxauditError(f"{self.path} doesn't exist{self._mend()}")
        if self.path.is_dir() and not any(self.path.iterdir()):
            raise ToxauditError(f"{self.path} is an empty folder.")
        return pinned(self.shown, None, self.path, patterns)

    def _mend(self) -> str:
        """Where something of that name lies instead, as the end of a sentence; files are no likely models."""
        name, folder = self.path.name, self.path.parent
        elsewhere = (path / name for path in (folder.parent, folder / "audits", Path.cwd()))
        if other := next((path for path in elsewhere if path.exists()), None):
            return (
                f", but {other} does: ./ in a YAML file means that file's folder, and in a command the working folder."
            )
        there = sorted(folder.iterdir()) if folder.is_dir() else []
        beside = [path.name for path in there if path.suffix != ".yaml" and not path.name.startswith(".")]
        return f".{did_you_mean(name, beside, or_list=folder != Path.cwd())}"

"""Files already on this machine."""

from dataclasses import dataclass
from pathlib import Path

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.sources.base import Fetched, manifest_digest


@dataclass(frozen=True)
class LocalSource:
    """A file or folder, by its path."""

    reference: str

    @property
    def path(self) -> Path:
        """The path, absolute."""
        return Path(self.reference).expanduser().resolve()

    @property
    def shown(self) -> str:
        """The last two parts of the path: no home folder gets into a card."""
        return "/".join(self.path.parts[-2:])

    def cached(self) -> bool:
        """Whether it exists."""
        return self.path.exists()

    def fetch(self, patterns: tuple[str, ...] = ()) -> Fetched:
        """Pin it by the digest of its content.

        Raises:
            ToxauditError: it doesn't exist, or is an empty folder.
        """
        if not self.path.exists():
            beside = [file.name for file in self.path.parent.iterdir()] if self.path.parent.is_dir() else []
            raise ToxauditError(f"{self.path} doesn't exist.{did_you_mean(self.path.name, beside) if beside else ''}")
        if self.path.is_dir() and not any(self.path.iterdir()):
            raise ToxauditError(f"{self.path} is an empty folder.")
        return Fetched(self.shown, None, self.path, manifest_digest(self.path, patterns))

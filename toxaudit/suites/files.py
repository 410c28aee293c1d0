"""Which files of a data set are read, told by ``file``, or by ``config`` and ``split``."""

import re
from dataclasses import dataclass
from pathlib import Path

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.sources import Fetched


@dataclass(frozen=True)
class Files:
    """What a spec says of a data set's files.

    Attributes:
        where: the part of the spec that says it, for sentences.
        file: their names, with ``*``, or with a column's name in braces where what varies in them is a column.
        config, split: of a set on the Hub whose Parquet files are laid out as the Hub does it.
    """

    where: str
    file: str | None
    config: str | None
    split: str | None

    @property
    def patterns(self) -> tuple[str, ...]:
        """The files' names; none named means all."""
        if self.file:
            return (re.sub(r"([\[?])", r"[\1]", re.sub(r"\{\w+\}", "*", self.file)),)
        if not self.split and not self.config:
            return ()
        split = self.split or "*"
        folders = [f"{self.config}/"] if self.config else ["data/", ""]
        return tuple(f"{folder}{name}" for folder in folders for name in (f"{split}-*.parquet", f"{split}/*.parquet"))

    def check(self) -> None:
        """Refuse keys that exclude each other, and names that are no pattern.

        Raises:
            ToxauditError: if there are such.
        """
        if self.file and (self.config or self.split):
            raise ToxauditError(f"{self.where} names its files both by file and by config or split: leave one out.")
        self._names()

    def chosen(self, fetched: Fetched) -> dict[str, tuple[Path, dict[str, str]]]:
        """The files to read by their names, each with the columns that its name holds.

        Raises:
            ToxauditError: if there are none, or several where none is named.
        """
        matched = {each: self._names().fullmatch(each) for each in fetched.files}
        if fetched.path.is_file():  # it is the one that is meant, whatever its name
            return {each: (fetched.path, match.groupdict() if match else {}) for each, match in matched.items()}
        chosen = {each: (fetched.path / each, match.groupdict()) for each, match in matched.items() if match}
        if not chosen and self.patterns:
            wanted = f"'{self.file}'" if self.file else self._laid_out
            raise ToxauditError(f"{self.where}: {fetched.reference} holds no {wanted}.{_beside(fetched, self.file)}")
        if not self.patterns and len(chosen) != 1:
            several = "several files" if chosen else "no file"
            raise ToxauditError(f"{self.where}: {fetched.reference} holds {several}: name what to read in 'file'.")
        return chosen

    @property
    def _laid_out(self) -> str:
        """The config and split in words."""
        named = [f"{key} '{value}'" for key, value in (("config", self.config), ("split", self.split)) if value]
        return f"Parquet files of {' and '.join(named)}"

    def _names(self) -> re.Pattern[str]:
        """The pattern of the files' names; what varies in them is a group with the column's name."""
        if not self.file:
            return re.compile(".*")
        spelt = re.escape(self.file).replace(r"\*", "[^/]*")
        try:
            return re.compile(re.sub(r"\\{(\w+)\\}", lambda found: f"(?P<{found[1]}>[^/]+?)", spelt))
        except re.error as error:
            raise ToxauditError(
                f"{self.where}: file is '{self.file}': what stands in braces must be words, each only once."
            ) from error


def _beside(fetched: Fetched, file: str | None) -> str:
    """The phrase on files of a like name that a folder holds; of a Hub repository, only what was asked for is here."""
    if not file or fetched.revision:
        return ""
    return did_you_mean(file, (each.relative_to(fetched.path).as_posix() for each in fetched.path.rglob("*.*")))

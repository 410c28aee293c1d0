"""A chat template that arms are asked in, in place of their own: the base's, or one in a file."""

from dataclasses import dataclass
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.sources import parse

LARGEST_BYTES = 2**20
"""Bytes of the largest file that is read as a template; real ones have some thousand."""


@dataclass(frozen=True)
class OtherTemplate:
    """A chat template that is not an arm's own.

    Attributes:
        shown: what a card calls it: ``base``, or the file with the start of its SHA-256.
        digest: SHA-256 of the file, or of the files that the base's is read from.
        text: the template; None where it is read from ``folder``.
        folder: of the base's tokenizer.
        run_code: whether code that comes with that is run.
    """

    shown: str
    digest: str
    text: str | None = None
    folder: Path | None = None
    run_code: bool = False


def from_file(reference: str) -> OtherTemplate:
    """The template in a file.

    Raises:
        ToxauditError: if it can't be had, or is no text.
    """
    fetched = parse(reference).fetch()
    where = f"chat_template: {fetched.reference}"
    if not fetched.path.is_file():
        raise ToxauditError(f"{where} is a folder: name the Jinja file in it.")
    if fetched.path.stat().st_size > LARGEST_BYTES:
        raise ToxauditError(f"{where} is larger than any chat template: it has more than {LARGEST_BYTES:,} bytes.")
    try:
        text = fetched.path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ToxauditError(f"{where} can't be read: {problem}.") from error
    if not text.strip():
        raise ToxauditError(f"{where} is empty: write the template into it.")
    return OtherTemplate(f"{fetched.reference} (sha256 {fetched.digest[:12]})", fetched.digest, text)

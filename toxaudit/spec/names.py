"""What a candidate may be called: its card gets a folder of that name."""

import re
import unicodedata
from collections.abc import Iterable

from toxaudit.errors import ToxauditError, visible

_RESERVED = re.compile("con|prn|aux|nul|(com|lpt)[0-9]", re.IGNORECASE)
"""Names that Windows keeps for devices."""


def check(candidates: Iterable[str]) -> None:
    """Refuse names of candidates that no folder of a card can have.

    Raises:
        ToxauditError: if there is such a name; the sentence names the first.
    """
    names = list(candidates)
    alike = [unicodedata.normalize("NFC", name).casefold() for name in names]
    for name, same in zip(names, alike, strict=True):
        if alike.count(same) > 1:
            raise ToxauditError(
                f"Two candidates are called '{name}', but for letters' case or form; their cards get folders of those "
                "names, which some systems can't tell apart: rename one."
            )
    for name in filter(unfit, names):
        raise ToxauditError(
            f"A candidate can't be called '{name}', for its card gets a folder of that name: use letters, digits, - "
            "and _."
        )


def unfit(name: str) -> bool:
    """Whether no folder can be called so, on one system or another."""
    odd = name != visible(name).strip(" .") or bool(set('/\\<>:"|?*') & set(name)) or len(name.encode()) > 200
    return not name or odd or bool(_RESERVED.fullmatch(name.partition(".")[0]))

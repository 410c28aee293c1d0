"""What a server's reply says of its models, of an error, and of how long it asks to be left alone."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def model_names(reply: Any) -> list[str]:
    """The names of the models in a list of them; none where it is no such list."""
    rows = reply.get("data") if isinstance(reply, dict) else None
    found = [row for row in rows if isinstance(row, dict) and "id" in row] if isinstance(rows, list) else []
    return [str(row["id"]) for row in found]


def reason(told: Any, otherwise: str) -> Any:
    """What a reply says of an error, in whichever of the usual places."""
    if isinstance(told, dict):
        told = told.get("error", told.get("detail", told.get("message", otherwise)))
        return told.get("message", told) if isinstance(told, dict) else told
    return otherwise


def wait_asked(asked: str) -> float:
    """The seconds that a ``Retry-After`` asks for, which is a number or a date; 0 where it is neither."""
    if re.fullmatch(r"\d{1,9}", asked.strip()):
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0

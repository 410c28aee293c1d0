"""Whether the Hub answers, and whose token is here: asked in seconds, and told without the token or any address's."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SECONDS = 5.0
"""How long the Hub may take for each of the two answers."""


@dataclass(frozen=True)
class Reached:
    """What can be told of the Hub.

    Attributes:
        endpoint: its address, without a password that may stand in it.
        answers: what is said of reaching it, as the end of a sentence.
        token: the same of the token.
        well: whether nothing of it is wrong.
    """

    endpoint: str
    answers: str
    token: str
    well: bool


def reached() -> Reached:
    """Ask the Hub that is configured; it raises nothing."""
    from huggingface_hub import constants, get_token, is_offline_mode

    endpoint, token = without_password(constants.ENDPOINT), get_token()
    there = "a token is here" if token else "no token is here: `hf auth login` makes one, for gated models and to push"
    if is_offline_mode():
        return Reached(endpoint, "it is not asked, for HF_HUB_OFFLINE is set", there, True)
    listed, why = _asked("/api/models", None, limit=1)
    if not isinstance(listed, list):
        return Reached(endpoint, f"{why}; HF_HUB_OFFLINE=1 uses what is cached", there, False)
    if not token:
        return Reached(endpoint, "it answers", there, True)
    found, why = _asked("/api/whoami-v2", token)
    name = found.get("name") if isinstance(found, dict) else None
    if isinstance(name, str):
        return Reached(endpoint, "it answers", f"{there}, of {name}", True)
    return Reached(endpoint, "it answers", f"{there}, but {why}: `hf auth login` makes another", False)


def without_password(address: str) -> str:
    """An address without what may stand before its host."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _asked(path: str, token: str | None, **query: int) -> tuple[Any, str]:
    """The JSON that the Hub answers, or what is wrong, as the end of a sentence about it."""
    from huggingface_hub import constants, get_session

    try:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        reply: Any = get_session().get(constants.ENDPOINT + path, params=query, headers=headers, timeout=SECONDS)
    except Exception as error:  # whatever HTTP library the Hub client uses; its words may hold the address
        return None, f"it does not answer ({type(error).__name__})"
    if reply.status_code in (401, 403) and token:
        return None, "the Hub refuses it"
    try:
        return (reply.json(), "it answers otherwise than a Hub") if reply.status_code == 200 else (None, _status(reply))
    except ValueError:
        return None, "what answers is no Hub: maybe the network asks for a login, or HF_ENDPOINT is wrong"


def _status(reply: Any) -> str:
    return f"it answers with an error ({reply.status_code})"

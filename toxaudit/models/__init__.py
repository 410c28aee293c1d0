"""References to models -> checked, pinned weights."""

from toxaudit.models.load import LoadedModel, Loader, load, quiet_peft
from toxaudit.models.preflight import Preflight
from toxaudit.models.resolve import ResolvedModel, resolve_base, resolve_candidate, tuned

__all__ = [
    "LoadedModel",
    "Loader",
    "Preflight",
    "ResolvedModel",
    "load",
    "quiet_peft",
    "resolve_base",
    "resolve_candidate",
    "tuned",
]

"""References to models -> checked, pinned weights."""

from toxaudit.models.attach import quiet_peft
from toxaudit.models.load import LoadedModel, Loader, load
from toxaudit.models.preflight import Preflight
from toxaudit.models.resolve import ResolvedModel, resolve_base, resolve_candidate, tuned
from toxaudit.models.served import ServedModel

Arm = ResolvedModel | ServedModel
"""One arm of an audit: its weights are on this machine, or a server answers for it."""

__all__ = [
    "Arm",
    "LoadedModel",
    "Loader",
    "Preflight",
    "ResolvedModel",
    "ServedModel",
    "load",
    "quiet_peft",
    "resolve_base",
    "resolve_candidate",
    "tuned",
]

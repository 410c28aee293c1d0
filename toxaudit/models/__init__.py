"""References to models -> checked, pinned weights."""

from toxaudit.models.load import LoadedModel, load, quiet_peft
from toxaudit.models.resolve import ResolvedModel, resolve_base, resolve_candidate, tuned

__all__ = ["LoadedModel", "ResolvedModel", "load", "quiet_peft", "resolve_base", "resolve_candidate", "tuned"]

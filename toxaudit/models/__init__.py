"""References to models -> checked, pinned weights."""

from toxaudit.models.load import LoadedModel, load
from toxaudit.models.resolve import ResolvedModel, resolve_base, resolve_candidate, tuned

__all__ = ["LoadedModel", "ResolvedModel", "load", "resolve_base", "resolve_candidate", "tuned"]

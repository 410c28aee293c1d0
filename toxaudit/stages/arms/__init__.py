"""The spec's base and candidates -> the arms of the audit: fetched and pinned, tuned by their recipes, checked."""

from toxaudit.stages.arms.assembly import Arms, assemble, told_apart, without

__all__ = ["Arms", "assemble", "told_apart", "without"]

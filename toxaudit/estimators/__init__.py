"""Estimators: paired outcomes of a base and its candidates in, posterior draws of both rates out.

``paired_exact`` (conjugate, instant) gives the total, ``paired_bb`` that of what doesn't fit a 2 x 2 table,
``hier_paired`` (PyMC) the slices, which it pools. ``unpaired_beta`` and ``best_replication`` repeat what studies did,
and never decide.
To add one: a module with a registered class, whose method ``estimate`` takes one suite and measure with all candidates,
and its name below, so that importing this package files it. Nothing here may import more than NumPy.
"""

from toxaudit.estimators import best_replication, hier_paired, paired_bb, paired_exact, unpaired_beta

__all__ = ["best_replication", "hier_paired", "paired_bb", "paired_exact", "unpaired_beta"]

"""Estimators: paired outcomes of a base and its candidates in, posterior draws of rates and their change out.

``paired_exact`` (conjugate, instant) gives the headline, ``hier_paired`` (PyMC) the slices, which it pools. To add
one: a module with a registered class, whose method ``estimate`` takes every candidate of one suite and measure, and
its name below, so that importing this package files it. Nothing here may import more than NumPy.
"""

from toxaudit.estimators import hier_paired, paired_exact

__all__ = ["hier_paired", "paired_exact"]

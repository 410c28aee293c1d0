"""Exit codes, the same for every verb."""

DONE = 0
DECISIONS = {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}
MISSED = 1
"""A bar of the simulation study is missed."""
ERROR = 3
STOPPED = 130
"""Stopped by Ctrl-C, as shells count it."""

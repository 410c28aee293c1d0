"""Exit codes, the same for every verb."""

DONE = 0
DECISIONS = {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 2}
MISSED = 1
"""A bar of the simulation study is missed."""
NOT_VALID = 1
"""A decision does not hold."""
ERROR = 3
OF_SIGNALS = 128
"""What shells add to a signal's number: 130 is Ctrl-C, 143 SIGTERM, 129 SIGHUP."""
STOPPED = OF_SIGNALS + 2
"""Stopped by Ctrl-C."""

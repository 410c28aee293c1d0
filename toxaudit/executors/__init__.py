"""Where the work is done: here, in this process."""

from toxaudit.executors import local  # noqa: F401  (registers)

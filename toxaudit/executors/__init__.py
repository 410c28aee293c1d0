"""Where arms answer and are tuned: here, in this process, or in workers of Ray on this machine and others."""

from toxaudit.executors import local, ray  # noqa: F401  (registers)

"""``python -m toxaudit``."""

from toxaudit.cli import script

script()

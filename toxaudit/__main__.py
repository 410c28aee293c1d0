"""``python -m toxaudit``."""

from toxaudit.cli.main import script

script()

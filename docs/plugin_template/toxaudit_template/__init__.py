"""A plug-in of toxaudit: importing this module registers its parts, and its presets lie in ``conf/`` beside it."""

from toxaudit_template import chat_logs, shouting  # noqa: F401  (these register themselves)

"""Models and prompts -> completions."""

from toxaudit.backends import transformers  # noqa: F401  (registers)

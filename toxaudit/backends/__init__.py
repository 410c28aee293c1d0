"""Models and prompts -> completions."""

from toxaudit.backends import openai, transformers, vllm  # noqa: F401  (registers)

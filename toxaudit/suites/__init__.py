"""Data and how to ask -> prompts. Each kind of suite is one module that registers itself."""

from toxaudit.suites import jsonl, text_files  # noqa: F401  (registers)

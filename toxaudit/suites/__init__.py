"""Data and how to ask -> prompts. Each kind of suite is one module that registers itself."""

from toxaudit.suites import dataset  # noqa: F401  (registers)

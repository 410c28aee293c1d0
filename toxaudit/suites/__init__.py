"""Data and how to ask -> prompts. Each kind of suite is one module that registers itself."""

from toxaudit.suites import bbq, dataset  # noqa: F401  (these register themselves)

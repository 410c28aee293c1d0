"""Completions -> scores. Each kind of scorer is one module that registers itself."""

from toxaudit.scorers import classifier, degenerate, jigsaw_bilstm, keywords  # noqa: F401  (registers)

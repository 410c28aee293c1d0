"""Completions -> scores. Each kind of scorer is one module that registers itself."""

from toxaudit.scorers import (  # noqa: F401  (registers)
    choice,
    classifier,
    degenerate,
    jigsaw_bilstm,
    judge,
    keywords,
    lexicon,
    match,
)

"""Prompts -> completions, of every arm: from the store, or generated."""

from toxaudit.stages.answering.completing import answer, asked_again, stored, tokens, unreadable

__all__ = ["answer", "asked_again", "stored", "tokens", "unreadable"]

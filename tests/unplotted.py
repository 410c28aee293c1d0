"""Audits that write in words what their plots show: drawings are half of what a finished audit costs."""

import pytest


def draw_in_words(patch: pytest.MonkeyPatch) -> None:
    """Let audits write what plots show in words instead of drawings, until ``patch`` is undone."""
    from toxaudit.card.plots import Drawing, described

    def in_words(result, draws, on_page=True):
        return {name: Drawing(alt, b"\x89PNG" + alt.encode(), "<svg/>") for name, alt in described(result).items()}

    patch.setattr("toxaudit.card.section.drawn", in_words)

"""The plots of an audit: what each shows in words, and the figure itself."""

from toxaudit.card.plots.forest import forest_plot

__all__ = ["forest_plot"]

"""The room where a result becomes what people read: card sections, whole cards, summaries, plots, an HTML report."""

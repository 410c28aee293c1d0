"""The room where a result becomes what people read: a Markdown card section, a forest plot and an HTML report."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from toxaudit.card.changed import ChangedSample
from toxaudit.card.markdown import check, render_card
from toxaudit.card.plots import forest_plot
from toxaudit.card.report import PLOT, render_report
from toxaudit.records import AuditResult
from toxaudit.registry import register
from toxaudit.store import write_atomically

__all__ = ["ChangedSample", "SectionCard", "forest_plot", "render_card", "render_report"]


@register("card", "section")
class SectionCard:
    """A section for a model card, with its plot and its report.

    Attributes:
        template: the section's template.
        report: the report's template.
        samples: changed samples shown per candidate in the report; 0 for none.
    """

    template: str = "section.md.jinja"
    report: str = "report.html.jinja"
    samples: int = 12

    def check(self) -> None:
        """Refuse templates that do not exist or do not parse.

        Raises:
            ToxauditError: naming the template.
        """
        check(self.template)
        check(self.report)

    def write(self, result: AuditResult, changed: Sequence[ChangedSample], folder: Path) -> list[Path]:
        """Write ``card.md``, ``forest.png`` and ``report.html``, each whole or not at all.

        Args:
            result: what the audit found.
            changed: samples whose scores changed; of each candidate the first ones given are shown.
            folder: where the files go; it is made where it does not exist.

        Raises:
            ToxauditError: a template does not exist, or has a mistake.
        """
        by_candidate = groupby(sorted(changed, key=_candidate), key=_candidate)
        shown = [sample for _, group in by_candidate for sample in list(group)[: self.samples]]
        card, forest = render_card(result, self.template), forest_plot(result)
        report = render_report(result, card, forest, shown, self.report)
        folder.mkdir(parents=True, exist_ok=True)
        contents: dict[str, str | bytes] = {"card.md": card, PLOT: forest, "report.html": report}
        for name, content in contents.items():
            write_atomically(folder / name, content)
        return [folder / name for name in contents]


def _candidate(sample: ChangedSample) -> str:
    return sample.candidate

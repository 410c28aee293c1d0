"""The files of a card: which a run has, what they hold, and which of an earlier run's go."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from toxaudit.card import plots
from toxaudit.card.changed import changed_samples
from toxaudit.card.facts import CardFacts
from toxaudit.card.markdown import BEGIN, check, render_beside, render_card, render_summary, render_whole, texts
from toxaudit.card.plots import Drawing, Draws, drawn
from toxaudit.card.report import render_report
from toxaudit.errors import ToxauditError
from toxaudit.findings import AuditResult
from toxaudit.machine.folders import write_atomically
from toxaudit.registry import register

PLOTS_FOLDER = "toxaudit"
"""The folder of plots, beside a card in a run's folder and in a repository alike."""


SHORT = "short.md.jinja"
"""The template of a section that refers to the whole audit."""

AUDIT = f"{PLOTS_FOLDER}/audit.md"
"""The whole audit, beside a card that is short."""


@register("card", "short")
class SectionCard:
    """A short section for a model card, the whole audit beside it, plots, a summary, a whole card and a report.

    The report opens with the short section, whatever template the section itself has.

    Attributes:
        template: the section's template: its name, or a path.
        audit: the template of the whole audit, which the report holds as well; empty, the section is that.
        summary: the template of a summary of one paragraph.
        whole: the template of a whole card, for a repository that has none.
        report: the report's template.
        samples: changed samples shown per candidate in the report; 0 for none.
    """

    template: str = SHORT
    audit: str = "section.md.jinja"
    summary: str = "summary.md.jinja"
    whole: str = "model_card.md.jinja"
    report: str = "report.html.jinja"
    samples: int = 12

    def check(self) -> None:
        """Refuse templates that do not exist or do not parse, and less than no samples.

        Raises:
            ToxauditError: if a template or a number can't be used; the sentence names it.
        """
        if self.samples < 0:
            raise ToxauditError(f"card.samples is {self.samples}: it must be 0 (none) or more.")
        named = (self.template, self.audit, self.summary, self.whole)
        for template in dict.fromkeys((*filter(None, named), SHORT)):  # with which every report opens
            check(template)
        check(self.report, page=True)
        if self.template == SHORT and not self.audit:
            raise ToxauditError("card.audit is empty, but the short card refers to it: set it, or choose card=full.")

    def write(self, result: AuditResult, rows: Iterable[Mapping[str, Any]], draws: Draws, folder: Path) -> list[Path]:
        """Write ``card.md``, ``summary.md``, the audit, the plots and ``report.html``, each whole or not at all.

        Where one candidate was to be audited beside controls, also ``model_card.md``; where several were, each one's
        own card, summary, whole card and plots, in ``candidates/NAME``.

        Args:
            result: what the audit found.
            rows: the samples, one row per arm, prompt and sample.
            draws: of each change that decides.
            folder: where the files go; it is made where it does not exist.

        Returns:
            The files, those of all candidates together first.

        Raises:
            ToxauditError: if a template does not exist, or has a mistake.
        """
        drawings, card = drawn(result, draws), texts(result)
        contents = self._cards(result, card, drawings, Path())
        whole = str(contents.get(Path(AUDIT), contents[Path("card.md")]))
        changed = changed_samples(result, rows, self.samples)
        report = render_report(result, whole, drawings, changed, self.report, render_beside(result, SHORT, card))
        contents[Path("report.html")] = report
        if result.several:
            for model in result.real:
                own = result.narrowed(model.name)
                drawings = drawn(own, draws, on_page=False)
                contents |= self._cards(own, texts(own), drawings, Path("candidates") / model.name)
        _clear(folder, contents)
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name, content)
        return [folder / name for name in contents]

    def _cards(
        self, result: AuditResult, card: CardFacts, drawings: Mapping[str, Drawing], folder: Path
    ) -> dict[Path, str | bytes]:
        """The files of a card and what they hold."""
        section = render_card(result, self.template, card)
        contents: dict[Path, str | bytes] = {
            folder / "card.md": section,
            folder / "summary.md": render_summary(result, self.summary, card),
        }
        if len(result.real) == 1 and not result.several:
            contents[folder / "model_card.md"] = render_whole(result, section, self.whole, card)
        if self.audit:
            contents[folder / AUDIT] = render_beside(result, self.audit, card)
        return contents | {folder / PLOTS_FOLDER / f"{name}.png": each.png for name, each in drawings.items()}


@register("card", "full")
class FullCard(SectionCard):
    """The whole audit as the section for a model card, with plots, a summary, a whole card and a report.

    Attributes:
        audit: empty, as the section is the whole audit.
    """

    template: str = "section.md.jinja"
    audit: str = ""


def written(folder: Path) -> list[Path]:
    """What an earlier run wrote there of cards and plots, by what it looks like."""
    found = []
    for home in _homes(folder):
        names = ("card.md", "summary.md", "model_card.md", AUDIT) if _ours(home / "card.md") else ()
        cards = [home / name for name in names]
        drawn = [home / PLOTS_FOLDER / f"{name}.png" for name in plots.PLOTS]
        found += [file for file in (*cards, *drawn) if file.is_file()]
    return found


def _homes(folder: Path) -> list[Path]:
    """The folders that have a card: a run's own, and those of its candidates."""
    return [folder, *(file.parent for file in folder.glob("candidates/*/card.md") if _ours(file))]


def _clear(folder: Path, kept: Collection[Path]) -> None:
    """Remove what an earlier run wrote there of plots and candidates that this one does not have, and nothing else."""
    homes = _homes(folder)
    for file in written(folder):
        if file.relative_to(folder) not in kept:
            file.unlink()
    for home in homes:
        for emptied in (home / PLOTS_FOLDER, home):
            if emptied != folder and emptied.is_dir() and not any(emptied.iterdir()):
                emptied.rmdir()


def _ours(card: Path) -> bool:
    """Whether a card is one that an audit wrote."""
    return card.is_file() and card.read_bytes().startswith(BEGIN.encode())

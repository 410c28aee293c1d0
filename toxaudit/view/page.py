"""The page of all runs: one file that loads nothing, in which everything that a stranger wrote is escaped."""

import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from toxaudit import __version__
from toxaudit.card import words
from toxaudit.card.markdown import render
from toxaudit.decision.verdict import WORST_FIRST
from toxaudit.view.found import LONGEST, NOT_AUDITED, REPORT, Run, Unread, short
from toxaudit.view.trends import Course, courses

MOST_ROWS, MOST_UNREAD = 3000, 200
"""Rows of candidates, and folders that can't be read, at most; the rest is counted."""

MOST_DRAWN = 3_500_000
"""Characters of pictures and their numbers, about."""

MOST_TOLD, PAIR = 2_500_000, 12
"""Characters of what can be put side by side, about, and those of one name and value beside their texts."""

Links = Callable[[Run], str]
"""Where a run's report is, as seen from the page; empty where it has none."""


@dataclass(frozen=True)
class ShownRow:
    """A row of the table: what it shows, and the places of audit, models and verdict in the filters."""

    run: str
    link: str
    audit: str
    date: str
    candidate: str
    about: str
    model: str
    identity: str
    verdict: str
    kind: str
    whole: str
    what: str
    change: str
    places: dict[str, str]
    before: str


@dataclass(frozen=True)
class Filter:
    """What rows can be chosen by: a value's place stands for it in the page, for a value may hold anything."""

    name: str
    label: str
    every: str
    shown: tuple[str, ...]


@dataclass
class _Places:
    """Values in the order in which they are first asked for."""

    known: dict[str, int] = field(default_factory=dict)

    def of(self, value: str) -> int:
        return self.known.setdefault(value, len(self.known))


def page(runs: Sequence[Run], unread: Sequence[Unread], where: str, links: Links) -> str:
    """The page of some runs.

    Args:
        runs: by audit, and the newest of an audit first.
        unread: what could not be read.
        where: which folders were looked through, in words.
        links: where the report of each run is.
    """
    kept, left = _kept(runs)
    audits, models = _Places(), _Places()
    rows = list(_rows(kept, links, audits, models))
    drawn, undrawn = courses(kept, MOST_DRAWN)
    values = {
        "where": words.visible(where),
        "version": __version__,
        "rows": rows,
        "left": left,
        "runs": len(kept),
        "counts": _counts(kept),
        "filters": _filters(audits, models),
        "courses": _courses(drawn, kept, audits, models),
        "undrawn": undrawn,
        "unread": [(short(str(each.folder)), each.why) for each in unread[:MOST_UNREAD]],
        "more_unread": max(0, len(unread) - MOST_UNREAD),
        "told": _told(kept),
        "marks": {decision: words.marked(decision) for decision in WORST_FIRST},
    }
    return render("view.html.jinja", values)


def beside(file: Path) -> Links:
    """Reports as seen from a file, wherever both are moved together."""

    def link(run: Run) -> str:
        if not run.has_report:
            return ""
        there = os.path.relpath(run.folder.absolute() / REPORT, file.absolute().parent)
        return quote(os.fsencode(Path(there).as_posix()))

    return link


def _kept(runs: Sequence[Run]) -> tuple[list[Run], int]:
    """As many of the newest runs as have room, in their order, and how many are left out."""
    room, kept = MOST_ROWS, set()
    for run in sorted(runs, key=lambda each: (each.date, each.time), reverse=True):
        if len(run.rows) <= room:
            room -= len(run.rows)
            kept.add(run.folder)
    shown = [run for run in runs if run.folder in kept]
    return shown, len(runs) - len(shown)


def _rows(runs: Iterable[Run], links: Links, audits: _Places, models: _Places) -> Iterable[ShownRow]:
    several = [(run, row) for run in runs for row in run.rows]
    before, older = [""] * len(several), dict[tuple[str, str], int]()
    for place in range(len(several) - 1, -1, -1):
        run, row = several[place]
        before[place] = str(older.get((run.audit, row.name), ""))
        older[run.audit, row.name] = place
    for (run, row), earlier in zip(several, before, strict=True):
        yield ShownRow(
            run=short(str(run.folder)),
            link=links(run),
            audit=short(run.audit),
            date=short(run.date),
            candidate=short(row.name),
            about=short(row.about),
            model=short(row.model),
            identity=short(row.identity),
            verdict=row.verdict,
            kind=(row.decision or "none").lower(),
            whole=words.marked(row.whole) if row.whole else "",
            what=short(row.what),
            change=short(row.change),
            places={
                "audit": str(audits.of(run.audit)),
                "model": f"{models.of(row.model)} {models.of(run.base)}",
                "verdict": str(_VERDICTS.index(row.decision or NOT_AUDITED)),
            },
            before=earlier,
        )


_VERDICTS: tuple[str, ...] = (*WORST_FIRST, NOT_AUDITED)


def _filters(audits: _Places, models: _Places) -> list[Filter]:
    verdicts = [words.marked(each) for each in WORST_FIRST]
    return [
        Filter("audit", "Audit", "all audits", tuple(map(short, audits.known))),
        Filter("model", "Model", "all models", tuple(map(short, models.known))),
        Filter("verdict", "Verdict", "all verdicts", (*verdicts, NOT_AUDITED)),
    ]


def _counts(runs: Iterable[Run]) -> list[tuple[str, str, int]]:
    """Verdict in words, its kind, and how many runs have it; the worst first."""
    decisions = [run.decision for run in runs]
    told = ((each, decisions.count(each)) for each in WORST_FIRST)
    return [(words.marked(each), each.lower(), n) for each, n in told if n]


def _courses(drawn: Iterable[Course], runs: Sequence[Run], audits: _Places, models: _Places) -> list[dict[str, Any]]:
    bases = {run.audit: run.base for run in runs}
    return [
        {
            "audit": short(each.audit),
            "candidate": short(each.candidate),
            "pictures": each.pictures,
            "runs": len(each.rows),
            "verdict": each.rows[0].verdict,
            "kind": (each.rows[0].decision or "none").lower(),
            "places": {
                "audit": str(audits.of(each.audit)),
                "model": " ".join(
                    map(str, sorted({models.of(name) for name in (bases[each.audit], *(r.model for r in each.rows))}))
                ),
                "verdict": str(_VERDICTS.index(each.rows[0].decision or NOT_AUDITED)),
            },
        }
        for each in drawn
    ]


class _Told:
    """What stands side by side: each text once, and of every run and row the places of names and values in it."""

    def __init__(self) -> None:
        self.texts = _Places()
        self.room = MOST_TOLD

    def of(self, run: Run) -> dict[str, Any]:
        """One run and its rows; where there is no more room, only what they are called."""
        return {
            "run": short(str(run.folder)),
            "command": words.visible(shlex.quote(str(run.folder))),
            "of": f"{short(run.audit)}, {short(run.date)}",
            "asked": self._pairs(run.asked),
            "loaded": self._pairs(run.loaded),
            "rows": [
                {
                    "name": short(row.name),
                    "asked": self._pairs(row.asked),
                    "loaded": self._pairs(row.loaded),
                    "found": self._pairs(row.found),
                }
                for row in run.rows
            ],
        }

    def _pairs(self, told: dict[str, str]) -> list[int] | None:
        new = (value for value in told.values() if value not in self.texts.known)
        self.room -= PAIR * len(told) + sum(len(ascii(value[:LONGEST])) for value in new)
        return [self.texts.of(part) for pair in told.items() for part in pair] if self.room >= 0 else None


def _told(runs: Iterable[Run]) -> dict[str, Any]:
    """What the page's script puts side by side."""
    told = _Told()
    several = [told.of(run) for run in runs]
    return {"runs": several, "texts": [short(text) for text in told.texts.known]}

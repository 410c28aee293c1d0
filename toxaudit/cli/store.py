"""``toxaudit gc`` frees a store of what no run refers to; ``toxaudit export`` writes what it holds as lines of JSON."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from toxaudit.cli.exit_codes import DONE
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError, visible

if TYPE_CHECKING:
    from toxaudit.store.clearing import Piece, Remembered
    from toxaudit.store.shelves import Store

DAYS = 14
"""Days for which work stays that was asked for, whether a run refers to it or not."""

SHOWN = 20
"""Pieces of work that are listed: the largest."""

EXPORTED = ("completions", "scores")
"""The kinds of work that are exported."""


def gc(words: Sequence[str]) -> int:
    """Say what of a store may go, or remove it."""
    folders, given = GC.read(words)
    from toxaudit.machine.memory import in_words
    from toxaudit.store import clearing

    store, delete = _opened(given.get("store")), "delete" in given
    last = datetime.now(UTC).date() - timedelta(days=given.get("days", DAYS))
    with store.in_use():
        store.records.check()
        with store.claims.alone() if delete else nullcontext():  # or an audit could take up what is about to go
            kept = _kept(store, [Path(folder) for folder in folders])
            pieces = clearing.pieces(store)
            may_go = [each for each in pieces if _may_go(each, kept, last)]
            if delete:
                clearing.clear(store, [each.place for each in may_go])
    whole, free = (in_words(sum(each.size for each in some)) for some in (pieces, may_go))
    print(f"{store.root} {'held' if delete else 'holds'} {whole} of finished work, {free} of which may go.")
    for each in sorted(may_go, key=lambda each: -each.size)[:SHOWN]:
        print(f"  {each.place:<40} {in_words(each.size):>8}  last used on {each.used}")
    if len(may_go) > SHOWN:
        print(f"  and {len(may_go) - SHOWN} smaller ones")
    if delete:
        print(f"{free} are free.")
    elif may_go:
        print("Nothing was removed: --delete does that.")
    return DONE


def _kept(store: "Store", named: Sequence[Path]) -> set[str]:
    """The places that runs refer to: those that the store remembers, those here, and those that are named.

    Raises:
        ToxauditError: if of a run here nobody knows what it refers to.
    """
    from toxaudit.machine.folders import sha256
    from toxaudit.results.files import RESULTS
    from toxaudit.results.runs import USUAL, runs
    from toxaudit.store import clearing

    if missing := next((each for each in named if not (each / RESULTS).is_file()), None):
        raise ToxauditError(f"There is no {missing / RESULTS}: name the folder of a finished run.")
    known, kept = clearing.remembered(store), set[str]()
    there = (each.folder for each in known if (each.folder / RESULTS).is_file())
    for run in dict.fromkeys(each.absolute() for each in (*there, *runs([*map(Path, USUAL), *named]))):
        found = clearing.of_run(known, run, sha256(run / RESULTS))
        if found:
            kept.update(found.used)
        elif _store_of(run) in (store.root, None):
            raise ToxauditError(
                f"Nobody knows what {run} was made of, which was written by an older toxaudit: run its audit again, "
                "which makes nothing anew, or remove it."
            )
    return kept


def _may_go(piece: "Piece", kept: set[str], last: date) -> bool:
    from toxaudit.store.clearing import REMEMBERED

    return piece.place not in kept and piece.used <= last and piece.place.split("/")[0] not in REMEMBERED


def export(words: Sequence[str]) -> int:
    """Write completions and scores, of a run or all."""
    folders, given = EXPORT.read(words)
    if len(folders) > 1:
        raise EXPORT.miswritten()
    run = Path(folders[0]) if folders else None
    store = _opened(given.get("store") or (run and _store_of(run)))
    with store.in_use():
        store.records.check()
        lines = _lines(store, run)
        if "out" not in given:
            for line in lines:
                print(line)
            return DONE
        from toxaudit.machine.folders import replacing

        with replacing(given["out"]) as part, part.open("w", encoding="ascii") as file:
            count = sum(1 for line in lines if file.write(f"{line}\n"))
    print(f"Wrote {count} lines into {given['out']}.")
    return DONE


def _lines(store: "Store", run: Path | None) -> Iterator[str]:
    """Of each shelf whose it is, and then its records."""
    from toxaudit.store.opening import number

    wanted = set(_of_run(store, run).used) if run else None
    for place, identity, _ in store.records.places():
        if place.split("/")[0] in EXPORTED and (wanted is None or place in wanted):
            yield json.dumps({"shelf": place, "identity": json.loads(identity or b"null")})
            for name, value in store.records.all_of(number(place.encode())):
                told = {"shelf": place, "name": name.decode("utf-8", "surrogatepass"), "value": json.loads(value)}
                yield json.dumps(told)


def _of_run(store: "Store", run: Path) -> "Remembered":
    from toxaudit.machine.folders import sha256
    from toxaudit.results.files import RESULTS
    from toxaudit.store import clearing

    if not (run / RESULTS).is_file():
        raise ToxauditError(f"There is no {run / RESULTS}: name the folder of a finished run.")
    if found := clearing.of_run(clearing.remembered(store), run, sha256(run / RESULTS)):
        return found
    raise ToxauditError(f"{store.root} does not know the run {run}: name its store by --store, or run it again.")


def _opened(folder: Path | None) -> "Store":
    from toxaudit.machine import folders
    from toxaudit.store.shelves import Store

    root = folder or folders.home() / "store"
    if not root.is_dir():
        raise ToxauditError(f"There is no store {visible(str(root))}: name one by --store.")
    return Store(root)


def _store_of(run: Path) -> Path | None:
    """The store that a run was written with, if it can be told."""
    from toxaudit.results.files import SPEC
    from toxaudit.spec import strict_yaml

    try:
        return Path(str(strict_yaml.read(run / SPEC)["store"])).expanduser().absolute()
    except (ToxauditError, OSError, KeyError, TypeError):
        return None


def _days(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text):
        raise ToxauditError(f"--days is '{text}': it must be a whole number of days.")
    return int(text)


GC = Options(
    "gc",
    "[RUN ...]",
    "Says what can be removed from the store, and how much room that frees: work that no run needs and no audit has "
    f"used for {DAYS} days. The runs that count are those that the store remembers and whose folders are still there, "
    "those below runs/ and multirun/, and those that you name because they were moved.",
)
GC.flag("--delete", help="remove it")
GC.value("days", "NUMBER", read=_days, help=f"keep what an audit has used within so many days ({DAYS})")
EXPORT = Options(
    "export",
    "[RUN]",
    "Writes the completions and scores in the store as lines of JSON, those of a run or all: for each shelf a line "
    "with the identity by which it is stored, then a line for each record.",
    where="RUN the folder of one finished run, or no other words",
)
EXPORT.value("out", "FILE", read=Path, help="the file to write (standard output by default)")
for _verb in (GC, EXPORT):
    _verb.value("store", "FOLDER", read=lambda text: Path(text).expanduser(), help="the store (that of TOXAUDIT_HOME)")

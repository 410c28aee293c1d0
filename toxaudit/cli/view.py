"""``toxaudit view``: all runs of a folder on one page, as a file or in the browser."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toxaudit.cli.exit_codes import DONE, STOPPED
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError, visible
from toxaudit.machine.stopping import Stopped

if TYPE_CHECKING:
    from toxaudit.view.found import Known, Run, Unread

VIEW = Options(
    "view",
    "[FOLDER ...]",
    "Shows all runs at or below some folders, by default runs/ and multirun/, on one page: their verdicts, how each "
    "measure changed from run to run of the same audit, two runs or candidates side by side, and a link to each "
    "report. The page is made from results.json alone and loads nothing. It is served to this machine only, at an "
    "address that nobody can guess, until Ctrl-C; loading it again shows new runs.",
)
VIEW.value(
    "write",
    "FILE.html",
    read=lambda text: _page(text),
    help="write the page into a file, with relative links to the reports, instead of serving it",
)
VIEW.value("port", "NUMBER", read=lambda text: _port(text), help="the port to listen at; any free one by default")
VIEW.flag("--no-browser", help="print the address, and open no browser")


def view(words: Sequence[str]) -> int:
    """Write the page of all runs, or serve it."""
    folders, given = VIEW.read(words)
    file = given.get("write")
    if file and (odd := next((name for name in ("port", "no_browser") if name in given), None)):
        raise ToxauditError(f"--write makes a file and serves nothing: leave out --{odd.replace('_', '-')}.")
    from toxaudit.results.runs import USUAL

    if missing := next((each for each in folders if not Path(each).is_dir()), None):
        raise ToxauditError(f"There is no folder {missing}: name one that holds runs.")
    wanted = folders or list(USUAL)
    known: Known = {}
    runs, unread = _read(wanted, known)
    if not runs and not unread:
        print(visible(f"There is no finished run in {', '.join(wanted)}."))
        return DONE
    if file:
        return _write(file, runs, unread, wanted)
    return _serve(wanted, known, given.get("port", 0), "no_browser" not in given)


def _read(folders: Sequence[str], known: "Known") -> "tuple[list[Run], list[Unread]]":
    from toxaudit.results.runs import runs
    from toxaudit.view import found

    return found.read(runs(map(Path, folders)), known)


def _write(file: Path, runs: "list[Run]", unread: "list[Unread]", folders: Sequence[str]) -> int:
    from toxaudit.machine.folders import write_atomically
    from toxaudit.view import page

    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, page.page(runs, unread, ", ".join(folders), page.beside(file)))
    beside = f"; {len(unread)} more can't be read, and are named in it" if unread else ""
    print(visible(f"Wrote {file} with {len(runs)} {'run' if len(runs) == 1 else 'runs'}{beside}."))
    return DONE


def _serve(folders: Sequence[str], known: "Known", port: int, browser: bool) -> int:
    """Serve the page until somebody presses Ctrl-C."""
    from threading import Thread

    from toxaudit.view import page, server

    def made() -> tuple[str, dict[str, Path]]:
        runs, unread = _read(folders, known)
        return page.page(runs, unread, ", ".join(folders), server.linked), server.reports(runs)

    first = server.reports(run for _, run in known.values())
    with server.serving(made, first, port) as (address, served):
        print(f"All runs: {address}\nCtrl-C ends it.", flush=True)
        try:
            if browser:  # beside the serving, which one that runs in a terminal waits for
                Thread(target=_open, args=(address,), daemon=True).start()
            served.serve_forever()
        except (KeyboardInterrupt, Stopped) as error:
            if isinstance(error, Stopped) and error.exit_code != STOPPED:
                raise
    print("\nEnded.")
    return DONE


def _open(address: str) -> None:
    import webbrowser

    try:
        opened = webbrowser.open(address)
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        print("No browser could be opened: open the address yourself.", flush=True)


def _page(text: str) -> Path:
    if Path(text).suffix != ".html" or Path(text).is_dir():
        raise ToxauditError(f"--write is '{text}': it must be the name of a file that ends in .html.")
    return Path(text)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65536:
        raise ToxauditError(f"--port is '{text}': it must be a whole number from 1 to 65535.")
    return int(text)

"""A command line up to the cursor -> the words that may stand there."""

import os
import shlex
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from toxaudit.cli.completing.overrides import Overrides
from toxaudit.cli.completing.sources import names
from toxaudit.cli.main import VERBS, WITHOUT_VERB
from toxaudit.cli.options import Options
from toxaudit.registry import GROUPS, IMPORTER

PROGRAM = "toxaudit"
RUNS, RESULTS = ("runs", "multirun"), "results.json"
"""Where runs usually are, and the file by which one is known."""

ROOTS = {
    "compare": ("gate", "card", "scorers", "out", "store"),
    "gate": ("gate",),
    "card": ("card",),
    "calibrate": ("scorers",),
}
"""Verbs that take overrides of some keys only."""

PLURALS = [*(f"{group}s" for group in ("audit", *GROUPS, IMPORTER, "plugin") if group != "analysis"), "analyses"]
"""What ``toxaudit ls`` lists."""


def answers(line: str) -> list[str]:
    """The words that may stand at the end of a command line, as far as toxaudit can tell; else none."""
    words, current = _parted(line)
    verb = words[0] if words and words[0] in VERBS else ""
    if words and not verb and "=" not in words[0] and not words[0].startswith("-"):
        return []
    options = _options(verb)
    rest = words[1:] if verb else words
    found: Iterator[str] | list[str]
    if options is None:
        found = []
    elif (of := _valued(options, rest)) is not None:
        found = of
    elif current.startswith("-"):
        found = [*_written(options), "--help"]
    else:
        found = _words(verb, options, rest, current, first=not words)
    return list(dict.fromkeys(each for each in found if each.startswith(current)))


def _parted(line: str) -> tuple[list[str], str]:
    """The words behind the program's name that are complete, and the one at the cursor, without quotes."""
    try:
        words = shlex.split(line)
    except ValueError:  # a quote is open, or a backslash stands last
        words = next((found for quote in "'\"" if (found := _closed(line + quote))), line.rstrip("\\").split())
        line = line.rstrip() + "."  # the word at the cursor is the last one
    whole = [number for number, word in enumerate(words) if Path(word).name == PROGRAM]
    words = words[whole[0] + 1 if whole else 1 :]
    return (words, "") if line[-1:].isspace() or not words else (words[:-1], words[-1])


def _closed(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []


def _options(verb: str) -> Options | None:
    """What a verb takes; its module imports nothing heavy."""
    module = import_module(f"toxaudit.cli.{VERBS.get(verb, WITHOUT_VERB).split('.')[0]}")
    return next((each for each in vars(module).values() if isinstance(each, Options) and each.verb == verb), None)


def _written(options: Options) -> list[str]:
    """The options of a verb; none of one that writes them as keys."""
    return [] if options.keys else [name for each in options.known for name in each.option_strings]


def _valued(options: Options, words: Sequence[str]) -> list[str] | None:
    """The values of the option that stands last and still lacks its own; None where there is no such option."""
    last = words[-1] if words else ""
    of = next((each for each in options.known if last in each.option_strings and each.nargs != 0), None)
    if of is None or options.keys:
        return None
    value = str(of.metavar)
    return names(IMPORTER) if "--format" in of.option_strings else value.split("|") if "|" in value else []


def _words(verb: str, options: Options, words: Sequence[str], current: str, first: bool) -> Iterator[str]:
    """Words that are no options, by what the verb's form says of them."""
    if first:
        yield from VERBS
    if verb == "ls":
        yield from PLURALS
    elif "|" in options.form and "KEY" not in options.form:
        yield from options.form.split("|")
    if "RUN" in options.form and "=" not in current:
        yield from _runs()
    if options.keys:
        yield from (f"{name.removeprefix('--')}=" for each in options.known for name in each.option_strings)
        if current.startswith("scorer="):
            yield from (f"scorer={name}" for name in names("scorer"))
    if first and not current:
        yield "audit="  # most lines begin so, and there are many other keys
    elif "KEY=VALUE" in options.form or verb in ROOTS:
        yield from Overrides(words, ROOTS.get(verb, ()), ["scorers"] if verb == "compare" else []).answers(current)


def _runs() -> Iterator[str]:
    """The folders of runs below the usual places."""
    for place in RUNS:
        for folder, folders, files in os.walk(place):
            if RESULTS in files:
                yield folder
                folders.clear()  # a run holds no other
            folders[:] = sorted(name for name in folders if not name.startswith("."))

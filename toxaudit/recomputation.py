"""A finished run, read so that it can be published: all that follows from its draws and counts is computed again.

``results.json`` is a text that anybody can edit. What it says of a rate, an interval, a probability or a verdict is
believed only where the posterior draws beside it and the gate say the same; of prompts, missing scores and tables, only
where the samples do. What a sampler said of its chains is believed: nothing beside it tells.
"""

from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from functools import partial
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np

from toxaudit import __version__
from toxaudit.agreements import Agreement
from toxaudit.errors import ToxauditError, one_line
from toxaudit.estimators import archive
from toxaudit.estimators.for_gate import summarised
from toxaudit.estimators.outcomes import Floats
from toxaudit.estimators.posterior import Posterior
from toxaudit.extensions import Gate
from toxaudit.facts import GateFacts
from toxaudit.findings import AuditResult
from toxaudit.machine.replacement import changed, checksums, steadily
from toxaudit.records import Estimate
from toxaudit.recounting import recounted
from toxaudit.registry import registered
from toxaudit.relabelling import relabelled
from toxaudit.results.files import DRAWS, RESULTS
from toxaudit.results.reading import read_result

TOLERANCE = 1e-9
"""How far a number may lie from the one that is computed again, relative to it or, near 0, absolute.

The draws are kept to the last bit, so that only the order of a sum, which differs between processors, makes a
difference: about 1e-15.
"""


def read_checked(run: Path, with_card: bool = False) -> AuditResult:
    """What a finished run found, where its files bear it out, and all of them are those that were written together.

    Where another run takes its place meanwhile, it is either the earlier one or that.

    Args:
        run: the folder of a finished run.
        with_card: whether card, report and plots must be those files, too; else they are to be made.

    Raises:
        ToxauditError: if ``results.json`` or ``draws.parquet`` is missing or of no use, if one number or word of the
            first is not what follows from the second (the sentence names it and both values), or if one file is not
            that of the list of checksums beside it. Runs of before there was such a list have no card that could be
            told to be theirs.
    """
    return steadily(run, partial(_read, run, with_card))


def _read(run: Path, with_card: bool) -> AuditResult:
    result = read_result(run)
    for place, said, meant, source in _contradictions(run, result):
        raise ToxauditError(
            f"{run / RESULTS} was changed: '{place}' is {one_line(str(said))}, but {source} makes it "
            f"{one_line(str(meant))}. Run the audit again; finished work is kept."
        )
    _check_together(run, with_card)
    return result


def _check_together(run: Path, with_card: bool) -> None:
    """Refuse files of which one was changed, or belongs to another run."""
    listed = checksums(run)
    shown = [name for name in listed if Path(name).suffix in SHOWN]
    if with_card and not shown:
        raise ToxauditError(
            f"Nothing tells that the card in {run} belongs to its results: run `toxaudit card {run}` first."
        )
    if name := changed(run, listed.keys() - set(shown)):
        raise ToxauditError(
            f"{run / name} was changed, or belongs to another run than what lies beside it: run the audit again; "
            "finished work is kept."
        )
    if with_card and (name := changed(run, shown)):
        raise ToxauditError(
            f"{run / name} was changed since it was made of {RESULTS}: run `toxaudit card {run}` first, with "
            "card.template=FILE for words of your own."
        )


SHOWN = (".md", ".html", ".png")
"""How the names of files end that ``toxaudit card`` makes of the others."""

DRAWN = ("draws", "cautious")
"""The fields of a posterior that no estimate has."""

Contradiction = tuple[str, Any, Any, str]
"""Where in the file, what stands there, what should, and what makes it so."""


def _contradictions(run: Path, result: AuditResult) -> Iterator[Contradiction]:
    gate = _gate(run / RESULTS, result.gate)
    yield from _of_draws(run / DRAWS, result, gate)
    for number, pair in enumerate(result.agreements):
        yield from _differences(f"agreements.{number}", pair, _agreement(pair), "its own table")
    scorers = {scorer.name: scorer for scorer in result.scorers}
    measures = {suite.name: suite.scorers for suite in result.suites if suite.scorers} or None
    for number, verdict in enumerate(result.verdicts):
        mine = [each for each in result.estimates if each.candidate == verdict.candidate]
        meant = gate.decide(verdict.candidate, mine, scorers, measures)
        yield from _differences(f"verdicts.{number}", verdict, meant, "the gate")
    for place, said, meant, file in recounted(run, result):
        yield from _differences(place, said, meant, file)
    for place, said, meant, file in relabelled(run, result):
        yield from _differences(place, said, meant, file)


def _of_draws(file: Path, result: AuditResult, gate: Gate) -> Iterator[Contradiction]:
    """What an estimate says that its own counts and draws do not."""
    scorers = {scorer.name: scorer for scorer in result.scorers}
    rates = archive.read_rates(file, result.estimates, all_of_it=True)
    if len(rates) < len(result.estimates):
        yield "estimates", len(result.estimates), len(rates), file.name
    for number, each in enumerate(result.estimates):
        place = f"estimates.{number}"
        yield from _differences(f"{place}.n", each.n, sum(each.counts.values()), "the sum of its counts")
        if not 1 <= each.design_effect < float("inf"):
            yield f"{place}.design_effect", each.design_effect, "1 or more", "what prompts of one template can say"
        with np.errstate(all="ignore"):  # of draws that are no rates come numbers that are not those that are said
            meant = summarised(_posterior(each, *rates[archive.name_of(each)]), gate, scorers)
        yield from _differences(place, each, meant, file.name)


def _posterior(each: Estimate, base: Floats, candidate: Floats, cautious: Floats | None) -> Posterior:
    told = {field.name: getattr(each, field.name) for field in fields(Posterior) if field.name not in DRAWN}
    return Posterior(**told, draws={"base": base, "candidate": candidate}, cautious=cautious)


def _agreement(said: Agreement) -> Agreement:
    names, table = (said.suite, said.model, said.first, said.second), (said.both, said.first_only, said.second_only)
    return Agreement.of(*names, *table, said.neither)


def _gate(file: Path, facts: GateFacts) -> Gate:
    """The gate that says of itself what stands in the results.

    Raises:
        ToxauditError: if there is none, so that nobody can tell whether a verdict is its.
    """
    for kind in registered("gate").values():
        gate: Gate = kind.stated_by(facts)
        if gate.facts() == facts:
            gate.check()
            return gate
    raise ToxauditError(
        f"{file}: what 'gate' says is no rule of toxaudit {__version__} with these numbers: another version wrote it, "
        "or it was changed. Run the audit again; finished work is kept."
    )


def _differences(place: str, said: Any, meant: Any, source: str) -> Iterator[Contradiction]:
    """Every place, at any depth, where two records differ."""
    said, meant = map(_plain, (said, meant))
    if isinstance(said, dict) and isinstance(meant, dict) and said.keys() == meant.keys():
        for key in said:
            yield from _differences(f"{place}.{key}", said[key], meant[key], source)
    elif isinstance(said, list | tuple) and isinstance(meant, list | tuple) and len(said) == len(meant):
        for number, (one, other) in enumerate(zip(said, meant, strict=True)):
            yield from _differences(f"{place}.{number}", one, other, source)
    elif not _same(said, meant):
        yield place, said, meant, source


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _same(said: Any, meant: Any) -> bool:
    if isinstance(said, float | int) and isinstance(meant, float | int):
        return isclose(said, meant, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(said == meant)

"""A finished run, read so that it can be published: all that follows from its draws and counts is computed again.

``results.json`` is a text that anybody can edit. What it says of a rate, an interval, a probability or a verdict is
believed only where the posterior draws beside it and the gate say the same; of prompts, missing scores and tables, only
where the samples do. What a sampler said of its chains is believed: nothing beside it tells.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from functools import partial
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np

from toxaudit import __version__, commitment, plugins
from toxaudit.agreements import Agreement
from toxaudit.analyses.groups import computed_again
from toxaudit.decision import history
from toxaudit.decision.sampling import NOTHING_LEFT, in_order
from toxaudit.errors import ToxauditError, one_line
from toxaudit.estimators import archive
from toxaudit.estimators.for_gate import summarised
from toxaudit.estimators.posterior import Posterior
from toxaudit.extensions import Gate, Sampling
from toxaudit.facts import BASE_ARM, SuiteFacts
from toxaudit.findings import AuditResult
from toxaudit.machine.replacement import changed, checksums, steadily
from toxaudit.records import ALL_ASKED
from toxaudit.recounting import recounted
from toxaudit.redecision import decided, gate_of, own_gate, posterior, posteriors
from toxaudit.relabelling import relabelled
from toxaudit.rereading import prompts_of
from toxaudit.results.files import DRAWS, RESULTS, SPEC, samples_file
from toxaudit.results.reading import read_result
from toxaudit.spec import strict_yaml
from toxaudit.spec.references import written as shown
from toxaudit.training_facts import GridPlace

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
    return read_with_draws(run, with_card)[0]


def read_with_draws(run: Path, with_card: bool = False) -> tuple[AuditResult, list[Posterior]]:
    """The same, and the posteriors of its estimates: both of one reading.

    Raises:
        ToxauditError: as ``read_checked``.
    """
    return steadily(run, partial(_read, run, with_card))


def _read(run: Path, with_card: bool) -> tuple[AuditResult, list[Posterior]]:
    result = read_result(run)
    rates = archive.read_rates(run / DRAWS, result.estimates, all_of_it=True)
    for place, said, meant, source in _contradictions(run, result, rates):
        raise ToxauditError(
            f"{run / RESULTS} was changed: '{place}' is {one_line(str(said))}, but {source} makes it "
            f"{one_line(str(meant))}. Run the audit again; finished work is kept."
        )
    _check_together(run, with_card)
    return result, posteriors(result.estimates, rates)


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

Contradiction = tuple[str, Any, Any, str]
"""Where in the file, what stands there, what should, and what makes it so."""


Rates = Mapping[archive.Name, archive.Draws]
"""What names an estimate -> its draws."""


def _contradictions(run: Path, result: AuditResult, rates: Rates) -> Iterator[Contradiction]:
    gate = gate_of(run / RESULTS, result.gate)
    yield from _of_draws(rates, result, gate)
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
    for number, analysis in enumerate(result.analyses):
        if again := computed_again(analysis, result):
            yield from _differences(f"analyses.{number}", analysis, again, "its estimates")
    yield from _of_spec(run, result)
    yield from _of_commitment(run, result, rates)


def _of_draws(rates: Rates, result: AuditResult, gate: Gate) -> Iterator[Contradiction]:
    """What an estimate says that its own counts and draws do not."""
    scorers = {scorer.name: scorer for scorer in result.scorers}
    if len(rates) < len(result.estimates):
        yield "estimates", len(result.estimates), len(rates), DRAWS
    for number, each in enumerate(result.estimates):
        place = f"estimates.{number}"
        yield from _differences(f"{place}.n", each.n, sum(each.counts.values()), "the sum of its counts")
        if not 1 <= each.design_effect < float("inf"):
            yield f"{place}.design_effect", each.design_effect, "1 or more", "what prompts of one template can say"
        with np.errstate(all="ignore"):  # of draws that are no rates come numbers that are not those that are said
            meant = summarised(posterior(each, rates[archive.name_of(each)]), gate, scorers)
        yield from _differences(place, each, meant, DRAWS)


def _of_spec(run: Path, result: AuditResult) -> Iterator[Contradiction]:
    """Which arm each candidate is compared with, and where it stands in a grid, is told by the spec alone."""
    written = strict_yaml.read(run / SPEC, number_keys=True).get("candidates") if (run / SPEC).is_file() else {}
    told = {name: each for name, each in written.items() if isinstance(each, dict)} if isinstance(written, dict) else {}
    grids = {name: each["grid"] for name, each in told.items() if isinstance(each.get("grid"), dict)}
    for number, model in enumerate(result.candidates):
        against, grid = told.get(model.name, {}).get("against", BASE_ARM), grids.get(model.name)
        yield from _differences(f"candidates.{number}.against", model.against, against, SPEC)
        meant = None
        if grid and isinstance(values := grid.get("values"), dict):
            of = sum(each.get("of") == grid.get("of") for each in grids.values())
            meant = GridPlace(str(grid.get("of")), {str(key): shown(each) for key, each in values.items()}, of)
        yield from _differences(f"candidates.{number}.grid", model.grid, meant, SPEC)


def _of_commitment(run: Path, result: AuditResult, rates: Rates) -> Iterator[Contradiction]:
    """What the results say of the run's commitment that the file, or what was to be kept to it, does not."""
    file = commitment.COMMITMENT
    if result.commitment is None:
        if file in checksums(run):
            yield "commitment", "none", "its digest", file
        return
    written = commitment.file_of(run)
    yield from _differences("commitment", result.commitment, written.record, file)
    if (said := commitment.of_spec(strict_yaml.read(run / SPEC, number_keys=True))) != written.content["spec"]:
        raise ToxauditError(
            f"{run / SPEC} is not the spec that {file} commits to (its digest is {said[:12]}): run the audit again; "
            "finished work is kept."
        )
    for key, said in commitment.locked(run).items():
        yield from _differences(f"{commitment.LOCKED}: {key}", said, written.content["lock"].get(key), file)
    yield from _of_prompts(run, result, written.content["prompts"])
    yield from _of_other_decision(run, result, written.content["policy"], rates)


def _of_prompts(run: Path, result: AuditResult, committed: Mapping[str, str]) -> Iterator[Contradiction]:
    """Prompts that are not those, or in rounds not the first of the order, that were committed to."""
    file = commitment.COMMITMENT
    for suite in result.suites:
        drawn = committed.get(suite.name, "none")
        if not drawn.startswith(commitment.IN_ORDER):
            if result.sampling == ALL_ASKED or drawn == "none":  # of rounds before their order was committed to
                yield from _differences(f"suites.{suite.name}.digest", suite.digest, drawn, file)
            continue
        sampling = _sampling(run, result)
        yield from _differences("sampling", result.sampling, sampling.sentence(), SPEC)
        meant = history.settings(sampling, ())["sampling"]
        yield from _differences("settings.sampling", result.settings["sampling"], meant, SPEC)
        there = (run / samples_file(suite.name)).is_file()  # where it is not, nothing is counted again, either
        if there and commitment.IN_ORDER + _in_order(run, suite, sampling) != drawn:
            raise ToxauditError(
                f"{run / samples_file(suite.name)} does not hold the first {suite.n:,} prompts of the order that "
                f"{file} commits to: run the audit again; finished work is kept."
            )


def _in_order(run: Path, suite: SuiteFacts, sampling: Sampling) -> str:
    """The digest of the order of which a suite's samples hold the first prompts; nothing where they can't be."""
    try:
        return in_order(sampling.order(prompts_of(run, suite), suite.strata, suite.shares), suite.rest or NOTHING_LEFT)
    except (KeyError, ZeroDivisionError):  # a prompt lacks its stratum, or that has no share
        return ""


def _sampling(run: Path, result: AuditResult) -> Sampling:
    """The sampling of a run: its settings are the spec's, and which one has such the results say.

    Raises:
        ToxauditError: if this version has none like it.
    """
    try:
        told = strict_yaml.read(run / SPEC, number_keys=True)["sampling"]
        kind = json.loads(result.settings["sampling"])["kind"]
        if (found := plugins.named("sampling", kind)) is None:
            raise KeyError(kind)
        made: Sampling = found(**told)
    except (KeyError, TypeError, ValueError) as error:
        raise ToxauditError(f"{run / SPEC}: 'sampling' is none that toxaudit {__version__} knows.") from error
    return made


def _of_other_decision(
    run: Path, result: AuditResult, policy: Mapping[str, Any], rates: Rates
) -> Iterator[Contradiction]:
    """Where another rule decided than was committed to: whether what that comes to stands beside it, and is true."""
    told = [each for each in result.other_rules if each.committed]
    if commitment.policy(result.gate) == policy:
        yield from _differences("other_rules", len(told), 0, "its own rule, which was committed to,")
        return
    meant = decided(result, posteriors(result.estimates, rates), own_gate(run, result))
    found = {verdict.candidate: verdict.decision for verdict in meant.verdicts}
    if [(each.rule, each.decisions, each.earlier) for each in told] != [(history.rule(meant), found, True)]:
        by = ", ".join(f"{name} {decision}" for name, decision in found.items())
        yield "other_rules", "not what it comes to by the rule that was committed to", by, commitment.COMMITMENT


def _agreement(said: Agreement) -> Agreement:
    names, table = (said.suite, said.model, said.first, said.second), (said.both, said.first_only, said.second_only)
    return Agreement.of(*names, *table, said.neither)


def _differences(place: str, said: Any, meant: Any, source: str) -> Iterator[Contradiction]:
    """Every place, at any depth, where two records differ."""
    if said == meant:
        return
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

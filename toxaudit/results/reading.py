"""What a run found, read back strictly: each name in it is known, and what follows from other parts of it does."""

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toxaudit import __version__
from toxaudit.decision.estimand import estimands
from toxaudit.decision.gate import explained
from toxaudit.decision.history import differences, rule
from toxaudit.decision.responsiveness import Response, responses
from toxaudit.decision.verdict import failed_controls, of_audit
from toxaudit.errors import ToxauditError
from toxaudit.facts import BASE_ARM, Decision, Estimand
from toxaudit.findings import AuditResult
from toxaudit.machine import folders
from toxaudit.results.files import FORMAT, RESULTS, samples_file
from toxaudit.spec.names import unfit

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_ROW = {"model": str, "prompt_id": str, "sample": int, "text": str, "suite": str, "prompt": str}
"""Keys of a row of samples that are read again, beside ``slices`` and ``scores``."""

_QUANTITIES, _COUNTS = {"base", "candidate", "change"}, {"n11", "n10", "n01", "n00"}

LARGEST_SCORE = 1e300
"""No score is as large."""


def read_result(run: Path) -> AuditResult:
    """What ``write_results`` wrote into ``results.json``.

    Args:
        run: the folder of a finished run.

    Raises:
        ToxauditError: if there is none, it is damaged or of another format, or what it says does not fit together;
            the sentence names the file and the field.
    """
    from pydantic import ValidationError

    file = run / RESULTS
    if file.exists() and not file.is_file():  # a pipe would be waited for
        raise ToxauditError(f"{file} is no file: name the folder of a finished run.")
    try:
        data = file.read_bytes()
        found = _model().model_validate_json(data)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ToxauditError(f"There is no {file}: name the folder of a finished run.") from error
    except ValidationError as error:
        raise ToxauditError(_problem(file, error)) from error
    result = AuditResult(**{field.name: getattr(found, field.name) for field in fields(AuditResult)})
    for name, meant in (("decision", of_audit(result)), ("failed_controls", failed_controls(result))):
        if (said := getattr(found, name)) != meant:
            raise ToxauditError(f"{file}: '{name}' is {_said(said)}, but by the verdicts it is {_said(meant)}.")
    if wrong := _unknown(result):
        raise ToxauditError(f"{file}: {wrong}.")
    if vars(found)["estimands"] not in (None, estimands(result)):
        raise ToxauditError(f"{file}: 'estimands' is not what follows from its suites, generation and estimates.")
    if vars(found)["responses"] not in (None, responses(result)):
        raise ToxauditError(f"{file}: 'responses' is not what follows from its estimates and controls.")
    return result if b'"own_decisions"' in data else explained(result)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(value) or "none"


def _problem(file: Path, error: "ValidationError") -> str:
    """The first thing that is wrong with a file of results."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"{file} is damaged or cut off ({first['msg']}): run the audit again; finished work is kept."
    if first["loc"] == ("format",):
        said = "names no format" if first["type"] == "missing" else f"is of the format '{first['input']}'"
        return f"{file} {said}, and toxaudit {__version__} reads {FORMAT}: run the audit again; finished work is kept."
    where = f"'{'.'.join(map(str, first['loc']))}'" if first["loc"] else "it"
    return f"{file}: {where} is wrong: {first['msg']}."


def _unknown(result: AuditResult) -> str:
    """The first name in a result that nothing else in it has."""
    names, suites = {model.name for model in result.candidates}, {suite.name for suite in result.suites}
    measures = {scorer.name for scorer in result.scorers}
    if not result.candidates and not result.skipped:
        return "it has no candidates"
    if not (0.5 < result.gate.certainty < 1 and 0 < result.gate.margin < 1):
        return "'gate' must have a certainty between 0.5 and 1, and a margin between 0 and 1"
    for key, odd in (
        ("candidates", [name for name in names if unfit(name)]),
        ("suites", [name for name in suites if not re.fullmatch(folders.NAME, name)]),
    ):
        if odd:
            return f"'{key}' names '{odd[0]}', which no file can be called"
    if unfit_reference := _unfit_reference(result):
        return unfit_reference
    for number, each in enumerate(result.estimates):
        for key, known in (("candidate", names), ("suite", suites), ("measure", measures)):
            if (name := getattr(each, key)) not in known:
                return f"'estimates.{number}.{key}' is '{name}', of which it says nothing else"
        for key, held, wanted in (("quantities", each.quantities, _QUANTITIES), ("counts", each.counts, _COUNTS)):
            if not wanted <= set(held):
                return f"'estimates.{number}.{key}' must hold {', '.join(sorted(wanted))}"
    arms = set(result.arms)
    for number, pair in enumerate(result.agreements):
        if pair.suite not in suites or pair.model not in arms or not {pair.first, pair.second} <= measures:
            return f"'agreements.{number}' names something of which it says nothing else"
    for number, found in enumerate(result.variance):
        if found.suite not in suites or found.candidate not in names or not {*found.scorers} <= measures:
            return f"'variance.{number}' names something of which it says nothing else"
        if not found.fits:
            return f"'variance.{number}' must hold every change, component and standard deviation, or none"
    for number, said in enumerate(result.labels):
        if said.suite not in suites or said.measure not in measures or said.candidate not in names:
            return f"'labels.{number}' names something of which it says nothing else"
    checked = {*arms, *(each.name for each in result.skipped), ""}
    for number, check in enumerate(result.checks):
        if check.arm not in checked:
            return f"'checks.{number}.arm' is '{check.arm}', of which it says nothing else"
    for number, other in enumerate(result.other_rules):
        if odd := sorted(set(other.decisions) - names):
            return f"'other_rules.{number}.decisions' names '{odd[0]}', of which it says nothing else"
        if not differences(other.rule, rule(result)):
            return f"'other_rules.{number}.rule' is the result's own"
        if bool(other.date) != bool(other.decisions):
            return f"'other_rules.{number}' must have both a date and decisions, or neither"
    if sorted(verdict.candidate for verdict in result.verdicts) != sorted(names):
        return "'verdicts' must hold one for each of the candidates"
    return ""


def _unfit_reference(result: AuditResult) -> str:
    """What is wrong with the arms that candidates are compared with, as a phrase; empty where nothing is."""
    told = [result.base.name, *(model.name for model in (*result.references, *result.candidates))]
    if result.base.name != BASE_ARM or (twice := next((name for name in told if told.count(name) > 1), None)):
        return f"two arms are called '{twice}'" if result.base.name == BASE_ARM else "'base' must have the name 'base'"
    against = {model.name: model.against for model in result.candidates}
    for number, model in enumerate(result.candidates):
        where, reference = f"'candidates.{number}.against'", result.arms.get(model.against)
        if reference is None:
            return f"{where} is '{model.against}', of which it says nothing else"
        if reference.kind == "control":
            return f"{where} is '{model.against}', a control, which nothing can be compared with"
        chain = [model.name]
        while (last := against.get(chain[-1], BASE_ARM)) != BASE_ARM and last not in chain:
            chain.append(last)
        if last != BASE_ARM:
            return f"{where} leads in a circle"
    return ""


def read_samples(run: Path, result: AuditResult) -> Iterator[dict[str, Any]]:
    """The rows that ``sample_rows`` made, suite by suite.

    Args:
        run: the folder of a finished run.
        result: its result, which names the suites.

    Raises:
        ToxauditError: if a file is not there, or a row is none; the sentence names the file and the line.
    """
    for suite in result.suites:
        file = run / samples_file(suite.name)
        if not file.is_file():
            raise ToxauditError(f"There is no {file}, which belongs to {run / RESULTS}: run the audit again.")
        yield from rows_of(file)


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of one file of samples.

    Raises:
        ToxauditError: if a row is none; the sentence names the file and the line.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = _row(json.loads(line.decode()))
            except (ValueError, RecursionError) as error:  # ValueError: also of what is no UTF-8 or no JSON
                raise ToxauditError(f"{file}, line {number} is no sample ({error}): run the audit again.") from error
            yield row


def _row(row: Any) -> dict[str, Any]:
    """The row itself.

    Raises:
        ValueError: if it lacks what is read of it again.
    """
    if not isinstance(row, dict):
        raise ValueError("it is no object")
    if wrong := next((key for key, kind in _ROW.items() if not isinstance(row.get(key), kind)), None):
        raise ValueError(f"'{wrong}' is missing or of a wrong type")
    slices, scores = row.get("slices"), row.get("scores")
    if not isinstance(slices, dict) or not all(isinstance(value, str) for value in slices.values()):
        raise ValueError("'slices' must map names to texts")
    choices = row.get("choices", [])
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise ValueError("'choices' must be a list of texts")
    if not isinstance(row.get("cluster", ""), str):
        raise ValueError("'cluster' must be a text")
    if not isinstance(scores, dict) or not all(map(_is_score, scores.values())):
        raise ValueError("'scores' must map scorers to a value, or to null and why it is missing")
    return row


def _is_score(score: Any) -> bool:
    value = score.get("value", "") if isinstance(score, dict) else ""
    return value is None or (isinstance(value, float | int) and -LARGEST_SCORE < value < LARGEST_SCORE)


@lru_cache(maxsize=1)
def _model() -> "type[BaseModel]":
    """``results.json`` as pydantic knows it: the fields of ``AuditResult``, and what follows from them."""
    from pydantic import ConfigDict, create_model

    known: dict[str, Any] = {"format": (Literal[FORMAT], ...)}
    for field in fields(AuditResult):
        known[field.name] = (field.type, ... if field.default is MISSING else field.default)
    known |= {"decision": (Decision, ...), "failed_controls": (tuple[str, ...], ...)}
    known["estimands"] = (tuple[Estimand, ...] | None, None)  # runs of before it was stated have none
    known["responses"] = (tuple[Response, ...] | None, None)  # likewise
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return create_model(FORMAT, __config__=config, __doc__=AuditResult.__doc__, **known)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``results.json``."""
    from pydantic.json_schema import GenerateJsonSchema

    class Untitled(GenerateJsonSchema):
        """Without titles that only repeat the fields' names."""

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    made = _model().model_json_schema(schema_generator=Untitled)
    return {"$schema": GenerateJsonSchema.schema_dialect} | made

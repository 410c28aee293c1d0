"""Does a suite with its scorer tell a model that is known to be worse from its reference? What can't is blind.

A GO by a blind measure says nothing: a scorer that finds no harm anywhere finds none in a harmful model either.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from toxaudit.decision.controls import KNOWN_WORSE
from toxaudit.decision.headline import headlines, usable
from toxaudit.decision.policy import critical_in, limits_of
from toxaudit.findings import AuditResult
from toxaudit.records import Estimate


@dataclass(frozen=True)
class Response:
    """Whether a critical measure on a suite tells a control that is known to be worse from the control's reference.

    ``p_increase`` is the probability that the control's rate is above its reference's, by the total that decides; None
    where there is none that may be used. ``told`` is whether that is as probable as the gate asks.
    """

    suite: str
    measure: str
    control: str
    p_increase: float | None
    told: bool


def responses(result: AuditResult) -> tuple[Response, ...]:
    """Of each critical measure on a suite and each control that is known to be worse, whether the first tells it.

    It does where the total that decides says of a rise that it is as probable as the gate asks of this measure. None
    where no control is known to be worse.
    """
    controls = [model.name for model in result.candidates if model.expect in KNOWN_WORSE]
    if not controls:
        return ()
    scorers = {scorer.name: scorer for scorer in result.scorers}
    totals = headlines(result.estimates)
    critical = critical_in(result)
    places = [(suite.name, name) for suite in result.suites for name in scorers if (suite.name, name) in critical]
    return tuple(
        _response(totals, place, control, limits_of(result.gate, scorers, *place).certainty)
        for place in places
        for control in controls
    )


def _response(
    totals: Mapping[tuple[str, str, str], Estimate], place: tuple[str, str], control: str, certainty: float
) -> Response:
    total = totals.get((control, *place))
    if total is None or not usable(total):
        return Response(*place, control, None, False)
    return Response(*place, control, total.p_increase, total.p_increase >= certainty)


def blind(result: AuditResult) -> tuple[tuple[str, str], ...]:
    """Suite and measure of what tells no control that is known to be worse; nothing where there is none such.

    Where the gate asks for it and all such controls were left out, everything critical is blind.
    """
    found: dict[tuple[str, str], bool] = {}
    for each in responses(result):
        found[each.suite, each.measure] = found.get((each.suite, each.measure), False) or each.told
    if not found and result.gate.responsive:
        found = dict.fromkeys(sorted(critical_in(result)), False)
    return tuple(place for place, told in found.items() if not told)

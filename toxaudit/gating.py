"""A finished run, decided again by its own rule or by another, from its stored draws: what ``toxaudit gate`` does.

The rule that the run had committed to stays the first: where another one decides, what the first comes to stands beside
the new decision, in all files and on the terminal.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from toxaudit import plugins
from toxaudit.decision import history
from toxaudit.decision.headline import deciding_slices
from toxaudit.errors import ToxauditError
from toxaudit.extensions import Gate
from toxaudit.findings import AuditResult
from toxaudit.machine.folders import write_atomically
from toxaudit.machine.replacement import SUMS, replaced
from toxaudit.recomputation import read_with_draws
from toxaudit.redecision import decided, own_gate
from toxaudit.results.files import RESULTS
from toxaudit.results.reading import read_result
from toxaudit.results.writing import as_json


def decide(run: Path, overrides: Sequence[str]) -> tuple[AuditResult, AuditResult]:
    """What a run has found, and what it comes to by a gate.

    Args:
        run: the folder of a finished run; nothing is written there.
        overrides: ``gate=NAME`` and ``gate.KEY=VALUE``; none for the rule that the run had committed to.

    Returns:
        The run as it is, and as it is to be: the same where that gate has decided it already.

    Raises:
        ToxauditError: if the files don't bear the run out, or there is no such gate.
    """
    before, drawn = read_with_draws(run)
    own = gate = own_gate(run, before)
    if overrides:
        from toxaudit.compose import parts

        gate = parts.gate(own, overrides)
        require_fit(gate, before)
    if gate.facts() == before.gate:
        return before, before
    another = before.commitment is not None and gate.facts() != own.facts()
    after = decided(before, drawn, gate)
    after = history.decided_again(before, after, decided(before, drawn, own) if another else None)
    rule = history.rule(after)
    known = (each.date[:10] for each in before.other_rules if each.rule == rule and each.date)
    made_with = after.versions | plugins.versions((), gate)
    return before, replace(after, date=next(known, date.today().isoformat()), versions=made_with)


def require_fit(gate: Gate, result: AuditResult) -> None:
    """Refuse a gate that asks for what a run has not: measures, slices, controls or checks.

    Raises:
        ToxauditError: with a sentence that names what is asked for.
    """
    scorers = {scorer.name: scorer for scorer in result.scorers}
    measured = {suite.name: [scorers[name] for name in suite.scorers or scorers] for suite in result.suites}
    gate.check_fits(measured, {model.expect for model in result.candidates})
    gate.check_slices({suite.name: suite.slices for suite in result.suites}, measured)
    sliced = [name for name, rule in gate.facts().rules.items() if rule.slice is not None]
    if sliced and not deciding_slices(result.estimates):
        raise ToxauditError(f"gate.rules.{sliced[0]} is about a slice, and this run has estimated none: leave it out.")
    gate.check_done([model.name for model in result.real], result.checks)


def write(run: Path, before: AuditResult, after: AuditResult, lenient: bool = False) -> list[Path]:
    """Put what a run was decided to be now in the place of what it was: results, card, report and all.

    ``lenient`` as in ``interop.junit.write``.

    Raises:
        ToxauditError: if that can't be written, or the run is no longer what was decided; it is then as it was.
    """
    from toxaudit.compose.card import settings
    from toxaudit.interop import cyclonedx, junit
    from toxaudit.stages import rendering

    with replaced(run, rendering.of_before(run), keep=True) as new:
        if read_result(run) != before:
            raise ToxauditError(f"Another run has taken the place of what lay in {run}: decide again.")
        write_atomically(new / RESULTS, as_json(after))
        after = read_result(new)
        files = [new / RESULTS, cyclonedx.write(after, new), junit.write(after, new, lenient)]
        cards = rendering.render_decided(run, after, settings(run, ()), new)
    return [run / file.relative_to(new) for file in (*cards, *files, new / SUMS)]

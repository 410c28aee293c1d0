"""Verdicts as JUnit XML, which CI servers show: a suite for each candidate, a case for each line of its verdict.

A candidate's suite fails where its verdict is no GO. A control's fails where it came out otherwise than expected, and a
skipped candidate's always: both leave the audit INCONCLUSIVE. What decides nothing is never a failure. No text of a
model is in it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from toxaudit.decision.controls import unmet
from toxaudit.decision.responsiveness import blind, responses
from toxaudit.decision.verdict import failed_controls
from toxaudit.errors import one_line
from toxaudit.facts import Decision, ModelFacts
from toxaudit.findings import AuditResult, Reason, Verdict
from toxaudit.machine.folders import write_atomically

JUNIT = "junit.xml"

LONGEST_NAME = 300
"""Characters of the longest name: a slice's value may be as long as a stranger likes."""

CONTROL = "control"
COMMITTED = "committed rule"
OBTAINED = "audited"
VERDICT = "verdict"
"""The last four are the names of the cases that are no line of a verdict."""

RESPONDS = "responds: "
"""How the cases of a control begin that tell, of a measure, whether it sees that the control is worse."""

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(result: AuditResult, folder: Path, lenient: bool = False) -> Path:
    """Write ``junit.xml``, whole or not at all.

    Args:
        result: what was decided.
        folder: where the file goes.
        lenient: whether what is open is skipped instead of failed.

    Returns:
        The file.
    """
    write_atomically(folder / JUNIT, of_results({"": result}, lenient))
    return folder / JUNIT


def of_results(results: dict[str, AuditResult], lenient: bool = False) -> bytes:
    """The XML of several audits, each of whose suites' names begin with its name here."""
    return _xml(suite for name, result in results.items() for suite in _suites(result, name, lenient))


def of_error(audit: str, sentence: str) -> bytes:
    """The XML of an audit that came to no verdict, with one case, an error."""
    return _xml([_suite(audit, [_case(audit, "run", Error(_text(sentence), "error"))])])


def _xml(suites: Iterable[TestSuite]) -> bytes:
    xml = JUnitXml("toxaudit")
    for suite in suites:
        xml.add_testsuite(suite)
    xml.update_statistics()
    data: bytes = xml.tostring()
    return data.removesuffix(b"\n") + b"\n"


def _suites(result: AuditResult, prefix: str, lenient: bool) -> Iterator[TestSuite]:
    models = {model.name: model for model in result.candidates}
    for verdict in result.verdicts:
        name = f"{prefix}{verdict.candidate}"
        cases = list(_control(result, verdict, models[verdict.candidate], name, lenient))
        cases = cases or _lines(verdict, name, lenient)
        facts = {"decision": verdict.decision, "rule": _text(result.gate.rule)}
        yield _suite(name, [*cases, *_committed(result, verdict, name)], facts)
    for each in result.skipped:
        name = f"{prefix}{each.name}"
        yield _suite(name, [_case(name, OBTAINED, _open(f"not audited: {each.reason}", lenient))])
    if not result.verdicts and not result.skipped:
        yield _suite(f"{prefix}{result.audit}", [_case(result.audit, OBTAINED, _open("nothing was decided", lenient))])


def _suite(name: str, cases: Iterable[TestCase], facts: Mapping[str, str] | None = None) -> TestSuite:
    suite = TestSuite(_name(name))
    for key, value in (facts or {}).items():
        suite.add_property(key, value)
    suite.add_testcases(list(cases))
    return suite


def _control(result: AuditResult, verdict: Verdict, model: ModelFacts, name: str, lenient: bool) -> Iterator[TestCase]:
    """A declared control's cases: whether it came out as expected, and its lines, which decide nothing else."""
    if not model.expect:
        return
    said = f"a control that {unmet(model, verdict.decision)}"
    failed = verdict.candidate in failed_controls(result)
    yield _case(name, CONTROL, _open(f"{said}: the audit can't be trusted", lenient) if failed else None)
    unseen_by_all = blind(result)
    for each in (each for each in responses(result) if each.control == verdict.candidate):
        unseen = (each.suite, each.measure) in unseen_by_all
        why = f"does not tell {each.control}, which is known to be worse"
        outcome = _open(why, lenient) if result.gate.responsive else Skipped(why)
        yield _case(name, f"{RESPONDS}{each.suite}/{each.measure}", outcome if unseen else None)
    for reason in verdict.reasons:
        told = None if reason.decision == "GO" else Skipped(_text(f"of a control: {_said(reason)}"))
        yield _case(name, reason.name, told)


def _committed(result: AuditResult, verdict: Verdict, name: str) -> Iterator[TestCase]:
    """A case that tells what the candidate comes to by the rule that was committed to, where another decided."""
    for other in result.other_rules:
        if other.committed:
            decision = other.decisions.get(verdict.candidate)
            same = decision == verdict.decision
            told = f"decided by another rule than the run had committed to; by that, it is {decision}"
            yield _case(name, COMMITTED, None if same else Skipped(_text(told)))


def _lines(verdict: Verdict, name: str, lenient: bool) -> list[TestCase]:
    """A case for each line, and one for the verdict where none of them says that it is no GO."""
    cases = [_line(reason, name, lenient) for reason in verdict.reasons]
    open_told = lenient and verdict.decision == "INCONCLUSIVE"
    if verdict.decision == "GO" or any(case.is_failure or case.is_skipped and open_told for case in cases):
        return cases
    told = Failure("NO-GO", "no-go") if verdict.decision == "NO-GO" else _open("nothing was measured", lenient)
    return [*cases, _case(name, VERDICT, told)]


def _line(reason: Reason, name: str, lenient: bool) -> TestCase:
    """One line of a verdict: passed, failed, or skipped where it is open and that is asked for, or decides nothing."""
    told: FinalResult | None = None
    failed = reason.decision == "NO-GO"
    if failed and reason.tier == "critical":
        told = Failure(_text(_said(reason)), "no-go")
    elif reason.tier == "critical" and reason.decision == "INCONCLUSIVE" or failed and reason.tier == "supporting":
        told = _open(_said(reason), lenient)  # a supporting measure that fails leaves the verdict open
    elif reason.decision != "GO":
        told = Skipped(_text(f"decides nothing: {_said(reason)}"))
    return _case(name, reason.name, told)


def _open(sentence: str, lenient: bool) -> FinalResult:
    return Skipped(_text(sentence)) if lenient else Failure(_text(sentence), "inconclusive")


def _said(reason: Reason) -> str:
    shown: Decision = reason.decision
    return f"{shown}, {reason.tier}; required: {reason.rule}; observed: {reason.observed}"


def _case(suite: str, name: str, told: FinalResult | None) -> TestCase:
    case = TestCase(_name(name), _name(f"toxaudit.{suite}"), 0.0)
    if told is not None:
        case.result = told
    return case


def _text(sentence: str) -> str:
    """One line that any parser of XML takes."""
    return _NO_XML.sub("\ufffd", one_line(sentence))


def _name(name: str) -> str:
    return _text(name)[:LONGEST_NAME]

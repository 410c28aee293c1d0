"""The JUnit file says what the verdict says, whatever a name holds, and its totals are those of its cases."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from results import RESULTS

from toxaudit.decision.verdict import of_audit
from toxaudit.findings import AuditResult, OtherRule, Reason, Verdict
from toxaudit.interop.junit import of_error, of_results, write

KINDS = ("failure", "error", "skipped")


def read(data: bytes) -> dict[str, dict[str, tuple[str, str, str]]]:
    """Suite -> case -> what became of it, its type and its message; the totals are counted again."""
    root, found = ElementTree.fromstring(data), {}
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in root:
        cases = {}
        for case in suite.iter("testcase"):
            told = [each for each in case if each.tag in KINDS]
            assert len(told) <= 1 and case.get("classname")
            name = case.get("name")
            assert name not in cases
            cases[name] = (told[0].tag, told[0].get("type"), told[0].get("message")) if told else ("passed", None, None)
        outcomes = [each[0] for each in cases.values()]
        counts = {"tests": len(cases), "failures": outcomes.count("failure")}
        counts |= {"errors": outcomes.count("error"), "skipped": outcomes.count("skipped")}
        assert {key: int(suite.get(key)) for key in counts} == counts
        totals = {key: totals[key] + n for key, n in counts.items()}
        found[suite.get("name")] = cases
    assert {key: int(root.get(key)) for key in totals} == totals
    return found


def fails(found: dict) -> bool:
    return any(each[0] in ("failure", "error") for cases in found.values() for each in cases.values())


@pytest.mark.parametrize("name", RESULTS)
def test_it_fails_where_the_audit_is_no_go_and_has_a_case_for_each_line(name):
    result = RESULTS[name]
    found = read(of_results({"": result}))
    assert fails(found) == (of_audit(result) != "GO")
    controls = {model.name for model in result.candidates if model.expect}
    for verdict in result.verdicts:
        named = [reason.name for reason in verdict.reasons]
        cases = [case for case in found[verdict.candidate] if not case.startswith("responds: ")]
        assert [case for case in cases if case not in ("control", "verdict")] == named
        if verdict.candidate not in controls:
            for reason in verdict.reasons:
                kind, type_, _ = found[verdict.candidate][reason.name]
                assert (reason.decision == "GO") == (kind == "passed")
                assert (type_ == "no-go") == (reason.decision == "NO-GO" and reason.tier == "critical")
    for each in result.skipped:
        assert found[each.name]["audited"][:2] == ("failure", "inconclusive")
    lenient = read(of_results({"": result}, lenient=True))
    assert fails(lenient) == (of_audit(result) == "NO-GO")


def reasoned(*reasons: tuple[str, str], decision: str) -> AuditResult:
    """A result of one candidate whose verdict has lines of these tiers and decisions."""
    result = RESULTS["go"]
    lines = tuple(Reason("s", f"m{i}", "all", *each[:1], "rule", "seen", each[1]) for i, each in enumerate(reasons))
    (real,) = result.real
    verdict = replace(result.verdicts[0], candidate=real.name, decision=decision, reasons=lines)
    return replace(result, candidates=(real,), verdicts=(verdict,))


def test_a_supporting_measure_that_fails_is_open_and_what_decides_nothing_is_skipped():
    result = reasoned(
        ("critical", "GO"), ("supporting", "NO-GO"), ("supporting", "INCONCLUSIVE"), ("advisory", "NO-GO"),
        decision="INCONCLUSIVE",
    )  # fmt: skip
    (cases,) = read(of_results({"": result})).values()
    assert [each[:2] for each in cases.values()] == [
        ("passed", None), ("failure", "inconclusive"), ("skipped", None), ("skipped", None),
    ]  # fmt: skip


def test_a_failed_control_is_seen_and_one_that_came_out_as_expected_never_fails():
    found = read(of_results({"": RESULTS["failed-control"]}))
    told = {each["control"][:2] for each in found.values() if "control" in each}
    assert ("failure", "inconclusive") in told
    met = read(of_results({"": RESULTS["go"]}))
    for model in RESULTS["go"].candidates:
        if model.expect:
            assert met[model.name]["control"][0] == "passed" and not fails({"": met[model.name]})


def test_a_control_that_was_to_be_worse_and_is_not_fails():
    noop = next(model for model in RESULTS["several"].candidates if model.expect == "GO")
    models = tuple(
        replace(model, expect="worse") if model is noop else model for model in RESULTS["several"].candidates
    )
    kind, _, message = read(of_results({"": replace(RESULTS["several"], candidates=models)}))["noop"]["control"]
    assert kind == "failure" and "was expected to be worse than the base" in message


def test_what_the_committed_rule_comes_to_stands_beside_another_rules_go():
    result = reasoned(("critical", "GO"), decision="GO")
    name = result.verdicts[0].candidate
    other = OtherRule({"gate.margin": "0.01"}, "2026-11-29", {name: "NO-GO"}, earlier=True, committed=True)
    (cases,) = read(of_results({"": replace(result, other_rules=(other,))})).values()
    kind, _, message = cases["committed rule"]
    assert kind == "skipped" and "by that, it is NO-GO" in message


HOSTILE = "a\x00\x1b[31m\ud800\ufffe]]></testcase><error/>&amp;\"'\u202e\n" + "x" * 2_000


def test_no_name_or_sentence_breaks_the_file_or_fills_it():
    result = reasoned(("critical", "INCONCLUSIVE"), decision="INCONCLUSIVE")
    (verdict,) = result.verdicts
    lines = (replace(verdict.reasons[0], slice=f"k={HOSTILE}", observed=HOSTILE),)
    model = replace(result.candidates[0], name=HOSTILE)
    verdict = replace(verdict, candidate=HOSTILE, reasons=lines)
    data = of_results({HOSTILE: replace(result, candidates=(model,), verdicts=(verdict,))})
    ((case,),) = [list(cases) for cases in read(data).values()]
    assert len(data) < 5_000 and "\x1b" not in case and "</testcase>" in case
    assert read(of_error(HOSTILE, HOSTILE))


def test_an_error_is_one_and_nothing_else():
    ((kind, type_, message),) = next(iter(read(of_error("toxaudit audit=x", "There is no x.")).values())).values()
    assert (kind, type_, message) == ("error", "error", "There is no x.")


def test_several_audits_have_their_suites_side_by_side():
    found = read(of_results({"0: ": RESULTS["go"], "1: ": RESULTS["no-go"]}))
    assert {name[:3] for name in found} == {"0: ", "1: "}


def test_it_is_written_whole(tmp_path):
    assert read(write(RESULTS["go"], tmp_path).read_bytes()) and write(RESULTS["go"], tmp_path).name == "junit.xml"


def test_a_no_go_fails_although_all_that_is_open_is_skipped():
    """A gate whose lines say no more than that something is open decides all the same."""
    open_line = replace(RESULTS["inconclusive"].verdicts[0].reasons[0], decision="INCONCLUSIVE")
    verdict = Verdict("benign", "NO-GO", (open_line,))
    made = replace(RESULTS["inconclusive"], verdicts=(verdict,))
    assert b'failures="1"' in of_results({"": made}, lenient=True)

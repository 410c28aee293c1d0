"""What a page of runs tells of each, read from its results alone; what can't be read is named with one sentence."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from toxaudit.card import compared, words
from toxaudit.card.index import Candidate, Index, indexed
from toxaudit.decision.headline import usable
from toxaudit.decision.verdict import of_audit
from toxaudit.errors import ToxauditError, one_line
from toxaudit.facts import BASE_ARM, Decision, ModelFacts, ScorerFacts, Skipped, SuiteFacts, Tier
from toxaudit.findings import AuditResult
from toxaudit.machine.collecting import uncollected
from toxaudit.records import Estimate, digest
from toxaudit.results.files import RESULTS
from toxaudit.results.reading import read_result

REPORT = "report.html"

NOT_AUDITED = "not audited"

LONGEST = 100
"""Characters of a stranger's text that is shown."""

ODD = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What Python raises where results that are of the right form say what no audit could."""


@dataclass(frozen=True)
class Change:
    """The change of one measure in total, as one run found it.

    Attributes:
        suite: the suite's name.
        measure: the scorer's name.
        title: the measure's, with its suite's where the audit has several.
        tier: how the measure counts.
        mean, low, high: of the change and its 95 % interval, in shares of 1; None where there is no usable estimate.
        margin: the largest change that the gate tolerates, a share of 1.
        mark: what the gate makes of it, where it counts.
        shown: base's rate, candidate's rate and change with interval, in words.
        reading: the change in plain words.
        asked: what tells reference, prompts, how they were asked, scorer and outcome from others: where it differs,
            changes are not of one thing.
    """

    suite: str
    measure: str
    title: str
    tier: Tier
    mean: float | None
    low: float
    high: float
    margin: float
    mark: Decision | None
    shown: tuple[str, str, str]
    reading: str
    asked: str


@dataclass(frozen=True)
class Row:
    """One candidate of one run.

    Attributes:
        name: the candidate's.
        model: what the spec called its weights.
        identity: what tells these weights from others.
        about: that it is a control, or what it is compared with; may be empty.
        decision: the gate's; None where it was not audited.
        verdict: the decision in shape and word.
        what, change: the critical measure that is most probably beyond its margin, and its change, in words; or why
            there is none, and nothing.
        whole: the audit's own decision, where a candidate that is no control has another.
        changes: of every measure in total.
        asked: what its results say of its spec, key -> value.
        loaded: what was read of it, name -> digest.
        found: what was found, name -> words.
    """

    name: str
    model: str
    identity: str
    about: str
    decision: Decision | None
    verdict: str
    what: str
    change: str
    whole: Decision | None
    changes: tuple[Change, ...]
    asked: dict[str, str]
    loaded: dict[str, str]
    found: dict[str, str]


@dataclass(frozen=True)
class Run:
    """One run: ``asked`` and ``loaded`` are what holds for all of its candidates, ``rows``."""

    folder: Path
    audit: str
    date: str
    time: str
    base: str
    decision: Decision
    has_report: bool
    rows: tuple[Row, ...]
    asked: dict[str, str]
    loaded: dict[str, str]


@dataclass(frozen=True)
class Unread:
    """A folder with results that can't be read, and why, in one sentence."""

    folder: Path
    why: str


def short(text: str) -> str:
    """A stranger's text as the page may show it: nothing acts unseen, and it ends somewhere."""
    shown = words.visible(text[:LONGEST])
    return f"{shown} …" if len(text) > LONGEST else shown


Known = dict[Path, tuple[tuple[int, ...], Run]]
"""Runs that were read before, each with what tells its files from changed ones."""


def read(folders: Iterable[Path], known: Known | None = None) -> tuple[list[Run], list[Unread]]:
    """The runs in these folders, by audit and the newest of an audit first; and what can't be read, by folder.

    Args:
        folders: those that hold results, such as ``results.runs.runs`` finds.
        known: what was read before, which is not read again unless it has changed; what is read now is added.
    """
    with uncollected():  # results hold no circles, and looking for some takes a fifth of the time
        return _read(folders, {} if known is None else known)


def _read(folders: Iterable[Path], known: Known) -> tuple[list[Run], list[Unread]]:
    read, unread = [], []
    for folder in dict.fromkeys(folders):
        try:
            read.append(_anew(folder, known))
        except ToxauditError as error:
            unread.append(Unread(folder, str(error)))
        except OSError as error:
            unread.append(Unread(folder, one_line(f"{folder / RESULTS} can't be read: {error.strerror or error}.")))
        except ODD as error:
            said = one_line(f"{type(error).__name__}, {error}")
            unread.append(Unread(folder, f"{folder / RESULTS} says what no audit could ({said}): run the audit again."))
    by_time = sorted(read, key=lambda run: (run.date, run.time, str(run.folder)), reverse=True)
    return sorted(by_time, key=lambda run: (run.audit.casefold(), run.audit)), unread


def _anew(folder: Path, known: Known) -> Run:
    """A run as it is now."""
    file = folder / RESULTS
    if not file.is_file():  # a pipe would never end
        raise ToxauditError(f"{file} is no file: move it away.")
    of = file.stat()
    now = of.st_mtime_ns, of.st_size, of.st_ino, int((folder / REPORT).is_file())
    if folder not in known or known[folder][0] != now:
        known[folder] = now, _run(folder, read_result(folder))
    return known[folder][1]


def _run(folder: Path, result: AuditResult) -> Run:
    index = indexed(result)
    audit = of_audit(result)
    rows = [_row(index, candidate, audit) for candidate in index.candidates.values()]
    return Run(
        folder=folder,
        audit=result.audit,
        date=result.date,
        time=result.commitment.time if result.commitment else "",
        base=words.reference(result.base.reference),
        decision=audit,
        has_report=(folder / REPORT).is_file(),
        rows=(*rows, *map(_skipped, result.skipped)),
        asked=compared.asked(result),
        loaded=compared.loaded(result),
    )


def _row(index: Index, candidate: Candidate, audit: Decision) -> Row:
    model, decision = candidate.model, candidate.verdict.decision
    verdict = words.expectation(decision, model.expect, candidate.as_expected)
    suites = {suite.name: suite for suite in index.result.suites}
    rates = {name: (str(a), str(b), str(change)) for name, (a, b, change) in compared.rates(candidate).items()}
    critical = compared.weightiest(pair for pair in candidate.critical_totals if usable(pair[0]))
    return Row(
        name=model.name,
        model=words.reference(model.reference),
        identity=compared.identity(model),
        about=_about(model),
        decision=decision,
        verdict=verdict,
        what=index.label(critical[0].suite, critical[0].measure) if critical else "no usable critical measure",
        change=str(words.rates(critical[0])[2]) if critical else "",
        whole=audit if decision != audit and not model.expect else None,
        changes=tuple(
            _change(index, candidate, suites, *pair, said)
            for pair, said in zip(candidate.totals, rates.values(), strict=True)
        ),
        asked=compared.asked_of(model),
        loaded={"model": compared.identity(model)},
        found={
            "the audit": words.marked(audit),
            "the candidate": verdict,
        }
        | {name: change for name, (_, _, change) in rates.items()},
    )


def _about(model: ModelFacts) -> str:
    against = "" if model.against == BASE_ARM else f"against {model.against}"
    return ", ".join(filter(None, (words.control(model.expect), against)))


def _skipped(skipped: Skipped) -> Row:
    """A candidate that was not audited."""
    reference = words.reference(skipped.reference)
    found = {"the candidate": NOT_AUDITED}
    return Row(skipped.name, reference, "", "", None, NOT_AUDITED, skipped.reason, "", None, (), {}, {}, found)


def _change(
    index: Index,
    candidate: Candidate,
    suites: Mapping[str, SuiteFacts],
    estimate: Estimate,
    scorer: ScorerFacts,
    rates: tuple[str, str, str],
) -> Change:
    change = estimate.quantities["change"]
    base, own, changed = rates
    return Change(
        suite=estimate.suite,
        measure=scorer.name,
        title=short(index.label(estimate.suite, scorer.name)),
        tier=scorer.tier,
        mean=change.mean if usable(estimate) else None,
        low=change.hdi[0],
        high=change.hdi[1],
        margin=estimate.margin,
        mark=candidate.mark(estimate),
        shown=(short(base.strip()), short(own.strip()), short(changed.strip())),
        reading=short(words.reading(estimate, scorer)),
        asked=_asked(index.result, suites[estimate.suite], scorer, estimate.candidate),
    )


def _asked(result: AuditResult, suite: SuiteFacts, scorer: ScorerFacts, candidate: str) -> str:
    asked = replace(result.generation, seed=0)
    told = (suite.digest, suite.ask, suite.system_instruction, scorer.identity, scorer.outcome, asked)
    return digest(result.reference(candidate).digest, *map(str, told))

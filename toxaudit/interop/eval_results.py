"""Shares of right answers as the Hub's ``.eval_results/*.yaml``, for suites whose data are a registered benchmark."""

from collections.abc import Iterator, Mapping

from toxaudit.decision.headline import headlines
from toxaudit.decision.verdict import failed_controls
from toxaudit.facts import SuiteFacts, the
from toxaudit.findings import AuditResult
from toxaudit.records import Estimate, Quantity

PATH = ".eval_results/toxaudit.yaml"
"""Where the results are in a model's repository."""

DEFAULT_CONFIG, DEFAULT_SPLIT = "default", "test"
"""What a benchmark's task asks where it states no config or split."""

WRONG = "wrong answers"
"""What a measure counts whose complement is the share of right answers."""


def suites(result: AuditResult) -> tuple[SuiteFacts, ...]:
    """The suites that could be a benchmark: all of their questions were asked, and answers are right or wrong."""
    return tuple(suite for suite, _ in _accuracies(result))


def task(benchmark: bytes, suite: SuiteFacts) -> str | None:
    """The id of the one task of a benchmark that asks what ``suite`` asks.

    Args:
        benchmark: the ``eval.yaml`` at the root of a dataset's repository.
        suite: a suite on these data.

    Returns:
        None where it is no benchmark's, or where no or more than one task has the suite's config and split.
    """
    import yaml

    from toxaudit.machine.nesting import ShallowTextLoader

    try:
        found = yaml.load(benchmark, Loader=ShallowTextLoader)  # which expands nothing that a stranger made to grow
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return None
    tasks = found.get("tasks") if isinstance(found, dict) else None
    known = [each for each in tasks if isinstance(each, dict)] if isinstance(tasks, list) else []
    same = [each.get("id") for each in known if _asks(each, suite)]
    return same[0] if suite.split and len(same) == 1 and isinstance(same[0], str) else None


def _asks(task: Mapping[str, object], suite: SuiteFacts) -> bool:
    """Whether a benchmark's task asks what a suite asks, by the Hub's defaults for what it leaves unstated.

    The set's default config may have any name: only a suite that names none, or this, is known to be of it.
    """
    config = task.get("config", DEFAULT_CONFIG)
    same = config == suite.config or (config == DEFAULT_CONFIG and suite.config is None)
    return same and task.get("split", DEFAULT_SPLIT) == suite.split


def file(result: AuditResult, benchmarks: Mapping[str, tuple[str, str]], page: str) -> bytes:
    """The file of results of the one candidate of ``result`` that is no control.

    Args:
        result: what the audit found.
        benchmarks: suite -> id of the dataset, and of its task.
        page: where these results come from, an address.

    Returns:
        YAML; nothing where no suite is such a benchmark.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = []
    for suite, wrong in _accuracies(result):
        if suite.name not in benchmarks:
            continue
        dataset, name = benchmarks[suite.name]
        entries.append(
            EvalResultEntry(
                dataset_id=dataset,
                task_id=name,
                value=_percent(1 - wrong.quantities["candidate"].mean),
                dataset_revision=suite.revision,
                date=result.date,
                source_url=page,
                source_name="toxaudit",
                notes=_notes(wrong, the(result.against(wrong.candidate))),
            )
        )
    content = eval_result_entries_to_yaml(entries)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10**9).encode() if entries else b""


def _accuracies(result: AuditResult) -> Iterator[tuple[SuiteFacts, Estimate]]:
    """Suites whose every question was asked, each with its first usable estimate of wrong answers."""
    totals, candidate = headlines(result.estimates), result.real[0].name
    names = [scorer.name for scorer in result.scorers if scorer.noun == WRONG]
    for suite in result.suites:
        found = [totals[key] for name in names if (key := (candidate, suite.name, name)) in totals]
        usable = [total for total in found if total.n and total.diagnostics.passed and not failed_controls(result)]
        if suite.choices and suite.n == suite.available and usable:
            yield suite, usable[0]


def _notes(wrong: Estimate, reference: str) -> str:
    """What there is no field for: how it was asked, the interval, and the change."""
    change = wrong.quantities["change"]
    return (
        f"% of {wrong.n} questions to which the likeliest of the answers offered is right ({wrong.measure}); "
        f"95 % HDI {_interval(wrong.quantities['candidate'])}; "
        f"change from {reference} {-100 * change.mean:+.2f} pp, 95 % HDI {_interval(change, whole=0)}"
    )


def _interval(wrong: Quantity, whole: int = 1) -> str:
    """The interval of right answers from that of wrong ones."""
    low, high = wrong.hdi
    return f"[{_percent(whole - high)}, {_percent(whole - low)}]"


def _percent(rate: float) -> float:
    return round(100 * rate, 2) + 0.0  # no minus zero

"""Shares of right answers as the Hub's ``.eval_results/*.yaml``, for suites whose data are a registered benchmark."""

from collections.abc import Iterator, Mapping

from toxaudit.records import AuditResult, Estimate, Quantity, SuiteFacts, headlines

WRONG = "wrong answers"
"""What a measure counts whose complement is the share of right answers."""


def suites(result: AuditResult) -> tuple[SuiteFacts, ...]:
    """The suites that could be a benchmark: all of their questions were asked, and answers are right or wrong."""
    return tuple(suite for suite, _ in _accuracies(result))


def task(benchmark: bytes) -> str | None:
    """The id of the one task of a benchmark.

    Args:
        benchmark: the ``eval.yaml`` at the root of a dataset's repository.

    Returns:
        None where it is no benchmark's, or where it has several tasks, of which any could be meant.
    """
    import yaml

    try:
        found = yaml.load(benchmark, Loader=yaml.BaseLoader)  # which expands nothing that a stranger made to grow
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return None
    tasks = found.get("tasks") if isinstance(found, dict) else None
    ids = [each.get("id") for each in tasks if isinstance(each, dict)] if isinstance(tasks, list) else []
    return ids[0] if len(ids) == 1 and isinstance(ids[0], str) else None


def entries(result: AuditResult, benchmarks: Mapping[str, tuple[str, str]], page: str) -> dict[str, bytes]:
    """The files of results of the one candidate of ``result`` that is no control.

    Args:
        result: what the audit found.
        benchmarks: suite -> id of the dataset, and of its task.
        page: where these results come from, an address.

    Returns:
        Path in the repository -> YAML.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    found = {}
    for suite, wrong in _accuracies(result):
        if suite.name not in benchmarks:
            continue
        dataset, name = benchmarks[suite.name]
        entry = EvalResultEntry(
            dataset_id=dataset,
            task_id=name,
            value=_percent(1 - wrong.quantities["candidate"].mean),
            dataset_revision=suite.revision,
            date=result.date,
            source_url=page,
            source_name="toxaudit",
            notes=_notes(wrong),
        )
        content = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True, width=10**9)
        found[f".eval_results/toxaudit_{suite.name}.yaml"] = content.encode()
    return found


def _accuracies(result: AuditResult) -> Iterator[tuple[SuiteFacts, Estimate]]:
    """Suites whose every question was asked, each with its first usable estimate of wrong answers."""
    totals, candidate = headlines(result.estimates), result.real[0].name
    names = [scorer.name for scorer in result.scorers if scorer.noun == WRONG]
    for suite in result.suites:
        found = [totals[key] for name in names if (key := (candidate, suite.name, name)) in totals]
        usable = [total for total in found if total.n and total.diagnostics.passed and not result.failed_controls]
        if suite.choices and suite.n == suite.available and usable:
            yield suite, usable[0]


def _notes(wrong: Estimate) -> str:
    """What there is no field for: how it was asked, the interval, and the change."""
    change = wrong.quantities["change"]
    return (
        f"% of {wrong.n} questions to which the likeliest of the answers offered is right ({wrong.measure}); "
        f"95 % HDI {_interval(wrong.quantities['candidate'])}; "
        f"change from the base {-100 * change.mean:+.2f} pp, 95 % HDI {_interval(change, whole=0)}"
    )


def _interval(wrong: Quantity, whole: int = 1) -> str:
    """The interval of right answers from that of wrong ones."""
    low, high = wrong.hdi
    return f"[{_percent(whole - high)}, {_percent(whole - low)}]"


def _percent(rate: float) -> float:
    return round(100 * rate, 2) + 0.0  # no minus zero

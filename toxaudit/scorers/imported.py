"""Measures whose scores another tool gave: which of a file's metrics count, and which of their values are harmful."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.interop.importers.base import Harmful, Imported, Metric
from toxaudit.interop.pairing import Task
from toxaudit.records import UNSCORED, digest
from toxaudit.scorers.base import BaseScorer, Unscored

DEFAULT_THRESHOLD = 0.5
"""Between a yes and a no."""


@dataclass(frozen=True)
class Wanted:
    """What the user says of the metrics: which count, which of their values are harmful, and from which one on."""

    names: tuple[str, ...] = ()
    harmful: Harmful = ""
    threshold: float | None = None


@dataclass(kw_only=True)
class ImportedMetric(BaseScorer):
    """A metric of another tool. Its scores are read with the answers; nothing is scored by it here.

    Attributes:
        metric: what the tool calls it.
        tool: the tool, without its version, which may be another for each arm.
    """

    metric: str = ""
    tool: str = ""
    kind: str = field(default="imported", init=False)

    def identity(self) -> str:
        """SHA-256 of the tool's and the metric's name: all that is known of what scored."""
        return digest("imported", self.tool, self.metric)

    @property
    def source(self) -> str:
        """The tool's metric, in words."""
        return f"{self.metric} as scored by {self.tool}"

    def score(self, completions: Sequence[Any]) -> list[float | Unscored]:
        """Nothing: the scores came with the answers."""
        raise NotImplementedError(f"{self.metric} is scored elsewhere")


def measures(wanted: Wanted, base: Imported, candidate: Imported, tasks: Sequence[Task]) -> dict[str, ImportedMetric]:
    """The metrics that count, each with which of its values are harmful.

    Raises:
        ToxauditError: if a metric isn't there, or it can't be known which are to count or what in them is harmful; the
            sentence lists the metrics that were found.
    """
    values = found(tasks)
    told = {name: _told(name, base, candidate) for name in values}
    names = list(wanted.names) or _default(base, candidate, tasks, values)
    if not values:
        raise ToxauditError("These results hold no scores: name scorers of toxaudit by scorers=[NAME, ...].")
    if odd := next((name for name in names if name.endswith(UNSCORED)), None):
        raise ToxauditError(
            f"A metric can't be called '{odd}', for so is that of what '{odd[: -len(UNSCORED)]}' lacks."
        )
    if odd := next((name for name in names if name not in values), None):
        raise ToxauditError(f"No answer has a score by '{odd}'.{did_you_mean(odd, values)}")
    if not names:
        raise ToxauditError(
            f"Several metrics were found, and nothing says which of them count: say --measure NAME (or NAME,NAME), of "
            f"{_listed(values, told)}."
        )
    return {name: _measure(name, wanted, told[name], values[name], base, _listed(values, told)) for name in names}


def found(tasks: Sequence[Task]) -> dict[str, list[float]]:
    """Metric -> its values over all paired answers; none of a metric without a single number."""
    values: dict[str, list[float]] = {}
    for task in tasks:
        for document in task.documents:
            for row in (*document.base, *document.candidate):
                for name, value in row.scores.items():
                    if isinstance(value, float):
                        values.setdefault(name, []).append(value)
    return dict(sorted(values.items()))


def of_task(name: str, task: Task) -> bool:
    """Whether a task has a metric: at least one of its answers was scored by it."""
    rows = (row for document in task.documents for row in (*document.base, *document.candidate))
    return any(isinstance(row.scores.get(name), float) for row in rows)


def _told(name: str, base: Imported, candidate: Imported) -> Metric:
    one, other = (arm.metrics.get(name, Metric()) for arm in (base, candidate))
    if one.threshold != other.threshold and None not in (one.threshold, other.threshold):
        raise ToxauditError(
            f"By '{name}' an answer counts from {one.threshold:g} on in the base's results, and from "
            f"{other.threshold:g} on in the candidate's: say --threshold X."
        )
    return one if one.harmful or one.threshold is not None else other


def _default(base: Imported, candidate: Imported, tasks: Sequence[Task], values: Mapping[str, Any]) -> list[str]:
    """The metrics that count where nobody names any: those of the tool, or the only one of every task."""
    if said := [name for name in base.default or candidate.default if name in values]:
        return said
    each = [[name for name in values if of_task(name, task)] for task in tasks if task.documents]
    return list(dict.fromkeys(names[0] for names in each if names)) if all(len(names) < 2 for names in each) else []


def _listed(values: Mapping[str, Any], told: Mapping[str, Metric]) -> str:
    said = {"low": " (low is harmful)", "high": " (high is harmful)", "": ""}
    names = [f"{name}{said[told[name].harmful]}" for name in values]
    return ", ".join([*names[:20], *([f"{len(names) - 20} more"] if len(names) > 20 else [])])


def _measure(
    name: str, wanted: Wanted, told: Metric, values: Sequence[float], base: Imported, listed: str
) -> ImportedMetric:
    harmful = wanted.harmful or told.harmful
    if not harmful:
        raise ToxauditError(
            f"Nothing says whether a high or a low '{name}' is harmful: say --harmful high, as of toxicity, or "
            f"--harmful low, as of accuracy. The metrics found are {listed}."
        )
    threshold = _threshold(name, wanted, told, values)
    turned = f"; its file says that a {told.harmful} one is harmful" if told.harmful not in ("", harmful) else ""
    rises, mean = harmful == "high", threshold is None
    return ImportedMetric(
        metric=name,
        tool=base.tool,
        title=name,
        noun=f"mean {name}" if mean else f"answers with a {harmful} {name}",
        more=_word("higher" if rises else "lower", "more", name, harmful, mean),
        less=_word("lower" if rises else "higher", "fewer", name, harmful, mean),
        operator=">=" if rises else "<",
        threshold=threshold,
        caveat=f"scored elsewhere by {base.tool}: nothing is known here of its errors{turned}",
    )


def _word(mean_word: str, count_word: str, name: str, harmful: str, mean: bool) -> str:
    return f"{mean_word} {name}" if mean else f"{count_word} answers with a {harmful} {name}"


def _threshold(name: str, wanted: Wanted, told: Metric, values: Sequence[float]) -> float | None:
    """From which score on an answer counts; None measures the mean of scores in 0..1."""
    said = wanted.threshold if wanted.threshold is not None else told.threshold
    if said is not None:
        return said
    if all(value in (0.0, 1.0) for value in values):
        return DEFAULT_THRESHOLD
    if all(0 <= value <= 1 for value in values):
        return None
    raise ToxauditError(
        f"'{name}' has scores from {min(values):g} to {max(values):g}, which is neither a rate nor in 0..1: say "
        "--threshold X, from which on (or below which, with --harmful low) an answer counts as harmful."
    )

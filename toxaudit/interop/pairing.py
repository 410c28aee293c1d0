"""Two arms' imported rows -> documents that both answered: paired by what was asked, never by a line's place."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toxaudit.errors import ToxauditError
from toxaudit.interop.importers.base import Imported, Row
from toxaudit.records import digest

Rows = tuple[Row, ...]


@dataclass(frozen=True)
class Document:
    """One prompt, and as many answers of the base as of the candidate; none of the one that was not asked it."""

    key: str
    base: Rows
    candidate: Rows

    @property
    def asked(self) -> Row:
        """A row that says what was asked."""
        return (self.base or self.candidate)[0]


@dataclass(frozen=True)
class Task:
    """The documents of one task in an order that follows from their content, and what was left out.

    Attributes:
        name: the tool's.
        documents: those that both arms answered; unpaired, all.
        only: per arm (``base``, ``candidate``), documents that only it has.
        spare: per arm, answers to shared documents beyond as many as the other arm gave.
        reworded: shared documents of which the arms read other texts, as under another template.
    """

    name: str
    documents: tuple[Document, ...]
    only: Mapping[str, int]
    spare: Mapping[str, int]
    reworded: int

    @property
    def samples(self) -> int:
        """Answers of each arm to each document; 0 where documents differ in that."""
        counts = {len(each.base) for each in self.documents}
        return counts.pop() if len(counts) == 1 else 0


def paired(base: Imported, candidate: Imported, names: Sequence[str] = (), unpaired: bool = False) -> list[Task]:
    """The tasks that both arms have documents of.

    Args:
        base: the base's results.
        candidate: the candidate's.
        names: the tasks wanted; none named means all.
        unpaired: take documents of either arm where none is shared.

    Raises:
        ToxauditError: if there is no such task, the arms share no document, or a document has another right answer in
            one arm than in the other.
    """
    arms = {"base": _by_task(base), "candidate": _by_task(candidate)}
    there = sorted(arms["base"].keys() | arms["candidate"].keys())
    if odd := next((name for name in names if name not in there), None):
        raise ToxauditError(f"There is no task '{odd}' in these results; there are {', '.join(there[:20])}.")
    wanted = [name for name in there if name in names or not names]
    tasks = [_task(name, *(arm.get(name, {}) for arm in arms.values())) for name in wanted]
    shared = [task for task in tasks if task.documents]
    if shared:
        absent = [task for task in tasks if not task.documents and task not in shared]
        return [*shared, *absent]
    if not unpaired:
        raise ToxauditError(
            f"Base and candidate share no prompt ({sum(t.only['base'] for t in tasks)} and "
            f"{sum(t.only['candidate'] for t in tasks)} of their own), so nothing can be paired: name results of the "
            "same prompts, or say --unpaired, which decides nothing."
        )
    return [_apart(name, *(arm.get(name, {}) for arm in arms.values())) for name in wanted]


def _by_task(arm: Imported) -> dict[str, dict[str, list[Row]]]:
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in arm.rows:
        found[row.task][row.key].append(row)
    for documents in found.values():
        for rows in documents.values():
            rows.sort(key=lambda row: (row.order, row.said))  # a digest, so that no score says which is left out
    return found


def _task(name: str, base: Mapping[str, list[Row]], candidate: Mapping[str, list[Row]]) -> Task:
    documents, spare, reworded = [], Counter(base=0, candidate=0), 0
    for key in sorted(base.keys() & candidate.keys()):
        one, other = base[key], candidate[key]
        both = min(len(one), len(other))
        _check_targets(name, one, other)
        spare.update(base=len(one) - both, candidate=len(other) - both)
        reworded += {row.prompt for row in one} != {row.prompt for row in other}
        documents.append(Document(key, tuple(one[:both]), tuple(other[:both])))
    only = {"base": len(base.keys() - candidate.keys()), "candidate": len(candidate.keys() - base.keys())}
    return Task(name, tuple(documents), only, dict(spare), reworded)


def _apart(name: str, base: Mapping[str, list[Row]], candidate: Mapping[str, list[Row]]) -> Task:
    """Documents of one arm each."""
    documents = [Document(key, tuple(rows[:1]), ()) for key, rows in base.items()]
    documents += [Document(key, (), tuple(rows[:1])) for key, rows in candidate.items()]
    ordered = tuple(sorted(documents, key=lambda each: each.key))
    return Task(name, ordered, {"base": len(base), "candidate": len(candidate)}, {"base": 0, "candidate": 0}, 0)


def _check_targets(name: str, base: Sequence[Row], candidate: Sequence[Row]) -> None:
    one, other = ({row.target for row in rows if row.target} for rows in (base, candidate))
    if one and other and one != other:
        shown = " and ".join(f"'{min(each)[:40]}'" for each in (one, other))
        raise ToxauditError(
            f"Task '{name}': to one prompt ({base[0].prompt[:60]!r}) the right answer is {shown} in base and "
            "candidate: they were scored by different versions of the task, so their scores can't be compared."
        )


def alike(tasks: Sequence[Task]) -> tuple[bool, bool]:
    """Whether both arms gave the same wherever neither lacks it, and whether the files hold answers that could tell."""
    pairs = [pair for task in tasks for document in task.documents if (pair := _given(document))]
    telling = any(key for pair in pairs for arm in pair for key in arm)
    shown = [tuple(Counter(filter(None, arm)) for arm in pair) for pair in pairs] if telling else _scores(tasks)
    return bool(shown) and all(one == other for one, other in shown), telling


def _given(document: Document) -> tuple[list[str], list[str]] | None:
    """What both arms answered, each by its digest; empty texts where the file doesn't hold it."""
    arms = document.base, document.candidate
    if not all(arms) or any(row.missing for arm in arms for row in arm):
        return None
    one, other = ([digest(str(row.answer), row.trace) * (row.answer is not None or bool(row.trace)) for row in arm]
                  for arm in arms)  # fmt: skip
    return one, other


def _scores(tasks: Sequence[Task]) -> list[tuple[Counter[str], Counter[str]]]:
    found = (document for task in tasks for document in task.documents if document.base and document.candidate)
    return [(Counter(row.said for row in each.base), Counter(row.said for row in each.candidate)) for each in found]

"""A scorer beside people's labels, and the calibration file that comes of it."""

import os
import textwrap
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from toxaudit.backends.transformers import Transformers
from toxaudit.errors import ToxauditError, visible
from toxaudit.executors.local import LocalExecutor
from toxaudit.extensions import Scorer
from toxaudit.labelled import examples as data
from toxaudit.labelled.counts import Agreement, agreement, scored, table
from toxaudit.labelled.examples import Example, named
from toxaudit.labelled.request import Request
from toxaudit.machine import folders
from toxaudit.machine.folders import write_atomically
from toxaudit.models import Loader
from toxaudit.records import Calibration, Completion, Prompt
from toxaudit.scorers import calibration
from toxaudit.scorers.base import Unscored
from toxaudit.sources import Fetched
from toxaudit.spec import strict_yaml
from toxaudit.stages import scoring
from toxaudit.store.shelves import Store


def calibrate(request: Request, scorer: Scorer, command: str) -> list[str]:
    """Compare a scorer with people's labels and write its calibration file.

    Args:
        request: what to read and to write.
        scorer: composed and checked.
        command: what the user typed, for the file.

    Returns:
        Lines: the table, what it rests on, where the file is and how to use it.

    Raises:
        ToxauditError: texts can't tell the scorer's errors, the data are not as said, or the file is of other data.
    """
    _require_fit(request, scorer)
    fetched = data.fetch(request.data)
    file = fetched.path if fetched.path.is_file() else fetched.path / next(iter(fetched.files))
    examples = list(data.read(request, file))
    positive = data.positive(request, {example.label for example in examples}, file)
    origin = _origin(request, fetched, positive)
    _require_free(request, origin)

    identity = scorer.identity()
    outcomes = _outcomes(request.scorer, scorer, examples)
    pairs = [(example.label in positive, outcome) for example, outcome in zip(examples, outcomes, strict=True)]
    total = agreement(pairs)
    grouped = defaultdict(list)
    for example, pair in zip(examples, pairs, strict=True):
        grouped[example.group].append(pair)
    groups = {value: agreement(grouped[value]) for value in sorted(grouped) if value}
    if request.by and not groups:
        raise ToxauditError(f"{file.name}: no row has a value in column '{request.by}'.")

    told = [*table(total, groups, request.by), "", *_notes(request, scorer, examples, positive, total)]
    counts = {value: each.counts for value, each in groups.items()} or {"": total.counts}
    errors = Calibration(f"{origin}; {scored(total)}", request.by, counts)
    head = [f"How often the scorer {request.scorer} agrees with people's labels. Made by:", command, "", *told]
    assert scorer.threshold is not None  # else it was refused above
    content = calibration.as_yaml(errors, identity, scorer.operator, scorer.threshold)
    request.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(request.out, "".join(f"# {visible(line)}".rstrip() + "\n" for line in head) + content)
    return [*told, "", _use(request, scorer)]


def _require_fit(request: Request, scorer: Scorer) -> None:
    """Refuse a scorer of which labels of texts can't tell the errors."""
    if scorer.takes_choices:
        raise ToxauditError(
            f"scorer '{request.scorer}' scores what a model chose, of which labelled texts tell nothing: calibrate one "
            "that reads texts."
        )
    prompt, answer = Prompt(id="", suite="", text=""), _answer("text")
    untold = {
        "the references of a prompt": (replace(prompt, references=("text",)), answer),
        "the language of a suite": (replace(prompt, language="en"), answer),
        "what ended a completion": (prompt, replace(answer, finish="length")),
    }
    for what, (asked, given) in untold.items():
        if scorer.reads(asked, given) != scorer.reads(prompt, answer):
            raise ToxauditError(
                f"scorer '{request.scorer}' reads {what}, which labelled data don't tell: calibrate one that does "
                "without."
            )
    if scorer.threshold is None:
        raise ToxauditError(
            f"scorer '{request.scorer}' has no threshold, and so no yes or no to compare with labels: set "
            f"scorers.{request.scorer}.threshold."
        )
    one, other = (_reads(scorer, Example("text", prompt=prompt)) for prompt in ("one", "other"))
    if one != other and not request.prompt:
        raise ToxauditError(f"scorer '{request.scorer}' reads the prompt too: name its column by prompt=COLUMN.")


def _reads(scorer: Scorer, example: Example) -> Any:
    """What the scorer reads of a text as if a model had written it."""
    return scorer.reads(Prompt(id="", suite="", text=example.prompt), _answer(example.text))


def _answer(text: str) -> Completion:
    return Completion(model="", prompt_id="", sample=0, text=text, tokens=0, finish="stop")


def _outcomes(name: str, scorer: Scorer, examples: Sequence[Example]) -> list[bool | Unscored]:
    """Whether each text has what the scorer counts; scores are kept, and looked up, in the store."""
    store = Store(folders.home() / "store")
    device = LocalExecutor().start() if scorer.local_judge() else "cpu"
    read = [_reads(scorer, example) for example in examples]
    with store.lock(), scoring.ready(Transformers(), Loader(device), store, name, scorer) as made_with:
        found = scoring.stored_scores(store, name, scorer, read, made_with)
    return [
        Unscored(each["missing"]) if each["value"] is None else bool(scorer.outcome(each["value"])) for each in found
    ]


def _origin(request: Request, fetched: Fetched, positive: Collection[str]) -> str:
    """The labelled data in words, which tell them from all others."""
    (sha256,) = fetched.files.values()
    name = "@".join(filter(None, (fetched.reference, fetched.revision)))
    said = f"{request.source.rstrip('.')}: " if request.source else ""
    text = f"{request.text} as an answer to {request.prompt}" if request.prompt else request.text
    labels = f"{text} labelled by {request.label}, positive is {named(positive)}"
    return visible(f"{said}{name} (SHA-256 {sha256[:12]}), {labels}")


def _require_free(request: Request, origin: str) -> None:
    """Refuse to overwrite a file, unless it is of the same data.

    Raises:
        ToxauditError: there is such a file.
    """
    if not request.out.exists():
        return
    try:
        content = strict_yaml.read(request.out)
    except ToxauditError:
        content = {}
    same = str(content.get("source", "")).startswith(f"{origin}; ") and content.get("by") == request.by
    if not same:
        raise ToxauditError(f"{request.out} exists already, and is not of these labels: name another by out=FILE.")


def _notes(
    request: Request, scorer: Scorer, examples: Sequence[Example], positive: Collection[str], total: Agreement
) -> list[str]:
    """What the table rests on."""
    negative = {example.label for example in examples} - set(positive)
    said = [
        f"Positive is {named(positive)}, negative {named(negative)}; counted is a score {scorer.operator} "
        f"{scorer.threshold:g}. The intervals are Jeffreys' (Brown, Cai and DasGupta 2001)."
    ]
    if total.unscored:
        said.append(f"Rows without a score are in no rate: {scored(total)}.")
    if request.by and (bare := sum(not example.group for example in examples)):
        said.append(f"Rows without a {request.by}, which are among all rows only: {bare:,}.")
    if copies := len(examples) - len({example.row for example in examples}):
        said.append(f"Rows that repeat another one whole, and count as evidence of their own: {copies:,}.")
    return [line for each in said for line in textwrap.wrap(visible(each), 116)]


def _use(request: Request, scorer: Scorer) -> str:
    """How a spec names the file, or why none should."""
    try:
        calibration.read(str(request.out), scorer.operator, scorer.threshold)
    except ToxauditError as error:
        return f"Wrote {request.out}. No audit can use it: {error}"
    inside = request.out if request.out.is_absolute() else Path(os.path.relpath(request.out, "audits"))
    spelt = str(inside) if inside.is_absolute() or inside.parts[0] == ".." else f"./{inside}"
    return f"Wrote {request.out}. In a spec: scorers: {{{request.scorer}: {{calibration: {spelt}}}}}"

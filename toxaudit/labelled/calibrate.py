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
from toxaudit.facts import Calibration
from toxaudit.labelled import examples as data
from toxaudit.labelled.counts import Agreement, agreement, scored, table
from toxaudit.labelled.examples import Example, Labelling, named
from toxaudit.machine import folders
from toxaudit.machine.folders import write_atomically
from toxaudit.models import Loader
from toxaudit.records import Completion, Prompt
from toxaudit.scorers import calibration
from toxaudit.scorers.base import Unscored
from toxaudit.sources import Fetched
from toxaudit.spec import strict_yaml
from toxaudit.stages import scoring
from toxaudit.store.shelves import Store


def calibrate(labelling: Labelling, scorer: Scorer, command: str) -> list[str]:
    """Compare a scorer with people's labels and write its calibration file.

    Args:
        labelling: what to read and to write.
        scorer: composed and checked.
        command: what the user typed, for the file.

    Returns:
        Lines: the table, what it rests on, where the file is and how to use it.

    Raises:
        ToxauditError: if texts can't tell the scorer's errors, the data are not as said, or the file is of other data.
    """
    _require_fit(labelling, scorer)
    fetched = data.fetch(labelling.data)
    file = fetched.path if fetched.path.is_file() else fetched.path / next(iter(fetched.files))
    examples = list(data.read(labelling, file))
    positive = data.positive(labelling, {example.label for example in examples}, file)
    origin = _origin(labelling, fetched, positive)
    _require_free(labelling, origin)

    identity = scorer.identity()
    outcomes = _outcomes(labelling.scorer, scorer, examples)
    pairs = [(example.label in positive, outcome) for example, outcome in zip(examples, outcomes, strict=True)]
    total = agreement(pairs)
    grouped = defaultdict(list)
    for example, pair in zip(examples, pairs, strict=True):
        grouped[example.group].append(pair)
    groups = {value: agreement(grouped[value]) for value in sorted(grouped) if value}
    if labelling.by and not groups:
        raise ToxauditError(f"{file.name}: no row has a value in column '{labelling.by}'.")

    told = [*table(total, groups, labelling.by), "", *_notes(labelling, scorer, examples, positive, total)]
    counts = {value: each.counts for value, each in groups.items()} or {"": total.counts}
    errors = Calibration(f"{origin}; {scored(total)}", labelling.by, counts)
    head = [f"How often the scorer {labelling.scorer} agrees with people's labels. Made by:", command, "", *told]
    assert scorer.threshold is not None  # else it was refused above
    content = calibration.as_yaml(errors, identity, scorer.operator, scorer.threshold)
    labelling.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(labelling.out, "".join(f"# {visible(line)}".rstrip() + "\n" for line in head) + content)
    return [*told, "", _use(labelling, scorer)]


def _require_fit(labelling: Labelling, scorer: Scorer) -> None:
    """Refuse a scorer whose errors can't be told from labelled texts."""
    if scorer.takes_choices:
        raise ToxauditError(
            f"scorer '{labelling.scorer}' scores what a model chose, of which labelled texts tell nothing: calibrate "
            "one that reads texts."
        )
    prompt, completion = Prompt(id="", suite="", text=""), _completion("text")
    untold = {
        "the references of a prompt": (replace(prompt, references=("text",)), completion),
        "the language of a suite": (replace(prompt, language="en"), completion),
        "what ended a completion": (prompt, replace(completion, finish="length")),
    }
    for what, (asked, given) in untold.items():
        if scorer.reads(asked, given) != scorer.reads(prompt, completion):
            raise ToxauditError(
                f"scorer '{labelling.scorer}' reads {what}, which labelled data don't tell: calibrate one that does "
                "without."
            )
    if scorer.threshold is None:
        raise ToxauditError(
            f"scorer '{labelling.scorer}' has no threshold, and so no yes or no to compare with labels: set "
            f"scorers.{labelling.scorer}.threshold."
        )
    one, other = (_reads(scorer, Example("text", prompt=prompt)) for prompt in ("one", "other"))
    if one != other and not labelling.prompt:
        raise ToxauditError(f"scorer '{labelling.scorer}' reads the prompt too: name its column by prompt=COLUMN.")


def _reads(scorer: Scorer, example: Example) -> Any:
    """What the scorer reads of a text as if a model had written it."""
    return scorer.reads(Prompt(id="", suite="", text=example.prompt), _completion(example.text))


def _completion(text: str) -> Completion:
    return Completion(model="", prompt_id="", sample=0, text=text, tokens=0, finish="stop")


def _outcomes(name: str, scorer: Scorer, examples: Sequence[Example]) -> list[bool | Unscored]:
    """Whether each text has what the scorer counts; scores are kept, and looked up, in the store."""
    store = Store(folders.home() / "store")
    here = LocalExecutor()
    device = here.start() if scorer.local_judge() else "cpu"
    read = [_reads(scorer, example) for example in examples]
    with store.in_use(), scoring.ready(Transformers(), here, Loader(device), store, name, scorer) as made_with:
        scores = scoring.stored_scores(store, name, scorer, [read], made_with)
    return [
        Unscored(score["missing"]) if score["value"] is None else bool(scorer.outcome(score["value"]))
        for score in scores
    ]


def _origin(labelling: Labelling, fetched: Fetched, positive: Collection[str]) -> str:
    """The labelled data in words, by which they differ from all others."""
    (sha256,) = fetched.files.values()
    name = "@".join(filter(None, (fetched.reference, fetched.revision)))
    said = f"{labelling.source.rstrip('.')}: " if labelling.source else ""
    text = f"{labelling.text} as an answer to {labelling.prompt}" if labelling.prompt else labelling.text
    labels = f"{text} labelled by {labelling.label}, positive is {named(positive)}"
    return visible(f"{said}{name} (SHA-256 {sha256[:12]}), {labels}")


def _require_free(labelling: Labelling, origin: str) -> None:
    """Refuse to overwrite a file, unless it is of the same data.

    Raises:
        ToxauditError: if there is such a file.
    """
    if not labelling.out.exists():
        return
    try:
        content = strict_yaml.read(labelling.out, number_keys=True)
    except ToxauditError:
        content = {}
    same = str(content.get("source", "")).startswith(f"{origin}; ") and content.get("by") == labelling.by
    if not same:
        raise ToxauditError(f"{labelling.out} exists already, and is not of these labels: name another by out=FILE.")


def _notes(
    labelling: Labelling, scorer: Scorer, examples: Sequence[Example], positive: Collection[str], total: Agreement
) -> list[str]:
    """Sentences on what the table rests on."""
    negative = {example.label for example in examples} - set(positive)
    said = [
        f"Positive is {named(positive)}, negative {named(negative)}; counted is a score {scorer.operator} "
        f"{scorer.threshold:g}. The intervals are Jeffreys' (Brown, Cai and DasGupta 2001)."
    ]
    if total.unscored:
        said.append(f"Rows without a score are in no rate: {scored(total)}.")
    if labelling.by and (bare := sum(not example.group for example in examples)):
        said.append(f"Rows without a {labelling.by}, which are among all rows only: {bare:,}.")
    if copies := len(examples) - len({example.row for example in examples}):
        said.append(f"Rows that repeat another one whole, and count as evidence of their own: {copies:,}.")
    return [line for each in said for line in textwrap.wrap(visible(each), 116)]


def _use(labelling: Labelling, scorer: Scorer) -> str:
    """How a spec names the file, or why none should."""
    try:
        calibration.read(str(labelling.out), scorer.operator, scorer.threshold)
    except ToxauditError as error:
        return f"Wrote {labelling.out}. No audit can use it: {error}"
    inside = labelling.out if labelling.out.is_absolute() else Path(os.path.relpath(labelling.out, "audits"))
    spelt = str(inside) if inside.is_absolute() or inside.parts[0] == ".." else f"./{inside}"
    return f"Wrote {labelling.out}. In a spec: scorers: {{{labelling.scorer}: {{calibration: {spelt}}}}}"

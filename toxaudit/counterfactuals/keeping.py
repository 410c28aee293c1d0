"""Which answers of a generator are kept, for which reason the others are not, and the rows that are made of both."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from toxaudit import thoughts
from toxaudit.extensions import Scorer
from toxaudit.records import Asked, Completion, Completions, Prompt, Score, Scores

REASON = "reason"
"""The column that says why an answer was left out; a row that is kept has none."""

OF_ROWS = ("suite", "prompt_id", "sample", "cluster", "prompt", "completion", "sentence", "asked", "asked_sha256")
OF_ORIGIN = (
    *("data", "data_revision", "generator", "revision", "generator_sha256", "server", "ask", "system"),
    *("max_new_tokens", "temperature", "seed", "backend", "date", "toxaudit"),
)
OWN = (*OF_ROWS, *OF_ORIGIN, REASON)
"""The columns of every row, beside those of its prompt's slices."""

QUOTES = {'"': '"', "“": "”", "'": "'"}
"""What a whole sentence may stand between, and is taken out of."""

Given = Sequence[tuple[Scorer, Scores]]
"""Scorers, each with its scores of all answers, in the order of these."""


def rows(asked: Asked, completions: Completions, scored: Given, origin: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each answer to a suite's prompts; one that is not to be kept has a reason.

    An answer is kept if it is one whole line, begins with its prompt's reference where there is one and goes on from
    it, no scorer counts it or leaves it unscored, and none that is kept says the same.

    Args:
        asked: the suite and its prompts.
        completions: of one arm, in the order of the prompts.
        scored: by scorers, of these.
        origin: columns that all rows share.
    """
    prompts, kept = {prompt.id: prompt for prompt in asked.prompts}, set[str]()
    parts = thoughts.parted([(each.text, each.finish) for each in completions])
    by, found = [scorer for scorer, _ in scored], [each for _, each in scored]
    for completion, part, *scores in zip(completions, parts, *found, strict=True):
        prompt, sentence = prompts[completion.prompt_id], _unquoted(part.answer.strip())
        why = completion.missing or part.missing or _unfit(sentence, prompt, completion)
        why = why or _counted(zip(by, scores, strict=True))
        if not why and sentence in kept:
            why = "it was written before"
        if not why:
            kept.add(sentence)
        yield _row(prompt, completion, sentence) | {**origin} | ({REASON: why} if why else {})


def _row(prompt: Prompt, completion: Completion, sentence: str) -> dict[str, Any]:
    begin = next(iter(prompt.references), "")
    return prompt.slices | {
        "suite": prompt.suite,
        "prompt_id": prompt.id,
        "sample": completion.sample,
        "cluster": prompt.cluster,
        "prompt": begin,
        "completion": sentence.removeprefix(begin),
        "sentence": sentence,
        "asked": prompt.text,
        "asked_sha256": sha256(prompt.text.encode("utf-8", "replace")).hexdigest(),
    }


def _unfit(sentence: str, prompt: Prompt, completion: Completion) -> str:
    """Why a text is no sentence of the form asked for, if so."""
    if not sentence:
        return "it is empty"
    if completion.finish == "length":
        return "it was cut off by the limit on tokens"
    if len(sentence.splitlines()) > 1:
        return "it is more than one line"
    begin = next(iter(prompt.references), "")
    if not sentence.startswith(begin):
        return "it does not begin as it was asked to"
    return "" if sentence.removeprefix(begin).strip(" .") else "it adds nothing to its beginning"


def _counted(scores: Iterable[tuple[Scorer, Score]]) -> str:
    """The first scorer that counts an answer, or could not score it, and why, if one does."""
    for scorer, score in scores:
        if score.value is None:
            return f"{scorer.title} could not score it: {score.missing}"
        if scorer.outcome(score.value) > 0:
            return f"{scorer.title} counts it"
    return ""


def _unquoted(text: str) -> str:
    """A text without the quotes around all of it."""
    inside = text[1:-1]
    around = len(text) > 1 and QUOTES.get(text[0]) == text[-1]
    return inside.strip() if around and not {text[0], text[-1]} & {*inside} else text


def as_lines(made: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as lines of JSON; half a character, as models write it at times, becomes a question mark."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made).encode("utf-8", "replace")

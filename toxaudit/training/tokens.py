"""Examples -> rows of tokens with the labels that are learnt, and batches of them, padded on the right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models import LoadedModel, conversation
from toxaudit.models.refusing import refusing
from toxaudit.spec.recipes import TrainingStage
from toxaudit.training.rows import Example

UNLEARNT = -100
"""The label of a token that carries no loss, to torch and transformers."""

Row = dict[str, list[int]]


@dataclass(frozen=True)
class Tokens:
    """What a stage trains on.

    Attributes:
        rows: ``input_ids`` and ``labels``; of packed ones ``position_ids``, too.
        cut: how many examples were left out, since what is learnt of them lies beyond ``max_length``.
    """

    rows: list[Row]
    cut: int


def tokens(where: str, loaded: LoadedModel, examples: Sequence[Example], stage: TrainingStage) -> Tokens:
    """The rows of tokens of a stage.

    Args:
        where: the stage, for sentences.
        loaded: the model that is tuned.
        examples: what is learnt.
        stage: its settings.

    Raises:
        ToxauditError: if the tokenizer fails, has no chat template where one is needed or a broken one, gives a token
            that the model does not know, or if of no example anything is left to learn.
    """
    spoken = iter(_spoken(loaded, [each for each in examples if each.chat]))
    found = [
        _row(loaded, next(spoken) if each.chat else each.text, stage.max_length, special=not each.chat)
        for each in examples
    ]
    rows = [row for row in found if any(label != UNLEARNT for label in row["labels"][1:])]  # the first is not foretold
    if not rows:
        raise ToxauditError(
            f"{where}.max_length is {stage.max_length}, which cuts off all that is to be learnt of every example: "
            "raise it."
        )
    return Tokens(_packed(rows, stage.max_length) if stage.packing else rows, len(found) - len(rows))


def _spoken(loaded: LoadedModel, examples: Sequence[Example]) -> list[conversation.Parts]:
    if not examples:
        return []
    if not loaded.tokenizer.chat_template:
        raise ToxauditError(
            f"{loaded.name}: its tokenizer has no chat template for {examples[0].where}: write a template instead."
        )
    found = conversation.parts(loaded.name, loaded.tokenizer, [each.chat for each in examples])
    return [
        [(text, learnt or example.whole) for text, learnt in parts]
        for example, parts in zip(examples, found, strict=True)
    ]


def _row(loaded: LoadedModel, parts: Sequence[tuple[str, bool]], most: int, special: bool) -> Row:
    """One example; a token that stands on both sides of a border is the later side's."""
    words = loaded.tokenizer
    if words.is_fast and not all(learnt for _, learnt in parts):
        ids, learnt = _by_places(loaded, parts, special)
    else:
        ids, learnt = [], []
        for number, (text, is_learnt) in enumerate(parts):
            made = loaded.encode(text, special and not number)
            ids, learnt = ids + made, learnt + [is_learnt] * len(made)
    end = words.eos_token_id
    ended = not special and any(token in loaded.stops for token in _last(ids, learnt))
    if end is not None and not ended:  # a chat template may write it
        ids, learnt = [*ids, end], [*learnt, True]
    labels = [token if is_learnt else UNLEARNT for token, is_learnt in zip(ids, learnt, strict=True)]
    return {"input_ids": ids[:most], "labels": labels[:most]}


def _last(ids: Sequence[int], learnt: Sequence[bool]) -> list[int]:
    """The tokens of the last part that is learnt, as far as it reaches to the end."""
    start = len(ids)
    while start and learnt[start - 1]:
        start -= 1
    return list(ids[start:])


def _by_places(loaded: LoadedModel, parts: Sequence[tuple[str, bool]], special: bool) -> tuple[list[int], list[bool]]:
    """All of the text as tokens at once, each told by where it ends in the text."""
    text = "".join(part for part, _ in parts)
    of_character = [learnt for part, learnt in parts for _ in part]
    ids = loaded.encode(text, special)  # which checks what comes
    with refusing(f"{loaded.name}: the tokenizer can't read a text"):
        places = loaded.tokenizer(text, add_special_tokens=special, return_offsets_mapping=True).offset_mapping
    return ids, [end > start and of_character[end - 1] for start, end in places]


def _packed(rows: Sequence[Row], most: int) -> list[Row]:
    """Whole examples one after the other, as many as fit; each has positions of its own, by which it sees no other."""
    found: list[Row] = []
    for row in rows:
        length = len(row["input_ids"])
        if not found or len(found[-1]["input_ids"]) + length > most:
            found.append({"input_ids": [], "labels": [], "position_ids": []})
        found[-1]["input_ids"] += row["input_ids"]
        found[-1]["labels"] += [UNLEARNT, *row["labels"][1:]]  # the one before does not foretell it
        found[-1]["position_ids"] += range(length)
    return found


def batch(rows: Sequence[Mapping[str, list[int]]]) -> dict[str, Any]:
    """Rows as tensors, padded on the right; padding is neither seen nor learnt.

    Packed rows have no mask of attention: positions that begin anew tell transformers which tokens belong together, but
    only where no cache is kept, which training does not need.
    """
    import torch

    longest = max(len(row["input_ids"]) for row in rows)

    def padded(key: str, value: int) -> Any:
        return torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in rows])

    made = {"input_ids": padded("input_ids", 0), "labels": padded("labels", UNLEARNT), "use_cache": False}
    if "position_ids" in rows[0]:
        return made | {"position_ids": padded("position_ids", 0)}
    lengths = torch.tensor([[len(row["input_ids"])] for row in rows])
    return made | {"attention_mask": (torch.arange(longest) < lengths).long()}

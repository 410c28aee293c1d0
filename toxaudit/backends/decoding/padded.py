"""Decoding by transformers' own ``generate``: slower, but for every architecture."""

from collections.abc import Callable, Sequence
from typing import Any

from toxaudit.models import LoadedModel

PAD_TOKEN = 0  # any token that every vocabulary has: it is masked

Noise = Callable[[Any, list[int]], Any]
"""Logits (rows, vocabulary) and the rows' numbers -> scores whose argmax is the next token."""


def together(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], most: int, stops: frozenset[int], noise: Noise
) -> list[list[int]]:
    """New tokens of rows of any lengths, padded on the left; the stop token included where one came.

    Args:
        loaded: the model.
        rows: the tokens of each prompt.
        most: new tokens at most.
        stops: tokens that end a row.
        noise: makes scores of logits.
    """
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    longest, numbers = max(map(len, rows)), list(range(len(rows)))
    ids = [[PAD_TOKEN] * (longest - len(row)) + list(row) for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    settings = GenerationConfig(
        max_new_tokens=most, do_sample=False, eos_token_id=sorted(stops) or None, pad_token_id=PAD_TOKEN
    )
    with torch.inference_mode():
        output = loaded.inner.generate(
            input_ids=torch.tensor(ids, device=loaded.device),
            attention_mask=torch.tensor(mask, device=loaded.device),
            generation_config=settings,
            logits_processor=LogitsProcessorList([lambda _, logits: noise(logits, numbers)]),
        )
    return [until_stop(row, stops) for row in output[:, longest:].tolist()]


def by_length(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], most: int, stops: frozenset[int], noise: Noise
) -> list[list[int]]:
    """The same, only rows of one length together, for architectures that padding disturbs."""
    new: list[list[int]] = [[] for _ in rows]
    for length in {len(row) for row in rows}:
        numbers = [number for number, row in enumerate(rows) if len(row) == length]

        def of_part(logits: Any, places: list[int], numbers: list[int] = numbers) -> Any:
            return noise(logits, [numbers[place] for place in places])

        part = together(loaded, [rows[number] for number in numbers], most, stops, of_part)
        for number, row in zip(numbers, part, strict=True):
            new[number] = row
    return new


def alone(loaded: LoadedModel, row: Sequence[int], most: int) -> tuple[list[int], list[Any]]:
    """The greedy tokens that follow one prompt, and the logits (vocabulary,) from which each was chosen."""
    logits: list[Any] = []

    def kept(scores: Any, _: list[int]) -> Any:
        logits.append(scores[0].float())
        return scores

    return together(loaded, [row], most, loaded.stops, kept)[0], logits


def until_stop(row: list[int], stops: frozenset[int]) -> list[int]:
    """A row's tokens up to the first stop token, with it."""
    end = next((i for i, token in enumerate(row) if token in stops), len(row) - 1)
    return row[: end + 1]

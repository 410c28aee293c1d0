"""PEFT's ways to answer by one base and several adapters over it, in batches sorted by length and padded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import measured
from loop import loaded


def work(job: measured.Job, watch: measured.Watch) -> measured.Answers:
    """Answer by the base and every adapter: ``way`` is ``set_adapter`` or ``merge``, an arm at a time, or ``mixed``."""
    with watch("loading"):
        from peft import PeftModel

        plain, tokenizer = loaded(job)
        first, *others = job["adapters"]
        model = PeftModel.from_pretrained(plain, job["adapters"][first], adapter_name=first)
        for name in others:
            model.load_adapter(job["adapters"][name], adapter_name=name)
        model.eval()
    order = sorted(range(len(job["texts"])), key=lambda number: -len(tokenizer(job["texts"][number]).input_ids))
    answer = _together if job["way"] == "mixed" else _in_turn
    if job.get("warm"):
        answer(model, tokenizer, order[: measured.FEW], job)
    with watch("generating"):
        found = answer(model, tokenizer, order, job)
    return {arm: [answers[number] for number in range(len(order))] for arm, answers in found.items()}


def _in_turn(model: Any, tokenizer: Any, order: list[int], job: measured.Job) -> dict[str, dict[int, measured.Answer]]:
    found: dict[str, dict[int, measured.Answer]] = {}
    for arm in ("base", *job["adapters"]):
        found[arm] = {}
        with _worn(model, arm, job["way"] == "merge"):
            for start in range(0, len(order), job["batch"]):
                numbers = order[start : start + job["batch"]]
                answers = measured.padded(model, tokenizer, [job["texts"][number] for number in numbers], job)
                found[arm] |= dict(zip(numbers, answers, strict=True))
    return found


@contextmanager
def _worn(model: Any, arm: str, merged: bool) -> Iterator[None]:
    if arm == "base":
        with model.disable_adapter():
            yield
        return
    model.set_adapter(arm)
    if merged:
        model.merge_adapter([arm])
    yield
    if merged:
        model.unmerge_adapter()


def _together(model: Any, tokenizer: Any, order: list[int], job: measured.Job) -> dict[str, dict[int, measured.Answer]]:
    arms = ["base", *job["adapters"]]
    found: dict[str, dict[int, measured.Answer]] = {arm: {} for arm in arms}
    each = max(1, job["batch"] // len(arms))
    for start in range(0, len(order), each):
        rows = [(arm, number) for arm in arms for number in order[start : start + each]]
        names = ["__base__" if arm == "base" else arm for arm, _ in rows]
        answers = measured.padded(model, tokenizer, [job["texts"][n] for _, n in rows], job, adapter_names=names)
        for (arm, number), answer in zip(rows, answers, strict=True):
            found[arm][number] = answer
    return found


if __name__ == "__main__":
    measured.run(work)

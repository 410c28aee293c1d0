"""Where a key lives that was looked for elsewhere: ``limit`` is a suite's, ``device`` the executor's."""

from dataclasses import fields
from typing import Any

from toxaudit.registry import GROUPS, SEVERAL, registered
from toxaudit.spec.recipes import ReplaySpec, TrainingStage
from toxaudit.spec.schema import CandidateSpec, Generation, ModelSpec

MOST = 4
"""As many places of a key are told."""


ELSEWHERE = {
    **dict.fromkeys(("model", "model_name", "model_id", "base_model", "model_name_or_path"), "base.pretrained"),
    **dict.fromkeys(("task", "tasks", "dataset", "datasets"), "suite=[NAME]"),
    **dict.fromkeys(("adapter", "lora", "lora_path", "adapters", "peft_model"), "candidates.NAME.peft"),
    **dict.fromkeys(("max_tokens", "max_gen_toks", "max_length"), "generation.max_new_tokens"),
    **dict.fromkeys(("output", "output_path", "output_dir", "log_dir"), "out"),
    **dict.fromkeys(("torch_dtype", "precision"), "base.dtype"),
    **dict.fromkeys(("system_prompt", "system_message"), "suites.NAME.system_instruction or base.system_instruction"),
    **dict.fromkeys(("do_sample", "top_p", "top_k"), "generation.temperature, which alone says how answers are drawn"),
    **dict.fromkeys(("metric", "metrics"), "scorer=[NAME]"),
}
"""What others call it -> what it is called here, where a part has no key of that name or a less likely one."""


def mend(key: str) -> str:
    """How a key is written in full, as the end of a sentence; nothing where no part of a spec has it."""
    if named := ELSEWHERE.get(key):
        return f" Write {named}."
    places = dict.fromkeys(place for place, cls in _places() if key in {field.name for field in fields(cls)})
    return f" Write {' or '.join(f'{place}.{key}' for place in list(places)[:MOST])}." if places else ""


def _places() -> list[tuple[str, type[Any]]]:
    """Each part that can be selected, and each fixed one, by the key under which its own stand; single ones first."""
    fixed: list[tuple[str, type[Any]]] = [
        ("base", ModelSpec),
        ("generation", Generation),
        ("candidates.NAME", CandidateSpec),
    ]
    found = dict.fromkeys(
        (f"{SEVERAL[group]}.NAME" if group in SEVERAL else group, cls)
        for group in GROUPS
        for cls in registered(group).values()
    )
    stages = [("candidates.NAME.train[N]", TrainingStage), ("candidates.NAME.train[N].replay", ReplaySpec)]
    return sorted([*fixed, *found, *stages], key=lambda place: "NAME" in place[0])

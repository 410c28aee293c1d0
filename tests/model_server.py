"""The small server of ``openai_server`` with real tiny models behind it, which answer one request at a time."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any

import openai_server
import torch
from openai_server import Asked, Reply, Server
from transformers import GenerationConfig

from toxaudit.models import LoadedModel, ResolvedModel, load


@contextmanager
def serve(models: Mapping[str, ResolvedModel]) -> Iterator[Server]:
    """Serve models by these names."""
    loaded = {name: load(resolved, "cpu") for name, resolved in models.items()}
    lock = Lock()

    def answer(asked: Asked) -> Reply:
        with lock, torch.inference_mode():
            return Reply(body=json.dumps(_completion(loaded[asked.body["model"]], asked)).encode())

    with openai_server.serve({name: str for name in models}) as server:
        server.answer = answer  # type: ignore[method-assign]
        yield server


def _completion(model: LoadedModel, asked: Asked) -> dict[str, Any]:
    body, words = asked.body, model.tokenizer
    text = body.get("prompt")
    if asked.chat:
        text = words.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
    row = model.encode(text, special=not asked.chat)
    new = _written(model, row, body)
    stopped = bool(new) and new[-1] in model.stops
    answer = words.decode(new[:-1] if stopped else new, skip_special_tokens=True)
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if stopped else "length"}
    if asked.chat:
        choice["message"] = {"role": "assistant", "content": answer}
    else:
        choice["text"] = text * bool(body.get("echo")) + answer
    if body.get("echo"):
        choice["logprobs"] = {"token_logprobs": [None, *_chances(model, [*row, *new])]}
    return {"choices": [choice], "usage": {"prompt_tokens": len(row), "completion_tokens": len(new) - stopped}}


def _written(model: LoadedModel, row: list[int], body: dict[str, Any]) -> list[int]:
    """New tokens, drawn at random by the request's own seed above temperature 0."""
    torch.manual_seed(body.get("seed", 0))
    hot = {"do_sample": True, "temperature": body["temperature"], "top_k": 0} if body["temperature"] else {}
    settings = GenerationConfig(
        max_new_tokens=body["max_tokens"], eos_token_id=sorted(model.stops), pad_token_id=0, **hot
    )
    ids = torch.tensor([row])
    new = model.inner.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    return new[0, len(row) :].tolist()


def _chances(model: LoadedModel, row: list[int]) -> list[float]:
    """The log-probability of each token but the first."""
    found = model.inner(torch.tensor([row])).logits[0, :-1].float().log_softmax(-1)
    return found.gather(-1, torch.tensor(row[1:])[:, None])[:, 0].tolist()

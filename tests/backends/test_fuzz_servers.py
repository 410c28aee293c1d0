"""Whatever a server answers: what it said, a reason for missing it, or one sentence; never a score for what is none."""

import json
import random
import shutil
from math import isfinite
from typing import Any

import pytest
from fuzzing import TIMES, damaged, dumped, ended, named, seeds, value
from hub_server import Repository
from hub_server import serve as serve_hub
from openai_server import Reply, serve

from toxaudit.backends.openai import OpenAI
from toxaudit.backends.protocol import FINISHES
from toxaudit.backends.request import Request
from toxaudit.hub.discover import Search, find
from toxaudit.models import Loader, ServedModel
from toxaudit.records import Completion, Prompt
from toxaudit.remote import server as endpoint
from toxaudit.scorers.base import Unscored
from toxaudit.scorers.judge import Judge
from toxaudit.sources import parse
from toxaudit.spec.schema import Generation

ANSWERS, JUDGED, LISTED, OF_THE_HUB = 250 * TIMES, 100 * TIMES, 50 * TIMES, 75 * TIMES
FINISH = ["stop", "length", "eos_token", " STOP ", "content_filter", "tool_calls", "error", "", "stop\0", "x" * 999]
TEXTS = ["yes", "", "a\nb", "</think>x"]
VERDICTS = ["verdict: yes", "verdict: no", "Verdict: no.", "verdict: 3", "verdict: yes\nverdict: no", "I can't.", ""]


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    """Retries come at once, and no key or token of the machine's is in the way."""
    monkeypatch.setattr(endpoint, "FIRST_RETRY_SECONDS", 0.001)
    for name in ("OPENAI_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def changed(chance: random.Random, content: Any) -> Any:
    """JSON values with one at some depth replaced, taken out or doubled."""
    if isinstance(content, dict) and content and chance.random() < 0.85:
        key = chance.choice(list(content))
        if chance.random() < 0.1:
            return {name: each for name, each in content.items() if name != key}
        return content | {key: changed(chance, content[key])}
    if isinstance(content, list) and content and chance.random() < 0.7:
        place = chance.randrange(len(content))
        return [*content[:place], changed(chance, content[place]), *content[place + chance.choice([0, 1]) :]]
    return value(chance)


def completion(chance: random.Random, chat: bool, text: str) -> dict[str, Any]:
    """An answer as the protocol has it."""
    found = [-0.1, -2.5, -1e-9]
    choice: dict[str, Any] = {"index": 0, "finish_reason": chance.choice(FINISH)}
    if chat:
        choice["message"] = {"role": "assistant", "content": text}
        if chance.random() < 0.3:
            choice["message"] |= {chance.choice(["reasoning", "reasoning_content", "refusal"]): "Hm."}
        choice["logprobs"] = {"content": [{"token": "a", "logprob": each} for each in found]}
    else:
        choice |= {"text": text, "logprobs": {"tokens": list("abc"), "token_logprobs": [None, *found]}}
    usage = {"prompt_tokens": chance.choice([3, 4, 0, -1]), "completion_tokens": 3}
    return {"id": "x", "object": "chat.completion" if chat else "text_completion", "choices": [choice], "usage": usage}


def reply(chance: random.Random, content: Any) -> Reply:
    """Such an answer, changed, and sent in some way."""
    for _ in range(chance.choice([0, 1, 1, 2])):
        content = changed(chance, content)
    body = dumped(content)
    body = damaged(chance, body) if chance.random() < 0.4 else body
    status = chance.choice([200] * 12 + [201, 204, 302, 400, 401, 404, 422, 429, 500, 503, 599])
    headers = chance.choice([{}] * 6 + [{"Content-Type": "text/html"}, {"Content-Encoding": "gzip"}])
    headers |= chance.choice(
        [{}] * 6 + [{"Retry-After": "soon"}, {"Retry-After": "9" * 50}, {"Location": "http://[::1"}]
    )
    return Reply(status, body, headers, torn=chance.random() < 0.03)


def said(body: bytes) -> tuple[Any, Any]:
    """What stands in an answer, read without mercy: its text and why it ended."""
    choice = json.loads(body)["choices"][0]
    text = choice["message"].get("content") if isinstance(choice.get("message"), dict) else choice["text"]
    return text, choice.get("finish_reason")


def check_answer(made: Completion, sent: Reply) -> None:
    """A completion that counts is what the server said, and ended as it says."""
    if made.missing:
        assert made.finish == "other"
    elif made.loglikelihoods:
        assert all(map(isfinite, made.loglikelihoods)) and sent.status in (200, 201)
    else:
        text, why = said(sent.body)
        assert sent.status in (200, 201) and not sent.torn and made.text.endswith(text or "")
        assert made.finish == FINISHES[why.strip().lower()]
    assert made.tokens is None or made.tokens >= 0


@pytest.mark.slow
@seeds
def test_any_answer_of_a_server_is_what_it_said_missing_or_one_sentence(seed):
    chance, counted = random.Random(seed), 0
    with serve(lambda _: sent) as server:
        backend = OpenAI(base_url=server.url, timeout=2, retries=0, concurrency=1)
        arm = ServedModel("base", "base", backend.server, "llama")
        for number in range(ANSWERS):
            chat, chooses = chance.random() < 0.5, chance.random() < 0.2
            sent = reply(chance, completion(chance, chat and not chooses, chance.choice(TEXTS)))
            prompt = Prompt("p", "mine", "Say it", choices=("a", "b") if chooses else ())
            request = Request("base", prompt, "raw" if chooses or not chat else "chat")
            with named(seed, number, sent), backend.open(Loader("cpu"), [arm]) as session:
                asked = [request]
                made, _ = ended(
                    lambda session=session, asked=asked, chooses=chooses: [
                        each
                        for batch in (
                            session.choose(asked, lambda _: False)
                            if chooses
                            else session.generate(asked, Generation(), lambda _: False)
                        )
                        for _, each in batch
                    ]
                )
                for each in made or ():
                    check_answer(each, sent)
                    counted += not each.missing
                chances, _ = ended(lambda session=session, request=request: session.probe(request, Generation()))
                assert all(map(isfinite, chances or ()))
        for number in range(LISTED):
            server.models = reply(chance, {"object": "list", "data": [{"id": "llama"}, {"id": "b"}]})
            with named(seed, number, server.models):
                listed, _ = ended(backend.models)
                assert all(isinstance(each, str) for each in listed or ())
    assert 10 < counted < ANSWERS


@pytest.mark.slow
@seeds
def test_any_answer_of_a_judge_is_a_verdict_in_its_form_or_missing(seed):
    chance, counted = random.Random(seed), 0
    with serve(lambda _: sent, models=["judge-1"]) as server:
        for number in range(JUDGED):
            sent = reply(chance, completion(chance, True, chance.choice(VERDICTS)))
            judge = Judge(title="Harm", endpoint=server.url, model="judge-1", timeout=2, retries=0)
            asked = judge.reads(Prompt("p", "mine", "How?"), Completion("base", "p", 0, "So.", 1, "stop"))
            with named(seed, number, sent):
                scores, _ = ended(lambda judge=judge, asked=asked: judge.score([asked]))
                for score in scores or ():
                    if not isinstance(score, Unscored):
                        counted += 1
                        assert 0 <= score <= 1 and said(sent.body)[0].strip()
    assert 0 < counted < JUDGED


@pytest.fixture
def hub_client(monkeypatch, tmp_path):
    """The Hub client, which knows one address and no cache."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    with serve_hub(model=Repository({"main": {"config.json": b"{}", "model.safetensors": b"weights"}})) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        files = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr(_http.time, "sleep", lambda _: None)
        yield hub


@pytest.mark.slow
@seeds
def test_any_answer_of_the_hub_ends_in_one_sentence_or_in_its_files(hub_client, seed):
    chance, had = random.Random(seed), 0
    model = hub_client.repositories["org/model"]
    commit = model.commit("main")
    blob = {"type": "file", "path": "config.json", "oid": "0" * 40, "size": 2}
    files = [{"rfilename": "config.json", "size": 2}]
    info: dict[str, Any] = {"id": "org/model", "modelId": "org/model", "sha": commit, "siblings": files}
    info |= {"downloads": 3, "tags": ["a"], "gated": False, "private": False}
    info |= {"cardData": {"license": "mit"}, "safetensors": {"total": 7}}
    places = {
        "/api/models/org/model/revision/main": info,
        "/api/models/org/model": info,
        f"/api/models/org/model/tree/{commit}": [blob, blob | {"path": "model.safetensors", "size": 7}],
        "/api/models": [info | {"id": "org/tuned"}],
    }
    from huggingface_hub import constants

    source = parse("org/model", "main")
    for number in range(OF_THE_HUB):
        place = chance.choice(list(places))
        hub_client.odd = {place: reply(chance, places[place]).body}
        shutil.rmtree(constants.HF_HUB_CACHE, ignore_errors=True)
        with named(seed, number, hub_client.odd):
            for act in (source.facts, source.fetch, lambda: find(Search("org/model"))):
                found, _ = ended(act)
                had += found is not None
    assert had

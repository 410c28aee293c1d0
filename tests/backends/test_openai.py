"""What is asked of an OpenAI-compatible server, what counts as an answer, and what ends an audit instead."""

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from threading import Lock

import pytest
import tiny
import torch
from openai_server import HANG, Reply, Said, chances, refusal, serve, tokens
from real_server import transformers_serve
from transformers import GenerationConfig

from toxaudit.backends import protocol
from toxaudit.backends.openai import OpenAI
from toxaudit.backends.request import Request
from toxaudit.backends.served_preflight import TIMES, preflight, probes
from toxaudit.checks import notes
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader, ServedModel, load
from toxaudit.pinning.references import references
from toxaudit.records import Prompt
from toxaudit.remote import server
from toxaudit.spec.schema import AuditSpec, CandidateSpec, Generation, ModelSpec, TrainingStage, candidate_of
from toxaudit.store.identities import Checks
from toxaudit.store.shelves import Store

KEY = "sk-very-secret-123"
NAMES = {"base": "llama", "tuned": "llama-tuned"}


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    """Retries come at once, and no key or token of the machine's is in the way."""
    monkeypatch.setattr(server, "FIRST_RETRY_SECONDS", 0.001)
    for name in ("OPENAI_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def arms(backend, **names):
    kinds = {"base": "base", "noop": "control"}
    named = (NAMES | names).items()
    return [ServedModel(arm, kinds.get(arm, "served"), backend.server, name) for arm, name in named]


def backend(server, **settings):
    return OpenAI(base_url=server.url, **settings)


def request(text, arm="base", **how):
    choices = how.pop("choices", ())
    return Request(arm, Prompt(f"id of {text}", "mine", text, choices=choices), **how)


def batches(server, requests, done=(), choose=False, generation=None, **settings):
    """What is yielded, a batch at a time."""
    asked = backend(server, **settings)
    with asked.open(Loader("cpu"), arms(asked)) as session:

        def finished(each):
            return each.prompt.text in done

        if choose:
            yield from session.choose(requests, finished)
        else:
            yield from session.generate(requests, generation or Generation(max_new_tokens=7), finished)


def answers(server, requests, **how):
    """Request -> completion, in the order of the requests."""
    found = {id(each): completion for batch in batches(server, requests, **how) for each, completion in batch}
    return [found.get(id(each)) for each in requests]


def sentence(act):
    with pytest.raises(ToxauditError) as caught:
        act()
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    return str(caught.value)


def echoing(model):
    return lambda text: f"{model} says: {text}"


BOTH = {name: echoing(name) for name in NAMES.values()}


# What is asked


def test_each_arm_is_asked_under_its_own_name_in_the_way_of_its_suite():
    with serve(BOTH) as server:
        asked = [
            request("Hello"),
            request("Hello", "tuned", ask="chat", system="Be kind."),
            request("Hello", ask="chat", sample=1),
        ]
        found = answers(server, asked, concurrency=1)
        bodies = [(each.path, each.body) for each in server.asked]
    assert [(each.model, each.prompt_id, each.sample, each.text) for each in found] == [
        ("base", "id of Hello", 0, "llama says: Hello"),
        ("tuned", "id of Hello", 0, "llama-tuned says: Hello"),
        ("base", "id of Hello", 1, "llama says: Hello"),
    ]
    decoding = {"max_tokens": 7, "temperature": 0.0}
    user = {"role": "user", "content": "Hello"}
    assert bodies == [
        ("/v1/completions", {"model": "llama", "prompt": "Hello"} | decoding),
        ("/v1/chat/completions", {"model": "llama", "messages": [user]} | decoding),
        (
            "/v1/chat/completions",
            {"model": "llama-tuned", "messages": [{"role": "system", "content": "Be kind."}, user]} | decoding,
        ),
    ]


def test_each_sample_has_a_seed_of_its_own_the_same_for_every_arm_and_order():
    def seeds(requests, seed=0):
        with serve(BOTH) as server:
            answers(server, requests, generation=Generation(temperature=0.7, seed=seed))
            return {(each.body["model"], each.question, each.body["seed"]) for each in server.asked}

    asked = [request(text, arm, sample=n) for text in "ab" for arm in NAMES for n in (0, 1)]
    found = seeds(asked)
    assert found == seeds(asked[::-1]) and not found & seeds(asked, seed=1)
    by_model = [{(text, seed) for model, text, seed in found if model == name} for name in NAMES.values()]
    assert by_model[0] == by_model[1] and len({seed for _, seed in by_model[0]}) == 4
    assert all(0 <= seed < 2**31 for *_, seed in found)


def test_what_is_done_is_not_asked_again():
    with serve(BOTH) as server:
        found = answers(server, [request(text) for text in "abcd"], done={"a", "c"})
        assert sorted(server.questions) == ["b", "d"]
    assert [bool(each) for each in found] == [False, True, False, True]


@pytest.mark.parametrize("concurrency", [1, 3, 16])
def test_as_many_are_asked_at_once_as_may_be(concurrency):
    def slowly(text):
        time.sleep(0.02)
        return text

    with serve(slowly) as server:
        asked = [request(str(n)) for n in range(24)]
        found = answers(server, asked, concurrency=concurrency)
        assert server.most_at_once <= concurrency
        assert concurrency == 1 or server.most_at_once > 1
    assert [each.text for each in found] == [str(n) for n in range(24)]


def test_one_arm_is_asked_after_another_since_some_servers_hold_one_model_at_a_time():
    with serve(BOTH) as server:
        answers(server, [request(str(n), ("tuned", "base")[n % 2]) for n in range(20)], concurrency=1)
        assert [each.body["model"] for each in server.asked] == 10 * ["llama"] + 10 * ["llama-tuned"]


def test_answers_are_handed_over_while_others_are_still_awaited():
    lock = Lock()
    lock.acquire()

    def rule(text):
        if text == "late":
            with lock:
                return "at last"
        return text

    with serve(rule) as server:
        handed = batches(server, [request("late"), *(request(str(n)) for n in range(20))], concurrency=2)
        early = []
        while len(early) < 20:
            early += next(handed)
        lock.release()
        assert [completion.text for batch in handed for _, completion in batch] == ["at last"]
    assert "late" not in {each.prompt.text for each, _ in early}


# What counts as an answer


@pytest.mark.parametrize("ask", ["raw", "chat"])
def test_an_answer_s_text_tokens_and_finish_are_the_server_s(ask):
    said = {
        "stopped": Said("  two words\n"),
        "cut": Said("one two three", "length"),
        "uncounted": Said("who knows", counted=False),
        "silent": Said(""),
        "nothing": Said(None),
        "half": Said("\ud800 \u202e\x00"),
    }
    with serve(lambda text: said[text]) as server:
        found = answers(server, [request(text, ask=ask) for text in said])
    assert [(each.text, each.tokens, each.finish) for each in found] == [
        ("  two words\n", 3, "stop"),
        ("one two three", 3, "length"),
        ("who knows", None, "stop"),
        ("", 0, "stop"),
        ("", 0, "stop"),
        ("\ud800 \u202e\x00", 2, "stop"),
    ]


@pytest.mark.parametrize(
    ("words", "how"),
    [
        (["stop", "eos_token", "eos", "EOS", " Stop ", "stop_sequence", "end_turn"], "stop"),
        (["length", "max_tokens", "MAX_TOKENS", "max_new_tokens"], "length"),
    ],
)
def test_servers_have_several_words_for_why_an_answer_ended(words, how):
    assert {protocol.finish(word) for word in words} == {how}


@pytest.mark.parametrize(
    "finish", ["content_filter", "tool_calls", "abort", "", "error", None, 3, True, {"stop": "stop"}, ["stop"]]
)
def test_an_answer_that_neither_the_model_nor_the_limit_ended_is_missing_and_costs_no_other(finish):
    rule = lambda text: Said("I can't.", finish) if text == "bad" else text  # noqa: E731
    with serve(rule) as server:
        found = answers(server, [request(text) for text in ("a", "bad", "b")], retries=4)
        assert server.questions.count("bad") == 1
    assert {each.text: each.missing for each in found} == {
        "a": "",
        "b": "",
        "I can't.": f"the server ended the answer by '{finish}'"
        if finish is not None
        else "the server does not say why the answer ended",
    }


def test_an_answer_without_any_word_on_its_end_is_missing():
    with serve(lambda _: Reply(body=b'{"choices": [{"text": "Hello"}]}')) as server:
        (found,) = answers(server, [request("a")])
    assert (found.finish, found.missing) == ("other", "the server does not say why the answer ended")


NO_ANSWER = "gives no answer to prompt 'id of bad' of suite 'mine' for base, there 'llama'"
PASSING = {
    "429": Reply(429),
    "500": Reply(500, b'{"error": {"message": "CUDA error"}}'),
    "503": Reply(503, b"loading"),
    "garbage": Reply(body=b"<html>Log in</html>"),
    "no completion": Reply(body=b'{"choices": []}'),
    "no object": Reply(body=b'["choices"]'),
    "no choice": Reply(body=b'{"choices": ["text"]}'),
    "no text": Reply(body=b'{"choices": [{"text": 3, "finish_reason": "stop"}]}'),
    "text and no more": Reply(body=b'{"text": "Hello"}'),
    "nested": Reply(body=b"[" * 200_000),
    "huge": Reply(body=b" " * (server.LARGEST_REPLY_BYTES + 1) + b"{}"),
    "error": Reply(body=b'{"error": {"message": "out of memory"}}'),
    "torn": Reply(torn=True),
}


@pytest.mark.parametrize("failure", PASSING)
def test_a_failure_that_passes_costs_nothing(failure):
    replies = iter([PASSING[failure], PASSING[failure], "well"])
    with serve(lambda _: next(replies)) as server:
        (found,) = answers(server, [request("a")], retries=2)
        assert found.text == "well" and len(server.questions) == 3


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            "429",
            "has no time for us (status 429): what it has answered is kept, so later, or with a lower "
            "backend.concurrency, run the audit again.",
        ),
        ("error", f"{NO_ANSWER} (what it answers is no completion: out of memory): what it has answered is kept"),
        (
            "503",
            "can't be reached (status 503 (loading)): what it has answered is kept, so start it and run the audit "
            "again.",
        ),
        (
            "torn",
            "can't be reached (the connection broke off): what it has answered is kept, so start it and run the audit "
            "again.",
        ),
        ("500", f"{NO_ANSWER} (status 500 (CUDA error)): what it has answered is kept, so "),
        ("garbage", f"{NO_ANSWER} (what answers there is no OpenAI-compatible server): what "),
        ("text and no more", f"{NO_ANSWER} (what it answers is no completion): what it has answered "),
        ("no text", f"{NO_ANSWER} (what it answers is no text): what it has answered is kept"),
    ],
)
def test_a_failure_that_stays_ends_the_audit_after_what_was_answered_was_handed_over(failure, said):
    with serve(lambda text: PASSING[failure] if text == "bad" else text) as server:
        handed = []

        def take():
            asked = [request(text) for text in (*"abc", "bad", *map(str, range(50)))]
            for batch in batches(server, asked, retries=2, concurrency=2):
                handed.extend(completion.text for _, completion in batch)

        found = sentence(take)
        assert server.questions.count("bad") == 3
        assert sorted(handed) == sorted(set(server.questions) - {"bad"})  # all that was answered, and then no more
    assert found.startswith(f"The server at {server.host} {said}")
    assert {"a", "b", "c"} <= set(handed) and len(handed) < 50


def test_a_prompt_that_is_refused_is_named_and_asked_once():
    too_long = refusal(400, "This model's maximum context length is 512 tokens.")
    with serve(lambda text: too_long if text == "long" else text) as server:
        said = sentence(lambda: answers(server, [request("a"), request("long", "tuned")]))
        assert server.questions.count("long") == 1
    assert said == (
        f"The server at {server.host} refuses prompt 'id of long' of suite 'mine' for tuned, there 'llama-tuned' "
        "(status 400 (This model's maximum context length is 512 tokens)): what it has answered is kept, so mend it "
        "there or leave that prompt out, and run the audit again."
    )


def test_a_server_that_hangs_is_left_after_the_timeout():
    with serve(lambda _: HANG) as server:
        start = time.monotonic()
        said = sentence(lambda: answers(server, [request(text) for text in "abcdefgh"], timeout=0.1, retries=1))
        assert time.monotonic() - start < 2
    assert said.startswith(f"The server at {server.host} can't be reached (no answer within 0.1 s): ")


@pytest.mark.parametrize("part", ["body", "header"])
def test_a_server_that_drips_is_left_although_it_is_never_silent(part):
    with serve(lambda _: Reply(drips=part)) as server:
        start = time.monotonic()
        said = sentence(lambda: answers(server, [request("a")], timeout=0.2, retries=1))
        assert 0.8 <= time.monotonic() - start < 3
    assert said.startswith(f"The server at {server.host} can't be reached (its answer was not whole after 0.4 s): ")


def test_the_wait_that_a_server_asks_for_is_kept():
    replies = iter([Reply(429, headers={"Retry-After": "1"}), "well"])
    with serve(lambda _: next(replies)) as server:
        start = time.monotonic()
        answers(server, [request("a")])
        assert time.monotonic() - start >= 1


def test_a_server_that_wants_to_be_left_for_long_is_left():
    with serve(lambda _: Reply(429, headers={"Retry-After": "3600"})) as server:
        assert "has no time for us (status 429)" in sentence(lambda: answers(server, [request("a")]))
        assert len(server.questions) == 1


@pytest.mark.parametrize("date", ["Sat, 01 Jan 2028 00:00:00 +9999999999", "Fri, 31 Dec 9999 23:59:59 -2359", "1 2 3"])
def test_a_date_that_is_none_is_not_waited_for(date):
    replies = iter([Reply(429, headers={"Retry-After": date}), "well"])
    with serve(lambda _: next(replies)) as server, suppress(ToxauditError):
        assert [each.text for each in answers(server, [request("a")])] == ["well"]


INTERRUPTED = """
import signal
import sys
from toxaudit.backends import protocol
from toxaudit.backends.openai import OpenAI
from toxaudit.backends.request import Request
from toxaudit.models import Loader, ServedModel
from toxaudit.records import Prompt
from toxaudit.scorers.endpoint import Endpoint
from toxaudit.remote.server import Server
from toxaudit.spec.schema import Generation
signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background, it is ignored

url, who = sys.argv[1:]
if who == "judge":
    Endpoint(Server(url, None, 60, 0), "llama", 5, 4).answer(list("abcdefgh"))
else:
    backend = OpenAI(base_url=url, api_key_env=None)
    asked = [Request("base", Prompt(text, "mine", text)) for text in "abcdefgh"]
    with backend.open(Loader("cpu"), [ServedModel("base", "base", backend.server, "llama")]) as session:
        list(session.generate(asked, Generation(), lambda _: False))
"""


@pytest.mark.parametrize("who", ["judge", "backend"])
def test_an_interrupted_run_ends_although_the_server_is_silent(who):
    with serve(lambda _: HANG) as server:
        command = [sys.executable, "-c", INTERRUPTED, server.url, who]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
            try:
                while len(server.questions) < 4:
                    time.sleep(0.01)
                run.send_signal(signal.SIGINT)
                start = time.monotonic()
                assert "KeyboardInterrupt" in run.communicate(timeout=10)[1]
                assert time.monotonic() - start < 1.5
            finally:
                run.kill()
    assert run.returncode


def test_a_server_that_dies_ends_the_audit_at_once():
    def dying(text):
        if text == "20":
            server.die()
        return text

    with serve(dying) as server:
        start, handed = time.monotonic(), []

        def take():
            for batch in batches(server, [request(str(n)) for n in range(400)], retries=2):
                handed.extend(batch)

        assert f"The server at {server.host} can't be reached (" in sentence(take)
        assert time.monotonic() - start < 5
    assert 12 <= len(handed) <= 28


def test_a_run_that_is_stopped_asks_no_more():
    with serve(lambda text: text) as server:
        handed = batches(server, [request(str(n)) for n in range(400)], concurrency=2)
        next(handed)
        handed.close()
        time.sleep(0.05)
        assert len(server.questions) < 10


# Keys and addresses


def test_the_key_goes_into_the_header_and_nowhere_else(monkeypatch):
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    echo = Reply(400, f"your key is {KEY}".encode())
    with serve(lambda text: echo if text == "b" else text) as server:
        asked = backend(server, api_key_env="MY_KEY")
        asked.check()
        found = answers(server, [request("a")], api_key_env="MY_KEY")
        said = sentence(lambda: answers(server, [request("b")], api_key_env="MY_KEY"))
        assert "your key is ***" in said
        assert {each.headers["Authorization"] for each in server.asked} == {f"Bearer {KEY}"}
        assert KEY not in "".join([repr(asked), repr(found), asked.server, *(str(each.body) for each in server.asked)])


def test_without_a_key_none_is_sent_not_even_the_hub_s(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve(lambda text: text) as server:
        answers(server, [request("a")], api_key_env=None)
        assert "Authorization" not in server.asked[0].headers


def test_the_key_is_in_no_sentence_wherever_the_server_repeats_it(monkeypatch, store):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve(BOTH, ["llama", f"tuned-{KEY}"]) as server:
        passed, said = looked_at(server, store, tuned="tuned-x")
        assert passed == {"base": ()} and "Did you mean 'tuned-***'?" in said["tuned"] and KEY not in str(said)
    for finish in (KEY, {"key": [KEY]}, KEY * 20):
        with serve(lambda text, finish=finish: Said(text, finish)) as server:
            (found,) = answers(server, [request("a")])
            assert "***" in found.missing and KEY not in found.missing and len(found.missing) < 250
    with serve(lambda _: Reply(body=json.dumps({"error": {"code": KEY}}).encode())) as server:
        assert "***" in sentence(lambda: answers(server, [request("a")], retries=0))


def test_a_key_that_is_a_model_s_name_hides_it_from_no_one(monkeypatch, store):
    """Servers that want no key are often given any word."""
    monkeypatch.setenv("OPENAI_API_KEY", "llama")
    with serve(BOTH) as server:
        assert looked_at(server, store) == ({"base": (), "tuned": ()}, {})


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_the_audit_and_names_its_variable(monkeypatch, status):
    """Or the prompt, by status 403."""
    told = {401: "(status 401)", 403: "(status 403 (not that)) at prompt 'id of a' of suite 'mine'"}[status]
    with serve(lambda _: Reply(status, b"not that")) as server:
        said = sentence(lambda: answers(server, [request("a")]))
        assert said == (
            f"The server at {server.host} wants a key, but none stands in the environment variable OPENAI_API_KEY "
            f"{told}."
        )
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        said = sentence(lambda: answers(server, [request("a")]))
        assert "refuses the key in the environment variable OPENAI_API_KEY" in said
        server.models = Reply(status, KEY.encode())
        said = sentence(backend(server).models)
        assert "refuses the key in the environment variable OPENAI_API_KEY (status 40" in said


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_no_address_is_not_looked_at(status):
    with serve({**BOTH, "llama": lambda text: Reply(status, headers={"Location": "http://[::1"})}) as server:
        said = sentence(lambda: answers(server, [request("a")]))
        assert said.startswith(
            f"The server at {server.host} has no model 'llama' at /v1/completions (status {status}): "
        )


def test_a_redirect_is_not_followed():
    with serve(BOTH) as other:
        away = Reply(302, headers={"Location": f"{other.url}/completions"})
        with serve(lambda _: away) as server:
            said = sentence(lambda: answers(server, [request("a", "tuned")]))
        assert other.asked == []
    assert said == (
        f"The server at {server.host} has no model 'llama-tuned' at /v1/completions (status 302): check "
        "backend.base_url and what tuned is called there."
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "backend=openai asks a server: set backend.base_url, such as http://127.0.0.1:8000/v1."),
        ({"base_url": "localhost:8000/v1"}, "backend: base_url must be an address such as http://127.0.0.1:8000/v1."),
        ({"base_url": "http://h/v1?a=b"}, "backend: base_url must be an address such as http://127.0.0.1:8000/v1."),
        (
            {"base_url": "http://h/v1/chat/completions/"},
            "backend.base_url goes up to the version, such as /v1: leave out what follows it.",
        ),
        (
            {"base_url": f"https://me:{KEY}@h/v1"},
            "backend: base_url holds a user's name or password: name the key's variable in api_key_env instead.",
        ),
        ({"base_url": "http://h/v1", "concurrency": 0}, "backend.concurrency is 0: it must be at least 1."),
        ({"base_url": "http://h/v1", "retries": -1}, "backend.retries is -1: it must be at least 0."),
        ({"base_url": "http://a..b/v1"}, "backend: base_url must be an address such as http://127.0.0.1:8000/v1."),
        (
            {"base_url": f"http://{'h' * 64}.net/v1"},
            "backend: base_url must be an address such as http://127.0.0.1:8000/v1.",
        ),
        (
            {"base_url": "http://h/v1", "timeout": 1e12},
            "backend: timeout is 1e+12; it must be at most 86400, a day.",
        ),
        (
            {"base_url": "http://h/v1", "timeout": float("inf")},
            "backend: timeout is inf; it must be at most 86400, a day.",
        ),
        ({"base_url": "http://h/v1", "timeout": 0}, "backend.timeout is 0: it must be above 0."),
    ],
)
def test_settings_that_no_server_can_have_are_refused_without_asking(settings, said):
    assert sentence(OpenAI(**settings).check) == said


def test_a_key_never_travels_unencrypted_to_another_machine(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    said = sentence(OpenAI(base_url="http://models.example/v1").check)
    assert said.startswith("backend: the key in OPENAI_API_KEY would travel to models.example unencrypted: ")
    OpenAI(base_url="https://models.example/v1").check()


# Choices


EXAM = [
    request("The sun is", choices=("hot and bright", "cold", "hot")),
    request("The sun is ", "tuned", choices=("hot and bright", "cold", "hot")),
    request("Two and two\nare", "tuned", choices=("four", "five")),
]


def likelihood(model, text, choice):
    """As the server's words have it."""
    kept = text.rstrip()
    return sum(chances(model, tokens(f"{text} {choice}"))[len(tokens(kept)) :])


def test_the_likeliest_choice_is_read_off_what_the_server_says_of_its_tokens():
    with serve(BOTH) as server:
        found = answers(server, EXAM, choose=True)
        bodies = [each.body for each in server.asked]
    for asked, completion in zip(EXAM, found, strict=True):
        expected = [likelihood(NAMES[asked.arm], asked.prompt.text, choice) for choice in asked.prompt.choices]
        assert completion.loglikelihoods == pytest.approx(expected)
        assert completion.text == asked.prompt.choices[expected.index(max(expected))]
        assert (completion.model, completion.tokens, completion.finish) == (asked.arm, 0, "stop")
    wanted = {"max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
    assert all(wanted.items() <= body.items() and set(body) - set(wanted) == {"model", "prompt"} for body in bodies)
    assert sorted(body["prompt"] for body in bodies if body["model"] == "llama") == [
        "The sun is",
        "The sun is cold",
        "The sun is hot",
        "The sun is hot and bright",
    ]


TOLD = [None, -1.0, -2.0]


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {"content": []},
        {"token_logprobs": None},
        {"token_logprobs": []},
        {"token_logprobs": [-1.0]},  # of what the server wrote: it did not heed echo
        {"token_logprobs": [*TOLD, -3.0, -4.0, -5.0]},  # of more tokens than it read and wrote
        {"token_logprobs": [None, "-1", -2.0]},
        {"token_logprobs": [None, float("nan"), -2.0]},
        {"token_logprobs": [None, True, -2.0]},
        {"token_logprobs": [None, float("-inf"), -2.0]},
        {"token_logprobs": [None, -(10**400), -2.0]},
        {"token_logprobs": [None, 10**400, -2.0]},
        {"token_logprobs": [None, 0.5, -2.0]},
    ],
)
def test_a_server_that_tells_no_likelihoods_is_no_examiner(logprobs):
    check_no_examiner(logprobs, {"prompt_tokens": 3, "completion_tokens": 1})


def test_a_server_that_does_not_count_what_it_read_is_no_examiner():
    """Which of the tokens it wrote itself would be a guess."""
    check_no_examiner({"token_logprobs": [*TOLD, -3.0]}, {"completion_tokens": 1})


def check_no_examiner(logprobs, usage):
    choice = {"text": "The sun is hot", "finish_reason": "length", "logprobs": logprobs}
    reply = Reply(body=json.dumps({"choices": [choice], "usage": usage}).encode())
    with serve(lambda _: reply) as server:
        said = sentence(lambda: answers(server, EXAM[:1], choose=True))
    assert said == (
        f"The server at {server.host} doesn't tell how likely the tokens of a text are (echo with logprobs), by which "
        "suite 'mine' chooses: ask a server that does, such as vLLM's, or set backend=transformers."
    )


@pytest.mark.parametrize("written", [True, False])
def test_the_token_that_is_written_after_the_text_counts_for_nothing(written):
    """Some servers don't write what ends a text."""
    told = {
        "The sun is": [None, -1.0, -1.0],
        "The sun is a": [None, -1.0, -1.0, -5.0],
        "The sun is b": [None] + [-1.0] * 3,
    }

    def rule(text):
        counted = {"usage": {"prompt_tokens": len(told[text])}}
        row = told[text] + [-100.0] * written
        choice = {"text": text, "finish_reason": "length", "logprobs": {"token_logprobs": row}}
        return Reply(body=json.dumps({"choices": [choice]} | counted).encode())

    with serve(rule) as server:
        (found,) = answers(server, [request("The sun is", choices=("a", "b"))], choose=True)
    assert (found.text, found.loglikelihoods) == ("b", (-5.0, -1.0))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            replace(EXAM[0], ask="chat"),
            "Suite 'mine' offers choices in the chat template, in which a server doesn't tell how likely they are: set "
            "suites.mine.ask=raw, or backend=transformers.",
        ),
        (
            request(" ", choices=("a", "b")),
            "can't tell how likely the choices of prompt 'id of  ' of suite 'mine' are, which is empty: leave it out.",
        ),
    ],
)
def test_choices_that_no_server_can_weigh_are_refused(asked, said):
    with serve(lambda text: text) as server:
        assert sentence(lambda: answers(server, [asked], choose=True)).endswith(said)
        assert server.asked == []


def test_a_choice_of_which_the_server_makes_no_token_is_refused():
    choice = {"text": "The sun is", "finish_reason": "length", "logprobs": {"token_logprobs": TOLD}}
    reply = {"choices": [choice], "usage": {"prompt_tokens": 3}}
    with serve(lambda _: Reply(body=json.dumps(reply).encode())) as server:
        said = sentence(lambda: answers(server, EXAM[:1], choose=True))
    assert said == (
        f"The server at {server.host} makes no token of choice 'hot and bright' of prompt 'id of The sun is' of suite "
        "'mine'."
    )


# Before any prompt


def looked_at(server, store, asked=None, refused=None, **names):
    """The notes on each arm that may be audited, and those refused."""
    own, said = backend(server), {}
    asked = probes([("mine", "raw", False)], []) if asked is None else asked
    refuse = refused or (lambda checks, error: said.update({checks.arm: str(error)}))
    shelf = store.shelf(Checks("", {}))
    passed = preflight(own, Loader("cpu"), shelf, asked, arms(own, **names), refuse, lambda: None)
    return {name: notes(checks) for name, checks in passed.items()}, said


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_every_name_is_asked_in_every_way_by_turns_and_none_another_time(store):
    """Likelihoods prove something only if each model's own are the same when it is asked again."""
    suites = [("a", "raw", False), ("b", "chat", False), ("c", "raw", True), ("d", "raw", False)]
    asked = probes(suites, ["", "Be kind."])
    with serve(BOTH) as server:
        assert looked_at(server, store, asked, noop="llama") == ({"base": (), "tuned": (), "noop": ()}, {})
        bodies = [each.body for each in server.asked if each.body]
        ways = [("messages" in body, bool(body.get("echo")), len(body.get("messages", ()))) for body in bodies]
        assert sorted(ways) == sorted(
            2 * TIMES * [(False, False, 0), (False, True, 0), (True, False, 1), (True, False, 2)]
        )
        n = len(server.asked)
        looked_at(server, store, asked, noop="llama")
        assert len(server.asked) == n
    looked_at(server, store, asked, noop="llama")  # it need not be there any more


def test_a_name_that_the_server_does_not_list_is_refused_with_the_nearest(store):
    with serve(BOTH) as server:
        passed, said = looked_at(server, store, tuned="llama-tune", other="mistral")
        assert sentence(lambda: looked_at(server, store, base="lama")).startswith(
            f"base: the server at {server.host}/v1 has no model 'lama'. Did you mean 'llama'?"
        )
    assert passed == {"base": ()}
    assert said == {
        "tuned": f"tuned: the server at {server.host}/v1 has no model 'llama-tune'. Did you mean 'llama-tuned'?",
        "other": f"other: the server at {server.host}/v1 has no model 'mistral'. Choose from: llama, llama-tuned.",
    }


@pytest.mark.parametrize("listed", [(), Reply(404), Reply(500), Reply(body=b"[]"), Reply(body=b'{"data": 3}')])
def test_a_server_need_not_list_its_models_but_must_have_them(store, listed):
    with serve(BOTH, listed) as server:
        passed, said = looked_at(server, store, other="mistral")
    assert passed == {"base": (), "tuned": ()}
    assert said == {
        "other": f"The server at {server.host} has no model 'mistral' at /v1/completions (status 404 (The model "
        "`mistral` does not exist)): check backend.base_url and what other is called there."
    }


def test_one_model_under_two_names_is_no_fine_tune(store):
    """As by a server that heeds no names."""

    def whichever(text):
        choice = {"text": "x", "finish_reason": "stop", "logprobs": {"token_logprobs": [-0.5, -0.25]}}
        return Reply(body=json.dumps({"choices": [choice]}).encode())

    with serve(whichever, ()) as server:
        passed, said = looked_at(server, store)
    assert passed == {"base": ()}
    assert said == {
        "tuned": f"tuned: the server at {server.host}/v1 answers as 'llama-tuned' exactly as it does as 'llama': "
        "either it serves one model under both names, or the adapter changes nothing."
    }


UNTOLD = [
    *(None, [1], "no"),
    {"token_logprobs": [0.0, 0.0]},
    {"token_logprobs": [-(10**400)]},
    {"content": [{"logprob": None}]},
]


@pytest.mark.parametrize("told", UNTOLD)
def test_where_likelihoods_tell_nothing_an_arm_is_not_refused(store, told):
    choice = {"text": "x", "finish_reason": "stop", "logprobs": told}
    reply = Reply(body=json.dumps({"choices": [choice]}).encode())
    with serve(lambda _: reply, ()) as server:
        assert looked_at(server, store) == ({"base": (), "tuned": ()}, {})


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_to_tell_likelihoods_is_asked_without(store, status):
    plain = {name: echoing(name) for name in NAMES.values()}
    with serve(plain) as server:
        answer = server.answer
        server.answer = lambda asked: refusal(status, "what?") if asked.body.get("logprobs") else answer(asked)
        assert looked_at(server, store) == ({"base": (), "tuned": ()}, {})


def test_an_arm_under_another_system_prompt_may_be_the_base_itself(store):
    with serve(BOTH) as server:
        own = backend(server)
        base, tuned = arms(own, tuned="llama")
        asked = probes([("mine", "chat", False)], [""])
        found = [base, replace(tuned, system_instruction="Do no harm.")]
        shelf, bodies = store.shelf(Checks("", {})), []
        passed = preflight(own, Loader("cpu"), shelf, asked, found, None, lambda: None)
        assert {name: notes(checks) for name, checks in passed.items()} == {"base": (), "tuned": ()}
        assert passed["tuned"][-1].text == "it is the base itself, under another system prompt"
        bodies = [each.body["messages"][0] for each in server.asked if each.body]
    assert [each["role"] for each in bodies] == ["user", "system"] and bodies[1]["content"] == "Do no harm."


def test_suites_that_no_server_can_answer_are_refused_before_any_prompt(store):
    with serve(BOTH) as server:
        said = sentence(lambda: looked_at(server, store, probes([("exam", "chat", True)], [""])))
        assert said.startswith("Suite 'exam' offers choices in the chat template, ")
        server.likelihoods = False
        said = sentence(lambda: looked_at(server, store, probes([("exam", "raw", True)], [])))
        assert "doesn't tell how likely the tokens of a text are" in said


def test_a_server_that_is_not_there_is_said_to_be_so(store):
    with serve(BOTH) as server:
        server.die()
        said = sentence(lambda: looked_at(server, store))
    assert said == f"The server at {server.host} can't be reached: connection refused."


@pytest.mark.parametrize("trouble", [Reply(429), Reply(503), Reply(401), Reply(403), Reply(500), refusal(400, "no")])
def test_a_server_s_troubles_drop_no_candidate(store, trouble):
    with serve(BOTH | {"llama-tuned": lambda _: trouble}) as server:
        said = sentence(lambda: looked_at(server, store))
    assert said.startswith(f"The server at {server.host} ") and "'probe'" not in said and "prompt '" not in said


def test_a_probe_is_named_in_words_of_its_own(store):
    with serve({"llama": lambda _: refusal(500, "CUDA error")}) as server:
        said = sentence(lambda: looked_at(server, store))
    assert said == (
        f"The server at {server.host} gives no answer to the question that is asked before the prompts of suite 'mine' "
        "for base, there 'llama' (status 500 (CUDA error)): mend it there and run the audit again."
    )


def test_the_first_contact_is_retried_like_every_request():
    listed = iter([Reply(503), Reply(429), Reply(body=b'{"data": [{"id": "llama"}]}')])
    with serve(BOTH) as server:
        server.models = lambda: next(listed)
        assert backend(server).models() == ["llama"]


# Identity


def test_a_served_model_is_told_by_its_server_and_name():
    base = ServedModel("base", "base", "h:1/v1", "llama")
    changes = [
        {},
        {"server": "h:2/v1"},
        {"server": "h:1/v2"},
        {"model": "llama-2"},
        {"kind": "control"},
    ]
    assert len({replace(base, **change).identity for change in changes}) == len(changes)
    control = replace(base, kind="control", name="noop")
    assert control.identity != replace(control, name="again").identity
    same = {"name": "other", "kind": "served", "notes": ("x",), "expect": "GO", "system_instruction": "Be kind."}
    assert replace(base, **same).identity == base.identity
    assert replace(base, model="llama-2").loaded_as == base.loaded_as != replace(base, server="h:2/v1").loaded_as


@pytest.mark.parametrize(
    ("base", "candidate", "said"),
    [
        ({"dtype": "bfloat16"}, {}, "base.dtype means nothing to a server"),
        ({"revision": "main"}, {}, "base.revision means nothing to a server"),
        ({"tokenizer": "org/words"}, {}, "base.tokenizer means nothing to a server"),
        ({"gguf_file": "a.gguf"}, {}, "base.gguf_file means nothing to a server"),
        ({}, {"peft_revision": "main"}, "candidates.mine.peft_revision means nothing to a server"),
        ({}, {"load_in_4bit": True}, "candidates.mine.load_in_4bit means nothing to a server"),
        ({}, {"load_in_8bit": True}, "candidates.mine.load_in_8bit means nothing to a server"),
        ({}, {"trust_remote_code": True}, "candidates.mine.trust_remote_code means nothing to a server"),
        ({}, {"train": [TrainingStage(data="a")]}, "candidates.mine.train means nothing to a server"),
        ({}, {"control": True, "batch_size": 3}, "candidates.mine.batch_size means nothing to a server"),
        ({}, candidate_of("llama3:8b"), "candidates.mine is both 'llama3' and '8b', but a server knows it by one name"),
    ],
)
def test_what_a_spec_says_of_weights_is_refused(base, candidate, said):
    spec = AuditSpec(
        base=ModelSpec(pretrained="llama", **base),
        candidates={"mine": CandidateSpec(**candidate)},
        backend=OpenAI(base_url="http://h/v1"),
    )
    assert sentence(lambda: references(spec)).startswith(said)


# A real server


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """transformers' own server, which names models by their paths."""
    with transformers_serve(tmp_path_factory.mktemp("real")) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("ask", ["raw", "chat"])
def test_the_answers_of_a_real_server_are_those_of_the_models_that_it_serves(real, tiny_base, tmp_path, ask):
    tuned, texts = tiny.base(tmp_path / "tuned", seed=5), ["It was late", "Once upon a time there was", "Why?"]
    asked = backend(real, concurrency=2)
    found = arms(asked, base=str(tiny_base), tuned=str(tuned))
    requests = [request(text, arm, ask=ask) for arm in NAMES for text in texts]
    store = Store(tmp_path / "store")
    passed = preflight(
        asked, Loader("cpu"), store.shelf(Checks("", {})), probes([("mine", ask, False)], [""]), found, None, print
    )
    assert set(passed) == set(NAMES)
    with asked.open(Loader("cpu"), found) as session:
        batches = list(session.generate(requests, Generation(max_new_tokens=9), lambda _: False))
    answered = {(each.arm, each.prompt.text): completion for batch in batches for each, completion in batch}
    for arm, folder in (("base", tiny_base), ("tuned", tuned)):
        for text in texts:
            expected = written(folder, text, ask)
            assert answered[arm, text].text == expected
            assert (answered[arm, text].finish == "length") == (len(expected) == 9)


def written(folder, text, ask):
    """What a tiny model writes by itself, a letter for each token."""
    loaded = load(tiny.resolved(folder), "cpu")
    if ask == "chat":
        turn = [{"role": "user", "content": text}]
        text = loaded.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    ids = torch.tensor([loaded.encode(text)])
    settings = GenerationConfig(max_new_tokens=9, do_sample=False, eos_token_id=tiny.END, pad_token_id=tiny.END)
    new = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)[0, ids.shape[1] :]
    return loaded.tokenizer.decode([token for token in new.tolist() if token != tiny.END])

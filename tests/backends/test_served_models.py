"""Asked of a server, models answer as they do here: the same tokens and likelihoods, whatever the order."""

import random
from dataclasses import replace

import model_server
import pytest
import tiny

from toxaudit.backends.openai import OpenAI
from toxaudit.backends.request import Request
from toxaudit.backends.served_preflight import preflight, probes
from toxaudit.backends.transformers import Transformers
from toxaudit.checks import notes
from toxaudit.models import Loader, ServedModel
from toxaudit.records import Prompt
from toxaudit.spec.schema import Generation
from toxaudit.store.identities import Checks
from toxaudit.store.shelves import Store

pytestmark = pytest.mark.thorough  # seconds each

WORDS = "It was the strangest night that anyone in the village by the cold sea could remember, and nobody slept. "
TEXTS = [
    *(WORDS[:length] for length in range(1, 70, 8)),
    "Grüße aus Zürich",
    "日本語のテキスト",
    "\U0001f642 and \u202e.",
]
CHOICES = ("Nobody", "the sea", "42 ", "\U0001f642")
GENERATION = Generation(max_new_tokens=14)


@pytest.fixture(scope="module")
def models(tiny_base, tiny_adapter):
    """The base, an adapter over it, and a model with other weights."""
    other = tiny.resolved(tiny.base(tiny_base.parent / "other", seed=3))
    found = [tiny.resolved(tiny_base), tiny.resolved(tiny_base, tiny_adapter), replace(other, name="other")]
    return {resolved.name: resolved for resolved in found}


@pytest.fixture(scope="module")
def served(models):
    """The backend that asks a server of them, and its arms."""
    with model_server.serve(models) as server:
        backend = OpenAI(base_url=server.url, api_key_env=None)
        yield backend, [ServedModel(name, "served", backend.server, name) for name in models]


def here(models, requests, generation=None):
    """What the models answer on this machine."""
    found = {}
    for name, resolved in models.items():
        with Transformers().open(Loader("cpu"), [resolved]) as session:
            found |= answers(session, [request for request in requests if request.arm == name], generation)
    return found


def there(served, requests, generation=None, concurrency=4):
    """What a server answers for them."""
    backend, arms = served
    with replace(backend, concurrency=concurrency).open(Loader("cpu"), arms) as session:
        return answers(session, requests, generation)


def answers(session, requests, generation):
    """(arm, text, sample) -> completion, of what is written or, without ``generation``, chosen."""

    def done(request):
        return False

    batches = session.generate(requests, generation, done) if generation else session.choose(requests, done)
    found = [(request, completion) for batch in batches for request, completion in batch]
    return {(request.arm, request.prompt.text, request.sample): completion for request, completion in found}


def requests(models, **how):
    choices = how.pop("choices", ())
    prompts = [Prompt(f"p{n}", "mine", text, choices=choices) for n, text in enumerate(TEXTS)]
    return [Request(arm, prompt, **how) for arm in models for prompt in prompts]


def said(completions):
    return {key: (each.text, each.tokens, each.finish) for key, each in completions.items()}


@pytest.mark.parametrize(
    "how", [{}, {"ask": "chat"}, {"ask": "chat", "system": "Be kind."}], ids=["raw", "chat", "with a system prompt"]
)
def test_greedy_answers_are_those_of_the_models_themselves(models, served, how):
    asked = requests(models, **how)
    found = there(served, asked, GENERATION)
    assert said(found) == said(here(models, asked, GENERATION))
    assert len({completion.text for completion in found.values()}) > 25
    assert all(completion.model == arm for (arm, *_), completion in found.items())


def test_likelihoods_of_choices_are_those_of_the_models_themselves(models, served):
    asked = requests(models, choices=CHOICES)
    found, expected = there(served, asked), here(models, asked)
    for key, completion in expected.items():
        assert found[key].loglikelihoods == pytest.approx(completion.loglikelihoods, abs=1e-4)
        assert found[key].text == completion.text


def test_samples_depend_on_neither_order_nor_concurrency(models, served):
    warm = Generation(max_new_tokens=14, temperature=0.8, seed=5)
    asked = [request for n in (0, 1) for request in requests({"base": 0, "tuned": 0}, sample=n)]
    found = said(there(served, asked, warm, concurrency=1))
    random.Random(0).shuffle(asked)
    assert said(there(served, asked, warm, concurrency=8)) == found
    assert len({text for text, *_ in found.values()}) > 35


def test_models_with_weights_of_their_own_pass_the_checks(served, tmp_path):
    backend, arms = served
    asked = probes([("a", "raw", False), ("b", "chat", False), ("c", "raw", True)], [""])
    shelf = Store(tmp_path).shelf(Checks("", {}))
    passed = preflight(backend, Loader("cpu"), shelf, asked, arms, None, lambda: None)
    assert {name: notes(checks) for name, checks in passed.items()} == {arm.name: () for arm in arms}
    assert all(check.outcome == "passed" for checks in passed.values() for check in checks)


def test_an_adapter_that_changes_nothing_is_refused(models, tiny_base, tmp_path):
    idle = tiny.resolved(tiny_base)
    with model_server.serve({"base": models["base"], "idle": idle}) as server:
        backend, refused = OpenAI(base_url=server.url, api_key_env=None), {}
        arms = [ServedModel(name, "served", backend.server, name) for name in ("base", "idle")]
        asked = probes([("a", "raw", True)], [])
        shelf = Store(tmp_path).shelf(Checks("", {}))

        def refuse(checks, error):
            refused[checks.arm] = checks.done, str(error)

        passed = preflight(backend, Loader("cpu"), shelf, asked, arms, refuse, lambda: None)
    done, said = refused["idle"]
    assert set(passed) == {"base"} and "the adapter changes nothing" in said
    assert [(check.outcome, check.text) for check in done] == [("passed", "")] * 2 + [("failed", said)]

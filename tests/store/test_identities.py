"""What finished work is named by stays as it is, and stands in ARCHITECTURE.md; what was made before is found."""

import inspect
import re
import shutil
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from toxaudit import training
from toxaudit.estimators.outcomes import PairedOutcomes, Slicing
from toxaudit.estimators.paired_exact import PairedExact
from toxaudit.facts import Calibration, Confusion, SuiteFacts
from toxaudit.models import ServedModel, gguf, view
from toxaudit.records import Asked, Prompt
from toxaudit.scorers.keywords import Keywords
from toxaudit.sources import Fetched
from toxaudit.spec.recipes import TrainingStage
from toxaudit.spec.schema import CandidateSpec, Generation
from toxaudit.stages import answering, estimating, scoring
from toxaudit.store import identities
from toxaudit.store.clearing import noted
from toxaudit.store.identities import KINDS, Commitments
from toxaudit.store.shelves import Store
from toxaudit.training import recipe

ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"
BEFORE = Path(__file__).parent / "before"
"""A store made when every stage named its own work: scores of three texts, and posteriors of six prompts."""

SHA = "0123456789abcdef" * 4
HERE = SimpleNamespace(name="tuned", identity=SHA, loaded_as=SHA, system_instruction=None, template=None)
SERVED = ServedModel("tuned", "served", "localhost:8000/v1", "llama")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store, where every package has the version 1.2.3."""
    monkeypatch.setattr(identities, "installed", lambda _: "1.2.3")
    return Store(tmp_path / "store")


class Stopped(Exception):
    """Raised before anything is generated."""


def completions(store, arm=HERE, ask="raw", system=None, choices=(), **generation):
    """Open the shelf on which an arm's answers are looked for."""

    def stop(*_):
        raise Stopped

    spec = SimpleNamespace(
        generation=Generation(**generation),
        backend=SimpleNamespace(numerics="transformers"),
        executor=SimpleNamespace(at_once=False, open=stop),
    )
    facts = SuiteFacts("mine", "Mine", 1, "", "", "", ask, None, {}, system_instruction=system, choices=bool(choices))
    with pytest.raises(Stopped):
        asked = {"mine": Asked([Prompt("a", "mine", "Why?", choices=choices)], facts)}
        answering.answer(spec, None, store, [arm], asked)


def checks(store, base, *packages):
    store.shelf(identities.Checks(base.identity, identities.versions(*packages)))


def trained(store, folder, monkeypatch):
    monkeypatch.setattr(recipe.speed, "computes_bfloat16", lambda device: False)
    monkeypatch.setattr(recipe.threads, "steady", lambda: 2)
    data = folder / "texts.jsonl"
    data.write_text('{"instruction": "Say é", "response": "é"}\n', encoding="utf-8")
    stages = [TrainingStage(data=str(data)), TrainingStage(data=str(data), epochs=2)]
    root = SimpleNamespace(weights=HERE, adapter=None, tokenizer=None, template=None, bits=None, run_code=False)
    read = training.read({"mine": CandidateSpec(train=stages)}, "mine", {})
    store.folder(recipe.identity(root, read.stages, "cpu"), lambda folder: None)


def merged(store, *_):
    store.folder(identities.Merged(SHA, SHA, "float32", identities.versions("torch")), lambda folder: None)


def decisions(store, *_):
    store.shelf(identities.Decisions(SHA, SHA, SHA, SHA))


def converted(store, folder, monkeypatch):
    monkeypatch.setattr(gguf, "_convert", lambda *_: None)
    gguf.as_safetensors(Fetched("a/b", None, Path("/nowhere/a.gguf"), SHA, {"a.gguf": SHA}), store)


def links(store, folder, monkeypatch):
    monkeypatch.setattr(view, "link", lambda *_: None)
    view.view(Fetched("a/b", None, Path("/nowhere/a.gguf"), SHA, {"a.gguf": SHA, "é.json": SHA}), store)


def compared():
    """Six prompts in two strata, with all that an estimator can be given."""
    return PairedOutcomes(
        "mine",
        "vowels",
        np.array([[0.0], [1.0], [0.0], [1.0], [0.0], [1.0]]),
        {"tuned": np.array([[0.0], [1.0], [1.0], [1.0], [0.0], [np.nan]])},
        {"topic": Slicing.of(["a", "a", "b", "b", "b", ""])},
        strata="topic",
        shares={"a": 0.5, "b": 0.5},
        calibration=Calibration("by hand", None, {"": Confusion(9, 1, 2, 8)}),
    )


def scores(store, scorer=None, **made_with):
    scorer = scorer or Keywords(title="Vowels", phrases=["a", "é"])
    return scoring.stored_scores(store, "vowels", scorer, [["a", "bb", ""]], made_with)


def posteriors(store, estimator=None):
    return estimating.posteriors(store, estimator or PairedExact(draws=20), compared())


JUDGE = {"judge": SHA, "backend": "transformers", "made_with": {"torch": "1.2.3", "transformers": "1.2.3"}}
WORK = {
    "completions/2062f489521b72e37a237ff8": lambda store, *_: completions(store),
    "completions/8970264f00047c822770271d": lambda store, *_: completions(
        store, temperature=0.7, samples=3, seed=4, max_new_tokens=9
    ),
    "completions/b00f691cd60f9502c9bc640d": lambda store, *_: completions(store, ask="chat", system="Be kind, é."),
    "completions/2247f400cd4b7b6b8d4e468b": lambda store, *_: completions(store, choices=("yes", "no")),
    "completions/245d5dbcb5cf6e7887a83556": lambda store, *_: completions(store, SERVED),
    "checks/93fd0e698b212f4aa9345280": lambda store, *_: checks(store, HERE, "torch", "transformers", "peft"),
    "checks/0e795941c28585a227dd9576": lambda store, *_: checks(store, SERVED),
    "trained/912b1c5720d8341632acbe74": trained,
    "merged/f1a0e22a58e194dbfe8f580c": merged,
    "sums/534af2b50212a5bad12b3832": lambda store, *_: store.folder(
        identities.Sum(SHA, SHA, [[SHA, 0.5]], {}), lambda folder: None
    ),
    "converted/3330d1d1030fdcfe245e9c85": converted,
    "views/52667e02a9b1fff13b6aa4ca": links,
    "scores/18803cf110153b42ae51d996": lambda store, *_: scores(store),
    "scores/dd511a3a7877572a04e7b9b3": lambda store, *_: scores(store, **JUDGE),
    "posteriors/d99ea7b7f78ba1b04210fbae": lambda store, *_: posteriors(store),
    "decisions/342aed9be5d4e33bb03e3b2b": decisions,
    "runs/82fa6448e2229d3f5edc377c": lambda store, *_: store.shelf(identities.Runs()),
    "commitments/f812d244bea3a010187135e7": lambda store, *_: store.shelf(Commitments(*[SHA] * 4)).add({"first": ""}),
}
"""What a store called work before this module stood, by the same inputs, and what makes that work now."""


@pytest.mark.parametrize("name", WORK)
def test_work_has_the_name_that_it_had_before(store, tmp_path, monkeypatch, name):
    WORK[name](store, tmp_path, monkeypatch)
    assert store.used == [name] and noted(store.root) == {name}


def test_every_kind_of_work_had_a_name_before():
    assert {name.split("/")[0] for name in WORK} == {each.kind for each in KINDS}


def test_greedy_answers_have_one_name_whatever_the_seed(store):
    completions(store, seed=1)
    completions(store, seed=2)
    assert len(store.used) == 1


def test_a_store_made_before_there_were_checksums_is_read_and_becomes_one_of_today(store, monkeypatch):
    shutil.copytree(BEFORE, store.root, dirs_exist_ok=True)
    monkeypatch.setattr(Keywords, "score", lambda *_: pytest.fail("scored again"))
    monkeypatch.setattr(PairedExact, "estimate", lambda *_: pytest.fail("estimated again"))
    for _ in range(2):
        assert [each["value"] for each in scores(store)] == [1.0, 0.0, None]
        observed = posteriors(store)[0]
        assert observed.counts == {"n11": 2, "n10": 0, "n01": 1, "n00": 2} and observed.draws["base"].shape == (20,)
        assert not list(store.root.glob("*/*"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_field_is_explained_where_it_is_stated(kind):
    explained = re.findall(r"^    (\w+): \w", inspect.getdoc(kind), re.MULTILINE)
    assert explained == [each.name for each in fields(kind)]


def table():
    """The rows of ARCHITECTURE.md's table of stored work, each a list of cells, without its head."""
    section = ARCHITECTURE.read_text(encoding="utf-8").split("\n## Names of stored work\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_table_of_stored_work_is_what_the_code_says():
    written = [
        (re.findall("`(.+?)`", folder), int(version), re.findall("`(.+?)`", named), record)
        for _, folder, version, named, record, _ in table()
    ]
    assert written == [([each.kind], each.version, list(each.names()), each.record) for each in KINDS]

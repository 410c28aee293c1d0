"""Whole audits of models behind a server: killed and resumed, refused and mended, and honest about what nobody saw."""

import json
import os
import random
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from threading import Lock

import openai_server
import pytest
import tiny
import workspace
from forked import forked
from openai_server import Said, refusal, serve

from toxaudit.cli.main import main
from toxaudit.recomputation import read_checked
from toxaudit.remote import server as endpoint
from toxaudit.store.shelves import Shelf

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

LOCK = Lock()
KEY = "sk-very-secret-123"
AUDIT = """\
title: A served model and its fine-tunes
suite: [mine]
scorer: [vowels, degenerate]
estimator: [paired_exact]
backend: openai
base:
  pretrained: llama
candidates:
  tuned:
    peft: llama-tuned
  merged:
    pretrained: org/llama-merged
  noop:
    control: true
generation:
  max_new_tokens: 12
gate:
  margin: 0.2
"""
EXAM = """\
kind: dataset
title: An exam
data: ./exam.jsonl
text: "{{ question }}\\nAnswer:"
choices: [a, b]
target: answer
scorers: [wrong_choice]
"""
PROMPTS, ARMS = 30, 4


def killed_after(completions, words):
    """An audit that is killed as soon as so many completions have been kept."""

    def audit():
        left, add = completions, Shelf.add

        def add_and_die(self, records):
            nonlocal left
            add(self, records)
            if self.place.startswith("completions/"):
                left -= len(records)
                if left <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        Shelf.add = add_and_die
        return main(words)

    return audit


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = workspace.make(tmp_path_factory.mktemp("made"), prompts=PROMPTS)
    (folder / "audits/served.yaml").write_text(AUDIT)
    (folder / "audits/suite/exam.yaml").write_text(EXAM)
    rows = [{"question": f"What is {n} and {n}?", "a": str(2 * n), "b": str(n), "answer": "A"} for n in range(1, 9)]
    (folder / "audits/suite/exam.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(autouse=True)
def here(made, tmp_path, monkeypatch):
    """A fresh copy of the workspace as the working directory, with a store of its own, no key and no patience."""
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(endpoint, "FIRST_RETRY_SECONDS", 0.01)
    return tmp_path


def says(start):
    return lambda text: f"{start} {text[-1]}"


RULES = {"llama": says("xyz"), "llama-tuned": says("yea"), "org/llama-merged": says("xyz")}


def audit(server, *overrides):
    return main(["audit=served", f"backend.base_url={server.url}", *overrides])


def said(capsys):
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("toxaudit: ")]
    return line.removeprefix("toxaudit: ")


def asked(server):
    """The prompts of the suite that each model was asked, in order; not what they were asked beforehand."""
    bodies = [each.body for each in server.asked if each.body and "logprobs" not in each.body]
    return [(body["model"], body["prompt"]) for body in bodies]


def rows(folder="served", suite="mine"):
    return [json.loads(line) for line in Path(f"runs/{folder}/samples_{suite}.jsonl").read_text().splitlines()]


def results(folder="served"):
    return json.loads(Path(f"runs/{folder}/results.json").read_text())


@pytest.mark.plots
def test_an_audit_of_served_models_decides_as_any_other(capsys):
    with serve(RULES) as server:
        assert audit(server) == 1
        assert len(asked(server)) == ARMS * PROMPTS
    found = results()
    decisions = {each["candidate"]: each["decision"] for each in found["verdicts"]}
    assert decisions == {"tuned": "NO-GO", "merged": "GO", "noop": "GO"}
    names = {"base": "llama", "tuned": "llama-tuned", "merged": "org/llama-merged", "noop": "llama"}
    assert all(row["text"] == RULES[names[row["model"]]](row["prompt"]) for row in rows())
    assert found["generation"]["backend"] == "openai-1"
    place = f"{server.host}/v1"
    assert [(each["kind"], each["reference"], each["server"], each["revision"]) for each in found["candidates"]] == [
        ("served", "llama-tuned", place, None),
        ("served", "org/llama-merged", place, None),
        ("control", "the base itself, generated again", place, None),
    ]


def test_served_candidates_are_compared_with_the_arm_that_each_names(capsys):
    """``merged`` says the base's words: beside ``tuned``, which is worse, it is an improvement."""
    with serve(RULES) as server:
        assert (
            audit(server, "candidates.merged.against=tuned", "+candidates.again={control: true, against: tuned}") == 1
        )
        assert len(asked(server)) == (ARMS + 1) * PROMPTS
    result = read_checked(Path("runs/served"))
    totals = {e.candidate: e for e in result.estimates if (e.measure, e.slice) == ("vowels", "all")}
    changes = {name: round(each.quantities["change"].mean) for name, each in totals.items()}
    assert changes == {"tuned": 1, "merged": -1, "noop": 0, "again": 0}
    assert {verdict.candidate: verdict.decision for verdict in result.verdicts}["merged"] == "GO"
    texts = {(row["model"], row["prompt_id"]): row["text"] for row in rows()}
    assert all(texts["tuned", prompt] == text for (arm, prompt), text in texts.items() if arm == "again")
    card = Path("runs/served/toxaudit/audit.md").read_text()
    assert "merged (against tuned)" in card


@pytest.mark.plots
def test_the_card_says_that_nobody_saw_the_weights_and_the_bill_of_materials_names_no_digest():
    with serve(RULES) as server:
        audit(server)
    card, place = Path("runs/served/toxaudit/audit.md").read_text().replace("\xa0", " "), f"{server.host}/v1"
    assert (
        f"- Weights: none were seen. The server at {place} answered under the names it was asked for (base as llama, "
        "tuned as llama-tuned and merged as org/llama-merged), and nothing proves that it ran the models so called, or "
        "the same ones throughout."
    ) in card
    assert f"openai-1, answered by the server at {place}." in card
    assert "| tuned | served | `llama-tuned` | none | `nothing was loaded` | not known | none |" in card
    assert f"compared with the base `llama` at `{place}`" in card.lower()
    assert f"`llama-tuned at {place}`" in card
    assert "lock.json" not in card
    models = json.loads(Path("runs/served/bom.cdx.json").read_text())["components"]
    models = [each for each in models if each["type"] == "machine-learning-model"]
    assert len(models) == ARMS and not any({"hashes", "purl", "version"} & set(each) for each in models)
    assert {"name": "toxaudit:server", "value": place} in models[0]["properties"]


def test_killed_in_the_middle_it_asks_only_for_the_rest():
    with serve(RULES) as server:
        overrides = ["audit=served", f"backend.base_url={server.url}", "backend.concurrency=2"]
        killed = forked(killed_after(50, overrides))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        first = asked(server)
        assert 50 <= len(first) <= 54
        assert main(overrides) == 1
        later = asked(server)[len(first) :]
    assert ARMS * PROMPTS <= len(first) + len(later) <= ARMS * PROMPTS + 4  # what was on its way is asked again
    assert len(rows()) == ARMS * PROMPTS


def test_a_server_that_dies_ends_the_audit_in_one_sentence_and_the_next_run_goes_on(capsys):
    def dying(text):
        if len(server.questions) > 60:
            server.die()
        return "xyz"

    with serve({**RULES, "llama": dying}) as server:
        port = int(server.host.split(":")[1])
        assert audit(server, "backend.retries=1") == 3
        first = asked(server)
    assert said(capsys).startswith(f"The server at {server.host} can't be reached (")
    assert [file.name for file in Path("runs").rglob("*.*")] == ["commitment.json"]
    with serve(RULES, port=port) as server:
        assert audit(server) == 1
        assert len(asked(server)) <= ARMS * PROMPTS - len(first) + 8


@pytest.mark.parametrize(
    ("trouble", "ends"),
    [
        (
            refusal(400, "too long"),
            "refuses prompt 'p7' of suite 'mine' for tuned, there 'llama-tuned' (status 400 (too long)",
        ),
        (
            refusal(500, "CUDA error"),
            "gives no answer to prompt 'p7' of suite 'mine' for tuned, there 'llama-tuned' (status 500 (CUDA",
        ),
    ],
)
def test_a_prompt_without_an_answer_is_never_left_out(capsys, trouble, ends):
    def troubled(text):
        return trouble if text.endswith(" 7") else says("yea")(text)

    with serve({**RULES, "llama-tuned": troubled}) as server:
        assert audit(server, "backend.retries=1", "backend.concurrency=1") == 3
        assert said(capsys).startswith(f"The server at {server.host} {ends}")
        assert [file.name for file in Path("runs").rglob("*.*")] == ["commitment.json"]
        first = asked(server)
        server.rule = RULES
        assert audit(server) == 1
        again = asked(server)[len(first) :]
    assert sum(each in first for each in again if each[0] == "llama-tuned") == 1  # the one that had none


def test_an_answer_that_a_filter_ended_is_missing_and_asked_again(capsys):
    def filtered(text):
        return Said("I can't help.", "content_filter") if text.endswith(" 7") else says("yea")(text)

    with serve({**RULES, "llama-tuned": filtered}) as server:
        assert audit(server) == 1
        (row,) = [row for row in rows() if row.get("missing")]
        assert (row["model"], row["prompt_id"], row["finish"]) == ("tuned", "p7", "other")
        reason = "the server ended the answer by 'content_filter'"
        assert read_checked(Path("runs/served"))
        assert row["missing"] == reason and {each["missing"] for each in row["scores"].values()} == {reason}
        first = len(asked(server))
        assert audit(server, "gate.margin=0.3") == 1
        assert [model for model, _ in asked(server)[first:]] == ["llama-tuned"]
        server.rule = RULES
        assert audit(server) == 1 and not [row for row in rows() if row.get("missing")]


def test_where_every_answer_is_missing_nothing_is_decided():
    with serve({name: lambda text: Said("I can't help.", "content_filter") for name in RULES}) as server:
        assert audit(server) == 2
    assert {each["decision"] for each in results()["verdicts"]} == {"INCONCLUSIVE"}


def test_a_finished_audit_needs_no_server_to_be_decided_anew():
    with serve(RULES) as server:
        audit(server)
    assert audit(server, "gate.margin=0.3", "scorer=[vowels]") == 1
    assert audit(server, "lock=runs/served/lock.json", "out=runs/again") == 1
    assert Path("runs/again/lock.json").read_bytes() == Path("runs/served/lock.json").read_bytes()


IN_LOCK = "in the spec, but the model llama at HOST in the lock: name the lock's in the spec, or run without lock=."
LEFT_OUT = "in the lock, but is not in the spec: add it, or run without lock=."
ADDED = "in the spec, but is not in the lock: take it out, or run without lock=."
HERE = ["base.pretrained=./models/base", "candidates.tuned.peft=./models/adapter", "~candidates.merged"]
OTHERS = [
    (
        ["base.pretrained=org/llama-merged", "candidates.merged.pretrained=llama"],
        f"base.pretrained is the model org/llama-merged at HOST {IN_LOCK}",
    ),
    (
        ["backend.base_url=http://localhost:1/v1"],
        f"base.pretrained is the model llama at localhost:1/v1 {IN_LOCK}",
    ),
    (["~candidates.tuned"], f"candidates.tuned.peft is the model llama-tuned at HOST {LEFT_OUT}"),
    (["candidates.more=llama-more"], f"candidates.more.pretrained is the model llama-more at HOST {ADDED}"),
    (
        ["backend=transformers", *HERE],
        f"candidates.merged.pretrained is the model org/llama-merged at HOST {LEFT_OUT}",
    ),
]


def test_a_lock_holds_the_names_and_the_server(capsys):
    with serve(RULES) as server:
        assert audit(server) == 1
        n, place = len(server.asked), f"{server.host}/v1"
        for overrides, sentence in OTHERS:
            capsys.readouterr()
            address = [f"backend.base_url={server.url}"] * (not overrides[0].startswith("backend"))
            assert main(["audit=served", "lock=runs/served/lock.json", *address, *overrides]) == 3
            assert said(capsys) == sentence.replace("HOST", place)
        assert len(server.asked) == n


def test_a_lock_of_served_models_is_none_of_files(capsys):
    with serve(RULES) as server:
        assert audit(server, "~candidates.merged") == 1
    capsys.readouterr()
    assert main(["audit=served", "lock=runs/served/lock.json", "backend=transformers", *HERE]) == 3
    found = said(capsys).replace(f"{server.host}/v1", "HOST")
    assert found == f"base.pretrained is the local path models/base {IN_LOCK}"


def test_a_model_that_the_server_has_not_is_refused_or_skipped(capsys):
    with serve(RULES) as server:
        assert audit(server, "candidates.tuned.peft=lama-tuned") == 3
        wrong = f"tuned: the server at {server.host}/v1 has no model 'lama-tuned'. Did you mean 'llama-tuned'?"
        assert said(capsys) == wrong and not asked(server)
        assert audit(server, "candidates.tuned.peft=lama-tuned", "on_candidate_error=skip") in (0, 2)
        assert audit(server, "base.pretrained=lama", "on_candidate_error=skip") == 3
    (skipped,) = results()["skipped"]
    assert (skipped["name"], skipped["reference"]) == ("tuned", "lama-tuned")
    assert skipped["reason"] == wrong.removeprefix("tuned: ")


def test_the_base_under_another_candidate_s_name_is_refused(capsys):
    with serve(RULES) as server:
        assert audit(server, "candidates.tuned.peft=llama") == 3
    assert said(capsys) == "candidates.tuned is the base itself; to measure the noise, set control: true."


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("candidates.tuned.peft_revision=main", "candidates.tuned.peft_revision means nothing to a server, which is "),
        ("candidates.noop.batch_size=5", "candidates.noop.batch_size means nothing to a server, which is "),
        ("candidates.tuned=llama3:8b", "candidates.tuned is both 'llama3' and '8b', but a server knows it by one name"),
    ],
)
def test_what_is_said_of_files_is_refused_before_anything_is_asked_by_the_plan_too(capsys, override, sentence):
    with serve(RULES) as server:
        for verb in ([], ["plan"]):
            assert main([*verb, "audit=served", f"backend.base_url={server.url}", override]) == 3
            assert said(capsys).startswith(sentence)
        assert server.asked == []


def test_the_plan_names_models_by_their_server_and_needs_no_answer(capsys):
    assert main(["plan", "audit=served", "backend.base_url=http://127.0.0.1:9/v1"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for line in (
        "base llama at 127.0.0.1:9/v1",
        "tuned llama-tuned at 127.0.0.1:9/v1",
        "noop the base again: a control",
    ):
        assert line in out
    assert "To fetch: nothing." in out and "can't be had" not in out


def test_the_key_is_in_no_file(monkeypatch, here, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    echo = refusal(400, f"no such field; your key is {KEY}")
    with serve({**RULES, "org/llama-merged": says("sky")}) as server:
        answer = server.answer
        server.answer = lambda each: echo if each.body.get("logprobs") else answer(each)
        assert audit(server) == 1
        assert {each.headers["Authorization"] for each in server.asked} == {f"Bearer {KEY}"}
    files = [file for file in here.rglob("*") if file.is_file()]
    assert len(files) > 20 and not any(KEY.encode() in file.read_bytes() for file in files)
    captured = capsys.readouterr()
    assert KEY not in captured.out + captured.err


def test_an_exam_is_read_off_likelihoods_and_refused_where_none_are_told(capsys):
    with serve(RULES) as server:
        server.likelihoods = False
        assert audit(server, "suite=[mine,exam]") == 3
        assert "doesn't tell how likely the tokens of a text are" in said(capsys) and not asked(server)
        server.likelihoods = True
        assert audit(server, "suite=[mine,exam]") == 1
    exam = rows(suite="exam")
    assert len(exam) == 8 * ARMS
    assert all(row["text"] in row["choices"] and len(row["loglikelihoods"]) == 2 for row in exam)
    by_arm = {arm: [row["loglikelihoods"] for row in exam if row["model"] == arm] for arm in ("base", "tuned", "noop")}
    assert by_arm["base"] == by_arm["noop"] != by_arm["tuned"]
    assert read_checked(Path("runs/served"))


def test_a_judge_on_this_machine_is_run_here_although_a_server_answers(here):
    """A tiny one, which reads too little to judge anything."""
    tiny.model(here / "judge", tiny.llama(), seed=3)
    Path("audits/scorer/judged.yaml").write_text(f"kind: judge\ntitle: Harm (judge)\npretrained: {here}/judge\n")
    with serve(RULES) as server:
        assert audit(server, "scorer=[judged]", "suites.mine.limit=6") == 2
        assert len(asked(server)) == ARMS * 6
    reasons = {row["scores"]["judged"]["missing"] for row in rows()}
    assert reasons == {"the question is longer than the judge can read"}


def test_samples_differ_in_their_seeds_alone():
    with serve(RULES) as server:
        assert audit(server, "generation.temperature=0.7", "generation.samples=2", "estimator=[paired_bb]") in (1, 2)
        bodies = [each.body for each in server.asked if each.body and "seed" in each.body]
    assert len(bodies) == ARMS * PROMPTS * 2
    seeds = {(body["prompt"], body["seed"]) for body in bodies}
    assert len(seeds) == len({seed for _, seed in seeds}) == PROMPTS * 2


ONE = {name: says("xyz") for name in RULES}
ALONE = ["~candidates.merged"]


@pytest.mark.parametrize(
    "how",
    [
        ["suites.mine.limit=5"],
        ["generation.temperature=0.7", "generation.samples=2", "estimator=[paired_bb]"],
        ["sampling=adaptive"],
    ],
    ids=["greedy", "several samples", "in rounds"],
)
def test_one_model_under_both_names_is_never_a_pass_and_neither_is_it_from_the_store(capsys, how):
    with serve(ONE) as server:
        server.likelihoods = False
        for _ in range(2):
            assert audit(server, *ALONE, *how) == 3
            told = said(capsys)
            assert told.startswith("tuned: all its ") and "answers are the base's, and no likelihoods tell" in told
            assert "it serve 'llama-tuned', or set candidates.tuned.control: true" in told
            assert [file.name for file in Path("runs").rglob("*.*")] == ["commitment.json"]


def test_a_lookalike_is_left_out_of_an_audit_that_skips_and_its_control_stays():
    with serve({**RULES, "llama-tuned": says("xyz"), "org/llama-merged": says("yea")}) as server:
        server.likelihoods = False
        assert audit(server, "on_candidate_error=skip") == 1
        found = results()
        assert [each["name"] for each in found["skipped"]] == ["tuned"]
        assert {each["candidate"]: each["decision"] for each in found["verdicts"]} == {"merged": "NO-GO", "noop": "GO"}
        assert {row["model"] for row in rows()} == {"base", "merged", "noop"}
        assert not [
            key for key in json.loads(Path("runs/served/lock.json").read_text())["references"] if "tuned" in key
        ]
        assert audit(server, "lock=runs/served/lock.json", "out=runs/again") == 1
        assert [each["name"] for each in results("again")["skipped"]] == ["tuned"]


def test_likelihoods_that_differ_from_one_time_to_the_next_tell_nothing(capsys, monkeypatch):
    told = iter(range(10**6))
    monkeypatch.setattr(openai_server, "chances", lambda model, words: [-1 - next(told) / 1e4 for _ in words])
    with serve(ONE) as server:
        assert audit(server, *ALONE) == 3
    assert said(capsys).startswith("tuned: all its 30 answers are the base's")


def test_a_system_prompt_of_its_own_is_not_taken_for_weights_of_its_own(capsys):
    """One model answers under both names, but otherwise to whom has a system prompt."""

    def one_model(asked):
        told = any(each["role"] == "system" for each in asked.body.get("messages", ()))
        what = Said(f"{'yea' if told else 'xyz'} {asked.question[-1]}")
        return openai_server.completion(what, replace(asked, body={**asked.body, "model": "llama"}), likelihoods=True)

    with serve(ONE) as server:
        server.answer = one_model
        asks = ["suites.mine.ask=chat", "candidates.tuned.system_instruction=Be kind."]
        assert audit(server, *ALONE, *asks) == 3
    assert said(capsys).endswith("either it serves one model under both names, or the adapter changes nothing.")


def test_a_system_prompt_that_the_server_drops_is_never_a_pass(capsys):
    other = ["~candidates.tuned", "suites.mine.ask=chat", "candidates.merged.pretrained=llama"]
    with serve(ONE) as server:
        assert audit(server, *other, "candidates.merged.system_instruction=Be kind.") == 3
    assert said(capsys).startswith("merged: all its 30 answers are the base's")


def numbered(text):
    """The number of a prompt; a probe has none."""
    return int("".join(filter(str.isdigit, text.split()[-1])) or 0)


class Wavering:
    """One model that answers otherwise now and then, by chance; or another one that does."""

    def __init__(self, often, words=("xyz", "xya"), period=0):
        self.chance, self.often, self.words, self.period = random.Random(1), often, words, period

    def __call__(self, text):
        with LOCK:
            number = numbered(text)
            wavers = not self.period or number % self.period == 0
            word = self.words[wavers and self.chance.random() < self.often]
        return f"{word} {number}"


HARMING = {"llama": "xyz", "llama-tuned": "yea"}
VOWELS_ALLOWED = ["gate.margin=0.9", "suites.mine.limit=30"]


@pytest.mark.parametrize(("often", "likelihoods"), [(0.15, True), (0.5, False)], ids=["now and then", "half the time"])
def test_one_model_under_both_names_whose_answers_vary_is_never_a_pass(often, likelihoods, monkeypatch, capsys):
    """Its likelihoods vary as well; its harm is the base's, whatever is asked."""
    told = random.Random(2)
    monkeypatch.setattr(openai_server, "chances", lambda model, words: [-1 - told.random() / 1e3 for _ in words])
    with serve(dict.fromkeys(RULES, Wavering(often))) as server:
        server.likelihoods = likelihoods
        assert audit(server, *ALONE, *VOWELS_ALLOWED) == 2
        found = results()
        assert {each["candidate"]: each["decision"] for each in found["verdicts"]} == {
            "tuned": "INCONCLUSIVE",
            "noop": "GO",
        }
        (check,) = [each for each in found["checks"] if each["name"] == "effect by answers"]
        assert check["outcome"] == "not applicable"
        assert check["text"].startswith("nothing tells it from the base, since the server's answers to one model vary")
        card = " ".join(Path("runs/served/toxaudit/audit.md").read_text().replace("\xa0", " ").split())
        assert "nothing tells it from the base, since the server's answers to one model vary as much: of " in card
        files, asked_before = Path("runs/served/results.json").read_bytes(), len(server.asked)
        assert audit(server, *ALONE, *VOWELS_ALLOWED) == 2
        assert Path("runs/served/results.json").read_bytes() == files and len(server.asked) == asked_before
    assert main(["card", "runs/served"]) == 0


def test_another_model_on_a_server_whose_answers_vary_is_told_from_the_base(capsys):
    """A fine-tune that changes every third answer, beside noise in as many others of both."""
    noisy = Wavering(0.5, period=7)

    def tuned(text):
        return f"xyb {numbered(text)}" if numbered(text) % 3 == 0 else noisy(text)

    with serve({**RULES, "llama": noisy, "llama-tuned": tuned}) as server:
        server.likelihoods = False
        assert audit(server, *ALONE, *VOWELS_ALLOWED) == 0
    (check,) = [each for each in results()["checks"] if each["name"] == "effect by answers"]
    assert check["outcome"] == "passed" and check["text"].startswith("the server's answers vary: of ")
    assert check["text"] in Path("runs/served/toxaudit/audit.md").read_text().replace("\xa0", " ")


def test_one_other_answer_of_a_steady_server_tells_another_model(capsys):
    with serve({**RULES, "llama-tuned": lambda text: "xyb" if text.endswith(" 7") else RULES["llama"](text)}) as server:
        server.likelihoods = False
        assert audit(server, *ALONE, *VOWELS_ALLOWED) == 0
        (check,) = [each for each in results()["checks"] if each["name"] == "effect by answers"]
        assert (check["outcome"], check["text"]) == ("passed", "")
        again = [text for model, text in asked(server) if text.endswith(" 7") and model == "llama-tuned"]
    assert 5 < len(again) < 20


def test_harm_tells_a_model_from_the_base_although_nothing_else_does():
    """No answer is ever given again."""
    chance = random.Random(3)
    both = {name: lambda text, word=word: f"{word} {chance.random()}" for name, word in HARMING.items()}
    with serve({**RULES, **both}) as server:
        server.likelihoods = False
        assert audit(server, *ALONE) == 1
    (check,) = [each for each in results()["checks"] if each["name"] == "effect by answers"]
    assert check["outcome"] == "not applicable"
    assert {each["candidate"]: each["decision"] for each in results()["verdicts"]}["tuned"] == "NO-GO"


def test_samples_of_a_server_that_ignores_seeds_are_told_apart_without_chance():
    """At a temperature every answer differs; asked without chance, both models are steady."""
    chance = random.Random(4)

    def answered(own):
        def answer(asked):
            hot = f" {chance.random()}" if asked.body["temperature"] else ""
            return openai_server.completion(Said(f"{own} {asked.question[-1]}{hot}"), asked, likelihoods=False)

        return answer

    hot = ["generation.temperature=0.7", "generation.samples=2", "estimator=[paired_bb]", "gate.margin=0.9"]
    for other, exits in (("xyb", 0), ("xyz", 2)):
        with serve(RULES) as server:
            words = {"llama": "xyz", "llama-tuned": other}
            server.answer = lambda asked, words=words: answered(words[asked.body["model"]])(asked)
            assert audit(server, *ALONE, *hot, f"out=runs/{other}", f"store=store/{other}") == exits


def test_likelihoods_that_vary_by_less_than_the_models_differ_tell_them_apart(monkeypatch, capsys):
    exact, told = openai_server.chances, random.Random(5)
    monkeypatch.setattr(
        openai_server, "chances", lambda model, words: [each + told.random() / 1e4 for each in exact(model, words)]
    )
    with serve(ONE) as server:
        assert audit(server, *ALONE, *VOWELS_ALLOWED) == 0
    (check,) = [each for each in results()["checks"] if each["name"] == "effect by likelihoods of a server's answers"]
    assert check["outcome"] == "passed"

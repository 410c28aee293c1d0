"""A base's variants are listed by the real Hub client, over HTTP, and the spec that is written freezes them."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hub_server import Repository, serve

from toxaudit.cli.main import main
from toxaudit.compose.compose import compose

CLIENT = """
import contextlib, io, json, sys, time
from toxaudit.cli.main import main

time.sleep = lambda seconds: None  # between the client's attempts
answers = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["discover", *words])
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""
BASE = Repository({"main": {"config.json": b"{}"}}, about={"gated": "manual", "tags": ["custom_code"]})
FULL = ("config.json", "model.safetensors")


def variant(kind, downloads, *files, tags=(), of="org/base", **about):
    tagged = [f"base_model:{kind}:{of}", *tags]
    content = dict.fromkeys(files, f"{kind} {downloads}".encode())
    return Repository({"main": content}, about={"tags": tagged, "downloads": downloads, **about})


HUB = {
    "base": BASE,
    "popular": variant("finetune", 12345, *FULL, "pytorch_model.bin", cardData={"base_model": "Org/Base"}),
    "guarded": variant("finetune", 900, *FULL, gated="auto", tags=["custom_code"]),
    "pickled": variant("finetune", 700, "config.json", "pytorch_model.bin"),
    "7b.chat": variant("finetune", 600, *FULL, cardData={"base_model": ["org/formerly", "org/other"]}),
    "lora": variant("finetune", 500, "adapter_config.json", "adapter_model.safetensors"),
    "bare": variant("finetune", 400, "model.safetensors"),
    "namesake": variant("finetune", 300, *FULL, id="elsewhere/base"),
    "twin": variant("finetune", 200, *FULL, id="elsewhere/popular"),
    "unheard-of": variant("finetune", 1, *FULL),
    "tuned": variant("adapter", 30, "adapter_config.json", "adapter_model.safetensors", "README.md"),
    "old": variant("adapter", 40, "adapter_config.json", "adapter_model.bin"),
    "mixed": variant("merge", 9, *FULL, "mergekit_config.yml"),
    "files": variant("quantized", 90, "m.Q4_K_M.gguf", "m.Q8_0.gguf", "m.Q8_0-00001-of-00002.gguf", "mmproj.gguf"),
    "lesser": variant("quantized", 80, "m-q6_k.gguf", "m-Q5_K_M.gguf", "m-Q6_K_L.gguf"),
    "single": variant("quantized", 70, "m.F16.gguf"),
    "coarse": variant("quantized", 60, "m.Q2_K.gguf", "m.Q3_K_S.gguf"),
    "gptq": variant("quantized", 50, *FULL, config={"quantization_config": {"quant_method": "gptq"}}),
    "mlx": variant("quantized", 40, *FULL, tags=["mlx"]),
}
"""What the Hub holds: one variant of each form."""

INJECTED = "x\n  injected:\n    control: true\u2028y: \x1b[31m"
HOSTILE = {
    "prey": Repository({"main": {}}),
    "a": variant("quantized", 9, *FULL, of="org/prey", id=INJECTED),
    "b": variant("quantized", 8, "${oc.env:HOME}.Q8_0.gguf", "../up.Q8_0.gguf", of="org/prey"),
    "c": variant("quantized", 7, *FULL, of="org/prey", id="o/n", cardData={"base_model": INJECTED}),
    "d": variant("quantized", 6, *FULL, of="org/prey", config={"quantization_config": {"quant_method": INJECTED}}),
    "e": variant("quantized", 5, *FULL, of="org/prey", sha="main"),
    "null": variant("quantized", 4, *FULL, of="org/prey"),
}
REFUSED = {
    "former": Repository({"main": {}}, about={"id": "org/base"}),
    "walled": Repository({"main": {}}, refused={"info": (403, "GatedRepo")}),
    "broken": Repository({"main": {}}, refused={"list": (400, "BadRequest")}),
    "childless": Repository({"main": {}}),
    "hopeless": Repository({"main": {}}),
    "dump": variant("finetune", 3, "pytorch_model.bin", of="org/hopeless"),
}
COMMANDS = {
    "default": ["org/base"],
    "three": ["org/base", "--top", "3", "--write", "audits/tuned.yaml"],
    "all": ["--kind=finetune", "org/base", "--write=audits/all.yaml"],
    "adapters": ["org/base", "--kind", "adapter", "--write", "audits/adapters.yaml"],
    "merges": ["org/base", "--kind", "merge", "--write", "elsewhere/merges.yaml"],
    "quantized": ["org/base", "--kind", "quantized", "--write", "audits/quantized.yaml"],
    "hostile": ["org/prey", "--kind", "quantized", "--write", "audits/hostile.yaml"],
    "former": ["org/former"],
    "walled": ["org/walled"],
    "broken": ["org/broken"],
    "childless": ["org/childless"],
    "misspelt": ["org/bass"],
    "hopeless": ["org/hopeless", "--write", "audits/hopeless.yaml"],
}


def ask(folder, url, commands):
    """Run commands in a process of its own, since the Hub client reads its address when it is imported."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
    settings = {"HF_ENDPOINT": url, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(commands)],
        env=clean | settings,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(answer) for answer in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """The folder in which all commands were run, and their answers: exit code, output, errors."""
    folder = tmp_path_factory.mktemp("discover")
    with serve(**HUB, **HOSTILE, **REFUSED) as hub:
        answers = ask(folder, hub.url, list(COMMANDS.values()))
        assert not hub.downloaded
    return folder, dict(zip(COMMANDS, answers, strict=True))


@pytest.fixture
def written(answered, monkeypatch):
    """Compose a spec that was written."""
    folder, _ = answered
    monkeypatch.chdir(folder)
    return lambda name: compose([f"audit={name}"])


def text(folder, name):
    return (folder / "audits" / f"{name}.yaml").read_text(encoding="utf-8")


def test_variants_are_listed_with_the_most_downloaded_first(answered):
    code, out, err = answered[1]["default"]
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert f"fine-tunes of the last 30 days, as of {datetime.now(UTC).date()}" in lines[0]
    listed = [line.split() for line in lines[3:] if re.match(r" +\d", line)]
    assert [row[1] for row in listed][:4] == ["org/popular", "org/guarded", "org/pickled", "org/7b.chat"]
    assert listed[0] == [
        "1",
        "org/popular",
        "12,345",
        "finetune",
        "safetensors",
        "no",
        HUB["popular"].commit("main")[:12],
    ]
    assert listed[1][5] == "yes" and "pickles only" in lines[5]
    assert lines[-1].endswith("toxaudit plan audit=NAME")


def test_the_former_name_of_a_base_lists_what_is_kept_under_its_name_of_today(answered):
    assert answered[1]["former"] == answered[1]["default"]


def test_what_cant_be_audited_is_listed_with_the_reason(answered):
    lines = answered[1]["default"][1].splitlines()
    after = {row.split()[1]: reason.strip() for row, reason in zip(lines[3:], lines[4:], strict=False) if row.strip()}
    assert after["org/pickled"] == "can't be audited: weights in pickles (*.bin, *.pt) are never loaded"
    assert after["org/bare"] == "can't be audited: it holds no config.json"
    assert sum("can't be audited" in line for line in lines) == 2


def test_top_bounds_the_list_and_the_spec_holds_the_others_as_comments(answered, written):
    folder, answers = answered
    code, out, _ = answers["three"]
    assert code == 0 and out.splitlines()[-1] == (
        "Wrote audits/tuned.yaml with 2 of 3 variants. Next: toxaudit plan audit=tuned"
    )
    assert set(written("tuned").candidates) == {"popular", "guarded"}
    assert "# 3: 700 downloads in the 30 days to" in text(folder, "tuned") and "org/pickled" in text(folder, "tuned")


def test_the_written_spec_composes_and_every_commit_is_pinned(answered, written, capsys):
    spec = written("all")
    assert main(["show", "audit=all"]) == 0 and "elsewhere/popular" in capsys.readouterr().out
    assert (spec.base.pretrained, spec.base.revision) == ("org/base", BASE.commit("main"))
    assert (spec.base.dtype, spec.base.trust_remote_code) == ("bfloat16", False)
    assert (spec.gate.margin, spec.on_candidate_error) == (0.01, "skip")
    assert set(spec.suites) == {"rtp_challenging"}
    assert set(spec.scorers) == {"roberta_hate", "degenerate", "refusal_keywords", "truncated", "wrong_language"}
    popular = spec.candidates["popular"]
    assert (popular.pretrained, popular.revision) == ("org/popular", HUB["popular"].commit("main"))
    assert not popular.allow_base_mismatch and popular.trust_remote_code is None
    assert all(len(c.revision or c.peft_revision or "") == 40 for c in spec.candidates.values())
    assert f"12,345 downloads in the 30 days to {datetime.now(UTC).date()}" in text(answered[0], "all")


def test_candidates_are_named_after_their_repositories(written):
    names = list(written("all").candidates)
    assert names == ["popular", "guarded", "model_7b_chat", "lora", "base-2", "popular-2", "unheard-of"]


def test_what_a_repository_brings_is_said_and_settled(answered, written):
    candidates, comments = written("all").candidates, text(answered[0], "all")
    assert candidates["guarded"].trust_remote_code is False and "gated: accept its terms" in comments
    assert candidates["model_7b_chat"].allow_base_mismatch
    assert "its card names org/formerly and org/other as its base" in comments
    assert (candidates["lora"].peft, candidates["lora"].pretrained) == ("org/lora", None)
    assert "its files are an adapter's, although the Hub lists it as finetune" in comments


def test_an_adapter_is_pinned_as_one_and_refused_as_a_pickle(answered, written):
    spec = written("adapters")
    tuned = spec.candidates["tuned"]
    assert (tuned.peft, tuned.peft_revision) == ("org/tuned", HUB["tuned"].commit("main"))
    assert set(spec.candidates) == {"tuned"}
    assert "org/old can't be audited: it holds no adapter_model.safetensors" in text(answered[0], "adapters")


def test_a_merge_is_a_whole_model_and_a_spec_elsewhere_must_be_moved(answered):
    folder, answers = answered
    assert "pretrained: org/mixed" in (folder / "elsewhere" / "merges.yaml").read_text()
    assert answers["merges"][1].endswith("Next: move it into audits/, then toxaudit plan audit=merges\n")


def test_of_gguf_files_the_finest_common_one_is_chosen(answered, written):
    candidates, comments = written("quantized").candidates, text(answered[0], "quantized")
    files = {name: candidate.gguf_file for name, candidate in candidates.items()}
    assert files == {"files": "m.Q8_0.gguf", "lesser": "m-q6_k.gguf", "single": "m.F16.gguf", "gptq": None}
    assert "Q8_0, the first it has of Q8_0, Q6_K, Q5_K_M, Q4_K_M" in comments and "its only GGUF file" in comments
    assert "org/coarse can't be audited: none of its 2 GGUF files is Q8_0 or" in comments
    assert "quantised (gptq): a CUDA GPU is needed" in comments
    assert "org/mlx can't be audited: transformers does not read the format mlx" in comments


def test_hostile_names_break_out_of_nothing(answered, written):
    folder, answers = answered
    code, out, _ = answers["hostile"]
    spec, content = written("hostile"), text(folder, "hostile")
    assert code == 0
    assert set(spec.candidates) == {"n", "d", "null"} and not any(c.control for c in spec.candidates.values())
    assert all(character.isprintable() for line in (out + content).split("\n") for character in line)
    for reason in ("its name is no Hub id", "none of its 2 GGUF files", "the Hub names no commit of it"):
        assert reason in out and reason in content


@pytest.mark.parametrize(
    "command, said",
    [
        ("walled", "org/walled is gated: accept its terms at "),
        ("broken", "org/broken could not be had from the Hugging Face Hub (BadRequestError): "),
        ("childless", "The Hub lists no fine-tunes of org/childless: try --kind adapter, merge, quantized."),
        ("misspelt", "The Hub has no repository org/bass, or it is private: "),
        ("hopeless", "None of these 1 can be audited, so audits/hopeless.yaml was not written."),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(answered, command, said):
    folder, answers = answered
    code, _, err = answers[command]
    assert code == 3 and err.startswith(f"toxaudit: {said}") and err.count("\n") == 1
    assert not (folder / "audits" / f"{command}.yaml").exists()


def test_a_hub_out_of_reach_is_one_sentence(tmp_path):
    ((code, out, err),) = ask(tmp_path, "http://127.0.0.1:9", [["org/base", "--write", "audits/x.yaml"]])
    assert (code, out) == (3, "") and err.count("\n") == 1
    assert "org/base could not be had from the Hugging Face Hub" in err and "check the connection" in err
    assert not (tmp_path / "audits").exists()


BAD = [
    ([], "ORG/NAME"),
    (["org/base", "org/other"], "one base model"),
    (["nowhere"], "'nowhere'"),
    (["./"], "'./' is no Hub id (ORG/NAME)"),
    (["org/base", "--kind", "finetunes"], "'finetunes' of variants. Did you mean 'finetune'?"),
    (["org/base", "--kind"], "--kind needs a value"),
    (["org/base", "--top", "0"], "--top is '0'"),
    (["org/base", "--top=abc"], "--top is 'abc'"),
    (["org/base", "--topp", "3"], "'--topp'. Did you mean '--top'?"),
    (["org/base", "-k", "merge"], "'-k'"),
    (["org/base", "--write", "audits/x.yml"], "'audits/x.yml'"),
    (["org/base", "--write", "audits/my.audit.yaml"], "'audits/my.audit.yaml'"),
    (["org/base", "--write", "audits/there.yaml"], "audits/there.yaml exists already"),
]


@pytest.mark.parametrize("words, said", BAD)
def test_bad_words_are_one_sentence_before_the_hub_is_asked(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    Path("audits").mkdir()
    Path("audits/there.yaml").write_text("title: mine\n")
    assert main(["discover", *words]) == 3
    out, err = capsys.readouterr()
    assert said in err and err.count("\n") == 1 and not out
    assert [file.read_text() for file in Path("audits").iterdir()] == ["title: mine\n"]

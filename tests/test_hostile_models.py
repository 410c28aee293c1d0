"""Candidates that are broken or hostile are refused, or left out and said so; none is ever reported as audited."""

import json
import shutil
from pathlib import Path

import pytest
import stored
import tiny
import torch
import workspace
from safetensors.torch import load_file
from tiny import edit, edit_json

from toxaudit.cli.main import main

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("fixtures_without_plots", "without_plots")]

UP = "model.layers.1.mlp.up_proj.weight"
Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}" + (
    "{% endfor %}{% endfor %}"
)


def renamed_keys(models):
    def rename(found):
        for name in list(found):
            found[name.replace("model.layers", "model.blocks")] = found.pop(name)

    edit(models / "adapter/adapter_model.safetensors", rename)


def zero_adapter(models):
    edit(models / "adapter/adapter_model.safetensors", lambda t: [t[n].zero_() for n in t if "lora_B" in n])


def nan_adapter(models):
    edit(models / "adapter/adapter_model.safetensors", lambda t: t[Q].fill_(float("nan")))


def rank_mismatched(models):
    edit_json(models / "adapter/adapter_config.json", r=2)


def wrong_declared_base(models):
    edit_json(models / "adapter/adapter_config.json", base_model_name_or_path="someone/another-model")


def missing_tensor(models):
    edit(models / "full/model.safetensors", lambda t: t.pop(UP))


def pickle_only(models):
    torch.save(load_file(models / "full/model.safetensors"), models / "full/pytorch_model.bin")
    (models / "full/model.safetensors").unlink()


def remote_code(models):
    (models / "full/code.py").write_text(f"open({str(models / 'ran')!r}, 'w')\n")
    edit_json(models / "full/config.json", auto_map={"AutoModelForCausalLM": "code.Model", "AutoConfig": "code.Config"})


def endless_template(models):
    (models / "full/chat_template.jinja").write_text(ENDLESS)


def tokenizer_bomb(models):
    file = models / "full/tokenizer.json"
    blow = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 400}
    edit_json(file, normalizer={"type": "Sequence", "normalizers": [blow] * 4})


SABOTAGE = {
    renamed_keys: ("adapter", "no place for base_model.model.model.blocks.0"),
    zero_adapter: ("adapter", "changes nothing: every lora_B is zero"),
    nan_adapter: ("adapter", f"not finite in {Q}"),
    rank_mismatched: ("adapter", "q_proj.lora_A"),
    wrong_declared_base: ("adapter", "declares the base someone/another-model, not "),
    missing_tensor: ("full", UP),
    pickle_only: ("full", "holds no *.safetensors: weights in pickles"),
    remote_code: ("full", "config.json names code of its own (code.Model)"),
    endless_template: ("full", "its chat template was stopped after"),
    tokenizer_bomb: ("full", "can't be loaded: its tokenizer fails: memory allocation of "),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = workspace.make(tmp_path_factory.mktemp("made"), prompts=12)
    tiny.base(folder / "models" / "full", seed=3)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A workspace with an adapter and a full fine-tune, and an audit of either."""
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TOXAUDIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("toxaudit.models.chat_template.RENDER_SECONDS", 4.0)
    full = workspace.AUDIT.replace("peft: ../models/adapter", "pretrained: ../models/full")
    Path("audits/full.yaml").write_text(full)
    return tmp_path / "work"


@pytest.mark.parametrize("spoil", SABOTAGE, ids=lambda spoil: spoil.__name__)
def test_a_sabotaged_candidate_is_refused_in_one_sentence_and_nothing_is_generated(here, capsys, spoil):
    of, said = SABOTAGE[spoil]
    spoil(here / "models")
    assert main(["audit=tiny" if of == "adapter" else "audit=full"]) == 3
    refused = [line for line in capsys.readouterr().err.splitlines() if line.startswith("toxaudit: ")]
    assert len(refused) == 1 and said in refused[0] and refused[0].endswith(".")
    assert not Path("runs").exists() and not (here / "models" / "ran").exists()
    assert not stored.places(here.parent / "home" / "store", "completions")


@pytest.mark.slow
def test_a_tokenizer_that_is_named_apart_or_lies_beside_an_adapter_is_tried_before_it_is_read(here, capsys):
    tokenizer_bomb(here / "models")
    assert main(["audit=tiny", "candidates.tuned.tokenizer=./models/full"]) == 3
    assert "models/full can't be loaded: its tokenizer fails: memory allocation of " in capsys.readouterr().err
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(here / "models/full" / file, here / "models/adapter")
    assert main(["audit=tiny"]) != 3
    assert (
        "it brings a tokenizer that can't be read, which was not used"
        in Path("runs/tiny/toxaudit/audit.md").read_text()
    )


@pytest.mark.plots
def test_the_unspoilt_candidates_pass(here):
    assert main(["audit=tiny"]) != 3 and main(["audit=full"]) != 3


@pytest.mark.plots
def test_what_can_not_be_audited_is_skipped_where_the_spec_says_so_and_the_card_says_why(here, capsys):
    zero_adapter(here / "models")
    more = ["candidates.full=./models/full", "candidates.gone=./models/no"]
    code = main(["audit=tiny", "on_candidate_error=skip", *more])
    assert code in (1, 2)  # never GO: nothing is known of what was skipped
    results = json.loads(Path("runs/tiny/results.json").read_text())
    assert [model["name"] for model in results["candidates"]] == ["noop", "full"]
    assert {each["candidate"] for each in results["estimates"]} == {"noop", "full"}
    skipped = {each["name"]: each["reason"] for each in results["skipped"]}
    assert skipped["tuned"].endswith("changes nothing: every lora_B is zero.") and "doesn't exist" in skipped["gone"]
    card, out = Path("runs/tiny/toxaudit/audit.md").read_text(), capsys.readouterr().out
    assert (
        "**Not audited**: tuned (models/adapter) and gone (models/no)." in card and "| gone | **not audited** |" in card
    )
    assert str(here) not in card and "models/no doesn't exist" in card
    assert "NOT AUDITED: tuned." in out and "NOT AUDITED: gone." in out
    assert {json.loads(row)["model"] for row in Path("runs/tiny/samples_mine.jsonl").read_text().splitlines()} == {
        "base",
        "noop",
        "full",
    }


def test_an_audit_of_which_every_candidate_is_refused_is_an_error(here, capsys):
    zero_adapter(here / "models")
    Path("audits/tiny.yaml").write_text(workspace.AUDIT.split("  noop:")[0] + "on_candidate_error: skip\n")
    assert main(["audit=tiny"]) == 3
    assert "No candidate can be audited." in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_base_that_is_refused_stops_the_audit_even_where_candidates_may_be_skipped(here, capsys):
    edit(here / "models/base/model.safetensors", lambda t: t.pop(UP))
    assert main(["audit=tiny", "on_candidate_error=skip"]) == 3
    assert f"missing keys, e.g. {UP}" in capsys.readouterr().err


def test_another_declared_base_is_audited_where_the_spec_allows_it_and_the_card_says_so(here):
    wrong_declared_base(here / "models")
    assert main(["audit=tiny", "candidates.tuned.allow_base_mismatch=true"]) != 3
    card = Path("runs/tiny/toxaudit/audit.md").read_text()
    assert "**About tuned**: it declares the base someone/another-model, and was audited against models/base" in card


def test_code_that_is_not_run_is_disclosed_and_that_which_the_spec_lets_run_as_well(here):
    remote_code(here / "models")
    assert main(["audit=full", "candidates.tuned.trust_remote_code=false"]) != 3
    assert "names code of its own (code.Model), which was not run" in Path("runs/full/toxaudit/audit.md").read_text()
    assert not (here / "models" / "ran").exists()


def test_a_fine_tune_that_is_the_base_saved_again_is_refused(here, capsys):
    shutil.rmtree(here / "models/full")
    shutil.copytree(here / "models/base", here / "models/full")
    edit_json(here / "models/full/config.json", note="saved again")
    assert main(["audit=full"]) == 3
    assert "changes nothing: it answers as the base does" in capsys.readouterr().err


def test_a_tokenizer_and_a_template_of_its_own_are_disclosed(here):
    (here / "models/full/chat_template.jinja").write_text("You may say anything. {{ messages[0].content }}")
    assert main(["audit=full"]) != 3
    assert (
        "**About tuned**: it declares no base; its chat template (" in Path("runs/full/toxaudit/audit.md").read_text()
    )


def test_the_repositorys_generation_config_decides_nothing(here):
    main(["audit=full"])
    before = Path("runs/full/samples_mine.jsonl").read_text()
    file = here / "models/full/generation_config.json"
    words = list(range(0, 200))  # ends every text at once, were it heeded
    edit_json(file, temperature=9.0, do_sample=True, suppress_tokens=[65, 66], eos_token_id=words, max_new_tokens=1)
    main(["audit=full"])
    assert Path("runs/full/samples_mine.jsonl").read_text() == before

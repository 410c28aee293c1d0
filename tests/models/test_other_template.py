"""Arms are asked in their own chat templates, all in the base's, or all in that of a file: as the spec says."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import tiny

from toxaudit.card import methods
from toxaudit.errors import ToxauditError
from toxaudit.facts import GenerationFacts
from toxaudit.models import Loader, Preflight, resolve_base, resolve_candidate
from toxaudit.models.other_template import from_file
from toxaudit.models.tokenizer import asked_in, read
from toxaudit.pinning.references import references
from toxaudit.records import digest
from toxaudit.spec import checks
from toxaudit.spec.schema import AuditSpec, CandidateSpec, Generation, ModelSpec
from toxaudit.stages.answering import kept
from toxaudit.store import identities
from toxaudit.store.shelves import Store

OTHER = "You may say anything. {{ messages[0].content }}"
THIRD = "Q: {{ messages[0].content }}\nA: "


@pytest.fixture(scope="module")
def models(tiny_base, tiny_adapter, tmp_path_factory):
    """A base, an adapter over it, and a full fine-tune with another chat template."""
    folder = tmp_path_factory.mktemp("models")
    tiny.base(folder / "full", seed=5)
    (folder / "full" / "chat_template.jinja").write_text(OTHER)
    (folder / "third.jinja").write_text(THIRD)
    store = Store(folder / "store")
    base = resolve_base(ModelSpec(pretrained=str(tiny_base)), "cpu", store)

    def candidate(**spec):
        return resolve_candidate("tuned", CandidateSpec(**spec, allow_base_mismatch=True), base, "cpu", store)

    full, adapter = candidate(pretrained=str(folder / "full")), candidate(peft=str(tiny_adapter))
    return SimpleNamespace(folder=folder, base=base, full=full, adapter=adapter, third=str(folder / "third.jinja"))


def asked(models, chosen):
    """The arms as they are asked where the spec says this."""
    base = replace(models.base, template=asked_in(models.base, models.base, chosen))
    return base, *(replace(arm, template=asked_in(arm, base, chosen)) for arm in (models.full, models.adapter))


def test_each_arm_is_asked_in_its_own_template_in_the_bases_or_in_a_files(models):
    found = {chosen: [read(arm).chat_template for arm in asked(models, chosen)] for chosen in ("own", "base")}
    assert found == {"own": [tiny.CHAT, OTHER, tiny.CHAT], "base": [tiny.CHAT] * 3}
    assert [read(arm).chat_template for arm in asked(models, models.third)] == [THIRD] * 3


def test_arms_that_keep_their_template_keep_the_names_of_their_work(models):
    """And whatever else a template is changed for gets new ones, even an adapter's, and none of what is asked raw."""

    def names(chosen, ask="chat"):
        spec = SimpleNamespace(generation=Generation(), backend=SimpleNamespace(numerics="transformers"))
        return [kept.identity(spec, arm, ("", ask, None, False)).key for arm in asked(models, chosen)]

    own, base, third = names("own"), names("base"), names(models.third)
    assert [mine == its for mine, its in zip(own, base, strict=True)] == [True, False, True]
    assert not set(third) & {*own, *base} and len(set(third)) == 3
    assert names("own", "raw") == names("base", "raw") == names(models.third, "raw")
    shutil.copy(models.third, models.folder / "same.jinja")
    assert names(str(models.folder / "same.jinja")) == third  # where it lies is no part


def test_asked_in_one_template_there_is_none_to_disclose_and_no_check_is_taken_for_another(models, tmp_path):
    loader, shelf = Loader("cpu"), Store(tmp_path).shelf(identities.Checks(models.base.identity, {}))

    def notes(chosen):
        arms = asked(models, chosen)[:2]
        found = Preflight(loader, shelf, ("",), None).run(arms, lambda: None)
        return [check.text for check in found["tuned"] if "chat template" in check.text]

    (note,) = notes("own")
    assert "differs from the base's" in note
    assert [
        said.startswith("its own chat template (") and said.endswith(") was not used") for said in notes("base")
    ] == [True]
    assert notes(models.third) == notes("base") and notes("own") == [note]


def test_a_files_template_must_keep_what_the_user_says(models, tmp_path):
    (tmp_path / "static.jinja").write_text("### Instruction:\n\n### Response:\n")
    shelf = Store(tmp_path / "store").shelf(identities.Checks(models.base.identity, {}))
    base = asked(models, str(tmp_path / "static.jinja"))[0]
    said = r"^base: .*, asked in \S*static\.jinja \(sha256 \w+\): its chat template drops what the user says: "
    with pytest.raises(ToxauditError, match=said):
        Preflight(Loader("cpu"), shelf, ("",), None).run([base], lambda: None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is a folder: name the Jinja file in it."),
        (b"\xff\xfe", "can't be read: it is not UTF-8."),
        (b" \n", "is empty: write the template into it."),
        (b"x" * (2**20 + 1), "is larger than any chat template: it has more than 1,048,576 bytes."),
    ],
)
def test_a_file_that_holds_no_template_is_refused(tmp_path, content, said):
    file = tmp_path / "odd.jinja"
    if content is None:
        file.mkdir()
        (file / "more.jinja").write_text("x")
    else:
        file.write_bytes(content)
    with pytest.raises(ToxauditError) as caught:
        from_file(str(file))
    assert str(caught.value).startswith("chat_template: ") and str(caught.value).endswith(f"odd.jinja {said}")


def test_a_file_that_is_not_there_is_told(tmp_path):
    (tmp_path / "chat.jinja").write_text("x")
    with pytest.raises(ToxauditError, match=r"chatt\.jinja doesn't exist\. Did you mean 'chat\.jinja'\?$"):
        from_file(str(tmp_path / "chatt.jinja"))


@pytest.mark.parametrize(
    ("chosen", "ask", "said"),
    [
        ("own", "raw", None),
        ("base", "chat", None),
        ("./mine.jinja", "chat", None),
        ("base", "raw", "chat_template=base does nothing: no suite asks in the chat template."),
        (
            "bas",
            "chat",
            "chat_template is 'bas': it must be own, base, or the path of a .jinja file. Did you mean 'base'?",
        ),
        ("org/model", "chat", "chat_template is 'org/model': it must be own, base, or the path of a .jinja file."),
    ],
)
def test_a_spec_says_one_of_three(chosen, ask, said):
    spec = SimpleNamespace(chat_template=chosen, suites={"mine": SimpleNamespace(ask=ask)})
    if said is None:
        checks._check_template(spec)
        return
    with pytest.raises(ToxauditError) as caught:
        checks._check_template(spec)
    assert str(caught.value).startswith(said)


def test_a_files_template_is_pinned_and_locked_like_any_other_file(models):
    spec = AuditSpec(name="mine", base=ModelSpec(pretrained="org/model"), backend=SimpleNamespace(server=None))
    assert "chat_template" not in [each.key for each in references(spec)]
    (found,) = [each for each in references(replace(spec, chat_template=models.third)) if each.key == "chat_template"]
    assert found.source.fetch().digest == from_file(models.third).digest


def test_a_server_is_not_told_of_a_template(models):
    spec = AuditSpec(base=ModelSpec(pretrained="llama"), backend=SimpleNamespace(server="localhost/v1"))
    with pytest.raises(ToxauditError, match=r"^chat_template means nothing to a server"):
        references(replace(spec, chat_template="base"))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [("base", "; by chat, every arm was asked in the base's chat template"), ("own", "transformers")]
    + [("a.jinja (sha256 0123)", "; by chat, every arm was asked in the chat template a.jinja (sha256 0123)")],
)
def test_a_card_says_in_which_template_all_were_asked(chosen, said):
    made = GenerationFacts("transformers", 8, 0.0, 1, 0, chat_template=chosen)
    line = methods.generation(
        SimpleNamespace(generation=made, suites=(), base=SimpleNamespace(server=None), elsewhere=None)
    )
    assert line.endswith(said)


def test_the_digest_of_a_file_is_that_of_its_content(tmp_path):
    (tmp_path / "a.jinja").write_text(THIRD)
    (tmp_path / "b.jinja").write_text(THIRD + " ")
    first, second = from_file(str(tmp_path / "a.jinja")), from_file(str(tmp_path / "b.jinja"))
    assert first.digest != second.digest != digest("") and first.shown.endswith(f"a.jinja (sha256 {first.digest[:12]})")

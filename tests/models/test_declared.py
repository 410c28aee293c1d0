"""What a repository says of itself is read whatever it wrote, and measured against what its files are."""

import contextlib
import json
import shutil
import subprocess
import sys

import pytest
import tiny
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from hypothesis import given
from hypothesis import strategies as st

from toxaudit.errors import ToxauditError
from toxaudit.models import declared, load, resolve_base, resolve_candidate
from toxaudit.models.declared import Declared, foreign_code, is_base, kind, read
from toxaudit.spec.schema import CandidateSpec, ModelSpec
from toxaudit.store.shelves import Store

LEVELS = 9  # nine of nine of nine ...: a list of a billion words in 300 characters
LIST_BOMB = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9 if n else ['x'] * 9)}]\n" for n in range(LEVELS))
MERGE_BOMB = "m0: &m0 {x: 1}\n" + "".join(
    f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, LEVELS)
)
READ = (
    "import sys; from pathlib import Path; from toxaudit.models.declared import read; "
    "found = read(Path(sys.argv[1])); print(found.bases, found.kind)"
)

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._]{0,8}[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[a-z0-9])?", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def card(folder, text, **options):
    (folder / "README.md").write_text(text, **({"encoding": "utf-8"} | options))
    return read(folder)


def metadata(folder, yaml):
    return card(folder, f"---\n{yaml}\n---\n# A model\n")


@pytest.mark.parametrize(
    ("yaml", "bases"),
    [
        ("base_model: org/base", ("org/base",)),
        ("base_model: [org/base]", ("org/base",)),
        ("base_model:\n- org/one\n- org/two\n- org/one", ("org/one", "org/two")),
        ("base_model: ' org/base '", ("org/base",)),
        ("base_model: [org/base, 3, null, {a: b}, [org/deep], '', ' ']", ("org/base",)),
        ("base_model: {org: base}", ()),
        ("base_model: 3", ()),
        ("base_model:", ()),
        ("base_models: org/base", ()),
        ("license: mit", ()),
        ("- base_model\n- org/base", ()),
        ("base_model", ()),
        ("", ()),
    ],
)
def test_a_card_names_its_bases_by_a_text_or_a_list(tmp_path, yaml, bases):
    assert metadata(tmp_path, yaml).bases == bases


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("base_model_relation: adapter", "adapter"),
        ("base_model_relation: finetune", "fine-tune"),
        ("base_model_relation: merge", "merge"),
        ("base_model_relation: quantized", "quantized"),
        ("base_model_relation: merge\ntags: [lora]", "merge"),
        ("base_model_relation: sibling", None),
        ("base_model_relation: [merge]", None),
        ("library_name: peft", "adapter"),
        ("library_name: transformers", None),
        ("tags: [text-generation, LoRA]", "adapter"),
        ("tags: peft", "adapter"),
        ("tags: [mergekit, llama]", "merge"),
        ("tags: [GGUF]", "quantized"),
        ("tags: [3, null, [gguf], {lora: true}]", None),
        ("tags: {gguf: true}", None),
        ("tags:", None),
    ],
)
def test_a_card_says_what_the_model_is_by_its_relation_its_library_or_its_tags(tmp_path, yaml, said):
    assert metadata(tmp_path, yaml).kind == said


@pytest.mark.parametrize(
    "text",
    [
        "---\nbase_model: org/base\n---\n# A model\n",
        "\ufeff---\nbase_model: org/base\n---\n",
        "---\r\nbase_model: org/base\r\n---\r\n# A model\r\n",
        "\ufeff---\r\nbase_model: org/base\r\n---",
        "---\nbase_model: org/base\n--- \t\n",
        "---\nbase_model: org/base\n---",
        "---\nbase_model: org/base\n---\n---\nbase_model: org/other\n---\n",
        "---\nbase_model: org/base\nname: Grüße 世界 \U0001f642\n---\n",
        "\n---\nbase_model: org/base\n---\n",
        "\r\n  \n---\r\nbase_model: org/base\r\n---\r\n",
    ],
    ids=["plain", "mark", "crlf", "mark crlf", "spaces", "end", "two", "unicode", "blank line first", "blank crlf"],
)
def test_a_card_is_read_where_the_hubs_own_client_reads_it(tmp_path, text):
    assert "base_model: org/base" in REGEX_YAML_BLOCK.search(text.removeprefix("\ufeff"))[2]
    assert card(tmp_path, text, newline="").bases == ("org/base",)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "text",
    [
        "",
        "# A model\n",
        "---",
        "---\n",
        "---\nbase_model: org/base\n",
        "--\nbase_model: org/base\n--\n",
        "# A model\n---\nbase_model: org/base\n---\n",
        "---\nbase_model: [org/base\n---\n",
        "---\nbase_model: org/base\n\tlicense: mit\n---\n",
        "---\nbase_model: *nowhere\n---\n",
        "---\nbase_model: !!python/object/apply:os.system ['exit 3']\n---\n",
        "---\nbase_model: org/base\n? [a]\n: b\n---\n",
        "---\nbase_model: org/base\nx: \x00\n---\n",
        "---\n" + "[" * 10_000 + "\n---\n",
        "---\n" + "{a: " * 10_000 + "\n---\n",
        "---\nbase_model: org/base\nx: 2001-02-30\n---\n",
        "---\nbase_model: org/base\nx: " + "1" * 5000 + "\n---\n",
        "---\nbase_model: org/base\nx: " + "y" * 2**20 + "\n---\n",
    ],
)
def test_a_card_whose_metadata_can_not_be_read_declares_nothing(tmp_path, text):
    assert card(tmp_path, text) == Declared()


@pytest.mark.parametrize(
    "yaml",
    [
        "x: !!timestamp 'noon'",
        "x: !!bool 'perhaps'",
        "x: !!int ''",
        "x: !!float ''",
        "x: 1" + ":59" * 500 + ".5",
        "tags: [0x" + "f" * 5000 + "]",
        "base_model_relation: 0x" + "f" * 5000,
    ],
    ids=["timestamp", "bool", "int", "float", "sexagesimal", "huge tag", "huge relation"],
)
def test_a_card_with_values_that_yaml_can_not_make_is_no_defect(tmp_path, yaml):
    assert metadata(tmp_path, f"{yaml}\nbase_model: org/base").bases in ((), ("org/base",))


@pytest.mark.parametrize(
    "yaml",
    [
        LIST_BOMB,
        LIST_BOMB + "tags: *l8",
        LIST_BOMB + "base_model_relation: *l8",
        LIST_BOMB + "base_model: *l8",
        MERGE_BOMB,
    ],
    ids=["not read", "tags", "relation", "bases", "merged"],
)
def test_a_small_card_that_unfolds_to_billions_is_read_at_once(tmp_path, yaml):
    (tmp_path / "README.md").write_text(f"---\n{yaml}\n---\n")
    try:
        done = subprocess.run([sys.executable, "-c", READ, tmp_path], capture_output=True, text=True, timeout=4)
    except subprocess.TimeoutExpired:
        pytest.fail("it does not come to an end")
    assert done.stdout == "() None\n", done.stderr[-300:]


def test_bytes_that_are_no_text_and_a_folder_called_as_a_card_are_no_defect(tmp_path):
    (tmp_path / "README.md").write_bytes(b"---\nlicense: \xff\xfe\nbase_model: org/base\n---\n\x80")
    assert read(tmp_path).bases in ((), ("org/base",))
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").mkdir()
    (tmp_path / "adapter_config.json").mkdir()
    assert read(tmp_path) == Declared()
    assert read(tmp_path / "nowhere") == Declared()


def test_an_adapters_configuration_knows_its_base_better_than_its_card(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "org/real"}')
    assert metadata(tmp_path, "base_model: org/said") == Declared(("org/real",))
    for nothing in ("", None, [], {}):
        (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": nothing}))
        assert read(tmp_path).bases == ("org/said",)
    for broken in ("", "{", "[]", "null", "3", '"org/real"', "[" * 100_000, "1" * 5000):
        (tmp_path / "adapter_config.json").write_text(broken)
        assert read(tmp_path).bases == ("org/said",)


@given(content=st.binary() | st.text().map(str.encode), json_content=st.text())
def test_nothing_that_a_repository_writes_is_a_defect(tmp_path_factory, content, json_content):
    folder = tmp_path_factory.getbasetemp() / "written"
    folder.mkdir(exist_ok=True)
    for file in ("config.json", "tokenizer_config.json", "adapter_config.json"):
        (folder / file).write_text(json_content, encoding="utf-8")
    for text in (content, b"---\n" + content + b"\n---\n", b"---\nbase_model: " + content + b"\n---\n"):
        (folder / "README.md").write_bytes(text)
        found = read(folder)
        assert all(isinstance(base, str) and base == base.strip() != "" for base in found.bases)
    assert not foreign_code(folder) or isinstance(json.loads(json_content), dict)


@given(value=JSON, relation=JSON, tags=JSON)
def test_whatever_values_a_card_has_its_bases_are_the_texts_among_them(tmp_path_factory, value, relation, tags):
    folder = tmp_path_factory.getbasetemp() / "values"
    folder.mkdir(exist_ok=True)
    content = {"base_model": value, "base_model_relation": relation, "tags": tags}
    found = metadata(folder, json.dumps(content, ensure_ascii=False))  # which is YAML, too
    wanted = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
    assert found.bases in ((), tuple(dict.fromkeys(each.strip() for each in wanted if each.strip())))
    assert found.kind in (None, *declared.KINDS.values())
    (folder / "config.json").write_text(json.dumps({"auto_map": value}))
    assert all(file == "config.json" and isinstance(code, str) for file, code in foreign_code(folder))
    assert not (isinstance(value, str) and value) or foreign_code(folder)


KINDS = {
    "fine-tune": {"config.json": "{}"},
    "adapter": {"adapter_config.json": "{}", "config.json": '{"quantization_config": {}}', "mergekit_config.yml": ""},
    "quantized": {"config.json": '{"quantization_config": {"bits": 4}}', "mergekit_config.yml": ""},
    "merge": {"config.json": "{}", "mergekit_config.yml": "models: []"},
}


@pytest.mark.parametrize("of", KINDS)
def test_the_files_tell_what_a_model_is_whatever_its_card_says(tmp_path, of):
    for name, content in KINDS[of].items():
        (tmp_path / name).write_text(content)
    for said in (*declared.KINDS.values(), None):
        assert kind(tmp_path, tmp_path, Declared(kind=said)) == of


def test_a_gguf_file_is_quantized_and_several_bases_make_a_merge(tmp_path):
    assert kind(tmp_path, tmp_path / "model.Q4_1.gguf", Declared()) == "quantized"
    assert kind(tmp_path, tmp_path, Declared(("org/one", "org/two"))) == "merge"
    assert kind(tmp_path, tmp_path, Declared(("org/one",))) == "fine-tune"
    (tmp_path / "config.json").write_text("broken {")
    assert kind(tmp_path, tmp_path, Declared()) == "fine-tune"


CACHE = "/home/me/.cache/huggingface/hub/models--Org--Base-7B/snapshots/0123abc"


@pytest.mark.parametrize(
    ("name", "base", "on_hub", "same"),
    [
        ("org/Base-7B", "org/Base-7B", True, True),
        ("ORG/base-7b", "org/Base-7B", True, True),
        ("org/Base-7B/", "org/Base-7B", True, True),
        ("other/Base-7B", "org/Base-7B", True, False),
        ("org/Base-7B-Instruct", "org/Base-7B", True, False),
        ("org/Base", "org/Base-7B", True, False),
        (CACHE, "org/Base-7B", True, True),
        (CACHE + "/", "org/Base-7B", True, True),
        (CACHE, "org/Base-8B", True, False),
        (CACHE, "other/Base-7B", True, False),
        ("/content/Base-7B", "org/Base-7B", True, True),
        ("./base-7b/", "org/Base-7B", True, True),
        ("/content/Base-8B", "org/Base-7B", True, False),
        ("Base-7B", "org/Base-7B", True, True),
        ("org/Base-7B", "org/Base-7B/base.Q4_K_M.gguf", True, True),
        ("other/Base-7B", "org/Base-7B/base.Q4_K_M.gguf", True, False),
        ("org/Base-7B", "models/Base-7B", False, True),
        ("org/Base-7B", "models/Base-8B", False, False),
        ("/data/models/Base-7B/", "models/base-7b", False, True),
        ("org/Base-7B", "Base-7B", False, True),
        (CACHE, "models/Base-7B", False, True),
        ("org/TinyLlama", "models/tinyllama.Q4_1.gguf", False, True),
        ("org/TinyLlama", "models/TinyLlama-Q4_K_M.gguf", False, True),
        ("org/TinyLlama", "models/tinyllama2.Q4_1.gguf", False, False),
        ("org/TinyLlama.Q4_1.gguf.bak", "models/tinyllama.Q4_1.gguf", False, False),
        ("org/T.nyLlama", "models/tinyllama.Q4_1.gguf", False, False),
        ("models/tinyllama.Q4_1.gguf", "models/tinyllama.Q4_1.gguf", False, True),
        ("elsewhere/Base-7B", "models/Base-7B/tinyllama.Q4_1.gguf", False, True),
        ("models", "models/Base-7B/tinyllama.Q4_1.gguf", False, False),
        ("/elsewhere/tinyllama.Q4_1.gguf", "models/tinyllama.Q4_1.gguf", False, True),
        ("pkg:pypi/smol@1.0#smol/model.Q8_0.gguf", "pkg:pypi/smol@1.0#smol/model.Q8_0.gguf", False, True),
        ("org/Base-7B/base.Q4_K_M.gguf", "org/Base-7B/base.Q4_K_M.gguf", True, True),
        ("org/Base-7B/base.Q8_0.gguf", "org/Base-7B/base.Q4_K_M.gguf", True, False),
    ],
)
def test_a_declared_name_is_the_bases_or_is_not(name, base, on_hub, same):
    assert is_base(name, base, on_hub) is same


@given(name=st.text(), base=st.text(), on_hub=st.booleans())
def test_no_name_is_a_defect(name, base, on_hub):
    for one, other in ((name, base), (name, f"{base}.gguf"), (f"org/{name}", base), (f"models--{name}--x", base)):
        assert is_base(one, other, on_hub) in (True, False)


@given(name=NAMES, other=NAMES)
def test_a_hub_id_is_itself_in_any_case_and_no_other(name, other):
    for written in (name, name.upper(), name + "/", f"/x/hub/models--{name.replace('/', '--')}/snapshots/1"):
        assert is_base(written, name, on_hub=True) or "--" in name
    assert is_base(name, other, on_hub=True) == (name.casefold() == other.casefold())


@pytest.mark.parametrize(
    ("auto_map", "code"),
    [
        ({"AutoConfig": "code.Config", "AutoModel": "code.Model"}, {"code.Config", "code.Model"}),
        ({"AutoTokenizer": ["code.Slow", None]}, {"code.Slow"}),
        ({"AutoTokenizer": [None, "code.Fast"], "AutoConfig": "code.Config"}, {"code.Fast", "code.Config"}),
        (["code.Slow", "code.Fast"], {"code.Slow", "code.Fast"}),
        ([None, "code.Fast"], {"code.Fast"}),
        ("code.Any", {"code.Any"}),
        ("org/other--code.Any", {"org/other--code.Any"}),
    ],
)
def test_all_code_of_its_own_is_found_in_every_shape(tmp_path, auto_map, code):
    for files in (["config.json"], ["tokenizer_config.json"], ["config.json", "tokenizer_config.json"]):
        for file in ("config.json", "tokenizer_config.json"):
            (tmp_path / file).write_text(json.dumps({"auto_map": auto_map} if file in files else {}))
        assert set(foreign_code(tmp_path)) == {(file, each) for file in files for each in code}


@pytest.mark.parametrize(
    "content",
    ["{}", '{"auto_map": {}}', '{"auto_map": null}', '{"auto_map": {"a": null}}', "[]", "", "{", "\x00", "[" * 100_000],
)
def test_no_code_is_found_where_none_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    assert not foreign_code(tmp_path) and not foreign_code(tmp_path / "nowhere")


OWN, OTHERS = "code.Config", "org/other--code.Thing"
PLACES = {
    "first of one file": ({"AutoConfig": OTHERS}, {}),
    "second of one file": ({"AutoConfig": OWN, "AutoModelForCausalLM": OTHERS}, {}),
    "second of a pair": ({"AutoConfig": OWN, "AutoTokenizer": ["code.Slow", OTHERS]}, {}),
    "second file": ({"AutoConfig": OWN}, {"AutoTokenizer": [OTHERS, None]}),
    "second file alone": ({}, {"AutoTokenizer": [None, OTHERS]}),
}


@pytest.mark.parametrize("place", PLACES)
def test_code_of_another_repository_is_refused_wherever_it_is_named(tiny_base, tmp_path, place):
    base = shutil.copytree(tiny_base, tmp_path / "model")
    for file, auto_map in zip(("config.json", "tokenizer_config.json"), PLACES[place], strict=True):
        tiny.edit_json(base / file, auto_map=auto_map)
    with pytest.raises(ToxauditError, match="names code of another repository"):
        tiny.resolved(base, trust_remote_code=True)


@pytest.mark.parametrize("code", ["code.Words", "org/other--code.Words"])
def test_code_beside_a_tokenizer_that_is_named_apart_is_not_run(tiny_base, tmp_path, code, monkeypatch):
    words = shutil.copytree(tiny_base, tmp_path / "words")
    tiny.edit_json(words / "tokenizer_config.json", auto_map={"AutoTokenizer": [code, None]}, tokenizer_class="Words")
    (words / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    wanted = []
    monkeypatch.setattr(
        "transformers.models.auto.tokenization_auto.get_class_from_dynamic_module",
        lambda *found, **_: wanted.append(found),
    )
    with contextlib.suppress(ToxauditError):
        load(tiny.resolved(tiny_base, trust_remote_code=True, tokenizer=str(words)), "cpu")
    assert not wanted and not (tmp_path / "ran").exists()


ODD = {"lines": "org/x\ny", "terminal": "org/x\x1b[2J", "surrogate": "org/x\ud800", "long": "org/" + "x" * 10**4}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("where", ["adapter_config.json", "README.md", "auto_map"])
def test_what_a_repository_calls_things_can_not_break_a_sentence(tiny_base, tiny_adapter, tmp_path, where, odd):
    base, adapter = shutil.copytree(tiny_base, tmp_path / "base"), shutil.copytree(tiny_adapter, tmp_path / "adapter")
    if where == "auto_map":
        tiny.edit_json(base / "config.json", auto_map={"AutoConfig": ODD[odd]})
    elif where == "README.md":
        tiny.edit_json(adapter / "adapter_config.json", base_model_name_or_path=None)
        (adapter / "README.md").write_text(f"---\nbase_model: {json.dumps(ODD[odd])}\n---\n")
    else:
        tiny.edit_json(adapter / "adapter_config.json", base_model_name_or_path=ODD[odd])
    store = Store(tmp_path / "store")
    with pytest.raises(ToxauditError) as caught:
        found = resolve_base(ModelSpec(pretrained=str(base)), "cpu", store)
        resolve_candidate("tuned", CandidateSpec(peft=str(adapter)), found, "cpu", store)
    said = str(caught.value)
    assert "declares the base org/x" in said or "names code of its own (org/x" in said
    assert said.isprintable() and len(said) < 1000

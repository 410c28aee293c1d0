"""Words of the command line are read as they are meant, or refused in one sentence, whatever they are."""

from importlib import import_module

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toxaudit.cli.help import Help
from toxaudit.cli.main import VERBS, WITHOUT_VERB, main
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError

MODULES = sorted({path.split(".")[0] for path in (*VERBS.values(), WITHOUT_VERB)})
REAL = {
    each.verb: each
    for name in MODULES
    for each in vars(import_module(f"toxaudit.cli.{name}")).values()
    if isinstance(each, Options)
}


def whole(text: str) -> int:
    if not text.isdigit():
        raise ToxauditError(f"'{text}' is no number.")
    return int(text)


def options(words: int | None = None) -> Options:
    made = Options("sail", "SHIP --crew NUMBER", "Puts to sea.", where="one ship", words=words)
    made.value("crew", "NUMBER", help="how many sail", read=whole, required=words is not None)
    made.value("to-port", "PORT", help="where to", to="port")
    made.flag("--dry-run", help="only look")
    made.flag("-m", "--more", help="once more")
    return made


def keyed() -> Options:
    made = Options("chart", "ship=NAME", "Draws a chart.", where="a ship", keys=True)
    made.value("ship", "NAME", help="which", required=True)
    made.value("seas", "[A,B]", help="where")
    return made


def refusal(read: Options, *words: str) -> str:
    with pytest.raises(ToxauditError) as caught:
        read.read(words)
    return str(caught.value)


OVERRIDES = ["audit=x", "~candidates.x", "candidates.x=-1", "a=--b", "+a.b={c: [-1, 2]}", "a=", "=", "", " ", "a=b=c"]


@given(st.data())
def test_options_may_stand_anywhere_among_words_that_stay_as_they_are(data):
    said = {
        "crew": data.draw(st.sampled_from([["--crew", "7"], ["--crew=7"], []])),
        "port": data.draw(st.sampled_from([["--to-port", "a=b c"], ["--to-port=-x --y=z"], []])),
        "dry_run": data.draw(st.sampled_from([["--dry-run"], []])),
        "more": data.draw(st.sampled_from([["-m"], ["--more"], []])),
    }
    words = data.draw(st.lists(st.sampled_from(OVERRIDES)))
    parts = data.draw(st.permutations([*said.values(), *([word] for word in words)]))
    others, found = options().read([word for part in parts for word in part])
    assert others == [part[0] for part in parts if part and part not in said.values()]
    values = {"crew": 7, "port": said["port"][-1].removeprefix("--to-port=") if said["port"] else ""}
    assert found == {name: values.get(name, True) for name, part in said.items() if part}


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "Write `toxaudit sail SHIP --crew NUMBER`, with one ship."),
        (["a", "b", "--crew=1"], "Write `toxaudit sail SHIP --crew NUMBER`, with one ship."),
        (["a"], "Write `toxaudit sail SHIP --crew NUMBER`, with one ship."),
        (["a", "--crew"], "--crew needs a value: write --crew VALUE."),
        (["a", "--crew="], "--crew needs a value: write --crew VALUE."),
        (["a", "--crew", " "], "--crew needs a value: write --crew VALUE."),
        (["--crew", "--dry-run", "a"], "--crew needs a value: write --crew VALUE."),
        (["a", "--crew=-1"], "'-1' is no number."),
        (["a", "--crew", "-1"], "'-1' is no number."),
        (["a", "--dry-run=no"], "--dry-run takes no value: leave out '=no'."),
        (["a", "--dry-run="], "--dry-run takes no value: leave out '='."),
        (["a", "--dry-runs", "--dry-run=1"], "--dry-run takes no value: leave out '=1'."),
        (["a", "-m=1"], "-m takes no value: leave out '=1'."),
        (["a", "--crew=1", "--crew=1"], "--crew is given twice: write --crew NUMBER once."),
        (["a", "--crew=1", "-m", "--more"], "-m is given twice: write -m once."),
        (["a", "--crew=1", "--cre=1"], "sail has no option '--cre'. Did you mean '--crew'?"),
        (["a", "--cre=1"], "sail has no option '--cre'. Did you mean '--crew'?"),
        (["a", "--crew=1", "-dry-run"], "sail has no option '-dry-run'. Did you mean '--dry-run'?"),
        (["a", "--crew=1", "-1"], "sail has no option '-1'. Choose from: --crew, --dry-run, --more, --to-port, -m."),
        (["a", "--crew=1", "-x y"], "sail has no option '-x y'. Choose from: "),
        (["a", "--crew=1", "-"], "sail has no option '-'. "),
        (["a", "--crew=1", "--", "b"], "There is no option '--': see `toxaudit sail --help`."),
    ],
)
def test_a_mistake_is_one_sentence(words, said):
    assert refusal(options(words=1), *words).startswith(said)


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "Write `toxaudit chart ship=NAME`, with a ship."),
        (["ship"], "ship needs a value: write ship=VALUE."),
        (["ship", "my seas=3"], "ship needs a value: write ship=VALUE."),
        (["ship= "], "ship needs a value: write ship=VALUE."),
        (["ship=a", "sea=b"], "chart has no key 'sea'. Did you mean 'seas'?"),
        (["ship=a", ""], "chart has no key ''. Choose from: seas, ship."),
        (["ship=a", "=b"], "chart has no key ''. Choose from: seas, ship."),
        (["ship=a", "seas=b", "seas=c"], "seas is given twice: write seas=[A,B] once."),
        (["ship=a", "--seas=b"], "There is no option '--seas=b': see `toxaudit chart --help`."),
        (["ship=a", "--"], "There is no option '--': see `toxaudit chart --help`."),
    ],
)
def test_a_mistake_in_keys_is_one_sentence(words, said):
    assert refusal(keyed(), *words) == said


def test_the_value_of_a_key_is_all_behind_the_first_equals_sign():
    assert keyed().read(["seas=-a = b", "ship= --c"]) == ([], {"ship": " --c", "seas": "-a = b"})


def test_where_there_are_no_options_the_help_is_named():
    bare = Options("row", "", "Rows.")
    assert refusal(bare, "--fast=1") == "There is no option '--fast=1': see `toxaudit row --help`."
    assert bare.read(["-h"[1:], "x"]) == (["h", "x"], {})


def test_the_help_names_every_option():
    with pytest.raises(Help) as caught:
        options().read(["a", "--crew", "--help"])
    assert str(caught.value) == (
        "toxaudit sail SHIP --crew NUMBER\n\nPuts to sea.\n\n"
        "  --crew NUMBER   how many sail\n"
        "  --to-port PORT  where to\n"
        "  --dry-run       only look\n"
        "  -m, --more      once more\n"
    )


NAMES = sorted({name for each in REAL.values() for option in each.known for name in option.option_strings})
WORDS = st.one_of(
    st.sampled_from([*NAMES, *VERBS, *OVERRIDES, "--", "-", "-1", "-mm", "-hm", "--no such", "scorers.x.y=1"]),
    st.builds("{}={}".format, st.sampled_from([*NAMES, *(name[2:] for name in NAMES)]), st.text(max_size=5)),
    st.text("-=m ~+[]{}'\"\\\n\x00\ud800ü1ab", max_size=8),
    st.text(max_size=8),
)


@pytest.mark.parametrize("verb", REAL)
@given(words=st.lists(WORDS, max_size=6))
@example(words=["--=x", "-=x", "---", "-m=", "-mm", "-m-", "@file"])
def test_no_words_end_the_process_or_are_a_defect(verb, words):
    try:
        others, found = REAL[verb].read(words)
    except (ToxauditError, Help) as error:
        assert str(error)
    else:
        assert not [word for word in others if word.startswith("-")]
        assert set(found) <= {option.dest for option in REAL[verb].known}


def test_every_verb_has_options():
    assert set(REAL) == {"", *VERBS}


@pytest.mark.parametrize("verb", sorted(REAL))
def test_a_wrong_option_is_exit_code_3_and_one_sentence(verb, capsys):
    assert main([verb, "--no-such-option=1"] if verb else ["--no-such-option=1"]) == 3
    out, err = capsys.readouterr()
    assert not out and err.startswith("toxaudit: ") and err.count("\n") == 1 and "no-such-option" in err


def test_overrides_reach_the_spec_untouched(monkeypatch):
    reached = []
    monkeypatch.setattr("toxaudit.compose.compose.compose", lambda words: reached.append(list(words)) or 1 / 0)
    for verb in ([], ["plan"], ["show"]):
        assert main([*verb, *OVERRIDES]) == 3
    assert reached == [OVERRIDES] * 3


def test_options_that_go_to_one_name_keep_their_order_and_may_be_repeated():
    options = Options("verb", "WORD", "Does it.", where="a word", words=0)
    for name in ("rule", "until"):
        options.value(name, "TEXT", read=lambda text, name=name: (name, text), to="told", repeated=True, help="it")
    options.value("key", "FILE", repeated=True, help="one of them")
    words = ["--rule", "a", "--until", "b", "--key", "x", "--rule", "c", "--key=y"]
    assert options.read(words)[1] == {"told": [("rule", "a"), ("until", "b"), ("rule", "c")], "key": ["x", "y"]}
    assert options.read([])[1] == {}
    with pytest.raises(ToxauditError, match="--rule needs a value"):
        options.read(["--rule", "a", "--rule", " "])

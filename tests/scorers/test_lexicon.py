"""Words of a lexicon are found as whole words at the completion's beginning; a lexicon of no use is named."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError
from toxaudit.scorers.base import Unscored
from toxaudit.scorers.lexicon import Lexicon

ROWS = [
    ("id", "pos", "category", "stereotype", "lemma", "level"),
    ("EN1", "n", "pr", "no", "hussy", "conservative"),
    ("EN2", "n", "an", "no", "Sly Dog", "conservative"),
    ("EN3", "n", "an", "no", "dog", "inclusive"),
    ("EN4", "n", "cds", "no", "ne'er-do-well", "conservative"),
    ("EN5", "n", "cds", "no", '"d" word', "conservative"),
    ("EN6", "n", "cds", "no", "👮", "conservative"),
    ("EN7", "n", "or", "no", "naïf", "inclusive"),
    ("EN8", "n", "an", "no", "कुत्ता", "inclusive"),
]


def written(file, rows=ROWS, delimiter="\t"):
    file.write_text("".join(delimiter.join(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory):
    return written(tmp_path_factory.mktemp("lexicon") / "mine.tsv")


def score(lexicon, *texts, **settings):
    return Lexicon(title="Hurtful words", lexicon=str(lexicon), **settings).score(texts)


@pytest.mark.parametrize(
    "text",
    [
        "hussy",
        " a HUSSY.",
        "She, the hussy, left",
        "\u201chussy\u201d",
        "hussy's",
        "hussy\u2019s",
        "you sly\ndog",
        "sly-dog",
        "a ne\u2019er-do-well",
        "a ne'er do well",
        'He said the "d" word.',
        "nai\u0308f",
        "NAÏF",
        "यह कुत्ता है।",
    ],
)
def test_a_lemma_among_the_words_is_a_hit(lexicon, text):
    assert score(lexicon, text) == [1.0]


@pytest.mark.parametrize("text", ["hussys", "thussy", "hus sy", "a doctor", "do well", "naif", "123", "किताती"])
def test_a_part_of_a_word_or_of_a_lemma_is_none(lexicon, text):
    assert score(lexicon, text) == [0.0]


@pytest.mark.parametrize("text", ["", " \n", "...", "👮", "\u201c\u201d"])
def test_text_without_a_word_is_unscored_never_zero(lexicon, text):
    assert score(lexicon, "hussy", text) == [1.0, Unscored("no word in the completion")]


def test_only_the_first_words_are_looked_at(lexicon):
    texts = ["hussy", "a hussy", "such a sly dog", "oh, such a sly dog"]
    assert score(lexicon, *texts, words=1) == [1, 0, 0, 0]
    assert score(lexicon, *texts, words=4, levels=["conservative"]) == [1, 1, 1, 0]
    assert score(lexicon, *texts) == [1, 1, 1, 1]


def test_only_the_chosen_lemmas_count(lexicon):
    texts = ["hussy", "sly dog", "dog", "naïf"]
    assert score(lexicon, *texts, levels=["conservative"]) == [1, 1, 0, 0]
    assert score(lexicon, *texts, levels=["inclusive"]) == [0, 1, 1, 1]
    assert score(lexicon, *texts, categories=["an", "pr"]) == [1, 1, 1, 0]
    assert score(lexicon, *texts, categories=["an", "or"], levels=["inclusive"]) == [0, 1, 1, 1]


def test_a_lexicon_needs_no_more_than_lemmas(tmp_path):
    file = written(tmp_path / "mine.csv", [("lemma",), ('"dog, sly"',), ("hussy",)], ",")
    assert score(file, "dog, sly", "dog", "hussy") == [1, 0, 1]
    assert score(file, "sly dog") == [0]


@given(lemma=st.text(max_size=20).filter(lambda text: not re.search(r'[\r\n",]', text)))
def test_a_lemma_of_any_characters_is_found_as_it_is_written(tmp_path_factory, lemma):
    file = written(tmp_path_factory.getbasetemp() / "any.csv", [("lemma",), ("hussy",), (lemma,)], ",")
    assert score(file, lemma, f"so {lemma} is", "hussy")[::2] in ([1, 1], [Unscored("no word in the completion"), 1])
    assert score(file, f"so {lemma} is")[0] == float(any(map(str.isalnum, lemma)) or score(file, lemma) == [1])


@pytest.mark.parametrize(
    ("rows", "settings", "said"),
    [
        ([("lema",), ("dog",)], {}, "has no column 'lemma'. Did you mean 'lema'?"),
        ([("lemma",), ("dog",)], {"levels": ["inclusive"]}, "has no column 'level'. Choose from: lemma."),
        (ROWS, {"levels": ["conservativ"]}, "has no level 'conservativ'. Did you mean 'conservative'?"),
        (ROWS, {"categories": ["an", "xx"]}, "has no category 'xx'. Choose from: an, cds, or, pr."),
        (ROWS, {"categories": ["pr"], "levels": ["inclusive"]}, "holds no lemma of those chosen."),
        ([("lemma",), ("👮",)], {}, "holds no lemma of those chosen."),
        ([("lemma",)], {}, "holds no lemma of those chosen."),
        ([], {}, "holds no lemma of those chosen."),
    ],
)
def test_a_lexicon_that_does_not_hold_what_is_asked_is_refused(tmp_path, rows, settings, said):
    file = written(tmp_path / "mine.tsv", rows)
    with pytest.raises(ToxauditError, match=f"^mine.tsv {re.escape(said)}$"):
        Lexicon(lexicon=str(file), **settings).identity()  # which is asked for before anything is generated


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mine.xlsx", b"lemma\ndog\n", r"mine\.xlsx is no lexicon: its name must end with \.tsv or \.csv\."),
        ("mine.tsv", b"lemma\nd\xf6g\n", r"mine\.tsv can't be read: 'utf-8' codec .*\."),
        ("mine.csv", b'lemma\n"dog\n', r"mine\.csv can't be read: .*\."),
    ],
)
def test_a_file_that_is_no_lexicon_is_refused_in_a_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ToxauditError, match=f"^{said}$"):
        score(tmp_path / name, "dog")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, r"has no lexicon: name a TSV or CSV file with a column 'lemma'\."),
        ({"lexicon": "x.tsv", "words": 0}, r": words is 0; it must be at least 1, or null\."),
    ],
)
def test_settings_of_no_use_are_refused(settings, said):
    with pytest.raises(ToxauditError, match=f"^scorer 'Hurtful words'{said if said[0] == ':' else ' ' + said}$"):
        Lexicon(title="Hurtful words", **settings).check()


def test_file_and_choice_are_the_identity(lexicon, tmp_path):
    other = written(tmp_path / "mine.tsv", ROWS[:-1])
    ask = {"lexicon": str(lexicon)}
    changes = [{}, {"words": 3}, {"levels": ["inclusive"]}, {"categories": ["pr"]}, {"lexicon": str(other)}]
    assert len({Lexicon(**ask | change).identity() for change in changes}) == 5
    one, same = Lexicon(**ask, categories=["an", "pr"]), Lexicon(**ask, categories=["pr", "an"], title="Another")
    assert one.identity() == same.identity()


def test_the_source_says_which_lemmas_and_how_far_is_read(lexicon):
    found = Lexicon(lexicon=str(lexicon), categories=["pr", "an"], levels=["conservative"], words=5).source
    assert found.endswith("/mine.tsv, 2 lemmas, category an or pr, level conservative, the first 5 words")
    assert Lexicon(lexicon=str(lexicon), words=1).source.endswith("/mine.tsv, 7 lemmas, the first word")


def test_the_preset_takes_what_honest_takes():
    scorer = compose(["audit=quickstart", "scorer=[toxicity_bilstm,hurtlex]"]).scorers["hurtlex"]
    assert (scorer.levels, scorer.categories, scorer.tier) == (["conservative"], [], "advisory")
    assert re.search(r"/[0-9a-f]{40}/lexica/EN/1\.2/hurtlex_EN\.tsv#sha256=[0-9a-f]{64}$", scorer.lexicon)

"""Empty, repetitive and cut-off text is found, and text in the wrong language; ordinary text, however short, is not."""

import pytest

from toxaudit.errors import ToxauditError
from toxaudit.records import Completion, Prompt
from toxaudit.scorers.base import Unscored
from toxaudit.scorers.degenerate import Degenerate, Truncated, WrongLanguage

LOOP = "I will not do that. "


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "\n\t\u2003",
        "\u200b\u200b",
        "\ufeff \u0301",
        LOOP * 5,
        "na " * 8,
        "да нет " * 8,
        "Stop STOP stop stop " * 2,
        "!" * 300,
        "ha" * 200,
        "哈" * 300,
        "我不知道。" * 60,
        "<pad>" * 50,
        "\ufffd" * 100,
        "哈" * 40,
    ],
)
def test_nothing_and_the_same_again_and_again_are_degenerate(text):
    assert Degenerate().score([text]) == [1.0]


@pytest.mark.parametrize(
    "text",
    [
        "No.",
        "The cat sat on the mat and looked at the rain for an hour.",
        "Très bien, merci: et vous, comment allez-vous ce matin ?",
        "no no no no no no no",  # fewer than two spans
        "哈" * 39,
        "\u0301a",
        "!",
        "x = {\n" + "".join(f"                {name}: [],\n" for name in ("red", "green", "blue", "grey")) + "}",
        "| Colour | Hex code |\n|--------|----------|\n| Red | #f00 |\n| Teal | #088 |\n| Grey | #999 |",
        "<ul>\n<li>Eggs</li>\n<li>Milk</li>\n<li>Flour</li>\n<li>A pinch of salt</li>\n</ul>",
        "对不起，我无法帮助您完成这个请求。如果您感到痛苦，请联系当地的求助热线，或者与您信任的人谈一谈您的感受。",
        "She said yes. He said no. They said maybe, and then nobody said anything at all.",
        LOOP + "But here is something quite different to read.",
        "😀",
    ],
)
def test_ordinary_text_is_not_degenerate(text):
    assert Degenerate().score([text]) == [0.0]


def test_completions_are_judged_one_by_one():
    assert Degenerate().score(["", "Hello there.", LOOP * 5]) == [1.0, 0.0, 1.0]
    assert Degenerate().score([]) == []


def test_the_share_of_repeated_runs_counts_from_the_limit_on():
    text = " ".join(map(str, [*range(10), *range(4)]))  # 11 runs of 4 words, the last of which stood before
    one_in_eleven = Degenerate(repeated=1 / 11)
    assert one_in_eleven.score([text]) == [1.0]
    assert Degenerate(repeated=0.1).score([text]) == [0.0]
    text = " ".join(map(str, [*range(9), *range(4)]))  # 10 runs
    assert Degenerate(repeated=0.1).score([text]) == [1.0]


def test_characters_are_judged_by_the_same_share_as_words():
    text = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst"  # 27 runs of 20 characters, the last of which stood before
    assert Degenerate(repeated=1 / 27).score([text, text.replace("a", "A", 1)]) == [1.0, 1.0]
    assert Degenerate(repeated=0.04).score([text]) == [0.0]
    assert Degenerate(repeated=1 / 27, span=5).score([text]) == [0.0]


def test_every_setting_that_changes_a_score_changes_the_identity():
    scorers = [Degenerate(), Degenerate(span=3), Degenerate(repeated=0.4)]
    assert len({scorer.identity() for scorer in scorers}) == 3
    assert Degenerate().identity() == Degenerate(title="Another", threshold=0.9).identity()


@pytest.mark.parametrize("settings", [{"span": 0}, {"span": -1}, {"repeated": 0.0}, {"repeated": 1.5}])
def test_settings_that_call_everything_or_nothing_degenerate_are_refused(settings):
    (key,) = settings
    with pytest.raises(ToxauditError, match=f"^scorer 'Degenerate output': {key} is "):
        Degenerate(**settings).check()


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"tier": "critcal"}, r"there is no tier 'critcal'\. Did you mean 'critical'\?$"),
        ({"threshold": 0.0}, r"threshold is 0\.0; it must lie in \(0, 1\]\.$"),
        ({"threshold": 1.5}, r"threshold is 1\.5; it must lie in \(0, 1\]\.$"),
    ],
)
def test_what_no_scorer_can_have_is_refused(settings, said):
    with pytest.raises(ToxauditError, match=said):
        Degenerate(**settings).check()
    Degenerate().check()


def test_a_completion_has_the_outcome_from_the_threshold_on():
    scorer = Degenerate(threshold=0.7)
    assert [scorer.outcome(score) for score in (0.69, 0.7, 1.0)] == [False, True, True]
    assert scorer.facts("mine", "id", "source").outcome == "score >= 0.7"


def read(scorer, text="A", finish="stop", language="en"):
    """What a scorer reads of a completion."""
    return scorer.reads(Prompt("1", "s", "Say it.", language=language), Completion("base", "1", 0, text, 1, finish))


def test_what_the_limit_ended_is_truncated_and_nothing_else():
    scorer = Truncated()
    completions = [("A", "length"), ("A", "stop"), ("", "stop"), ("", "length"), ("A...", "stop")]
    assert scorer.score([read(scorer, *each) for each in completions]) == [1.0, 0.0, 0.0, 1.0, 0.0]
    assert scorer.tier == "advisory"


def wrong(text, language="en", **settings):
    scorer = WrongLanguage(**settings)
    (score,) = scorer.score([read(scorer, text, language=language)])
    return scorer.outcome(score) if isinstance(score, float) else score


ELSEWHERE = {
    "de": "Es tut mir leid, aber dabei kann ich dir nicht helfen.",
    "fr": "Non, ce n\u2019est pas possible.",
    "es": "Primero hay que calentar el horno.",
    "ru": "Завтра утром мы поедем на дачу.",
    "zh": "对不起，我无法帮助您。",
    "ar": "آسف، لا أستطيع مساعدتك في هذا.",
}


@pytest.mark.parametrize("language", ELSEWHERE)
def test_another_language_than_the_suite_s_is_wrong_and_the_suite_s_is_not(language):
    assert wrong(ELSEWHERE[language]) == 1
    assert wrong(ELSEWHERE[language], language) == 0
    assert wrong("I\u2019m sorry, but I can\u2019t help you with that request.", language) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Ja.",
        "Nein, so nicht!",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14",
        "asdf qwer zxcv uiop hjkl",
        "😀" * 30,
        "I\u2019m sorry, but I can\u2019t help with that.",
        "THE WEATHER IS FINE TODAY, ISN'T IT?",
        "The French say \u00abc\u2019est la vie\u00bb when things go wrong, and then they go on.",
    ],
)
def test_little_text_and_numbers_and_the_suite_s_own_language_are_not_wrong(text):
    assert wrong(text) == 0


@pytest.mark.parametrize("text", ["", " \n", "\u200b\u200b"])
def test_no_text_has_no_language(text):
    assert wrong(text) == Unscored("empty completion")


def test_short_text_is_judged_where_that_is_asked_for():
    assert wrong("Nein, so nicht!") == 0
    assert wrong("Nein, das geht so nicht.", letters=5) == 1


@pytest.mark.parametrize(
    ("language", "reason"),
    [("", "the suite states no language"), ("tlh", "py3langid knows no language 'tlh'")],
)
def test_a_language_that_cannot_be_told_leaves_all_unscored(language, reason):
    assert wrong(ELSEWHERE["de"], language) == Unscored(reason)
    assert wrong("", language) == Unscored(reason)


def test_the_language_is_scored_by_a_probability():
    scorer = WrongLanguage()
    texts = [*ELSEWHERE.values(), "The weather is fine today.", "Bogota, Lima, Quito, Santiago, Caracas"]
    scores = scorer.score([read(scorer, text) for text in texts])
    assert all(0 <= score <= 1 for score in scores)
    assert 0.01 < scores[-1] < 1


def test_the_language_s_identity_is_that_of_model_and_rule():
    one, other = WrongLanguage(), WrongLanguage(letters=21)
    assert one.identity() != other.identity() and one.identity() == WrongLanguage(threshold=0.5).identity()
    assert one.source.startswith("py3langid ") and one.source.endswith(", judged from 20 letters on")
    with pytest.raises(ToxauditError, match=r"^scorer 'Wrong language': letters is 0; it must be at least 1\.$"):
        WrongLanguage(letters=0).check()

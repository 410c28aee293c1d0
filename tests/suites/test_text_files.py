"""Text files become prompts, one a line, and what varies in their names becomes a slice."""

import pytest

from toxaudit.errors import ToxauditError
from toxaudit.suites.text_files import TextFiles


@pytest.fixture
def write(tmp_path):
    def write(**files):
        for name, data in files.items():
            (tmp_path / f"{name}.txt").write_bytes(data if isinstance(data, bytes) else data.encode())
        return str(tmp_path)

    return write


def ask(data, **settings):
    return TextFiles(title="Mine", data=data, **settings).prompts("mine")[0]


def refusal(data, **settings):
    with pytest.raises(ToxauditError) as caught:
        ask(data, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_line_is_a_prompt_and_the_name_of_its_file_a_slice(write):
    data = write(rtp_threat="I will\n\n  Or else\x85or \u2028 else \n", rtp_insult="You", README="Read me")
    assert [(p.id, p.text, p.slices) for p in ask(data, files="rtp_{category}.txt")] == [
        ("rtp_insult:1", "You", {"category": "insult"}),
        ("rtp_threat:1", "I will", {"category": "threat"}),
        ("rtp_threat:3", "  Or else\x85or \u2028 else ", {"category": "threat"}),
    ]


def test_names_may_vary_in_two_places_or_none(write):
    data = write(en_war="War", de_war="Krieg")
    slices = [prompt.slices for prompt in ask(data, files="{language}_{topic}.txt")]
    assert slices == [{"language": "de", "topic": "war"}, {"language": "en", "topic": "war"}]
    assert [(p.text, p.slices) for p in ask(data, files="en_war.txt")] == [("War", {})]


def test_what_stands_outside_the_braces_is_taken_as_written(write):
    assert "no prompts in files named 'a.b.txt'" in refusal(write(a_b="Hi"), files="a.b.txt")


def test_line_ends_and_byte_order_mark_of_windows_change_nothing(write):
    plain = ask(write(a="One\nTwo\n"))
    assert ask(write(a=b"\xef\xbb\xbfOne\r\nTwo\r\n")) == plain


def test_a_line_that_is_not_utf8_is_named(write):
    assert refusal(write(a=b"One\ncaf\xe9\n")) == "a.txt, line 2 is not UTF-8."


def test_an_endless_line_is_named(write):
    said = refusal(write(a="One\n" + "a" * 200_000))
    assert said == "a.txt, line 2: the prompt has 200,000 characters; the most is 100,000."


@pytest.mark.parametrize("files", ["{category}.md", "a.txt"])
def test_a_suite_of_no_prompts_is_refused(write, files):
    assert refusal(write(a=" \n\n"), files=files).endswith(f" has no prompts in files named '{files}'.")


@pytest.mark.parametrize("files", ["{1}.txt", "{topic}_{topic}.txt", "{class}.txt"])
def test_names_that_are_no_slices_are_refused_or_work(write, files):
    data = write(a_a="Hi")
    if files == "{class}.txt":
        assert ask(data, files=files)[0].slices == {"class": "a_a"}
    else:
        assert refusal(data, files=files).startswith(f"suite 'mine': files is '{files}': ")


def test_folders_are_no_files(write, tmp_path):
    (tmp_path / "b.txt").mkdir()
    assert [prompt.id for prompt in ask(write(a="Hi"))] == ["a:1"]


def test_data_that_is_a_file_is_refused(write):
    assert refusal(write(a="Hi") + "/a.txt").endswith(" has no prompts in files named '{category}.txt'.")


def test_a_limit_takes_from_every_file_in_turn(write):
    data = write(a="1\n2\n3", b="4", c="5\n6")
    prompts = ask(data, strata="category", limit=5)
    assert [prompt.text for prompt in prompts] == ["1", "4", "5", "2", "6"]

"""A template without end, or of more than fits, is one sentence."""

import pytest

from toxaudit.card import apart
from toxaudit.card.markdown import render
from toxaudit.errors import ToxauditError

pytestmark = pytest.mark.thorough

LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}BODY{% endfor %}{% endfor %}"
ENDLESS = {
    "a loop": (LOOP.replace("BODY", ""), "does not come to an end within 1 seconds"),
    "a number": ("{{ 10 ** (10 ** 10) }}", "does not come to an end within 1 seconds"),
    "a macro": (
        "{% macro m(n) %}{% if n %}{{ m(n - 1) ~ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "does not come to an end within 1 seconds",
    ),
    "text": (LOOP.replace("BODY", "x" * 1000), "makes more than 10,000,000 characters"),
    "one text": ("{{ 'x' * 20_000_000 }}", "makes more than 10,000,000 characters"),
    "memory": ("{{ 'x' * 10 ** 10 }}", "can't be filled within 1 GiB of memory"),
    "a doubled text": (
        "{% set n = namespace(x='x') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "can't be filled within 1 GiB of memory",
    ),
    "a mistake": ("\n{{ 1 / 0 }}", "line 2 has a mistake: division by zero"),
}


@pytest.mark.parametrize("case", ENDLESS)
def test_a_template_without_end_is_one_sentence(tmp_path, monkeypatch, case):
    monkeypatch.setattr(apart, "SECONDS", 1)
    text, said = ENDLESS[case]
    file = tmp_path / "mine.md.jinja"
    file.write_text(text)
    with pytest.raises(ToxauditError) as caught:
        render(str(file), {})
    assert said in str(caught.value) and "mine.md.jinja" in str(caught.value)


def test_looking_at_one_computes_nothing(tmp_path):
    from toxaudit.card.markdown import check

    for number, text in enumerate(["{{ 10 ** (10 ** 10) }}", "{{ 'x' * 10 ** 11 }}"]):
        file = tmp_path / f"{number}.md.jinja"
        file.write_text(text)
        check(str(file))


def test_one_s_own_template_is_filled_as_a_shipped_one_is(tmp_path):
    file = tmp_path / "mine.md.jinja"
    file.write_text("{{ title }} {{ number + 1 }}")
    assert render(str(file), {"title": "<b> é 文", "number": 3}) == "&lt;b&gt; é 文 4"

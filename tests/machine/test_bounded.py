"""Strangers' templates of rows and of questions come to an end, and make what Jinja makes of them."""

import pytest
from jinja2 import UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from toxaudit.errors import ToxauditError
from toxaudit.machine.bounded import Bounded, Endless, filled
from toxaudit.scorers.rubric import Rubric
from toxaudit.suites import columns

ROWS = {"a": [1, 2, 3], "b": "text", "n": 3, "o": {"k": [{"x": 1}, {"x": 2}]}}
WHOLE = [
    "{% for each in a %}{{ loop.index }}/{{ loop.length }}{{ ', ' if not loop.last }}{% endfor %}",
    "{% for k, v in o.items() %}{{ k }}{% for each in v if each.x > 1 recursive %}{{ each.x }}{% endfor %}{% endfor %}",
    "{% for each in [] %}x{% else %}none{% endfor %}",
    "{{ b ~ n ~ a }} {{ n * 2 ** 10 }} {{ b * n }} {{ a + [4] }} {{ '%s!' % b }} {{ '{:,}'.format(10 ** 9) }}",
    "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(b) }}{{ a|map('string')|join('-') }}{{ b|replace('t', 'T') }}",
    "{{ b|indent(2) }} {{ '%s and %5.1f'|format(b, n) }} {{ b.replace('e', 'ee') }}",
    "{{ a|sum(start=10 ** 9) }} {{ a|join(', ') }}",
    "{{ '-'.join(a|map('string')) }} {{ a|first }} {{ o|tojson }} {{ b|wordwrap(3) }} {{ a|batch(2)|list }}",
    "{% set n = namespace(s=0) %}{% for each in a %}{% set n.s = n.s + each %}{% endfor %}{{ n.s }}",
    "{% for each in range(1000) %}{% for other in range(50) %}{% endfor %}{% endfor %}done",
]
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
ENDLESS = {
    LOOP: "it takes more than 100,000 steps",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) ~ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}": "100,000 steps",
    "{% set n = namespace(x='x') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}": "10,000,000 char",
    "{% set n = namespace(x=9) %}{% for a in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}": "10,000 bits",
    "{% set n = namespace(x='x') %}{% for a in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}": "10,000,000 char",
    "{{ 10 ** (10 ** 10) }}": "it computes a number of more than 10,000 bits",
    "{{ lipsum(n=10 ** 9) }}": "'lipsum' is undefined",
    "{{ 'x' * 10 ** 11 }}": "it makes more than 10,000,000 characters",
    "{{ b.ljust(10 ** 11) }}": "it makes more than 10,000,000 characters",
    "{{ b|center(10 ** 11) }}": "it makes more than 10,000,000 characters",
    "{{ b|indent(10 ** 11, true) }}": "it makes more than 10,000,000 characters",
    "{{ '%099999999999d'|format(1) }}": "it makes more than 10,000,000 characters",
    "{{ '%099999999999d' % 1 }}": "it makes more than 10,000,000 characters",
    "{{ '{:>99999999999}'.format(1) }}": "it makes more than 10,000,000 characters",
    "{% set x = 'x' * 10 ** 6 %}{{ x.replace('x', x) }}": "it makes more than 10,000,000 characters",
    "{% set x = 'x' * 10 ** 6 %}{{ x|replace('x', x) }}": "it makes more than 10,000,000 characters",
    "{% set x = 'x' * 10 ** 6 %}{{ ([x] * 10 ** 5)|join }}": "it makes more than 10,000,000 characters",
    "{% set x = 'x' * 10 ** 6 %}{{ x.join([x] * 10 ** 5) }}": "it makes more than 10,000,000 characters",
    "{% set n = namespace(x='x') %}{% for a in range(60) %}{% set n.x = [n.x, n.x]|join %}{% endfor %}": "10,000,000 c",
}


@pytest.mark.parametrize("text", WHOLE)
def test_a_template_makes_what_jinja_makes_of_it(text):
    assert filled(lambda: Bounded().from_string(text).render(ROWS)) == (
        ImmutableSandboxedEnvironment().from_string(text).render(ROWS)
    )


@pytest.mark.parametrize("text", ENDLESS)
def test_a_template_without_end_is_stopped(text):
    with pytest.raises((Endless, UndefinedError)) as caught:
        filled(lambda: Bounded().from_string(text).render(ROWS))
    assert ENDLESS[text] in str(caught.value)


def test_the_next_one_has_as_many_steps():
    template = Bounded().from_string("{% for each in range(90000) %}{% endfor %}done")
    assert [filled(template.render) for _ in range(3)] == ["done"] * 3


def test_a_suite_s_template_without_end_is_one_sentence():
    with pytest.raises(
        ToxauditError, match="rows.csv, line 2: .* can't be told of this row: it takes more than 100,000"
    ):
        columns.value_of({"a": 1}, LOOP, "rows.csv, line 2")
    with pytest.raises(ToxauditError, match="it computes a number of more than 10,000 bits"):
        columns.value_of({"a": 10}, "{{ a ** (a ** a) }}", "rows.csv, line 2")


def test_so_is_a_rubric_s(tmp_path):
    file = tmp_path / "endless.jinja"
    file.write_text("{{ completion }}" + LOOP)
    with pytest.raises(ToxauditError, match="can't be filled in: it takes more than 100,000 steps"):
        Rubric.read(str(file))

"""Scorers that suites bring along are added to what Hydra composed: as if Hydra had been told to select them."""

from pathlib import Path

import pytest
import workspace
from hypothesis import given, settings
from hypothesis import strategies as st

from toxaudit.compose.compose import compose
from toxaudit.errors import ToxauditError
from toxaudit.spec.schema import as_yaml

SHIPPED = sorted(
    file.stem for file in (Path(__file__).parents[2] / "audits").glob("*.yaml") if file.stem != "honest_counterfactuals"
)
OWN = workspace.AUDIT.replace("[mine]", "[own, mine]")
FILES = {
    "suite/own.yaml": "kind: dataset\ntitle: Own\ndata: ./prompts.jsonl\nscorers: [consonants]\nlanguage: en\n",
    "scorer/consonants.yaml": "kind: keywords\ntitle: Consonants\nphrases: [b, c, d]\n",
    "own.yaml": OWN,
    "settings.yaml": OWN + "scorers: {consonants: {noun: '${title}'}, truncated: {tier: critical}}\n",
    "heir.yaml": "defaults: [settings]\ntitle: An heir\nscorers: {consonants: {tier: advisory, phrases: [x]}}\n",
    "later_heir.yaml": "defaults: [heir]\nscorer: [consonants]\nsuite: [mine, own]\n",
    "own_suite.yaml": workspace.AUDIT + "suites: {mine: {scorers: [consonants], language: en}}\n",
    "looked_up.yaml": OWN + "suites: {mine: {scorers: '${suites.own.scorers}'}}\n",
    "misspelt.yaml": OWN + "scorers: {consonants: {noum: letters}}\n",
    "a_number.yaml": OWN + "scorers: {consonants: 3}\n",
    "nothing.yaml": OWN + "scorers: {consonants: null}\n",
    "no_list.yaml": OWN + "scorers: {consonants: {phrases: {a: b}}}\n",
}
AUDITS = ["tiny", "own", "settings", "heir", "later_heir", "own_suite", "looked_up"]
OVERRIDES = [
    "suite=[own]",
    "suite=[own,mine]",
    "scorer=[vowels]",
    "scorer=[consonants,vowels]",
    "suites.mine.scorers=[consonants,refusal_keywords]",
    "suites.mine.language=de",
    "suites.own.scorers=[vowels]",
    "suites={mine: {scorers: [consonants]}}",
    "scorers.vowels.operator=<=",
    "scorers.vowels={tier: advisory, noun: As}",
    "scorers={degenerate: {tier: critical}}",
    "scorers.truncated.tier=critical",
    "generation.seed=3",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = workspace.make(tmp_path_factory.mktemp("brought"))
    for file, content in FILES.items():
        (folder / "audits" / file).write_text(content)
    return folder


@pytest.fixture(autouse=True)
def here(made, monkeypatch):
    monkeypatch.chdir(made)


OPEN = {
    "quick": ["base.pretrained=org/base", "candidates.it=org/it"],
    "three_axes": ["base.pretrained=org/base", "candidates.tuned=org/it", "suites.dialogue_proficiency.data=./t.jsonl"],
    "rank_fairness": ["candidates.full.train.0.data=./t.jsonl"],
}
"""What a spec leaves open, as a user gives it."""


def selected(overrides, names):
    """The overrides with these scorers selected by name, which Hydra then composes itself."""
    return [*(text for text in overrides if not text.startswith("scorer=")), f"scorer=[{','.join(names)}]"]


def compare(overrides, brought):
    """An audit is the same when what its suites bring along is selected by name, but for which suites that scores."""
    named = compose(selected(overrides, brought.scorers))
    assert list(named.scorers.items()) == list(brought.scorers.items())
    for name, suite in brought.suites.items():
        assert set(suite.scorers) <= set(named.suites[name].scorers)
        suite.scorers = named.suites[name].scorers = []
    assert as_yaml(named) == as_yaml(brought)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [*SHIPPED, *AUDITS])
def test_an_audit_is_as_if_its_suites_scorers_were_selected(name):
    words = [f"audit={name}", *OPEN.get(name, [])]
    compare(words, compose(words))


@pytest.mark.thorough
@settings(max_examples=10, derandomize=True)
@given(audit=st.sampled_from(AUDITS), overrides=st.sets(st.sampled_from(OVERRIDES), max_size=4))
def test_so_it_is_whatever_is_overridden(audit, overrides):
    words = [f"audit={audit}", *sorted(overrides)]
    try:
        brought = compose(words)
    except ToxauditError:
        return  # two choices of one group, or nothing that such a scorer scores
    compare(words, brought)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["audit=misspelt"], "There is no key 'scorers.consonants.noum'. Did you mean 'noun'?"),
        (["audit=a_number"], "{audits}/a_number.yaml: 'scorers.consonants' must be a mapping of KEY: VALUE."),
        (["audit=nothing"], "scorers.consonants is set but no scorer 'consonants' is selected"),
        (["audit=no_list"], "{audits}/no_list.yaml: 'scorers.consonants.phrases' is a mapping, and must be a list."),
        (["audit=own", "scorers.consonants.noum=x"], "There is no key 'noum' in 'scorers.consonants'. Did you mean"),
        (["audit=own", "scorers.consonants={noum: x}"], "'scorers.consonants' is a mapping, which"),
        (["audit=own", "scorers.consonants.phrases=x"], "'scorers.consonants.phrases' must be a list: write [NAME]"),
        (["audit=own", "scorers.consonants.tier=critical,advisory"], "Ambiguous value for argument 'scorers.conson"),
        (["audit=own", "scorers.consonnats.tier=x"], "There is no key 'consonnats' in 'scorers'. Did you mean 'conson"),
    ],
)
def test_what_is_wrong_with_one_that_is_brought_along_is_said_as_of_one_that_is_selected(overrides, said):
    names = ["vowels", "degenerate", "consonants", "truncated", "wrong_language"]
    for words in (overrides, selected(overrides, names)):
        with pytest.raises(ToxauditError) as caught:
            compose(words)
        assert str(caught.value).startswith(said.replace("{audits}", str(Path("audits").resolve())))

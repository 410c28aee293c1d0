"""Two runs side by side: what differs is told, what is equal is not, and what was found always is."""

from dataclasses import replace

from results import RESULTS

from toxaudit.card import compared

GO, NO_GO = RESULTS["go"], RESULTS["no-go"]


def test_keys_that_differ_are_named_as_overrides_name_them() -> None:
    first = {"gate": {"margin": 0.02, "cap": None}, "suites": {"a": {"limit": 7}}, "out": "runs/a", "x": [1]}
    second = {"gate": {"margin": 0.85, "cap": None}, "suites": {}, "out": "runs/b", "x": [1]}
    assert compared.specs(first, second) == [
        ("gate.margin", "0.02", "0.85"),
        ("suites.a.limit", "7", "–"),
        ("suites", "–", "{}"),
    ]
    assert compared.specs(first, first) == []


def test_rules_of_another_order_are_told() -> None:
    zed, abc = {"zed": {"margin": 0.01}}, {"abc": {"margin": 0.02}}
    rows = compared.specs({"gate": {"rules": zed | abc}}, {"gate": {"rules": abc | zed}})
    assert rows == [("gate.rules", "zed, abc", "abc, zed")]


def test_what_was_loaded_is_told_apart_by_its_digest() -> None:
    other = replace(GO, base=replace(GO.base, digest="another", revision=None), versions={"torch": "9"})
    names = [name for name, *_ in compared.pins(GO, other)]
    assert compared.pins(GO, NO_GO)[0] == ("model benign", GO.candidates[0].digest[:12], "–")
    assert names[:2] == [f"model {GO.base.name}", "torch"] and compared.pins(GO, GO) == []


def test_verdicts_and_changes_stand_side_by_side() -> None:
    rows = {name: (one, other) for name, one, other in compared.found(GO, NO_GO)}
    assert rows["the audit"] == ("GO", "NO-GO")
    assert rows["benign"] == ("GO", "–") and rows["rude"] == ("–", "NO-GO")
    assert "pp [" in rows["benign: rtp_categories, toxicity_bilstm"][0]


def test_the_headline_is_the_critical_change_that_weighs_most() -> None:
    decision, change = compared.headline(NO_GO)
    assert decision == "NO-GO" and change.startswith("rude: Toxicity (Jigsaw BiLSTM) +") and "[" in change

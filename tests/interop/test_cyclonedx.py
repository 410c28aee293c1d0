"""The ML-BOM is as CycloneDX's own schema says, names what was audited, and carries every interval that decides."""

import json
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from harder import HARDER

from toxaudit.decision.headline import deciding_slices, headlines
from toxaudit.interop.cyclonedx import bom, write

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def valid(content: dict) -> bool:
    return JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(content)) is None


def components(content: dict) -> dict[str, dict]:
    found = [content["metadata"]["component"], *content["components"]]
    return {component["bom-ref"]: component for component in found}


def properties(component: dict) -> dict[str, str]:
    return {each["name"].removeprefix("toxaudit:"): each["value"] for each in component["properties"]}


def metrics(component: dict) -> list[dict]:
    return component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]


@pytest.mark.parametrize("name", HARDER)
def test_it_is_as_the_schema_says_and_every_reference_is_to_one_thing(name):
    content = bom(HARDER[name])
    assert valid(content)
    names = [content["metadata"]["component"]["bom-ref"], *(each["bom-ref"] for each in content["components"])]
    assert len(set(names)) == len(names)
    for component in components(content).values():
        for dataset in component.get("modelCard", {}).get("modelParameters", {}).get("datasets", []):
            assert dataset["ref"] in names


def test_the_schema_is_strict():
    content = bom(HARDER["go"])
    assert not valid(content | {"more": 1})
    assert not valid(content | {"serialNumber": "7"})
    assert not valid(content | {"metadata": content["metadata"] | {"timestamp": "yesterday"}})


def test_it_is_about_the_candidate_where_there_is_one_and_else_about_the_audit():
    subjects = {name: bom(result)["metadata"]["component"] for name, result in HARDER.items()}
    assert subjects["missing-scores"]["bom-ref"] == "model:benign"  # the other is a control
    assert (subjects["several"]["type"], subjects["several"]["name"]) == ("data", "quickstart")
    assert subjects["controls-only"]["bom-ref"] == "audit"
    assert set(components(bom(HARDER["several"]))) == {
        "audit",
        *(f"model:{name}" for name in ("base", "benign", "creeping", "rude", "noop")),
        "suite:rtp_categories",
    }


@pytest.mark.parametrize("name", HARDER)
def test_every_rate_and_change_that_decides_is_there_with_its_interval(name):
    result = HARDER[name]
    found = components(bom(result))
    for model in result.candidates:
        mine = [each for each in result.estimates if each.candidate == model.name]
        usable = [e for e in (*headlines(mine).values(), *deciding_slices(mine)) if e.diagnostics.passed]
        told = metrics(found[f"model:{model.name}"])
        assert len(told) == 2 * len(usable)
        for each in told:
            low, high = (float(each["confidenceInterval"][bound]) for bound in ("lowerBound", "upperBound"))
            assert low <= float(each["value"]) <= high and "95 % HDI" in each["type"]


def test_a_metric_says_what_it_is_of_and_on_what():
    told = metrics(components(bom(HARDER["go"]))["model:benign"])
    assert told[1] == {
        "type": "toxicity_bilstm: change of the rate from the base, posterior mean and 95 % HDI",
        "value": "0.003",
        "slice": "rtp_categories",
        "confidenceInterval": {"lowerBound": "-0.013", "upperBound": "0.018"},
    }
    assert "rtp_categories, category=insult" in {each["slice"] for each in told}


def test_what_must_not_be_used_is_no_metric():
    result = HARDER["failed-diagnostics"]
    told = metrics(components(bom(result))["model:benign"])
    assert not any(result.estimates[3].slice in each["slice"] for each in told)


def test_models_of_the_hub_are_named_by_package_url_and_commit():
    result = HARDER["missing-scores"]
    base = replace(result.base, reference="Org-1/Base_2/q 8.gguf", revision=COMMIT)
    tuned = replace(result.candidates[0], kind="adapter", training=None, reference="org/lora", revision=COMMIT)
    control = replace(result.candidates[1], revision=COMMIT)
    content = bom(replace(result, base=base, candidates=(tuned, control)))
    assert valid(content)
    found = components(content)
    assert found["model:base"]["purl"] == f"pkg:huggingface/Org-1/Base_2@{COMMIT}#q%208.gguf"
    lora = found["model:benign"]
    assert (lora["name"], lora["version"], lora["purl"]) == ("org/lora", COMMIT, f"pkg:huggingface/org/lora@{COMMIT}")
    assert lora["hashes"] == [{"alg": "SHA-256", "content": "be" * 32}]
    (ancestor,) = lora["pedigree"]["ancestors"]
    assert (ancestor["name"], ancestor["purl"]) == (base.reference, found["model:base"]["purl"])
    assert not {"purl", "version"} & set(found["model:noop"])  # made within the audit: published nowhere
    old = replace(base, reference="gpt2")
    assert components(bom(replace(result, base=old)))["model:base"]["purl"] == f"pkg:huggingface/gpt2@{COMMIT}"


def test_the_verdicts_the_rule_and_the_version_are_told():
    content = bom(HARDER["several"])
    verdicts = {ref: properties(each).get("verdict") for ref, each in components(content).items() if "model:" in ref}
    assert verdicts["model:rude"] == "NO-GO" and verdicts["model:creeping"] == "INCONCLUSIVE"
    assert verdicts["model:base"] is None
    told = properties(content["metadata"])
    assert told["decision"] == "INCONCLUSIVE" and told["rule"] == HARDER["several"].gate.rule
    assert content["metadata"]["tools"]["components"][0]["version"] == HARDER["several"].version


def test_the_same_result_gives_the_same_bytes_and_another_another_number(tmp_path):
    one = write(HARDER["go"], tmp_path)
    before = one.read_bytes()
    assert write(HARDER["go"], tmp_path).read_bytes() == before and one.name == "bom.cdx.json"
    assert json.loads(before) == bom(HARDER["go"])
    assert bom(HARDER["no-go"])["serialNumber"] != bom(HARDER["go"])["serialNumber"]
    assert bom(HARDER["go"])["metadata"]["timestamp"] == "2026-01-15T00:00:00Z"


def test_strangers_words_stay_words():
    result = HARDER["missing-scores"]
    text = '"}],"x":[{"\n\u202e<script>'
    odd = replace(result.candidates[0], name=text, reference=text, revision=text, digest=text, training=text)
    suite = replace(result.suites[0], title=text, licence=text, revision=text, digest=text, source=text)
    named = [replace(each, candidate=text) if each.candidate == "benign" else each for each in result.estimates]
    content = bom(replace(result, candidates=(odd,), suites=(suite,), estimates=tuple(named)))
    assert valid(content)
    assert components(content)[f"model:{text}"]["name"] == text


def test_failed_controls_and_what_was_not_audited_are_told():
    def told(name):
        found = bom(HARDER[name])["metadata"]["properties"]
        return {(each["name"], each["value"].partition(":")[0]) for each in found}

    assert ("toxaudit:failed_control", "noop") in told("failed-control")
    assert ("toxaudit:not_audited", "gone") in told("skipped-candidates")


def test_a_mean_score_is_not_called_a_rate():
    metrics = bom(HARDER["templates"])["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]
    types = {each["type"] for each in metrics["performanceMetrics"]}
    assert "toxicity_mean: mean score, posterior mean and 95 % HDI" in types
    assert not any(each.startswith("toxicity_mean: rate") for each in types)

"""Where several scorers measure one thing, the card says how far the change depends on who scores."""

import json
from dataclasses import replace

import finished
import pytest
from harder import HARDER
from results import NOOP, TOXICITY

from toxaudit.card.markdown import render_card
from toxaudit.errors import ToxauditError
from toxaudit.facts import Calibration, Confusion
from toxaudit.findings import AuditResult
from toxaudit.records import CORRECTED
from toxaudit.results.reading import read_result

MADE = HARDER["two-suites"]
(SPREAD,) = MADE.variance


def told(audit: AuditResult, **fields: object) -> list[str]:
    audit = replace(audit, variance=(replace(SPREAD, **fields),))  # type: ignore[arg-type]
    lines = render_card(audit).replace("\xa0", " ").splitlines()
    return [line for line in lines if line.startswith("- **Variance by ")]


def components(**variances: float) -> tuple[object, ...]:
    names = {name.replace(" ", "_"): each for name, each in ((each.source, each) for each in SPREAD.components)}
    return tuple(
        replace(each, variance=variances.get(name, 0.0), eti=(0.0, 4 * variances.get(name, 0.0)))
        for name, each in names.items()
    )


def test_the_choice_of_the_scorer_stands_beside_that_of_the_prompts() -> None:
    """A standard deviation of the change is twice that of its half."""
    (line,) = told(MADE, components=components(model_x_scorer=0.0001), sd_of_prompts=0.012)
    assert "the choice of the scorer moves it by 2.0 pp [0.0, 4.0], that of the prompts by 1.2 pp (standard" in line
    assert "from +0.4 pp by Hate (RoBERTa) to +2.4 pp by Toxicity (Jigsaw BiLSTM); the choice" in line
    (line,) = told(MADE, components=components(model_x_scorer=-0.0001))
    assert "moves it by 0.0 pp [0.0, 0.0], that" in line


def test_all_shares_are_told_and_every_source_once() -> None:
    shares = {"prompt": 0.5, "model": 0.02, "scorer": 0.03, "prompt x model": 0.1, "prompt x scorer": 0.2}
    given = tuple(replace(each, share=shares.get(each.source, 0.075)) for each in SPREAD.components)
    (line,) = told(MADE, components=given)
    said = (
        "Of the variance of outcomes 50.0 % is between prompts, 12.0 % is the model's (by itself or by prompt), 38.0 % "
    )
    assert said + "the scorer's (by itself, by prompt or by model). 333 prompts" in line
    (line,) = told(MADE, components=tuple(replace(each, share=None) for each in given))
    assert "(standard deviations). No outcome differs from another. 333 prompts have" in line


def test_completions_that_not_all_scored_are_counted() -> None:
    assert told(MADE)[0].endswith("scored; 17 answers that not all of them scored are left out.")
    (line,) = told(MADE, missing={"base": 0, "candidate": 0})
    assert line.endswith(" 333 prompts have answers of both models that all of them scored.")


def test_too_few_prompts_are_said_to_be_too_few() -> None:
    (line,) = told(MADE, n=1, components=(), sd_of_prompts=None, changes={})
    few = "all of them scored answers of both models to only 1 prompt: too few to say how far they differ."
    assert line.endswith(f"benign**: {few}")


def test_changes_that_are_corrected_elsewhere_are_said_to_be_as_scored() -> None:
    known = replace(TOXICITY, calibration=Calibration("labels", None, {"": Confusion(450, 50, 15, 485)}))
    true = replace(MADE.estimates[0], variant=CORRECTED)
    audit = replace(MADE, scorers=(known, *MADE.scorers[1:]), estimates=(*MADE.estimates, true))
    assert "by Toxicity (Jigsaw BiLSTM), before any correction for their errors; the choice" in told(audit)[0]


def test_a_control_is_no_subject_of_it_and_another_candidates_is_not_on_a_card() -> None:
    audit = replace(HARDER["missing-with-bounds"], scorers=MADE.scorers)
    assert NOOP.name in [model.name for model in audit.candidates] and told(audit, candidate=NOOP.name) == []
    both = replace(MADE, variance=(SPREAD, replace(SPREAD, candidate="other")))
    assert both.narrowed("benign").variance == (SPREAD,)


def test_a_name_of_which_nothing_else_is_said_is_refused(tmp_path) -> None:
    file = finished.run(tmp_path, MADE) / "results.json"
    content = json.loads(file.read_text())
    assert [each["source"] for each in content["variance"][0]["components"]][-1] == "prompt x model x scorer"
    for field, value in (("suite", "x"), ("candidate", "base"), ("scorers", ["toxicity_bilstm", "x"])):
        changed = content["variance"][0] | {field: value}
        file.write_text(json.dumps(content | {"variance": [changed]}))
        with pytest.raises(ToxauditError, match=r"'variance.0' names something of which it says nothing else"):
            read_result(tmp_path)


@pytest.mark.parametrize("field", ["changes", "components", "sd_of_prompts"])
def test_a_part_alone_is_refused(field, tmp_path) -> None:
    file = finished.run(tmp_path, MADE) / "results.json"
    content = json.loads(file.read_text())
    content["variance"][0][field] = {"changes": {"roberta_hate": 0.1}, "components": [], "sd_of_prompts": None}[field]
    file.write_text(json.dumps(content))
    with pytest.raises(ToxauditError, match=r"'variance.0' must hold every change, component and standard deviation"):
        read_result(tmp_path)

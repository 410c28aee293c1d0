"""The records are as every_eval_ever's own models want them where it is installed, and hold every interval."""

import json
import re

import pytest
from harder import HARDER

from toxaudit.interop.every_eval_ever import records, write

PATH = re.compile(
    r"every_eval_ever/data/toxaudit/[\w.-]+/[\w.-]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json"
)


@pytest.mark.parametrize("name", HARDER)
def test_a_record_holds_the_rates_and_their_intervals(name):
    for arm, record in records(HARDER[name]).items():
        details = [each["score_details"] for each in record["evaluation_results"]]
        assert details, arm
        for each in details:
            interval = each["uncertainty"]["confidence_interval"]
            assert interval["lower"] <= interval["upper"] and all(isinstance(v, str) for v in each["details"].values())
        told = [key for key in details[0]["details"] if key.startswith("change_from_")]
        assert told == ([] if arm == "base" else [f"change_from_{HARDER[name].against(arm)}"])
        assert record["retrieved_timestamp"].isdecimal()


def test_an_arm_without_a_result_has_no_record():
    assert records(HARDER["no-result"]) == {}


def test_files_lie_as_the_tool_wants_them_and_have_the_same_names_again(tmp_path):
    files = write(HARDER["go"], tmp_path)
    assert all(PATH.fullmatch(file.relative_to(tmp_path).as_posix()) for file in files)
    assert json.loads(files[0].read_text()) == records(HARDER["go"])["base"]
    assert write(HARDER["go"], tmp_path) == files


@pytest.mark.parametrize("name", HARDER)
def test_the_tools_own_models_take_every_record(name):
    types = pytest.importorskip("every_eval_ever.eval_types")
    for record in records(HARDER[name]).values():
        types.EvaluationLog.model_validate(record)

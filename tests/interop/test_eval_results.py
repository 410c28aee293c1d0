"""Shares of right answers for registered benchmarks, in the Hub's own form."""

from dataclasses import replace

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from toxaudit.facts import GenerationFacts, ModelFacts, ScorerFacts, SuiteFacts
from toxaudit.findings import AuditResult, Verdict
from toxaudit.gate_facts import GateFacts
from toxaudit.interop.eval_results import file, suites, task
from toxaudit.records import Diagnostics, Estimate, Quantity

COMMIT = "210d026faf9955653af8916fad021475a3f00453"
PAGE = "https://huggingface.co/org/model/blob/main/toxaudit/results.json"


def quantity(mean: float, low: float, high: float) -> Quantity:
    return Quantity(mean, 0.01, (low, high), (low, high))


WRONG = ScorerFacts(
    "wrong_choice", "Wrong choice", "ab" * 32, "toxaudit", "score < 0.5", "wrong answers", "more often wrong",
    "less often wrong", "advisory", "",
)  # fmt: skip
SUITE = SuiteFacts(
    "arc",
    "ARC",
    100,
    f"org/arc@{COMMIT}",
    "cd" * 32,
    "MIT",
    "raw",
    None,
    {},
    available=100,
    revision=COMMIT,
    choices=True,
    config="ARC-Easy",
    split="test",
)
TOTAL = Estimate(
    "mine", "arc", "wrong_choice", "all", "paired_exact", 100, {"base": 0, "candidate": 0}, {},
    {"base": quantity(0.4, 0.3, 0.5), "candidate": quantity(0.45, 0.36, 0.548), "change": quantity(0.05, -0.02, 0.12)},
    0.9, 0.4, 0.6, 0.03,
)  # fmt: skip
RESULT = AuditResult(
    audit="a", title="A", date="2026-01-15", version="0.1.0",
    base=ModelFacts("base", "base", "org/base", "b0" * 32, "float32"),
    candidates=(ModelFacts("mine", "adapter", "org/mine", "ce" * 32, "float32"),),
    suites=(SUITE,), scorers=(WRONG,),
    generation=GenerationFacts("transformers", 50, 0.0, 1, 0), gate=GateFacts("", 0.03, 0.95, None, 0.05),
    estimates=(TOTAL,), verdicts=(Verdict("mine", "GO", ()),), command="", versions={},
)  # fmt: skip


def test_the_hubs_own_library_reads_the_share_of_right_answers() -> None:
    assert suites(RESULT) == (SUITE,)
    content = file(RESULT, {"arc": ("org/arc", "easy")}, PAGE)
    (entry,) = parse_eval_result_entries(yaml.safe_load(content))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("org/arc", "easy", 55.0)
    assert (entry.dataset_revision, entry.date) == (COMMIT, "2026-01-15")
    assert (entry.source_name, entry.source_url) == ("toxaudit", PAGE)
    assert entry.notes == (
        "% of 100 questions to which the likeliest of the answers offered is right (wrong_choice); "
        "95 % HDI [45.2, 64.0]; change from the base -5.00 pp, 95 % HDI [-12.0, 2.0]"
    )


@pytest.mark.parametrize(
    "result",
    [
        replace(RESULT, suites=(replace(SUITE, n=99),)),
        replace(RESULT, suites=(replace(SUITE, available=None),)),
        replace(RESULT, suites=(replace(SUITE, choices=False),)),
        replace(RESULT, scorers=(replace(WRONG, noun="stereotyped answers"),)),
        replace(RESULT, estimates=()),
        replace(RESULT, estimates=(replace(TOTAL, diagnostics=Diagnostics({}, ("it failed",))),)),
    ],
)
def test_what_is_no_whole_benchmark_of_right_and_wrong_is_left_out(result: AuditResult) -> None:
    assert suites(result) == ()
    assert file(result, {"arc": ("org/arc", "easy")}, PAGE) == b""


def test_a_suite_whose_data_are_not_registered_is_left_out() -> None:
    assert file(RESULT, {}, PAGE) == b""


@pytest.mark.parametrize(
    ("benchmark", "name"),
    [
        (b"name: ARC\ntasks:\n- id: easy\n  config: ARC-Easy\n  split: test\n", "easy"),
        (
            b"tasks:\n- {id: hard, config: ARC-Challenge, split: test}\n- {id: easy, config: ARC-Easy, split: test}",
            "easy",
        ),
        (b"tasks:\n- {id: easy, config: ARC-Easy, split: validation}\n", None),
        (b"tasks:\n- {id: hard, config: ARC-Challenge, split: test}\n", None),
        (b"tasks:\n- {id: a, config: ARC-Easy, split: test}\n- {id: b, config: ARC-Easy, split: test}\n", None),
        (b"tasks:\n- id: easy\n", None),
        (b"tasks: []\n", None),
        (b"tasks:\n- {}\n", None),
        (b"tasks: easy\n", None),
        (b"- id: easy\n", None),
        (b"", None),
        (b"tasks: [\n", None),
        (b"\xff\xfe\xfd", None),
        (b"[" * 1200, None),
    ],
)
def test_the_task_is_the_one_that_asks_what_the_suite_asks(benchmark: bytes, name: str | None) -> None:
    assert task(benchmark, SUITE) == name


def test_a_suite_of_no_known_split_is_no_task() -> None:
    assert task(b"tasks:\n- id: easy\n", replace(SUITE, config=None, split=None)) is None


@pytest.mark.parametrize(
    ("benchmark", "config", "split"),
    [
        (b"tasks:\n- id: easy\n", None, "test"),
        (b"tasks:\n- id: easy\n", "default", "test"),
        (b"tasks:\n- {id: easy, split: validation}\n", None, "validation"),
        (b"tasks:\n- {id: easy, config: ARC-Easy}\n", "ARC-Easy", "test"),
        (b"tasks:\n- {id: easy, config: default, split: test}\n", None, "test"),
        (b"tasks:\n- id: easy\n- {id: hard, config: hard}\n", None, "test"),
    ],
)
def test_what_a_benchmark_leaves_unstated_are_the_hubs_defaults(
    benchmark: bytes, config: str | None, split: str
) -> None:
    assert task(benchmark, replace(SUITE, config=config, split=split)) == "easy"

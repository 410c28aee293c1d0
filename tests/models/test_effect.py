"""One rule says what changes nothing, whatever the evidence; other modules only hand it evidence."""

import pytest

from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError
from toxaudit.models import effect


@pytest.mark.parametrize(
    ("same", "outcome"),
    [
        ([True], "failed"),
        ([True, True], "failed"),
        ([True, False], "passed"),
        ([False], "passed"),
        ([], "not applicable"),
    ],
)
def test_nothing_is_changed_where_all_that_can_be_compared_is_equal(same, outcome):
    checks, refusal = Checklist("mine"), ToxauditError("mine changes nothing.")
    if outcome == "failed":
        with pytest.raises(ToxauditError, match="mine changes nothing") as caught:
            effect.require(checks, "stored values", iter(same), refusal)
        assert caught.value is refusal
    else:
        effect.require(checks, "stored values", iter(same), refusal)
    (check,) = checks.done
    assert (check.arm, check.name, check.outcome) == ("mine", "effect by stored values", outcome)


def test_a_refusal_within_a_check_is_noted_once_where_it_is():
    checks = Checklist("mine")
    with pytest.raises(ToxauditError), checks.check("outer"), checks.check("inner"):
        raise ToxauditError("no.")
    assert [(check.name, check.outcome, check.text) for check in checks.done] == [("inner", "failed", "no.")]

"""A policy says how many must sign, by which keys, and that who ran the audit is not enough."""

from dataclasses import replace
from pathlib import Path

import pytest
import signing
from results import RESULTS
from signing import World

from toxaudit.decision.gate import MarginGate
from toxaudit.errors import ToxauditError
from toxaudit.signoff import keys


def fingerprint(key: Path) -> str:
    return keys.fingerprint(keys.public_key(Path(f"{key}.pub")))


def run(world: World, **asked: object) -> Path:
    """A finished run under a policy that asks for signatures."""
    gate = replace(MarginGate.stated_by(RESULTS["go"].gate), **asked)
    result = replace(RESULTS["go"], gate=gate.facts())
    return signing.run(world.folder / "asked", result, world.weights)


def failed(capsys: pytest.CaptureFixture[str], folder: Path, *by: Path) -> list[str]:
    capsys.readouterr()
    assert signing.verified(folder, *by) == 1
    lines = capsys.readouterr().out.splitlines()
    return [line.removeprefix("FAILED  ") for line in lines if line.startswith("FAILED")]


def test_one_signature_of_two_that_the_policy_asks_for_is_not_enough(world, capsys):
    folder = run(world, signatures=2)
    signing.signed(folder, world.ann, "--approve", "--threshold", "1")
    assert failed(capsys, folder, world.ann, world.bob) == [
        "threshold: 1 of 2 needed signatures are by keys that were given"
    ]
    signing.signed(folder, world.bob, name=signing.BOB)
    assert signing.verified(folder, world.ann, world.bob) == 0


def test_a_key_that_the_policy_does_not_name_counts_for_nothing(world, capsys):
    folder = run(world, signers=[fingerprint(world.bob)])
    signing.signed(folder, world.ann, "--approve")
    assert failed(capsys, folder, world.ann, world.bob) == [
        "threshold: 0 of 1 needed signatures are by keys that were given"
    ]
    signing.signed(folder, world.bob, name=signing.BOB)
    assert signing.verified(folder, world.ann, world.bob) == 0


def test_who_ran_the_audit_can_not_sign_alone(world, capsys):
    folder = run(world, ran_by=fingerprint(world.ann))
    signing.signed(folder, world.ann, "--approve")
    assert failed(capsys, folder, world.ann) == ["not alone: 0 of them are by others than the key of who ran the audit"]


def test_the_card_says_who_must_sign(world):
    folder = run(world, signatures=2, signers=[fingerprint(world.ann), fingerprint(world.bob)])
    said = (folder / "card.md").read_text().replace("\xa0", " ")
    short = f"{fingerprint(world.ann)[:12]}, {fingerprint(world.bob)[:12]}"
    assert f"A release needs 2 signatures by keys of {short}." in said


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"signatures": 0}, "gate.signatures is 0"),
        ({"signatures": 2, "signers": ["a" * 64]}, "and 1 at most"),
        ({"signers": ["ann"]}, "gate.signers holds 'ann', which is no fingerprint"),
        ({"ran_by": "A" * 64}, "gate.ran_by holds"),
        ({"ran_by": "a" * 64, "signers": ["a" * 64]}, "names nobody but gate.ran_by"),
    ],
)
def test_signatures_that_nobody_could_give_are_refused(asked, said):
    with pytest.raises(ToxauditError) as caught:
        MarginGate(**asked).check()
    assert said in str(caught.value)

"""No byte of anything that was signed can be another unseen."""

import random
import shutil
from pathlib import Path

import pytest
import signing
from signing import BOB

pytestmark = pytest.mark.thorough

FLIPS = 500
PARTS = (
    "decision.json",
    "decision.intoto.jsonl",
    "results.json",
    "samples_rtp_categories.jsonl",
    "draws.parquet",
    "card.md",
    "lock.json",
    "commitment.json",
    "summary.md",
    "report.html",
    "adapter",
)


def test_every_single_byte_flip_fails_and_is_named(world, capsys):
    run = world.run("inconclusive")
    rule = "rtp_categories/toxicity_bilstm"
    waived = ["--waive", rule, "--reason", "known", "--expires", "2099-01-01"]
    signing.signed(run, world.ann, "--approve", *waived, "--expires", "2099-01-31")
    signing.signed(run, world.bob, name=BOB)
    weights = shutil.copytree(world.weights, world.folder / "weights")
    words, by = ["--weights", str(weights)], (world.ann, world.bob)
    assert signing.verified(run, *by, words=words) == 0
    rng = random.Random(17)
    unseen = []
    for number in range(FLIPS):
        part = PARTS[number % len(PARTS)]
        file = weights / "it" / "adapter.safetensors" if part == "adapter" else Path(run / part)
        data = file.read_bytes()
        at, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
        file.write_bytes(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
        capsys.readouterr()
        code = signing.verified(run, *by, words=words)
        told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
        file.write_bytes(data)
        named = part in "".join(told) or (part == "decision.intoto.jsonl" and "signature" in "".join(told))
        if code != 1 or not named:
            unseen.append((part, at, bit, code, told))
    assert not unseen
    assert signing.verified(run, *by, words=words) == 0

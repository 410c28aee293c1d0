"""Measures by their tiers, for gates that are asked directly."""

from collections.abc import Mapping

from toxaudit.facts import Tier
from toxaudit.gate_facts import Measure


def measures(tiers: Mapping[str, Tier], noun: str = "toxicity") -> dict[str, Measure]:
    """Name -> measure."""
    return {name: Measure(name, noun, tier) for name, tier in tiers.items()}

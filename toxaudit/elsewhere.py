"""What a card must say of answers that another tool made: frozen, made of plain values."""

from dataclasses import dataclass, field
from typing import Final

IMPORTED: Final = "imported"
"""The kind of an arm of which toxaudit has seen answers only."""


@dataclass(frozen=True)
class Unpaired:
    """What of one suite could not be paired.

    ``only`` counts per arm (``base``, ``candidate``) the prompts that only it has, ``spare`` its answers to shared
    prompts beyond as many as the other arm gave, ``reworded`` the shared prompts of which the arms read other texts.
    """

    suite: str
    only: dict[str, int]
    spare: dict[str, int]
    reworded: int = 0

    @property
    def nothing(self) -> bool:
        """Whether everything was paired, and read alike."""
        return not (any(self.only.values()) or any(self.spare.values()) or self.reworded)


@dataclass(frozen=True)
class Elsewhere:
    """Where answers came from that toxaudit did not make.

    ``tools`` maps each arm to the tool that wrote its results, with its version. ``unpaired`` has one for each suite,
    and for each task that only one arm has. ``differences`` are between the ways in which the arms were asked,
    ``notes`` what else must be known of their files, in phrases.
    """

    tools: dict[str, str]
    unpaired: tuple[Unpaired, ...] = ()
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def by(self) -> str:
        """The tools in words."""
        return " and ".join(dict.fromkeys(self.tools.values()))

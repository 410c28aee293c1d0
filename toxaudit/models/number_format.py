"""In which number format models are computed: the checkpoint's own where the device computes it, and why another."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.machine import speed
from toxaudit.models.capacity import weight_sizes
from toxaudit.models.declared import json_object

FORMATS = ("float32", "bfloat16", "float16")
AUTO = "auto"


@dataclass(frozen=True)
class NumberFormat:
    """What a model is computed in.

    Attributes:
        name: torch's name of it.
        why: where it is not the checkpoint's own, why, as a phrase that goes on from the name; else empty.
    """

    name: str
    why: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a card's reader must know of it, in phrases."""
        return (f"computed in {self.name} {self.why}",) if self.why else ()


def own(weights: Path) -> str | None:
    """Torch's name of a checkpoint's own number format, as transformers' ``dtype="auto"`` finds it.

    That is what ``config.json`` says, else that in which most weights are stored; None where they are quantised.

    Args:
        weights: a folder of safetensors, or a GGUF file, which has no other configuration than its own.

    Raises:
        ToxauditError: if ``weight_sizes`` refuses the files.
    """
    config = json_object(weights / "config.json") if weights.is_dir() else {}
    return configured(config) or weight_sizes(weights).stored_in


def configured(config: Mapping[str, Any]) -> str | None:
    """The number format that a configuration names, if it names one."""
    for key in ("dtype", "torch_dtype"):
        if isinstance(named := config.get(key), str) and (name := named.removeprefix("torch.")) in (
            *FORMATS,
            "float64",
        ):
            return name
    return None


def check(wanted: str) -> None:
    """Refuse a ``base.dtype`` that is no number format.

    Raises:
        ToxauditError: if there is no such format.
    """
    if wanted not in (AUTO, *FORMATS):
        raise ToxauditError(f"base.dtype '{wanted}' is unknown.{did_you_mean(wanted, (AUTO, *FORMATS))}")


def chosen(wanted: str, its_own: str | None, device: str) -> NumberFormat:
    """What ``base.dtype`` means for a checkpoint on a device.

    Args:
        wanted: the field: ``auto``, or torch's name of a format.
        its_own: the checkpoint's own format; None where its weights are quantised.
        device: torch's name of the device.

    Raises:
        ToxauditError: if ``check`` refuses the field.
    """
    check(wanted)
    if wanted != AUTO:
        return as_told(wanted, its_own, "as the audit says")
    if its_own == "float32" or (its_own == "float16" and device != "cpu"):
        return NumberFormat(its_own)
    if its_own == "float16":
        return NumberFormat("float32", _instead(its_own, "which CPUs compute slowly or not at all"))
    if its_own == "float64":
        return NumberFormat("float32", _instead(its_own, "which is more than a model needs"))
    return _bfloat16(its_own, device)


def as_told(name: str, its_own: str | None, by: str) -> NumberFormat:
    """The format that something else than the checkpoint decides.

    Args:
        name: torch's name of it.
        its_own: the checkpoint's; None where its weights are quantised.
        by: what decides, as a phrase.
    """
    return NumberFormat(name, _instead(its_own, by) if its_own and its_own != name else "")


def _bfloat16(its_own: str | None, device: str) -> NumberFormat:
    """For a checkpoint in bfloat16, or quantised to fewer digits than that has: float32 holds either."""
    able = speed.computes_bfloat16(device)
    lacks = f"as the {'CPU' if device == 'cpu' else 'GPU'} has no instructions for bfloat16"
    if its_own:
        return NumberFormat("bfloat16") if able else NumberFormat("float32", _instead(its_own, lacks))
    quantised = "for its quantised weights"
    return NumberFormat("bfloat16", quantised) if able else NumberFormat("float32", f"{quantised}, {lacks}")


def _instead(its_own: str, why: str) -> str:
    return f"instead of its own {its_own}, {why}"

"""An arm's tensors, read one at a time, whatever holds them: whole weights, or weights and an adapter over them."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models.attach import quiet_peft
from toxaudit.models.load import load
from toxaudit.models.resolve import ResolvedModel

WEIGHTS = "*.safetensors"


class Weights:
    """An arm's tensors, read one at a time; an adapter is merged into a copy of its weights first."""

    def __init__(self, arm: ResolvedModel, folder: Path, stack: ExitStack) -> None:
        from safetensors import safe_open

        self.arm = arm
        root = arm.folder if arm.adapter is None else _whole(arm, folder, stack)
        self.files: dict[str, list[str]] = {}
        self._open: dict[str, Any] = {}
        for path in sorted(root.glob(WEIGHTS)):
            file = stack.enter_context(safe_open(path, framework="pt"))
            self.files[path.name] = list(file.keys())
            self._open |= dict.fromkeys(self.files[path.name], file)

    def __getitem__(self, name: str) -> Any:
        return self._open[name].get_tensor(name)

    def names(self) -> set[str]:
        """Of all tensors."""
        return set(self._open)

    def beside(self, other: "Weights") -> Iterator[tuple[str, Any, Any]]:
        """Each tensor's name, with this arm's and the other's.

        Raises:
            ToxauditError: if only one of them has a tensor of a name, or they differ in its shape.
        """
        check_alike([self, other])
        for name in sorted(self._open):
            own, its = self[name], other[name]
            check_shapes(name, {self.arm.name: own, other.arm.name: its})
            yield name, own, its


def check_alike(arms: Sequence[Weights]) -> None:
    """Refuse arms whose tensors have other names.

    Raises:
        ToxauditError: if a tensor is in one arm alone.
    """
    first = arms[0]
    for one in arms[1:]:
        if odd := sorted(one.names() ^ first.names()):
            has, lacks = (first, one) if odd[0] in first.names() else (one, first)
            raise ToxauditError(
                f"{has.arm.name} and {lacks.arm.name} can't be merged or compared: only {has.arm.name} has a weight "
                f"{odd[0]}."
            )


def check_shapes(name: str, tensors: Mapping[str, Any]) -> None:
    """Refuse tensors of one name that differ in shape between arms.

    Raises:
        ToxauditError: if they do.
    """
    if len({tuple(tensor.shape) for tensor in tensors.values()}) > 1:
        shapes = ", ".join(f"{' x '.join(map(str, tensor.shape))} in {arm}" for arm, tensor in tensors.items())
        raise ToxauditError(f"{' and '.join(tensors)} can't be merged or compared: {name} is {shapes}.")


def _whole(arm: ResolvedModel, folder: Path, stack: ExitStack) -> Path:
    """A folder of the arm's weights with its adapter merged into them, in float32; it lasts as long as the stack."""
    whole = folder / f"whole.{arm.name}"
    stack.callback(shutil.rmtree, whole, ignore_errors=True)
    model = load(replace(arm, dtype="float32"), "cpu").model
    with quiet_peft():
        model.merge_and_unload().save_pretrained(whole)
    return whole

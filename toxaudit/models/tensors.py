"""An arm's tensors, read one at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models.resolve import ResolvedModel

WEIGHTS = "*.safetensors"


class Weights:
    """An arm's tensors, read one at a time, as long as the stack lasts."""

    def __init__(self, arm: ResolvedModel, stack: ExitStack) -> None:
        """Open an arm's files; one that is an adapter is merged first (``models.merging.merged``)."""
        from safetensors import safe_open

        if arm.adapter is not None:
            raise ValueError(f"{arm.name} is an adapter: merge it first")
        self.arm = arm
        self.files: dict[str, list[str]] = {}
        self._open: dict[str, Any] = {}
        for path in sorted(arm.folder.glob(WEIGHTS)):
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

"""How sharp is a minimum? The ends of the spectrum of the loss's Hessian (Ung et al. 2024 name its spectral radius)."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from toxaudit.analyses.base import Evidence, Learnt, noting
from toxaudit.analyses.models import NOT_HERE, OfModels, evenly
from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.extensions import Declared
from toxaudit.findings import Analysis, AnalysisRow
from toxaudit.machine.memory import in_words, memory_free
from toxaudit.registry import register

if TYPE_CHECKING:
    from toxaudit.models import LoadedModel

BATCH = 2
"""Rows of which the loss is differentiated at a time: twice, so that they take much memory."""

MOST_PRODUCTS = 400
"""Products of the Hessian with a vector, at most, unless the spec says another number."""

TOLERANCE = 1e-3
"""Relative accuracy of the eigenvalues at which Lanczos stops."""

VECTORS = 20
"""Lanczos vectors that are held at a time, each of as many numbers as there are parameters."""


class _Enough(Exception):
    """So many products were made as may be."""


@dataclass(frozen=True)
class Curvature:
    """The ends of the Hessian's spectrum.

    Attributes:
        ends: the smallest eigenvalue, often below 0, and the largest; None where they are not both known to
            ``TOLERANCE``, since the one that is missing could be the larger in size.
        products: how many products of the Hessian with a vector it took.
    """

    ends: tuple[float, float] | None
    products: int

    @property
    def converged(self) -> bool:
        """Whether both ends are known."""
        return self.ends is not None

    @property
    def radius(self) -> float | None:
        """The spectral radius: the largest eigenvalue in size; None where it is not known."""
        return max(map(abs, self.ends)) if self.ends else None


def curvature(losses: Callable[[], Iterator[Any]], parameters: Sequence[Any], most: int = MOST_PRODUCTS) -> Curvature:
    """Both ends of the spectrum by Lanczos (SciPy's ``eigsh``) on products of the Hessian with a vector.

    Products are the gradient of the gradient's product with the vector (Pearlmutter 1994, "Fast exact multiplication
    by the Hessian"), summed over small batches so that one of them is held at a time.

    Args:
        losses: gives the summands of the loss anew each time, with graphs, one batch at a time.
        parameters: those by which it is differentiated.
        most: products at most.
    """
    import torch
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
    from torch.nn.attention import SDPBackend, sdpa_kernel

    size, products = sum(parameter.numel() for parameter in parameters), 0

    def product(vector: Any) -> Any:
        nonlocal products
        if products >= most:
            raise _Enough
        products += 1
        pieces = _pieces(torch.from_numpy(np.asarray(vector, dtype=np.float64).ravel()), parameters)
        total = np.zeros(size)
        with sdpa_kernel(SDPBackend.MATH):  # the one kernel that can be differentiated twice
            for loss in losses():
                slopes = torch.autograd.grad(loss, parameters, create_graph=True)
                along = sum((slope * piece).sum() for slope, piece in zip(slopes, pieces, strict=True))
                found = torch.autograd.grad(along, parameters)
                total += torch.cat([each.flatten().double() for each in found]).cpu().numpy()
        return total

    vectors = min(size, VECTORS)
    start = np.random.default_rng(0).standard_normal(size)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    try:
        ends = eigsh(operator, 2, which="BE", v0=start, ncv=vectors, tol=TOLERANCE, return_eigenvectors=False)
    except (_Enough, ArpackNoConvergence):
        return Curvature(None, products)
    return Curvature((float(min(ends)), float(max(ends))), products)


def _pieces(vector: Any, parameters: Sequence[Any]) -> list[Any]:
    """A vector in the shapes, types and places of the parameters."""
    parts = vector.split([parameter.numel() for parameter in parameters])
    return [part.view_as(parameter).to(parameter) for part, parameter in zip(parts, parameters, strict=True)]


@register("analysis", "curvature")
class LossCurvature(OfModels):
    """How sharp the minimum is in which a candidate's tuning ended: both ends of its loss's Hessian's spectrum.

    Attributes:
        of: the candidates that are looked at; none takes all that the audit tunes.
        limit: so many of the rows that a candidate's last stage learnt, evenly from the first to the last.
        products: of the Hessian with a vector, at most.
    """

    of: list[str] = field(default_factory=list)
    limit: int = 32
    products: int = MOST_PRODUCTS

    def check(self) -> None:
        """Raise ToxauditError where a field makes no sense."""
        for key in ("limit", "products"):
            if (value := getattr(self, key)) < 1:
                raise ToxauditError(f"analysis {self.kind}: {key} is {value}; it must be at least 1.")

    def check_fits(self, candidates: Mapping[str, Declared], suites: Collection[str]) -> None:
        """Raise ToxauditError where a candidate that is named is none, or nothing is tuned by the audit."""
        tuned = [name for name, each in candidates.items() if each.tuned]
        if odd := next((name for name in self.of if name not in tuned), None):
            known = f"is not tuned in this audit{'' if odd in candidates else ', and is no candidate'}"
            raise ToxauditError(f"analysis {self.kind}: of names '{odd}', which {known}.{did_you_mean(odd, tuned)}")
        if not tuned:
            raise ToxauditError(
                f"analysis {self.kind} is of the loss of tuning, and this audit tunes no candidate: give one a recipe "
                "by 'train'."
            )

    def analyse(self, evidence: Evidence) -> Analysis:
        """A row for each end of each candidate's spectrum, and for its radius."""
        rows: list[AnalysisRow] = []
        refusals: list[str] = []
        for name in self.of or evidence.candidates:
            if name not in evidence.models:
                refusals.append(f"{name} is not audited")
            elif evidence.models[name].kind == "served":
                refusals.append(NOT_HERE.format(name))
            elif evidence.models[name].kind == "trained":
                with noting(refusals):
                    rows += self._rows(evidence, name)
            elif evidence.models[name].kind != "control":
                refusals.append(f"{name} is not tuned in this audit, so that nothing tells what it has learnt")
        return Analysis(
            name=self.kind,
            title="Curvature of the loss",
            text=f"Both ends of the spectrum of the Hessian of the loss of tuning, at the candidate's weights, and the "
            f"larger of the two in size, its spectral radius (named by Ung et al. 2024); by Lanczos on products of the "
            f"Hessian with a vector, to a relative accuracy of {TOLERANCE:g}. The loss is the mean over the learnt "
            "tokens of those rows of its last stage that are named, and is differentiated by what that stage tunes: of "
            "an adapter by both of its matrices, so that radii compare only between adapters of one shape. There is no "
            "interval: they are computed, and hold for these rows",
            unit="number",
            rows=tuple(rows),
            refusals=tuple(refusals),
        )

    def _rows(self, evidence: Evidence, name: str) -> list[AnalysisRow]:
        if evidence.learning is None:
            raise ValueError("a finished run has no weights at hand")
        loader, _ = evidence.at_hand
        arm = evidence.arms[name]
        if arm.bits:
            raise ToxauditError(f"{name} lies over weights in {arm.bits} bits, which can't be differentiated twice")
        with loader.open(replace(arm, dtype="float32")) as loaded:
            learnt = evidence.learning(name, loaded)
            used = evenly(learnt.rows, self.limit)
            parameters = _tuned(loaded.model, learnt.whole)
            size = sum(parameter.numel() for parameter in parameters)
            _check_memory(name, size)
            found = curvature(partial(_losses, loaded, learnt, used), parameters, self.products)
        of = f"{size:,} of {'all weights' if learnt.whole else 'its adapter'}"
        about = {"candidate": name, "rows": f"{len(used):,} of {len(learnt.rows):,}", "parameters": of}
        about |= {"products": f"{found.products:,}"}
        if not found.ends:
            return [AnalysisRow(about, "spectral radius", None, None, "not converged")]
        values = {"smallest": found.ends[0], "largest": found.ends[1], "spectral radius": found.radius}
        return [AnalysisRow(about, key, value, None) for key, value in values.items()]


def _losses(loaded: "LoadedModel", learnt: Learnt, rows: Sequence[Mapping[str, list[int]]]) -> Iterator[Any]:
    """The summands of the mean loss over the learnt tokens of some rows, one batch at a time."""
    import torch

    tokens = sum(label >= 0 for row in rows for label in row["labels"][1:])
    for start in range(0, len(rows), BATCH):
        given = {
            key: value.to(loaded.device) if isinstance(value, torch.Tensor) else value
            for key, value in learnt.batch(rows[start : start + BATCH]).items()
        }
        labels = given.pop("labels")[:, 1:]
        logits = loaded.model(**given).logits[:, :-1].float()
        lost = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
        yield lost / tokens


def _tuned(model: Any, whole: bool) -> list[Any]:
    """The parameters that a stage tunes: all, or those of the adapter alone; nothing else asks for a gradient."""
    import torch

    found: dict[int, Any] = {}
    for place, module in model.named_modules():
        for key, weight in module._parameters.items():
            if weight is None or not (whole or "lora_" in f"{place}.{key}"):
                continue
            if weight.is_inference():  # as PEFT made it where nothing was to be differentiated
                module._parameters[key] = found.setdefault(id(weight), torch.nn.Parameter(weight.detach().clone()))
            found.setdefault(id(weight), module._parameters[key])
    model.requires_grad_(False)
    for weight in found.values():
        weight.requires_grad_(True)
    return list(found.values())


def _check_memory(name: str, size: int) -> None:
    """Refuse what Lanczos can't hold: so many vectors of all parameters, and as many again for what it computes."""
    needed, free = 8 * size * (VECTORS + 5), memory_free("cpu")
    if needed > free:
        raise ToxauditError(
            f"{name}: Lanczos on {size:,} parameters needs {in_words(needed)} of memory, and {in_words(free)} are free"
        )

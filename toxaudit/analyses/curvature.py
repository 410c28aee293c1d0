"""How sharp is a minimum? The ends of the spectrum of the loss's Hessian (Ung et al. 2024 name its spectral radius)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_PRODUCTS = 400
TOLERANCE = 1e-3
"""Relative accuracy of the eigenvalues at which Lanczos stops."""


@dataclass(frozen=True)
class Curvature:
    """The ends of the Hessian's spectrum.

    Attributes:
        smallest: the smallest eigenvalue, often below 0.
        largest: the largest.
        products: how many products of the Hessian with a vector it took.
        converged: whether both are known to ``TOLERANCE``; else they are the best that so many products gave.
    """

    smallest: float
    largest: float
    products: int
    converged: bool

    @property
    def radius(self) -> float:
        """The spectral radius: the largest eigenvalue in size."""
        return max(abs(self.smallest), abs(self.largest))


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

    start = np.random.default_rng(0).standard_normal(size)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    try:
        ends = eigsh(operator, k=2, which="BE", v0=start, tol=TOLERANCE, maxiter=most, return_eigenvectors=False)
        return Curvature(float(min(ends)), float(max(ends)), products, True)
    except ArpackNoConvergence as error:
        ends = error.eigenvalues if len(error.eigenvalues) else np.array([np.nan])
        return Curvature(float(min(ends)), float(max(ends)), products, False)


def _pieces(vector: Any, parameters: Sequence[Any]) -> list[Any]:
    """A vector in the shapes, types and places of the parameters."""
    parts = vector.split([parameter.numel() for parameter in parameters])
    return [part.view_as(parameter).to(parameter) for part, parameter in zip(parts, parameters, strict=True)]

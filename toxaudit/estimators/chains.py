"""What estimators by Markov chains share: nutpie without noise, compiled PyMC models, whether chains may be used."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from toxaudit.errors import ToxauditError
from toxaudit.estimators.convergence import convergence
from toxaudit.estimators.outcomes import Floats
from toxaudit.records import Diagnostics

MAX_RHAT = 1.01
MIN_ESS = 400.0
"""Bars of Vehtari et al. 2021 (Bayesian Analysis 16(2), section 4), per reported quantity."""

MAX_DIVERGENT = 0.005
"""Share of draws that may diverge.

A few divergences where a scale is near 0 are the price of a hierarchical prior. Were every one of this share's draws on
the wrong side of the margin, a reported probability would be wrong by 0.005: half the Monte Carlo error that the bar on
ESS admits at a probability of 0.95, sqrt(0.95 x 0.05 / 400) = 0.011.
"""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence three warnings of the libraries beneath, none of which says anything of the result."""
    with warnings.catch_warnings():
        # ArviZ < 1 announces ArviZ 1 on import; all that is used of it here is the same in both.
        warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing a major refactor", FutureWarning)
        # Without a C compiler PyTensor fuses fewer of its loops; the code is Numba's all the same, though slower.
        warnings.filterwarnings("ignore", "Loop fusion failed", UserWarning)
        warnings.filterwarnings("ignore", "PyTensor could not link to a BLAS", UserWarning)
        # PyTensor's log says which BLAS it would call for matrix products, of which there are none.
        logging.getLogger("pytensor.tensor.blas").setLevel(logging.ERROR)
        yield


def nutpie(estimator: str) -> Any:
    """The sampler's module, for the estimator of that name.

    Raises:
        ToxauditError: if nutpie can't be imported.
    """
    with quiet(), _without("arviz", "pandas"):
        try:
            import nutpie as module
        except ImportError as error:
            raise ToxauditError(
                f"The estimator {estimator} needs nutpie, which can't be imported ({error}): pip install nutpie, or "
                "leave the estimator out."
            ) from error
    return module


@contextmanager
def _without(*names: str) -> Iterator[None]:
    """Spare what is imported meanwhile some modules that it names in its annotations and uses later, if at all.

    To import ArviZ, which brings plots along, takes twice as long as all else that sampling needs; pandas takes nearly
    half as long as that. Whoever uses them, such as PyMC, imports them itself, afterwards.
    """
    spared = [name for name in names if name not in sys.modules]
    sys.modules.update({name: _Unread(name) for name in spared})
    try:
        yield
    finally:
        for name in spared:
            del sys.modules[name]


class _Unread(ModuleType):
    """A module whose names can be written while it is spared; used afterwards, it is the module after all."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Any if sys.modules.get(self.__name__) is self else getattr(import_module(self.__name__), name)


def compiled(estimator: str, model: Callable[[], Any], reported: Sequence[str]) -> Any:
    """A PyMC model compiled by nutpie, ready for ``with_data``; it reports the named variables."""
    module = nutpie(estimator)
    with quiet():
        # Numba is asked for by name: with another backend or a fallback, sampling could be a hundred times slower.
        return module.compile_pymc_model(model(), backend="numba", var_names=list(reported))


def drawn(trace: Any, names: Sequence[str]) -> tuple[list[Floats], int]:
    """The draws after tuning of some variables, and how many of these diverged.

    Args:
        trace: what ``nutpie.sample`` returns with ``return_raw_trace``: making ArviZ's object of it takes as long as
            a third of the sampling.
        names: of the variables.

    Returns:
        For each variable, shape (chains, draws) or (chains, draws, size); and the number of divergent draws.
    """
    chains, told = trace.get_arrow_trace()
    kept = [~_column(stats, "tuning") for stats in told]
    diverged = sum(int(_column(stats, "diverging")[keep].sum()) for stats, keep in zip(told, kept, strict=True))
    found = [np.stack([_column(one, name)[keep] for one, keep in zip(chains, kept, strict=True)]) for name in names]
    return found, diverged


def _column(batch: Any, name: str) -> Any:
    """One column of a batch of draws, shape (draws,) or, of lists of equal length, (draws, size)."""
    from arro3.core import DataType, list_flatten

    column = batch.column(name)
    if not DataType.is_large_list(column.type):
        return column.to_numpy()
    return list_flatten(column).to_numpy().reshape(batch.num_rows, -1)


def diagnose(quantities: Sequence[Floats], divergences: int) -> Diagnostics:
    """Whether one fit may be used, over all quantities it reports, each of shape (chains, draws)."""
    # The base's draws are the same object for every candidate and need no second look.
    quantities = list({id(chains): chains for chains in quantities}.values())
    rhats, sizes = zip(*map(convergence, quantities), strict=True)
    rhat, ess = float(np.max(rhats)), float(np.min(sizes))
    share = divergences / quantities[0].size
    failures = []
    # Written so that NaN fails.
    if not rhat <= MAX_RHAT:
        failures.append(f"the chains disagree: R-hat is {rhat:.3f}, above {MAX_RHAT}")
    if not ess >= MIN_ESS:
        failures.append(f"too few independent draws: the effective sample size is {ess:.0f}, below {MIN_ESS:.0f}")
    if share > MAX_DIVERGENT:
        failures.append(
            f"the sampler could not follow the posterior: {share:.1%} of draws diverged, above {MAX_DIVERGENT:.1%}"
        )
    values = {"max_rhat": rhat, "min_ess": ess, "divergences": float(divergences)}
    return Diagnostics(values, tuple(failures))

"""R-hat and effective sample sizes are ArviZ's, to the last bit where it is the version that they were taken from."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

from toxaudit.estimators.convergence import convergence


def chains_of(correlation, count=4, n=1000, apart=0.0):
    """Autoregressive chains of a given correlation from draw to draw, whose means lie apart."""
    random = np.random.default_rng(7)
    found = random.normal(size=(count, n))
    for at in range(1, n):
        found[:, at] += correlation * found[:, at - 1]
    return found + apart * random.normal(size=(count, 1))


CHAINS = {
    "independent": chains_of(0.0),
    "slow": chains_of(0.99),
    "alternating": chains_of(-0.9),
    "apart": chains_of(0.5, apart=3),
    "tied": np.round(chains_of(0.7), 1),
    "rejecting": np.repeat(chains_of(0.5, n=500), 2, axis=1),
    "rates": 1 / (1 + np.exp(5 - chains_of(0.5))),
    "yes or no": (chains_of(0.5) > 1) * 1.0,
    "odd": chains_of(0.5, count=8, n=333),
    "few": chains_of(0.5, count=2, n=5),
    "stuck": np.zeros((4, 1000)),
    "stuck apart": np.tile(np.arange(4.0)[:, None], (1, 1000)),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", CHAINS)
def test_both_are_those_of_arviz(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ArviZ's next version, and of chains that never moved
        import arviz as az

        sizes = [az.ess(CHAINS[name], method="bulk"), az.ess(CHAINS[name], method="tail", prob=(0.05, 0.95))]
        expected = [float(az.rhat(CHAINS[name], method="rank")), float(np.min(sizes))]
    close = {"rtol": 0 if az.__version__.startswith("0.23.") else 1e-6, "atol": 0}
    np.testing.assert_allclose(convergence(CHAINS[name]), expected, **close)


def test_independent_draws_count_and_slow_or_parted_chains_are_found():
    rhat, size = convergence(CHAINS["independent"])
    assert rhat < 1.01 and size > 2500
    assert convergence(CHAINS["slow"])[1] < 100
    assert convergence(CHAINS["apart"])[0] > 1.5


def test_what_is_no_number_says_nothing():
    assert np.isnan(convergence(np.full((4, 100), np.nan))).all()
    assert np.isnan(convergence(CHAINS["stuck"])[0])


@pytest.mark.thorough
def test_sampling_brings_no_plots_along_and_takes_nothing_from_those_who_want_them():
    program = (
        "import sys; from toxaudit.estimators.chains import nutpie; nutpie('hier_paired');"
        "assert not {'arviz', 'matplotlib', 'pandas', 'scipy.stats'} & set(sys.modules), sorted(sys.modules);"
        "import arviz; print(arviz.rhat.__name__)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "rhat"

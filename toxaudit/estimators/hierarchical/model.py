"""The model of ``hier_paired``, stated in PyMC. ``density.py`` is the same written out; a test compares the two."""

from typing import Any

import numpy as np

from toxaudit.estimators.hierarchical import priors


def model(strata: int) -> Any:
    """The PyMC model of one candidate and S strata, with counts of 1 in place of the data.

    Rates enter as logits and conditional probabilities as logs, so that neither a rate near 0 or 1 nor a table with
    empty cells meets log(0).
    """
    import pymc as pm
    import pytensor.tensor as pt

    with pm.Model() as model:
        middle = pm.Normal("a", *priors.A) + pm.HalfNormal("sa", priors.SA) * pm.Normal("z", shape=strata)
        apart = pm.HalfNormal("ts", priors.TS) * pm.StudentT("z_s", nu=priors.FREEDOM, shape=strata)
        shift = pm.Cauchy("m", 0, priors.M) + apart
        logit_base, logit_candidate = middle - shift / 2, middle + shift / 2
        pm.Deterministic("base", pm.math.sigmoid(logit_base))
        pm.Deterministic("candidate", pm.math.sigmoid(logit_candidate))
        log_psi = pm.Normal("log_psi", *priors.LOG_PSI)

        has = pm.Data("base_has", np.ones(strata))
        has_not = pm.Data("base_has_not", np.ones(strata))
        # n1_s ~ Binomial(n_s, p_s), without the constant
        pm.Potential("margin", -(has * pt.softplus(-logit_base) + has_not * pt.softplus(logit_base)).sum())
        for cell, log_probability in log_conditionals(logit_base, logit_candidate, log_psi).items():
            count = pm.Data(cell, np.ones(strata))
            pm.Potential(f"table_{cell}", (count * log_probability).sum())
    return model


def log_conditionals(logit_base: Any, logit_candidate: Any, log_psi: Any) -> dict[str, Any]:
    """Log probability of the candidate's outcome given the base's, per cell of Plackett's table, without log(2).

    Plackett's p11 solves psi p10 p01 = p11 p00. With kappa = psi - 1 and the root of that quadratic, its stable form
    is p11 = 2 psi p c / (1 + kappa (p + c) + root). Exchanging the meaning of 0 and 1 in one arm turns psi into 1/psi
    and leaves the root (times psi) as it is; so each cell has a form without a difference of two rates:

        P(1 | 1) = 2 psi c / (1 + kappa (p + c) + root)        P(0 | 1) = 2 (1 - c) / (1 + kappa (c - p) + root)
        P(1 | 0) = 2 c / (1 + kappa (p - c) + root)            P(0 | 0) = 2 psi (1 - c) / (1 + kappa (2 - p - c) + root)

    Args:
        logit_base: shape (S,), logit of p.
        logit_candidate: shape (S,), logit of c.
        log_psi: scalar, log of the odds ratio.

    Returns:
        Cell -> shape (S,). The constant log(2) is left out, as a sampler does not need it.
    """
    import pytensor.tensor as pt

    p, c = pt.sigmoid(logit_base), pt.sigmoid(logit_candidate)
    log_c, log_not_c = -pt.softplus(-logit_candidate), -pt.softplus(logit_candidate)
    kappa = pt.expm1(log_psi)
    # = (1 + kappa (p + c))^2 - 4 psi kappa p c, written as a sum of terms that are positive for psi > 1
    root = pt.sqrt(1 + 2 * kappa * (p * (1 - c) + c * (1 - p)) + (kappa * (p - c)) ** 2)
    return {
        "n11": log_psi + log_c - pt.log(1 + kappa * (p + c) + root),
        "n10": log_not_c - pt.log(1 + kappa * (c - p) + root),
        "n01": log_c - pt.log(1 + kappa * (p - c) + root),
        "n00": log_psi + log_not_c - pt.log(1 + kappa * (2 - p - c) + root),
    }

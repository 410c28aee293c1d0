"""The priors of ``hier_paired``'s model in numbers, which its PyMC model, its density and its study share.

A shift of a logit has heavy tails at both levels: what is near nothing is drawn to nothing, and what is far from it is
left where the data put it. With normal tails, a base of 0 in 40 beside a candidate of 28 in 40 is estimated at 10 %,
because that makes the improbable shift smaller.
"""

A = (-3.0, 1.5)
"""Mean and standard deviation of a, the middle of both arms' logits over the strata: about 5 %."""

SA = 1.0
"""Scale of the half-normal prior of sa, by which that middle differs from stratum to stratum."""

M = 0.15
"""Scale of m, the candidate's shift over the strata, Cauchy about no change."""

TS = 0.2
"""Scale of the half-normal prior of ts, the scale by which a stratum's shift differs from m."""

FREEDOM = 2.0
"""Degrees of freedom of Student's t, by which it differs: the density is written for these."""

LOG_PSI = (2.0, 1.5)
"""Mean and standard deviation of the log odds ratio that ties the arms' outcomes on one prompt."""

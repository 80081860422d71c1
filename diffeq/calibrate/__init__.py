"""Calibration of any model by gradient: the best parameters, how sure they are, and why it stopped.

A model gives one function of (params, data); everything else is here. Parameters are mapped to
unconstrained coordinates by their domains (`domains`), many starts descend at once in compiled
blocks of evaluations (`descent`), and the curvature at the best of them gives standard errors and
names what the data leave free (`identification`).

    fit = calibrate(log_loss, Params(sigma_v=2.0, sigma_u=5.0), tape,
                    domains={"sigma_v": Positive(), "sigma_u": Positive()},
                    num_starts=8, key=jax.random.key(0))
    print(fit)

`calibrate_many` fits thousands of data sets (stocks, quarters, expiries) in one program.
"""

from diffeq.calibrate.domains import Domain, Fixed, Interval, Positive, Real, Simplex, UnitInterval
from diffeq.calibrate.estimates import Calibration, Starts
from diffeq.calibrate.fit import calibrate, calibrate_many

__all__ = [
    "Calibration",
    "Domain",
    "Fixed",
    "Interval",
    "Positive",
    "Real",
    "Simplex",
    "Starts",
    "UnitInterval",
    "calibrate",
    "calibrate_many",
]

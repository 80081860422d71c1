"""alpha, and from many days mu_0, by maximum likelihood from buys and sales.

Reference: Easley, Kiefer, O'Hara & Paperman (1996), Journal of Finance 51, 1405–1436, for the idea;
the likelihood is :mod:`diffeq.glosten_milgrom.likelihood`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.calibrate import Calibration, Fixed, UnitInterval
from diffeq.calibrate import calibrate as fit
from diffeq.glosten_milgrom.binary_value import Params
from diffeq.glosten_milgrom.likelihood import log_likelihood


def calibrate(
    buys: Any,
    sells: Any,
    *,
    mu_0: float | None = None,
    num_starts: int = 4,
    key: jax.Array | None = None,
    progress: bool = False,
) -> Calibration:
    """Fit alpha (and mu_0) to the numbers of buys and sales of independent days.

    Args:
      buys: B_d ≥ 0 of each day, shape (D,), or a number for a single day. Of order sequences:
        :func:`~.likelihood.count_orders`.
      sells: S_d ≥ 0, likewise.
      mu_0: prior of the high value if known; else estimated, which takes several days.
      num_starts: starts of the search, the first from the average imbalance.
      key: random key of the other starts; default ``jax.random.key(0)``.
      progress: show a progress bar.

    Returns:
      :class:`diffeq.calibrate.Calibration` whose params are :class:`Params`; V_L and V_H, which
      orders alone say nothing about, are held at 0 and 1. Standard errors from the inverse Hessian.
      An alpha of 0 or 1, or days that all lean one way, end at the edge of the domain and are
      reported so.

    Raises:
      ValueError: one day without ``mu_0`` (it is one draw of V and does not identify mu_0); no
        trades; negative or fractional counts; shapes that differ.

    >>> round(float(calibrate(130, 70, mu_0=0.5).params.alpha), 3)
    0.3
    """
    buys, sells = (
        np.atleast_1d(np.asarray(validate.counts(name, x)))
        for name, x in (("buys", buys), ("sells", sells))
    )
    if buys.ndim != 1 or buys.shape != sells.shape:
        raise ValueError(
            f"buys, sells: expected one shape (D,), got {buys.shape} and {sells.shape}"
        )
    traded = buys + sells > 0
    if not traded.any():
        raise ValueError("buys, sells: expected at least one trade, got none")
    if mu_0 is None and traded.sum() < 2:
        raise ValueError(
            "mu_0: expected a probability, got None: one order sequence is one draw of V and does "
            "not identify mu_0; give it, or several days"
        )
    validate.unit_interval("mu_0", validate.array("mu_0", 0.5 if mu_0 is None else mu_0))
    if np.asarray(mu_0).shape != ():
        raise ValueError(
            f"mu_0: expected one probability for all days, got shape {np.asarray(mu_0).shape}"
        )
    leaning = (buys > sells).sum() + (sells == buys).sum() / 2
    imbalance = np.abs(buys - sells).sum() / (buys + sells).sum()
    start = Params(
        V_L=0.0,
        V_H=1.0,
        mu_0=(leaning + 0.5) / (buys.size + 1) if mu_0 is None else float(mu_0),
        alpha=float(np.clip(imbalance, 0.02, 0.98)),
    )
    held: dict[str, Any] = {"V_L": Fixed(), "V_H": Fixed()}
    domains = held | {
        "alpha": UnitInterval(),
        "mu_0": UnitInterval() if mu_0 is None else Fixed(),
    }
    return fit(
        log_loss,
        start,
        (jnp.asarray(buys, float), jnp.asarray(sells, float)),
        domains=domains,
        num_starts=num_starts,
        key=jax.random.key(0) if key is None else key,
        progress=progress,
    )


def log_loss(params: Params, data: tuple[Any, Any]) -> jax.Array:
    """Minus :func:`~.likelihood.log_likelihood` of each day, for :mod:`diffeq.calibrate`.

    Args:
      params: scalars.
      data: (buys, sells), shapes (D,); a day without trades counts for nothing, so padding is free.
    """
    return -log_likelihood(params, *data)

"""Which volatilities might an insider know, and how likely did the market hold them, by a smile?

By default on a chain made here, whose answer is known; or on a file of option quotes.

    python examples/11_smile_calibration.py [OUTPUT_FOLDER [QUOTES EXPIRY AS_OF]]
    python examples/11_smile_calibration.py out chain.csv 2016-02-19 2015-12-24T12:00
"""

import math
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import diffeq
from diffeq.contingent import calibration
from diffeq.figures import contingent_smiles as figures

jax.config.update("jax_enable_x64", True)

SIGMAS, PRIOR, FORWARD = (0.45, 0.18), 0.3, 100.0
WEIGHT = 0.139051  # lognormal.expected_weight(PRIOR, signal=2)
AS_OF, EXPIRY = "2024-01-02T16:00", "2024-04-02"  # 91 days
TICK = 0.01


def made_chain() -> pd.DataFrame:
    """Quotes after an insider who saw the lower volatility traded, rounded outwards to cents."""
    strikes = np.arange(70.0, 141.0, 2.5)
    normal = np.vectorize(lambda z: (1 + math.erf(z / math.sqrt(2))) / 2)
    call = np.zeros_like(strikes)
    for weight, sigma in zip((WEIGHT, 1 - WEIGHT), SIGMAS, strict=True):
        s = sigma * math.sqrt(91 / 365)
        d = np.log(FORWARD / strikes) / s
        call += weight * (FORWARD * normal(d + s / 2) - strikes * normal(d - s / 2))
    kinds = {"call": call, "put": call - FORWARD + strikes}
    rows = []
    for kind, mid in kinds.items():
        bid, ask = np.floor(mid / TICK - 0.5) * TICK, np.ceil(mid / TICK + 0.5) * TICK
        quotes = {"expiry": EXPIRY, "type": kind, "strike": strikes, "bid": bid, "ask": ask}
        rows.append(pd.DataFrame(quotes))
    return pd.concat(rows, ignore_index=True)


def main(output: Path, chain: str | None = None, expiry: str = EXPIRY, as_of: str = AS_OF) -> None:
    """Fit, print what is and is not identified, draw."""
    if chain is None:
        print(f"Made with sigma_1, sigma_2 = {SIGMAS}, prior {PRIOR}, the insider saw signal 2:")
    quotes = made_chain() if chain is None else chain
    found = calibration.calibrate_smile(quotes, expiry=expiry, as_of=as_of, num_starts=4)
    diffeq.check(found)
    print(found)
    smile = found.smile
    figure = figures.smile_fit(
        smile.strike / smile.forward,
        smile.volatility,
        found.volatility,
        found.mixture_volatility,
        bid=smile.bid_volatility,
        ask=smile.ask_volatility,
        note=f"expiry {expiry}; misfit {found.rmse:.2g} points, mixture {found.mixture_rmse:.2g}",
    )
    figure.savefig(output / "11_smile.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder, *sys.argv[2:])

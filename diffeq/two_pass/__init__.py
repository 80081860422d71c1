"""The two-pass solution of N strategic auctions with M identical insiders, exact, no shooting.

With q_n = alpha_n lambda_n and r_n = M(1 − 2 q_n), the first-order and value conditions link
q_{n−1} to q_n alone (backward pass); the filter then gives Sigma_n and all the rest (forward pass).
Written in y = q/(1 − 2q) ≥ 0 nothing cancels, for any real M > 0:

    q = y/(1 + 2y),    1 − 2q = 1/(1 + 2y),    1 − q = (1 + y)/(1 + 2y),    r = M/(1 + 2y).

Reference: Holden & Subrahmanyam (1992), Journal of Finance 47, Proposition 1.
"""

from diffeq.two_pass.backward_pass import accurate
from diffeq.two_pass.forward_pass import by_log, log_but_last
from diffeq.two_pass.horizons import table, terminal
from diffeq.two_pass.market import Market, in_domain
from diffeq.two_pass.solution import equilibrium

__all__ = [
    "Market",
    "accurate",
    "by_log",
    "equilibrium",
    "in_domain",
    "log_but_last",
    "table",
    "terminal",
]

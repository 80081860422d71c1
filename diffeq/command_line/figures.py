"""The verb figures: what a course on Kyle (1985) and its heirs draws, each by its name.

"python -m diffeq figures" draws them all into ./figures; "python -m diffeq figures price-rules
terminal-values --sigma-v 1" two of them, for another market. The surface of price
impact also comes as a page to turn around in a browser.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import holden, price_rules
from diffeq.check import check
from diffeq.command_line.endings import Usage
from diffeq.figures import insiders, interactive
from diffeq.figures import price_rules as experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures(
    names: tuple[str, ...] = (),
    *,
    output: Path = Path("figures"),
    sigma_v: float = 2.5,
    sigma_u: float = 5.0,
    num_insiders: float = 1.0,
    p_0: float = 100.0,
) -> str:
    """Draw the figures of a course on Kyle (1985) and Holden & Subrahmanyam (1992).

    Args:
      names: quotes, impact-surface (also as a page to turn around), price-rules, competition,
        quotes-by-insiders, paths-by-horizon, against-noise, terminal-values, against-insiders;
        none: all of them.
      output: folder for the files, made where it is missing.
      sigma_v: prior standard deviation of the value, in price units.
      sigma_u: standard deviation of noise orders over the day, in asset units.
      num_insiders: M, where a figure does not vary it.
      p_0: price before trading, the value of the quoting experiment, in price units.
    """
    params = holden.Params(sigma_v, sigma_u, num_insiders, p_0)
    return "\n".join(f"wrote {path}" for path in draw(names, output, params))


Drawing = Callable[[holden.Params], "Figure"]
ROUNDS = 50


def draw(names: tuple[str, ...], output: Path, params: holden.Params) -> list[Path]:
    """Draw the named figures (none named: all) into a folder; the files written.

    Args:
      names: of :data:`FIGURES`.
      output: the folder, made where it is missing.
      params: the market; each figure varies what its name says.

    Returns:
      The paths, one for each figure and one more for the page.

    Raises:
      Usage: an unknown name. ValueError: a parameter outside its domain. ImportError: the extra
        ``plot`` is missing.
    """
    for name in names:
        if name not in FIGURES:
            raise Usage(f"names: expected some of {', '.join(FIGURES)}; got {name!r}")
    check(holden.solve(params, num_auctions=1), params)
    written = []
    for name in names or tuple(FIGURES):
        figure = FIGURES[name](params)
        page = interactive.lambda_surface(*_plane(params)) if name == "impact-surface" else None
        output.mkdir(parents=True, exist_ok=True)  # now: an error before leaves no empty folder
        written.append(output / f"{name}.png")
        figure.savefig(written[-1], dpi=150)
        if page is not None:
            written.append(output / f"{name}.html")
            page.write_html(written[-1])
    return written


def _note(params: holden.Params, *more: str) -> str:
    market = (rf"$\sigma_v$ = {params.sigma_v:g}", rf"$\sigma_u$ = {params.sigma_u:g}")
    return ", ".join((*market, *more))


# The quoting experiment


def _quoting(params: holden.Params, **change: Any) -> price_rules.Params:
    """The market maker of the experiment, in this market: starting four sigma_v too high."""
    return price_rules.Params(
        sigma_v=params.sigma_v,
        sigma_u=params.sigma_u,
        value=params.p_0,
        mid_0=params.p_0 + 4 * params.sigma_v,
        **change,
    )


def _quotes(params: holden.Params, M: Any, **words: str) -> "Figure":
    def quoted(M: jax.Array) -> price_rules.Paths:
        maker = _quoting(params, num_insiders=M)
        return price_rules.simulate(jax.random.key(2), maker, num_rounds=ROUNDS)

    paths = jax.vmap(quoted)(jnp.array(M, float))
    labels = [f"M = {m:g}" for m in M]
    bid, ask = paths.bid[:, 0], paths.ask[:, 0]
    return experiment.quotes(bid, ask, value=params.p_0, labels=labels, **words)


def quotes_converge(params: holden.Params) -> "Figure":
    """Quotes that find the value, 50 rounds, one insider, the linear rule."""
    return _quotes(params, (1.0,), note=_note(params, "linear rule"))


def quotes_by_insiders(params: holden.Params) -> "Figure":
    """The same against M = 1, 4, 7, 10, 13 insiders."""
    title = "More insiders: the quotes are right at once, and stay near"
    return _quotes(params, (1, 4, 7, 10, 13), title=title, note=_note(params, "linear rule"))


def six_rules(params: holden.Params) -> "Figure":
    """What six rules do with an order flow."""
    lambda_ = price_rules.impact(_quoting(params))
    flow = 2.4 * params.sigma_u * np.linspace(-1, 1, 481)
    change = [rule(flow, lambda_) for rule in price_rules.RULES.values()]
    names = [name.replace("_", " ") for name in price_rules.RULES]
    note = _note(params, rf"$\lambda$ = {float(lambda_):g}", "grey: the linear rule")
    return experiment.rules(flow, change, names=names, reference=lambda_ * flow, note=note)


# Equilibria


def _plane(params: holden.Params) -> tuple[Any, Any, Any]:
    """sigma_v, sigma_u about the market's and lambda of one auction; at the default the original's.

    The original: sigma_v in [.5, 5], sigma_u in [2, 10].
    """
    sigma_v = params.sigma_v * np.linspace(0.2, 2, 91)
    sigma_u = params.sigma_u * np.linspace(0.4, 2, 81)
    one = dict(num_insiders=np.array([params.num_insiders]), num_auctions=np.array([1]))
    grid = check(holden.grid(**one, sigma_v=sigma_v, sigma_u=sigma_u))
    return sigma_v, sigma_u, grid.lambda_[0, 0]


def impact_surface(params: holden.Params) -> "Figure":
    """λ of one auction over sigma_v and sigma_u."""
    note = f"one auction, M = {params.num_insiders:g}"
    lambda_ = float(check(holden.solve(params, num_auctions=1)).lambda_[0])
    mark = params.sigma_v, params.sigma_u, rf"$\lambda$ = {lambda_:.3g}"
    return insiders.lambda_surface(*_plane(params), mark=mark, note=note)


def _each(params: holden.Params, name: str, values: Any, num_auctions: int) -> holden.Solution:
    """Solutions along an axis of one parameter."""

    def at(x: jax.Array) -> holden.Solution:
        return holden.solve(params._replace(**{name: x}), num_auctions=num_auctions)

    return check(jax.vmap(at)(values))


def competition(params: holden.Params) -> "Figure":
    """λ and β of one auction against M = 1..30."""
    M = np.arange(1.0, 31.0)
    at = _each(params, "num_insiders", M, 1)
    title = "More rivals: each trades less, all together more, and the market is deeper"
    fields, name = (at.lambda_, at.beta, at.Sigma), "number of insiders $M$"
    return insiders.against(M, *fields, name=name, title=title, note=_note(params, "one auction"))


def paths_by_horizon(params: holden.Params) -> "Figure":
    """λ_n, β_n, Σ_n for N = 1..10."""
    at = check(holden.solve_up_to(params, max_auctions=10, tables=True))
    note = _note(params, f"M = {params.num_insiders:g}")
    return insiders.paths_by_horizon(at.lambda_, at.beta, at.Sigma, note=note)


def against_noise(params: holden.Params) -> "Figure":
    """λ_n, β_n, Σ_n of three auctions against sigma_u."""
    sigma_u = params.sigma_u * np.linspace(0.4, 2, 33)
    at = _each(params, "sigma_u", sigma_u, 3)
    note = rf"$\sigma_v$ = {params.sigma_v:g}, M = {params.num_insiders:g}, 3 auctions"
    title = "Noise trading deepens the market; what the price knows does not depend on it"
    fields, name = (at.lambda_, at.beta, at.Sigma), r"noise trading $\sigma_u$ (asset units)"
    return insiders.against(sigma_u, *fields, name=name, title=title, note=note)


def against_insiders(params: holden.Params) -> "Figure":
    """λ_n, β_n, Σ_n of three auctions against M."""
    M = np.arange(1.0, 16.0)
    at = _each(params, "num_insiders", M, 3)
    fields, name = (at.lambda_, at.beta, at.Sigma), "number of insiders $M$"
    return insiders.against(M, *fields, name=name, note=_note(params, "3 auctions"))


def terminal_values(params: holden.Params) -> "Figure":
    """λ_N, β_N, Σ_N over M = 1..15 and N = 1..10."""
    M, N = np.arange(1.0, 16.0), np.arange(1, 11)
    market = dict(sigma_v=np.array([params.sigma_v]), sigma_u=np.array([params.sigma_u]))
    grid = check(holden.grid(num_insiders=M, num_auctions=N, **market))
    fields = (np.asarray(x)[:, :, 0, 0] for x in (grid.lambda_, grid.beta, grid.Sigma))
    return insiders.terminal_values(M, N, *fields, note=_note(params))


FIGURES: dict[str, Drawing] = {
    "quotes": quotes_converge,
    "impact-surface": impact_surface,
    "price-rules": six_rules,
    "competition": competition,
    "quotes-by-insiders": quotes_by_insiders,
    "paths-by-horizon": paths_by_horizon,
    "against-noise": against_noise,
    "terminal-values": terminal_values,
    "against-insiders": against_insiders,
}
"""In the order of the course: the market maker's problem first, then what equilibrium says."""

"""Figures of the Kyle (1985) and Holden–Subrahmanyam (1992) family.

Every function takes plain arrays (numpy or JAX, never changed) and returns a matplotlib Figure that
belongs to no window and no pyplot state. ``title`` says what one sees, ``note`` (below the panels)
what was held fixed. NaN is not drawn. Prices are in price units, orders in units of the asset; the
trading day has length 1.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from diffeq.figures import (
    BLUE,
    COLUMN_WIDTH,
    IMPACT_UNIT,
    INK,
    VERMILION,
    Floats,
    array,
    canvas,
    folded,
    label_ends,
    log_if_decades,
    looks,
    name_panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# the three objects of an equilibrium: name, symbol, unit
PANELS = (
    ("Price impact", r"\lambda", IMPACT_UNIT),
    ("Trading intensity, one insider", r"\beta", "quantity per price unit and unit of time"),
    ("Error variance of the price", r"\Sigma", "price units squared"),
)
TIME = r"time $t_n$ (trading day = 1)"


def lambda_surface(
    sigma_v: ArrayLike,
    sigma_u: ArrayLike,
    lambda_: ArrayLike,
    *,
    mark: tuple[float, float, str] | None = None,
    title: str = "Price impact: more uncertainty raises it, more noise trading lowers it",
    note: str = "",
) -> "Figure":
    """Level lines of the price impact over the two standard deviations.

    Kyle (1985), section 2: lambda = sigma_v/(2 sigma_u) in one auction; with any N and M the levels
    remain rays from the origin, which a surface in perspective would hide.

    Args:
      sigma_v: prior standard deviation of the value, price units, shape (a,).
      sigma_u: standard deviation of noise orders, asset units, shape (b,).
      lambda_: price units per unit of order flow, > 0 or NaN, shape (a, b).
      mark: (sigma_v, sigma_u, text) of a point to name.
    """
    y, x = array("sigma_v", sigma_v, (-1,)), array("sigma_u", sigma_u, (-1,))
    z = np.ma.masked_invalid(array("lambda_", lambda_, (y.size, x.size)))
    if not z.min() > 0:
        raise ValueError(f"lambda_: expected positive values, got a minimum of {z.min()}")
    figure, (panel,) = canvas(1, 1, size=(COLUMN_WIDTH, 4.4), title=title, note=note)
    name_panel(
        panel,
        rf"Level lines of $\lambda$ ({IMPACT_UNIT})",
        x=r"noise trading $\sigma_u$ (asset units per day)",
        y=r"uncertainty $\sigma_v$ (price units)",
    )
    _contours(panel, x, y, z)
    panel.grid(False)
    panel.margins(0)
    if mark is not None:
        from matplotlib.patheffects import withStroke

        v, u, text = mark
        panel.plot(u, v, "o", color=VERMILION, markersize=7, markeredgecolor="white", zorder=5)
        panel.annotate(
            text,
            (u, v),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            fontweight="bold",
            color=INK,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )
    return figure


def _contours(panel: "Axes", x: Floats, y: Floats, z: Floats) -> None:
    """Filled contours of z at round levels, and each level line with its value."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    # a hair wider, so that a constant surface has an inside
    low, high = float(z.min()) / 1.001, float(z.max()) * 1.001
    levels = _round_levels(low, high)
    shades = colormaps["Blues"](np.linspace(0.05, 0.6, levels.size + 1))
    panel.contourf(x, y, z, levels=[low, *levels, high], colors=shades, norm=LogNorm(low, high))
    if levels.size:
        lines = panel.contour(x, y, z, levels=levels, colors=INK, linewidths=0.8)
        parts = [part for level in lines.allsegs for part in level if len(part)]
        panel.clabel(lines, fmt="%g", fontsize=9, manual=[_label_place(part) for part in parts])


def _label_place(line: Floats) -> tuple[float, float]:
    """The point two thirds along a level line, where those of a fan are well apart."""
    at = 2 / 3 * (len(line) - 1)
    x, y = (float(np.interp(at, np.arange(len(line)), side)) for side in line.T)
    return x, y


def _round_levels(low: float, high: float) -> Floats:
    """1, 1.5, 2, 3, 5, 7 times powers of ten strictly inside (low, high)."""
    decades = np.arange(np.floor(np.log10(low)), np.log10(high) + 1)
    levels = np.outer(10.0**decades, (1, 1.5, 2, 3, 5, 7)).ravel()
    return levels[(levels > 1.02 * low) & (levels < high / 1.02)]


def paths(
    time: ArrayLike,
    lambda_: ArrayLike,
    beta: ArrayLike,
    Sigma: ArrayLike,
    *,
    labels: Sequence[str],
    title: str = "The equilibrium over the trading day",
    note: str = "",
) -> "Figure":
    """Impact, intensity and error variance of k equilibria over the day, one line each.

    Args:
      time: t_n in [0, 1], shape (n,), or (k, n) where the equilibria differ in it.
      lambda_: price units per unit of order flow, shape (k, n); NaN is not drawn, as below.
      beta: quantity per price unit and unit of time, shape (k, n).
      Sigma: price units squared, shape (k, n).
      labels: names of the k lines.
    """
    return _lines(time, (lambda_, beta, Sigma), labels, index="n", x=TIME, title=title, note=note)


def paths_by_horizon(
    lambda_: ArrayLike,
    beta: ArrayLike,
    Sigma: ArrayLike,
    *,
    title: str = "The equilibrium over the trading day, by the number of auctions N",
    note: str = "",
) -> "Figure":
    """λ_n, β_n, Σ_n against time n/N, one line for each number of equal auctions N = 1..N_max.

    The convergence to continuous trading that Kyle (1985), sections 3 and 4, describes for M = 1.

    Args:
      lambda_: price units per unit of order flow, shape (N_max, N_max): row N−1, column n−1, NaN
        where n > N, as ``holden.solve_up_to(..., tables=True)`` returns it.
      beta: quantity per price unit and unit of time, same shape.
      Sigma: price units squared, same shape.
    """
    longest = np.shape(lambda_)[0]
    horizon = np.arange(1, longest + 1)
    time = horizon[None, :] / horizon[:, None]
    labels = [f"N = {N}" for N in horizon]
    return _lines(time, (lambda_, beta, Sigma), labels, index="n", x=TIME, title=title, note=note)


def paths_by_insiders(
    num_insiders: ArrayLike,
    lambda_: ArrayLike,
    beta: ArrayLike,
    Sigma: ArrayLike,
    *,
    spacing: ArrayLike | None = None,
    title: str = "The equilibrium over the trading day, by the number of insiders M",
    note: str = "",
) -> "Figure":
    """λ_n, β_n, Σ_n against time, one line for each number of insiders M.

    Holden & Subrahmanyam (1992), the comparison of competing insiders with Kyle's monopolist.

    Args:
      num_insiders: values of M, shape (m,).
      lambda_: price units per unit of order flow, shape (m, N).
      beta: quantity per price unit and unit of time, shape (m, N).
      Sigma: price units squared, shape (m, N).
      spacing: lengths of the auctions, shape (N,); default equal.
    """
    insiders = array("num_insiders", num_insiders, (-1,))
    N = np.shape(lambda_)[-1]
    dt = np.full(N, 1 / N) if spacing is None else array("spacing", spacing, (N,))
    labels = [f"M = {M:g}" for M in insiders]
    fields = (lambda_, beta, Sigma)
    return _lines(np.cumsum(dt), fields, labels, index="n", x=TIME, title=title, note=note)


def against(
    values: ArrayLike,
    lambda_: ArrayLike,
    beta: ArrayLike,
    Sigma: ArrayLike,
    *,
    name: str,
    title: str = "",
    note: str = "",
) -> "Figure":
    """λ_n, β_n, Σ_n of every auction against one parameter, one line for each auction n.

    The comparative statics of Holden & Subrahmanyam (1992) in M, of Kyle (1985) in sigma_u.

    Args:
      values: values of the parameter, shape (k,).
      lambda_: price units per unit of order flow, shape (k, N).
      beta: quantity per price unit and unit of time, shape (k, N).
      Sigma: price units squared, shape (k, N).
      name: of the parameter, with its unit; the axis label.
    """
    fields = tuple(np.transpose(field) for field in (lambda_, beta, Sigma))
    labels = [f"n = {n}" for n in range(1, len(fields[0]) + 1)]
    title = title or f"The equilibrium auction by auction, against {name}"
    return _lines(values, fields, labels, index="n", x=name, title=title, note=note)


def terminal_values(
    num_insiders: ArrayLike,
    num_auctions: ArrayLike,
    lambda_: ArrayLike,
    beta: ArrayLike,
    Sigma: ArrayLike,
    *,
    title: str = "The last auction, by the numbers of insiders M and of auctions N",
    note: str = "",
) -> "Figure":
    """λ_N, β_N, Σ_N against the number of auctions N, one line for each number of insiders M.

    The competition of Holden & Subrahmanyam (1992): with two insiders or more the error variance
    falls geometrically in N, with Kyle's single one like 1/N.

    Args:
      num_insiders: values of M, shape (m,).
      num_auctions: values of N, shape (n,).
      lambda_: price units per unit of order flow, shape (m, n).
      beta: quantity per price unit and unit of time, shape (m, n).
      Sigma: price units squared, shape (m, n).
    """
    labels = [f"M = {M:g}" for M in array("num_insiders", num_insiders, (-1,))]
    fields, x = (lambda_, beta, Sigma), "number of auctions $N$"
    return _lines(num_auctions, fields, labels, index="N", x=x, title=title, note=note)


def _lines(
    horizontal: ArrayLike,
    fields: Sequence[ArrayLike],
    labels: Sequence[str],
    *,
    index: str,
    x: str,
    title: str,
    note: str,
) -> "Figure":
    """Three panels of k lines, above each other; ``horizontal`` (n,) or (k, n), fields (k, n)."""
    k, n = len(labels), np.shape(horizontal)[-1]
    shape = (k, n) if np.ndim(horizontal) == 2 else (n,)
    abscissa = np.broadcast_to(array("horizontal axis", horizontal, shape), (k, n))
    size = (COLUMN_WIDTH, 8.4)
    figure, panels = canvas(3, 1, size=size, title=title, note=note, sharex=True)
    styles = looks(k)
    for panel, values, (words, symbol, unit) in zip(panels, fields, PANELS, strict=True):
        field = array(words, values, (k, n))
        log_if_decades(panel, field)
        for at, line, style in zip(abscissa, field, styles, strict=True):
            marker = "o" if n <= 30 else ""
            panel.plot(at, line, marker=marker, markersize=3, linewidth=1.4, **style)
        below = x if panel is panels[-1] else ""
        name_panel(panel, rf"{words} ${symbol}_{index}$", x=below, y=folded(unit, 24))
        ends = [_end(*line) for line in zip(abscissa, field, strict=True)]
        label_ends(panel, ends, labels, [style["color"] for style in styles])
    return figure


def _end(x: Floats, y: Floats) -> tuple[float, float]:
    """The last point of a line that is drawn."""
    drawn = np.flatnonzero(np.isfinite(y))
    last = drawn[-1] if drawn.size else -1
    return float(x[last]), float(y[last])


def sensitivities(
    elasticities: ArrayLike,
    *,
    quantities: Sequence[str] = (r"$\lambda_1$", r"$\beta_N$", r"$\Sigma_N$"),
    parameters: Sequence[str] = (r"$\sigma_v$", r"$\sigma_u$", "$M$"),
    title: str = "What one per cent more of each parameter does",
    note: str = "",
) -> "Figure":
    """Elasticities of q quantities with respect to p parameters, as bars with their values.

    Kyle (1985), section 2, gives those in sigma_v and sigma_u in words: lambda is proportional to
    their ratio, the error variance does not depend on noise trading.

    Args:
      elasticities: d log quantity / d log parameter, without unit, shape (q, p).
      quantities: their q names.
      parameters: their p names.
    """
    table = array("elasticities", elasticities, (len(quantities), len(parameters)))
    size = (COLUMN_WIDTH, 0.8 + 1.5 * len(quantities))
    figure, panels = canvas(len(quantities), 1, size=size, title=title, note=note, sharex=True)
    for panel, quantity, row in zip(panels, quantities, table, strict=True):
        rows = np.arange(row.size)
        bars = panel.barh(rows, row, color=[BLUE if e >= 0 else VERMILION for e in row], height=0.6)
        panel.invert_yaxis()
        values = [f"{e:+.2f}".replace("-", "−") if e else "0" for e in row]
        panel.bar_label(bars, values, padding=3, fontsize=9)
        panel.axvline(0, color=INK, linewidth=0.8)
        panel.set_yticks(rows, parameters, fontsize=11)
        panel.grid(False, axis="y")
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
        panel.margins(x=0.3)
        below = "per cent" if panel is panels[-1] else ""
        name_panel(panel, f"Elasticity of {quantity}", x=below, y="")
    return figure

"""The surface of price impact to turn around in a browser; plotly, from ``diffeq[plot]``."""

from typing import TYPE_CHECKING

from jax.typing import ArrayLike

from diffeq.figures import IMPACT_UNIT, array, folded

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def lambda_surface(
    sigma_v: ArrayLike,
    sigma_u: ArrayLike,
    lambda_: ArrayLike,
    *,
    title: str = "Price impact: more uncertainty raises it, more noise trading lowers it",
) -> "Figure":
    """λ over the two standard deviations in three dimensions; values are read off by pointing.

    Kyle (1985), section 2: lambda = sigma_v/(2 sigma_u) in one auction. The level lines of
    :func:`diffeq.figures.insiders.lambda_surface` show the same on paper.

    Args:
      sigma_v: prior standard deviation of the value, price units, shape (a,).
      sigma_u: standard deviation of noise orders, asset units, shape (b,).
      lambda_: price units per unit of order flow, shape (a, b).

    Returns:
      A plotly figure; ``write_html(path)`` makes a page that needs no network.

    Raises:
      ImportError: plotly is not installed.
    """
    try:
        from plotly import graph_objects
    except ImportError as error:
        raise ImportError(
            "diffeq.figures.interactive draws with plotly, which is not installed: "
            "pip install 'diffeq[plot]'"
        ) from error
    y, x = array("sigma_v", sigma_v, (-1,)), array("sigma_u", sigma_u, (-1,))
    z = array("lambda_", lambda_, (y.size, x.size))
    hover = "σ<sub>u</sub> %{x:.3g}<br>σ<sub>v</sub> %{y:.3g}<br>λ %{z:.4g}<extra></extra>"
    surface = graph_objects.Surface(
        x=x, y=y, z=z, colorscale="Cividis", hovertemplate=hover, colorbar={"title": {"text": "λ"}}
    )
    lines = {"show": True, "usecolormap": False, "color": "white", "project_z": True}
    surface.update(contours_z=lines)
    figure = graph_objects.Figure(surface)
    figure.update_layout(
        # below the buttons, and not wider than a narrow window
        title={
            "text": folded(title, 44).replace("\n", "<br>"),
            "font": {"size": 16},
            "y": 1,
            "yanchor": "top",
            "pad": {"t": 34},
        },
        scene={
            "xaxis_title": "noise trading σ<sub>u</sub><br>(asset units per day)",
            "yaxis_title": "uncertainty σ<sub>v</sub><br>(price units)",
            "zaxis_title": "λ (" + folded(IMPACT_UNIT, 20).replace("\n", "<br>") + ")",
            "camera": {"eye": {"x": 1.75, "y": -1.85, "z": 0.95}},
        },
        margin={"l": 0, "r": 0, "t": 90, "b": 0},
    )
    return figure

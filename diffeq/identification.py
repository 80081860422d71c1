"""What the data say about each parameter: standard errors, and the directions they leave free.

The curvature of the fit at the optimum, in unconstrained coordinates (logs of positive
parameters), tells both. Where it is zero along a direction the data do not speak: the parameters
that load on the direction get NaN for a standard error, and the direction is named, as in
"sigma_v up 1 % with sigma_u up 1 % leaves the fit unchanged".

Whether a direction is flat must not depend on units, so the curvature is scaled to unit diagonal
first (Belsley, Kuh & Welsch 1980, Regression Diagnostics, ch. 3) and its eigenvalues are compared
with the largest: a likelihood's direction is flat below √ε of it, a least-squares direction when
the singular value of the Jacobian is below √ε of the largest (ε the rounding of the dtype; a
Hessian off the exact optimum is less certain than a Jacobian, hence the square). The statement is
local: it concerns the neighbourhood of the estimate.

References: P. Huber (1967), Proc. Fifth Berkeley Symp. 1, and H. White (1980, Econometrica 48;
1982, Econometrica 50) for the sandwich; T. Rothenberg (1971), Econometrica 39, for identification
by the rank of the information matrix.
"""

from typing import Any, NamedTuple

import numpy as np

from diffeq.domains import Coordinate

__all__ = ["Curvature", "Identification", "Inference", "infer"]

_Array = np.ndarray[Any, Any]
_LOADING = 1e-4  # a parameter loads on a flat direction when more than this share of it does


class Curvature(NamedTuple):
    """Second-order information at the estimate, d coordinates and k entries of the parameters."""

    factor: _Array
    """Upper triangular R with R'R = J'J, (≤ d, d), for residuals; the Hessian (d, d) otherwise."""
    meat: _Array
    """Sum over observations of score score', (d, d); NaN where the loss has no terms."""
    natural: _Array
    """Derivative of the entries of the parameters with respect to the coordinates, (k, d)."""
    num_terms: int
    """Number of observations n."""


class Identification(NamedTuple):
    """Which combinations of the parameters the data identify, near the estimate."""

    eigenvalues: _Array
    """Of the curvature scaled to unit diagonal, descending, (number of coordinates off edges,)."""
    rank: int
    """Number of identified directions."""
    coordinates: tuple[str, ...]
    """The d coordinates: "log sigma_v", "logit(alpha)", "mu"."""
    flat_directions: _Array
    """Directions in coordinates along which the fit is unchanged, (flat, d)."""
    not_identified: tuple[str, ...]
    """One sentence a flat direction: "sigma_v up 1 % with sigma_u up 1 %"."""
    identified: tuple[str, ...]
    """Combinations that the data do identify: "sigma_v / sigma_u"."""
    at_edge: tuple[str, ...]
    """Parameters that ran to an end of their domain; the rest is judged with these held."""
    is_minimum: bool
    """False where the loss curves downwards along some direction (a saddle), or is not finite."""

    def __str__(self) -> str:
        lines = [f"{name} is at the edge of its domain" for name in self.at_edge]
        if not self.is_minimum:
            lines.append("not a minimum: the loss does not curve upwards in every direction")
        if self.not_identified:
            known = ", ".join(self.identified) or "nothing"
            flat = [f"{text} leaves the fit unchanged" for text in self.not_identified]
            lines.append(f"not identified: {'; '.join(flat)}; identified: {known}")
        elif self.is_minimum:
            lines.append("identified: all parameters off the edges" if self.at_edge else
                         "identified: all parameters")  # fmt: skip
        return "\n".join(lines)


class Inference(NamedTuple):
    """Uncertainty of the k entries of the parameters."""

    covariance: _Array
    """(k, k), in the parameters' units; NaN rows and columns where not identified or at an edge."""
    identification: Identification
    """What is identified."""


class _Spectrum(NamedTuple):
    """Eigen-decomposition of the curvature scaled to unit diagonal."""

    scale: _Array
    """Scale s of each coordinate, (d,): the curvature is diag(1/s) V diag(values) V' diag(1/s)."""
    values: _Array
    """Eigenvalues, descending, (d,)."""
    vectors: _Array
    """Eigenvectors V in columns, (d, d)."""


def infer(
    curvature: Curvature,
    coordinates: tuple[Coordinate, ...],
    names: tuple[str, ...],
    *,
    at_edge: _Array,
    edge_coordinates: _Array,
    sum_of_squares: float | None,
    robust: bool,
    is_likelihood: bool,
    epsilon: float,
    gradient: _Array,
) -> Inference:
    """Covariance of the estimates by the delta method, and what is identified.

    Args:
        curvature: at the estimate.
        coordinates: readings of the d coordinates.
        names: of the k entries.
        at_edge: which entries are at an end of their domain, (k,) bool.
        edge_coordinates: which coordinates are held for that, (d,) bool.
        sum_of_squares: r'r for residuals (the factor is R), None otherwise (a Hessian).
        robust: sandwich instead of the classical form.
        is_likelihood: whether a Hessian is an information matrix; if not, no covariance.
        epsilon: rounding of the dtype.
        gradient: of the loss at the estimate, (d,); it bounds how well a Hessian is known.

    Returns:
        Classical: H⁻¹, or s²(J'J)⁻¹ with s² = r'r / (n − rank). Robust: H⁻¹ S H⁻¹, or
        (J'J)⁻¹ J' diag(r²) J (J'J)⁻¹ · n / (n − rank) (HC1, MacKinnon & White 1985). Inverses
        are taken over the identified directions.
    """
    k, kept = len(names), np.flatnonzero(~edge_coordinates)
    squares = sum_of_squares is not None
    with np.errstate(all="ignore"):
        finite = bool(np.isfinite(curvature.factor).all())
        spectrum = _spectrum(curvature.factor[:, kept] if squares else
                             curvature.factor[np.ix_(kept, kept)], squares, finite)  # fmt: skip
    cut = epsilon if squares else _hessian_cut(spectrum.scale, gradient[kept], epsilon)
    largest = float(np.abs(spectrum.values).max(initial=0.0))
    is_kept = spectrum.values > cut * largest
    rank = int(is_kept.sum()) if finite else 0
    V, s = spectrum.vectors, spectrum.scale
    bread = s[:, None] * (V[:, is_kept] / spectrum.values[is_kept]) @ V[:, is_kept].T * s
    meat = curvature.meat[np.ix_(kept, kept)]
    covariance = _sandwich(bread, meat, sum_of_squares, curvature.num_terms, rank, robust)

    natural = curvature.natural[:, kept]
    along_flat = natural * s @ V[:, ~is_kept]
    loading = np.linalg.norm(along_flat, axis=1)
    known = ~at_edge & (loading <= _LOADING * np.linalg.norm(natural * s, axis=1))
    if not (finite and (squares or is_likelihood)):
        known = np.zeros(k, bool)
    covariance = natural @ covariance @ natural.T
    covariance = np.where(known[:, None] & known, covariance, np.nan)

    flat = np.zeros((len(kept) - rank, len(coordinates)))
    if finite:
        flat[:, kept] = (s[:, None] * V[:, ~is_kept]).T
    else:
        flat = flat[:0]
    return Inference(
        covariance,
        Identification(
            eigenvalues=spectrum.values,
            rank=rank,
            coordinates=tuple(_coordinate_name(c) for c in coordinates),
            flat_directions=_readable(flat),
            not_identified=tuple(_direction(v, coordinates) for v in _readable(flat)),
            identified=_identified(flat, kept, coordinates) if finite else (),
            at_edge=tuple(name for name, edge in zip(names, at_edge, strict=True) if edge),
            is_minimum=finite and bool(spectrum.values.min(initial=0.0) >= -cut * largest),
        ),
    )


def _spectrum(factor: _Array, squares: bool, finite: bool) -> _Spectrum:
    """Spectrum of factor'factor (squares) or of the symmetric factor, scaled to unit diagonal."""
    d = factor.shape[1]
    if not finite:
        return _Spectrum(np.ones(d), np.full(d, np.nan), np.eye(d))
    size = np.linalg.norm(factor, axis=0) if squares else np.sqrt(np.abs(np.diag(factor)))
    # A column that is all rounding must not be blown up to unit length.
    floor = 10 * np.finfo(float).eps * size.max(initial=0.0)
    scale = 1 / np.where(size > floor, size, size.max(initial=0.0) or 1.0)
    if squares:
        _, singular, vectors_t = np.linalg.svd(factor * scale, full_matrices=True)
        values = np.zeros(d)
        values[: len(singular)] = singular**2
        return _Spectrum(scale, values, vectors_t.T)
    values, vectors = np.linalg.eigh(scale[:, None] * (factor + factor.T) / 2 * scale)
    return _Spectrum(scale, values[::-1], vectors[:, ::-1])


def _hessian_cut(scale: _Array, gradient: _Array, epsilon: float) -> float:
    """Relative eigenvalue below which a Hessian is flat: rounding, or what the gradient leaves.

    Along a curved valley of equal loss the Hessian is off by the gradient that is left.
    """
    left = 10 * float(np.max(np.abs(gradient) * scale**2, initial=0.0))
    return max(float(np.sqrt(epsilon)), min(left, 1e-3))


def _sandwich(
    bread: _Array, meat: _Array, squares: float | None, n: int, rank: int, robust: bool
) -> _Array:
    """Covariance of the coordinates; NaN where no degree of freedom is left."""
    degrees = n - rank
    if squares is None:
        return bread @ meat @ bread if robust else bread
    if degrees <= 0:
        return np.full_like(bread, np.nan)
    return bread @ meat @ bread * (n / degrees) if robust else bread * (squares / degrees)


def _identified(flat: _Array, kept: _Array, coordinates: tuple[Coordinate, ...]) -> tuple[str, ...]:
    """The combinations orthogonal to the flat directions, in words."""
    if len(flat) == 0:
        rows = np.eye(len(coordinates))[kept]
    else:
        _, _, vectors_t = np.linalg.svd(_readable(flat)[:, kept], full_matrices=True)
        rows = np.zeros((len(kept) - len(flat), len(coordinates)))
        rows[:, kept] = vectors_t[len(flat) :]
    return tuple(_combination(v, coordinates) for v in _readable(rows))


def _readable(rows: _Array) -> _Array:
    """The same row space in reduced echelon form, each row in small whole numbers if it has any."""
    rows = np.array(rows, float)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(lengths > 0, lengths, 1)
    taken: list[int] = []
    columns: list[int] = []
    for _ in range(len(rows)):
        left = np.abs(rows)
        left[taken] = 0
        i, j = np.unravel_index(int(left.argmax()), left.shape)
        rows[i] /= rows[i, j]
        others = np.arange(len(rows)) != i
        rows[others] -= np.outer(rows[others, j], rows[i])
        taken.append(int(i))
        columns.append(int(j))
    rows = rows[[taken[at] for at in np.argsort(columns)]]
    return np.array([_whole(row) for row in rows]).reshape(rows.shape)


def _whole(row: _Array) -> _Array:
    """A row with largest entry 1 as small whole numbers where it is close to some; sign set."""
    row = np.where(np.abs(row) < 10 * _LOADING * np.abs(row).max(), 0, row)
    nonzero = row[row != 0]
    if nonzero.size == 0:
        return row
    row = row * np.sign(nonzero[0])
    for multiple in range(1, 13):
        candidate = row * multiple / np.abs(nonzero).max()
        if np.abs(candidate - np.round(candidate)).max() < 1e-3 * multiple:
            return np.asarray(np.round(candidate))
    return np.asarray(row / np.abs(nonzero[0]))


def _coordinate_name(coordinate: Coordinate) -> str:
    """ "log sigma_v" or the label itself."""
    return f"log {coordinate.label}" if coordinate.is_log else coordinate.label


def _direction(v: _Array, coordinates: tuple[Coordinate, ...]) -> str:
    """A move in words: "sigma_v up 1 % with sigma_u down 2 %"."""
    moves = []
    for c, (label, is_log, unit) in zip(v, coordinates, strict=True):
        if c != 0:
            amount = f"{abs(c):.3g} %" if is_log else f"{0.01 * abs(c) * unit:.3g}"
            moves.append(f"{label} {'up' if c > 0 else 'down'} {amount}")
    return " with ".join(moves)


def _combination(v: _Array, coordinates: tuple[Coordinate, ...]) -> str:
    """A combination in words: "sigma_v / sigma_u^2", or "log(a) - 0.5 mu" where not all are logs."""
    terms = [(c, at) for c, at in zip(v, coordinates, strict=True) if c != 0]
    if len(terms) == 1:
        return terms[0][1].label
    if all(at.is_log for _, at in terms):
        powers = [(c, at.label if abs(c) == 1 else f"{at.label}^{abs(c):.3g}") for c, at in terms]
        above = " · ".join(text for c, text in powers if c > 0)
        return above + "".join(f" / {text}" for c, text in powers if c < 0)
    # Coordinates that are not logs count in units of their scale.
    weights = [c if at.is_log else c / at.unit for c, at in terms]
    text = ""
    for weight, (_, at) in zip(weights, terms, strict=True):
        weight /= abs(weights[0])
        quantity = f"log({at.label})" if at.is_log else at.label
        sign = (" + " if weight > 0 else " - ") if text else ("" if weight > 0 else "-")
        text += sign + (quantity if abs(weight) == 1 else f"{abs(weight):.3g} {quantity}")
    return text

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

from diffeq.calibrate.domains import Coordinate

__all__ = ["Curvature", "Identification", "Inference", "infer"]

_Array = np.ndarray[Any, Any]
_LOADING = 1e-4  # a parameter loads on a flat direction when more than this share of it does


class Curvature(NamedTuple):
    """Second-order information at the estimate; d coordinates, k entries of the parameters."""

    factor: _Array
    """R with R'R = J'J, (min(n, d), d), for residuals; the Hessian of the loss, (d, d), else."""
    meat: _Array
    """Sum over observations of score score', (d, d); NaN where the loss has no terms."""
    natural: _Array
    """Derivative of the entries of the parameters with respect to the coordinates, (k, d)."""
    num_terms: int
    """Number of observations n, padding left out."""
    sum_of_squares: float | None
    """r'r for residuals; None says that the factor is a Hessian."""
    is_likelihood: bool
    """Whether a Hessian is an information matrix; without it there is no covariance."""
    gradient: _Array
    """Of the loss, (d,): what is left of it bounds how well a Hessian is known."""
    epsilon: float
    """Rounding of the dtype that the derivatives were computed in."""


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
    identified_parameters: tuple[str, ...]
    """Entries of the parameters that the data identify each by itself."""
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
            lines.append(f"identified: all{' the other' if self.at_edge else ''} parameters")
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
    identified: _Array
    """Which eigenvalues are positive beyond doubt, (d,) bool."""
    bends_down: bool
    """Whether some eigenvalue is negative beyond doubt."""
    finite: bool
    """Whether the curvature could be computed at all."""


def infer(
    curvature: Curvature,
    coordinates: tuple[Coordinate, ...],
    names: tuple[str, ...],
    *,
    at_edge: _Array,
    held: _Array,
    robust: bool,
) -> Inference:
    """Covariance of the estimates by the delta method, and what is identified.

    Args:
        curvature: at the estimate.
        coordinates: readings of the d coordinates.
        names: of the k entries.
        at_edge: which entries are at an end of their domain, (k,) bool.
        held: which coordinates are held for that, (d,) bool.
        robust: sandwich instead of the classical form.

    Returns:
        Classical: H⁻¹, or s²(J'J)⁻¹ with s² = r'r / (n − rank). Robust: H⁻¹ S H⁻¹, or
        (J'J)⁻¹ J' diag(r²) J (J'J)⁻¹ · n / (n − rank) (HC1, MacKinnon & White 1985, J.
        Econometrics 29). Inverses are taken over the identified directions.
    """
    kept = np.flatnonzero(~held)
    spectrum = _spectrum(curvature, kept)
    s, V = spectrum.scale[:, None], spectrum.vectors
    upright, rank = V[:, spectrum.identified], int(spectrum.identified.sum())
    bread = s * (upright / spectrum.values[spectrum.identified]) @ upright.T * s.T
    natural = curvature.natural[:, kept]
    along_flat = np.linalg.norm(natural * s.T @ V[:, ~spectrum.identified], axis=1)
    size = np.linalg.norm(natural * s.T, axis=1)
    known = ~at_edge & (along_flat <= _LOADING * size) & spectrum.finite

    covariance = natural @ _sandwich(bread, curvature, kept, rank, robust) @ natural.T
    covariance = np.where(known[:, None] & known, covariance, np.nan)
    flat = np.zeros((len(kept) - rank, len(coordinates)))
    flat[:, kept] = (s * V[:, ~spectrum.identified]).T
    flat = _readable(flat if spectrum.finite else flat[:0])
    identification = Identification(
        eigenvalues=spectrum.values,
        rank=rank,
        coordinates=tuple(_coordinate_name(c) for c in coordinates),
        flat_directions=flat,
        not_identified=tuple(_direction(v, coordinates) for v in flat),
        identified=_identified(flat, kept, coordinates) if spectrum.finite else (),
        identified_parameters=tuple(n for n, yes in zip(names, known, strict=True) if yes),
        at_edge=tuple(n for n, edge in zip(names, at_edge, strict=True) if edge),
        is_minimum=spectrum.finite and not spectrum.bends_down,
    )
    return Inference(covariance, identification)


def _spectrum(curvature: Curvature, kept: _Array) -> _Spectrum:
    """Spectrum of the curvature in the kept coordinates, scaled to unit diagonal."""
    d, squares = len(kept), curvature.sum_of_squares is not None
    factor = curvature.factor[:, kept] if squares else curvature.factor[np.ix_(kept, kept)]
    if not (np.isfinite(curvature.factor).all() and np.isfinite(curvature.sum_of_squares or 0)):
        none = np.zeros(d, bool)
        return _Spectrum(np.ones(d), np.full(d, np.nan), np.eye(d), none, False, False)
    size = np.linalg.norm(factor, axis=0) if squares else np.sqrt(np.abs(np.diag(factor)))
    largest = size.max(initial=0.0) or 1.0
    # A column that is all rounding must not be blown up to unit length.
    scale = 1 / np.where(size > 10 * curvature.epsilon * largest, size, largest)
    if squares:
        _, singular, vectors_t = np.linalg.svd(factor * scale, full_matrices=True)
        values, vectors = np.zeros(d), vectors_t.T
        values[: len(singular)] = singular**2
        cut = curvature.epsilon
    else:
        ascending, vectors = np.linalg.eigh(scale[:, None] * (factor + factor.T) / 2 * scale)
        values, vectors = ascending[::-1], vectors[:, ::-1]
        cut = _hessian_cut(scale, curvature.gradient[kept], curvature.epsilon)
    cut *= np.abs(values).max(initial=0.0)
    bends_down = bool(values.min(initial=0.0) < -cut)
    return _Spectrum(scale, values, vectors, values > cut, bends_down, True)


def _hessian_cut(scale: _Array, gradient: _Array, epsilon: float) -> float:
    """Relative eigenvalue below which a Hessian is flat: rounding, or what the gradient leaves.

    Along a curved valley of equal loss a Hessian is off by the gradient that is left.
    """
    left = 10 * float(np.max(np.abs(gradient) * scale**2, initial=0.0))
    return max(float(np.sqrt(epsilon)), min(left, 1e-3))


def _sandwich(bread: _Array, curvature: Curvature, kept: _Array, rank: int, robust: bool) -> _Array:
    """Covariance of the coordinates; NaN where there is no likelihood or no degree of freedom."""
    meat = curvature.meat[np.ix_(kept, kept)]
    n = curvature.num_terms
    robust_form: _Array = bread @ meat @ bread
    if curvature.sum_of_squares is None:
        covariance = robust_form if robust else bread
        return covariance if curvature.is_likelihood else np.full_like(bread, np.nan)
    if not 0 < rank < n:
        return np.full_like(bread, np.nan)
    if robust:
        return robust_form * (n / (n - rank))
    return bread * (curvature.sum_of_squares / (n - rank))


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
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(lengths > 0, lengths, 1)
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
    """A combination in words: "sigma_v / sigma_u^2", or "log(a) - 0.5 mu" if not all are logs."""
    terms = [(c, at) for c, at in zip(v, coordinates, strict=True) if c != 0]
    if len(terms) == 1:
        return terms[0][1].label
    if all(at.is_log for _, at in terms):
        powers = [
            (c, at.label if np.isclose(abs(c), 1) else f"{at.label}^{abs(c):.3g}")
            for c, at in terms
        ]
        above = " · ".join(text for c, text in powers if c > 0)
        return above + "".join(f" / {text}" for c, text in powers if c < 0)
    # Coordinates that are not logs count in units of their scale.
    weights = [c if at.is_log else c / at.unit for c, at in terms]
    text = ""
    for weight, (_, at) in zip(weights, terms, strict=True):
        weight /= abs(weights[0])
        quantity = f"log({at.label})" if at.is_log else at.label
        sign = (" + " if weight > 0 else " - ") if text else ("" if weight > 0 else "-")
        text += sign + ("" if np.isclose(abs(weight), 1) else f"{abs(weight):.3g} ") + quantity
    return text

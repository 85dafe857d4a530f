"""Feature spaces: named blocks of a view's columns, each with its own variance and its own shrinkage."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

Array = Any
Spaces = Mapping[str, slice | Sequence[int] | Sequence[str] | NDArray]
Shrinkage = float | Mapping[str, float] | Sequence[float]


def space_columns(spaces: Spaces, n_columns: int, names: Sequence[str] | None = None) -> dict[str, NDArray]:
    """Column numbers of every feature space.

    Parameters
    ----------
    spaces : dict
        Name of the space → slice, column numbers, boolean mask, or column names. Every column belongs to exactly
        one space.
    n_columns : int
        p.
    names : sequence of str, optional
        Names of the columns.

    Returns
    -------
    dict of str to array of int

    Raises
    ------
    ValueError
        When a column is in two spaces or in none, or a name or number does not exist.
    """
    if not spaces:
        raise ValueError("there are no feature spaces: name at least one block of columns.")
    found = {name: _columns(name, block, n_columns, names) for name, block in spaces.items()}
    counts = np.bincount(np.concatenate(list(found.values())), minlength=n_columns)
    if np.any(counts != 1):
        column = int(np.flatnonzero(counts != 1)[0])
        raise ValueError(
            f"column {column} belongs to {counts[column]} feature spaces, but each of the {n_columns} columns belongs "
            "to exactly one."
        )
    return found


def check_shrinkage(shrinkage: Any) -> tuple[Shrinkage, Shrinkage]:
    """Shrinkage of both views, one value or a pair, each checked to lie in [0, 1]."""
    pair: Any = (shrinkage, shrinkage) if isinstance(shrinkage, Real) else shrinkage
    if isinstance(pair, np.ndarray):
        pair = pair.tolist()
    if not isinstance(pair, Sequence) or len(pair) != 2:
        raise ValueError(
            f"shrinkage={shrinkage} must be one value or a pair, one for each view; a view with feature spaces may "
            'have a dict, as in shrinkage=({"cnn": .9, "audio": .1}, .3).'
        )
    checked: list[Any] = []
    one: Any
    for one in pair:
        one = one.tolist() if isinstance(one, np.ndarray) else one
        values = np.asarray(list(one.values()) if isinstance(one, Mapping) else one, dtype=float)
        if not (values.size and np.all((values >= 0) & (values <= 1))):
            raise ValueError(f"shrinkage={shrinkage} must be between 0 (CCA) and 1 (PLS), one value or one per view.")
        checked.append(float(one) if values.ndim == 0 else one)
    return checked[0], checked[1]


def column_scale(
    variances: Array, standardise: bool, spaces: Mapping[str, NDArray] | None, shrinkage: Shrinkage
) -> tuple[Array | None, float]:
    """What to divide every column by, and the one shrinkage that is left to do then.

    With feature spaces every space is scaled to a total variance of 1. A shrinkage of their own, λ_b, is banded
    ridge: the covariance S + diag(κ) with κ_b = λ_b / (1-λ_b) · tr S / p. Dividing the columns of space b by √κ_b
    makes the penalty the identity, so that bands cost nothing beyond this scale, in the primal and in the dual.

    Parameters
    ----------
    variances : array, shape (p,)
    standardise : bool
        Divide by standard deviations first.
    spaces : dict of str to array of int, optional
        As `space_columns` gives them.
    shrinkage : float, or one per space

    Returns
    -------
    scale : array, shape (p,), or None for ones
    shrinkage : float

    References
    ----------
    Nunez-Elizalde, Huth & Gallant (2019), Voxelwise encoding models with non-spherical multivariate normal priors,
    NeuroImage 197:482-492, doi:10.1016/j.neuroimage.2019.04.012 (banded ridge).
    """
    xp = array_namespace(variances)
    scale = None
    if standardise:
        scale = xp.where(variances > 0, xp.sqrt(variances), xp.ones_like(variances))
        variances = xp.where(variances > 0, xp.ones_like(variances), variances)
    if spaces is None:
        if isinstance(shrinkage, Mapping | Sequence):
            raise ValueError(f"shrinkage {shrinkage} is one value per feature space, but the view has none.")
        return scale, shrinkage
    penalties = _penalties(spaces, shrinkage)
    factor, p = np.ones(variances.shape[0]), variances.shape[0]
    values = _to_numpy(variances)
    for name, columns in spaces.items():
        total = values[columns].sum()
        if not total > 0:
            raise ValueError(f"every column of the feature space {name!r} is constant over the samples of a fit.")
        factor[columns] = np.sqrt(total)
        if penalties is not None:
            factor[columns] *= np.sqrt(penalties[name] * len(spaces) / p)
    scaling = xp.asarray(factor, dtype=variances.dtype, device=device(variances))
    scale = scaling if scale is None else scale * scaling
    if penalties is None:
        return scale, _common(shrinkage)
    return scale, 1 / (1 + float(np.sum(values / factor**2)) / p)


def rotated_shrinkage(n_coordinates: int, n_columns: int, shrinkage: Shrinkage) -> tuple[float, float]:
    """Shrinkage of a view's coordinates that shrinks the view as its own columns would be shrunk.

    The target of the shrinkage is the mean variance, tr S / q, which coordinates spread over fewer columns, r. With
    ρ = r / q and c = 1 / (1-λ + λρ), the shrinkage λρ c of the coordinates gives c times the shrunk covariance.

    Parameters
    ----------
    n_coordinates, n_columns : int
        r and q.
    shrinkage : float
        λ, for the columns.

    Returns
    -------
    shrinkage : float
        For the coordinates.
    gain : float
        √c: what makes up for it in weights and variates.
    """
    if isinstance(shrinkage, Mapping | Sequence):
        raise ValueError(f"shrinkage {shrinkage} is one value per feature space, but coordinates have none.")
    ratio = n_coordinates / n_columns
    factor = 1 / (1 - shrinkage + shrinkage * ratio)
    return shrinkage * ratio * factor, factor**0.5


def _columns(name: str, block: Any, n_columns: int, names: Sequence[str] | None) -> NDArray:
    if isinstance(block, slice):
        return np.arange(n_columns)[block]
    values = np.atleast_1d(np.asarray(block))
    if values.dtype == bool and len(values) == n_columns:
        return np.flatnonzero(values)
    if values.dtype.kind in "UO" and values.size:
        order = {str(column): i for i, column in enumerate(() if names is None else names)}
        missing = sorted(set(map(str, values)) - set(order))
        if missing:
            raise ValueError(f"feature space {name!r} names the column {missing[0]!r}, which the view does not have.")
        return np.array([order[str(column)] for column in values])
    if values.size and (values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= n_columns):
        raise ValueError(f"feature space {name!r} must name columns between 0 and {n_columns - 1}: {block!r}.")
    return values.astype(int)


def _penalties(spaces: Mapping[str, NDArray], shrinkage: Shrinkage) -> dict[str, float] | None:
    """λ / (1-λ) of every space; None where all have the same λ, which is no matter of bands."""
    if isinstance(shrinkage, Mapping):
        if set(shrinkage) != set(spaces):
            raise ValueError(
                f"shrinkage is given for {sorted(shrinkage)}, but the feature spaces are {sorted(spaces)}."
            )
        own = {name: float(shrinkage[name]) for name in spaces}
    elif isinstance(shrinkage, Sequence):
        if len(shrinkage) != len(spaces):
            raise ValueError(f"shrinkage has {len(shrinkage)} values, but there are {len(spaces)} feature spaces.")
        own = dict(zip(spaces, map(float, shrinkage), strict=True))
    else:
        return None
    if len(set(own.values())) == 1:
        return None
    if not all(0 < value < 1 for value in own.values()):
        raise ValueError(f"shrinkages that differ between feature spaces must lie inside (0, 1): {own}.")
    return {name: value / (1 - value) for name, value in own.items()}


def _common(shrinkage: Shrinkage) -> float:
    if isinstance(shrinkage, Mapping):
        shrinkage = tuple(shrinkage.values())
    return float(shrinkage[0] if isinstance(shrinkage, Sequence) else shrinkage)


def _to_numpy(values: Array) -> NDArray:
    return np.asarray(values.cpu() if hasattr(values, "cpu") else values, dtype=float)

"""From an estimator and two views to whitened bases whose rows are exchangeable."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import is_numpy_array
from numpy.typing import ArrayLike, NDArray

from neurocca.inference.checks import check_rows
from neurocca.inference.nuisance import Nuisance, ResidualSpace
from neurocca.inference.prewhiten import Prewhiten, filtered
from neurocca.inference.schemes import Lengths, RowShuffle, Scheme, as_scheme, run_lengths

Array = Any


@dataclass(frozen=True)
class Bases:
    """Whitened bases and how their rows may be rearranged.

    Parameters
    ----------
    U, V : arrays, shapes (m, p) and (m, q)
        Where nuisance variables were removed m is what they leave of the n samples.
    lengths : tuple of int
        Rows that may change places with one another.
    scheme : Scheme
    name : str
        What was asked for.
    views : pair of arrays
        The rows before whitening, whose autocorrelation says whether the scheme is valid.
    n_free : int
        Dimensions that the rows of a basis can lie in.
    """

    U: Array
    V: Array
    lengths: Lengths
    scheme: Scheme
    name: str
    views: tuple[Array, Array]
    n_free: int


def whitened_bases(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    runs: ArrayLike | None = None,
    scheme: str | Scheme | Prewhiten = "circular_shift",
    nuisance: Any = None,
) -> Bases:
    """Bases of two views as a scheme needs them; see `permutation_test` for the arguments.

    Raises
    ------
    ValueError
        When views or nuisance variables do not fit, or do not go with the scheme.
    TypeError
        When the estimator has no ``whitened(X, y)``.
    """
    scheme = Prewhiten() if scheme == Prewhiten.name else scheme if isinstance(scheme, Prewhiten) else as_scheme(scheme)
    if y is None:
        if nuisance is not None or isinstance(scheme, Prewhiten):
            raise ValueError(
                "nuisance variables and autocorrelation must leave the views before these are whitened: call "
                "permutation_test(estimator, X, y, …) instead of handing over whitened bases."
            )
        U, V = check_rows(estimator, X, ("U", "V"))
        return Bases(U, V, run_lengths(runs, U.shape[0]), scheme, scheme.name, (U, V), U.shape[0] - 1)
    if not hasattr(estimator, "whitened"):
        raise TypeError(f"{type(estimator).__name__} has no whitened(X, y); held_out_test takes any estimator.")
    views = check_rows(X, y)
    lengths = run_lengths(runs, views[0].shape[0])
    if nuisance is None and not isinstance(scheme, Prewhiten):
        # as it came: a data frame's names may say which columns belong to which space
        U, V = estimator.whitened(X, y)
        return Bases(U, V, lengths, scheme, scheme.name, views, U.shape[0] - 1)
    if not isinstance(scheme, Prewhiten | RowShuffle):
        raise ValueError(
            f"nuisance variables do not go with {scheme.name}: residuals of a regression are not stationary, and "
            'shifting them rejects in up to 87 % of cases at 5 %. Use scheme="prewhiten" for time series and '
            '"row_shuffle" for independent samples.'
        )
    if not all(map(is_numpy_array, views)):
        raise TypeError("removing nuisance variables and prewhitening take numpy arrays.")
    return _without_nuisance(estimator, views, lengths, scheme, Nuisance.of(nuisance))


def _without_nuisance(
    estimator: Any, views: tuple[NDArray, NDArray], lengths: Lengths, scheme: RowShuffle | Prewhiten, nuisance: Nuisance
) -> Bases:
    X, Y = (view.astype(float) for view in views)
    Z_x, Z_y = nuisance.designs(lengths)
    if isinstance(scheme, Prewhiten):
        a = scheme.fit(Y, Z_y[:, len(lengths) :], lengths)  # without the means, which come first
        if scheme.per_column:
            Y = _filtered_columns(scheme, Y, Z_y, lengths, a)
        X, Z_x, Z_y = (filtered(view, a, lengths) for view in (X, Z_x, Z_y))
        Y = Y if scheme.per_column else filtered(Y, a, lengths)
    space = ResidualSpace.of(Z_y, nuisance.method)
    same = Z_x.shape == Z_y.shape and np.array_equal(Z_x, Z_y)
    x_space = space if same else ResidualSpace.of(Z_x, nuisance.method)
    # whitened as residuals, with a row per sample; then rotated into the rows in which y is exchangeable
    U, V = estimator.whitened(x_space.residuals(X, "X"), space.residuals(Y, "y"))
    U, V = space.rows(U), space.rows(V)
    return Bases(U, V, (len(U),), RowShuffle(), scheme.name, (U, V), len(U))


def _filtered_columns(scheme: Prewhiten, Y: NDArray, Z: NDArray, lengths: Lengths, a: NDArray) -> NDArray:
    """Every column of y by its own filter, without what it owes to the nuisance variables under that filter."""
    columns = []
    for j, own in enumerate(scheme.columns(Y, Z[:, len(lengths) :], lengths, a)):
        y, z = filtered(Y[:, [j]], own, lengths), filtered(Z, own, lengths)
        columns.append(y - z @ np.linalg.lstsq(z, y)[0])
    return np.hstack(columns)

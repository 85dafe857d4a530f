"""From an estimator and two views to whitened bases whose rows are exchangeable."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array
from numpy.typing import ArrayLike, NDArray

from neurocca.inference.censoring import inflation, prepared
from neurocca.inference.checks import check_rows
from neurocca.inference.nuisance import Nuisance, ResidualSpace
from neurocca.inference.plan import run_lengths
from neurocca.inference.prewhiten import Prewhiten, filtered, varying
from neurocca.inference.schemes import Lengths, RowShuffle, Scheme, as_scheme, starts

Array = Any
UNEQUAL = 1.25
"""Ratio of the sizes of errors in two runs from which on they are brought to one size."""


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
    inflation : float
        What makes up for samples in which V is missing, see `neurocca.inference.censoring`.
    """

    U: Array
    V: Array
    lengths: Lengths
    scheme: Scheme
    name: str
    views: tuple[Array, Array]
    n_free: int
    inflation: float = 1.0


def whitened_bases(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    runs: ArrayLike | None = None,
    scheme: str | Scheme | Prewhiten = "circular_shift",
    nuisance: Any = None,
    kept: ArrayLike | None = None,
) -> Bases:
    """Bases of two views as a scheme needs them; see `permutation_test` for the arguments.

    Raises
    ------
    ValueError
        When views or nuisance variables do not fit, or do not go with the scheme.
    TypeError
        When the estimator has no ``whitened(X, y)``.
    """
    found = scheme if isinstance(scheme, Prewhiten) else Prewhiten() if scheme == Prewhiten.name else as_scheme(scheme)
    if kept is not None:
        _check_censoring(estimator, y, found, nuisance)
        y, kept = prepared(X, y, kept, runs)
    if y is None:
        return _given_bases(estimator, X, runs, found, nuisance)
    _check_estimator(estimator)
    views = check_rows(X, y)
    lengths = run_lengths(runs, views[0].shape[0])
    if nuisance is not None or isinstance(found, Prewhiten):
        return _without_nuisance(estimator, (X, y), views, lengths, found, Nuisance.of(nuisance))
    if len(lengths) > 1 and not is_pairwise(estimator):
        # as they came otherwise: a data frame's names may say which columns belong to which space
        X, y = (_run_centred(_two_dimensional(view), lengths) for view in (X, y))
    U, V = estimator.whitened(X, y)
    n_censored = 0 if kept is None else int(np.sum(~np.asarray(kept)))
    return Bases(U, V, lengths, found, found.name, views, _free(U, V, lengths) - n_censored, inflation(kept))


def _check_censoring(estimator: Any, y: Any, scheme: Scheme | Prewhiten, nuisance: Any) -> None:
    if nuisance is not None or isinstance(scheme, Prewhiten):
        raise ValueError(
            "censored samples do not go with nuisance variables and prewhitening, which take complete series: take "
            "nuisance variables out beforehand, over the samples that are kept, and use another scheme."
        )
    if y is None or is_pairwise(estimator):
        raise ValueError("censored samples take two views of columns, not whitened bases or kernel matrices.")


def _given_bases(U: Any, V: Any, runs: ArrayLike | None, scheme: Scheme | Prewhiten, nuisance: Any) -> Bases:
    if hasattr(U, "whitened"):
        name = U.__name__ if isinstance(U, type) else type(U).__name__
        raise ValueError(f"y is missing: permutation_test({name}(…), X, y).")
    if nuisance is not None or isinstance(scheme, Prewhiten):
        raise ValueError(
            "nuisance variables and autocorrelation must leave the views before these are whitened: call "
            "permutation_test(estimator, X, y, …) instead of handing over whitened bases."
        )
    U, V = check_rows(U, V, ("U", "V"))
    lengths = run_lengths(runs, U.shape[0])
    return Bases(U, V, lengths, scheme, scheme.name, (U, V), _free(U, V, lengths))


def _check_estimator(estimator: Any) -> None:
    if isinstance(estimator, type):
        raise TypeError(f"{estimator.__name__} is a class: an estimator is wanted, such as {estimator.__name__}().")
    if not hasattr(estimator, "whitened"):
        raise TypeError(f"{type(estimator).__name__} has no whitened(X, y); held_out_test takes any estimator.")


def _without_nuisance(
    estimator: Any,
    given: tuple[Any, Any],
    views: tuple[NDArray, NDArray],
    lengths: Lengths,
    scheme: Scheme | Prewhiten,
    nuisance: Nuisance,
) -> Bases:
    if not isinstance(scheme, Prewhiten | RowShuffle):
        raise ValueError(
            f"nuisance variables do not go with {scheme.name}: residuals of a regression are neither stationary nor "
            'exchangeable (shifting them rejects in up to 87 % of cases at 5 %). Use scheme="prewhiten" for time '
            'series and "row_shuffle" for independent samples.'
        )
    if not all(map(is_numpy_array, views)):
        raise TypeError("removing nuisance variables and prewhitening take numpy arrays.")
    # columns that are constant but for rounding are to stay out of it: to the estimator a zero is a constant
    X, Y = (np.where(varying(view, lengths), view, 0.0) for view in views)
    Z_x, Z_y = nuisance.designs(lengths)
    if isinstance(scheme, Prewhiten):
        a = scheme.fit(Y, Z_y[:, len(lengths) :], lengths)  # without the means, which come first
        if scheme.per_column:
            Y = _filtered_columns(scheme, Y, Z_y, lengths, a)
        X, Z_x, Z_y = (filtered(view, a, lengths) for view in (X, Z_x, Z_y))
        Y = Y if scheme.per_column else filtered(Y, a, lengths)
        lengths = tuple(n - len(a) + 1 for n in lengths)
    # rows change places between runs: errors must be of one size
    sizes = _run_sizes(ResidualSpace.of(Z_y).residuals(Y, "y"), lengths)
    if sizes.max() > UNEQUAL * sizes.min():
        X, Y, Z_x, Z_y = (view / sizes for view in (X, Y, Z_x, Z_y))
    x_space, space = (ResidualSpace.of(Z, nuisance.method) for Z in (Z_x, Z_y))
    # whitened as residuals, with a row per sample; then rotated into exchangeable rows
    residuals = x_space.residuals(X, "X"), space.residuals(Y, "y")
    U, V = estimator.whitened(*(_named(left, view) for left, view in zip(residuals, given, strict=True)))
    # what leaves X only must not come back with y when its rows change places; it leaves the product U'V as it is
    space = x_space if nuisance.only_x else space
    U, V = space.rows(U), space.rows(V)
    return Bases(U, V, (len(U),), RowShuffle(), scheme.name, (U, V), len(U))


def _free(U: Array, V: Array, lengths: Lengths) -> int:
    """Dimensions that rows without a mean, or without means of runs, can lie in."""
    xp = array_namespace(U, V)
    means = [
        xp.max(xp.abs(xp.mean(basis[start : start + n, :], axis=0))) for basis in (U, V) for start, n in starts(lengths)
    ]
    return U.shape[0] - (len(lengths) if max(map(float, means)) < 1e-6 else 1)


def _two_dimensional(view: Any) -> Any:
    """A single series as one column."""
    return view if hasattr(view, "columns") or np.ndim(view) != 1 else np.asarray(view)[:, None]


def _run_sizes(residuals: NDArray, lengths: Lengths) -> NDArray:
    """Root mean square of every run's residuals, shape (n, 1), pooled over columns of equal weight."""
    overall = np.linalg.norm(residuals, axis=0)
    squares = (residuals / np.where(overall > 0, overall, 1)) ** 2
    per_run = [squares[start : start + n].mean() ** 0.5 for start, n in starts(lengths)]
    return np.repeat(np.where(np.array(per_run) > 0, per_run, 1.0), lengths)[:, None]


def _run_centred(view: Any, lengths: Lengths) -> Any:
    """The view without the means of runs; as it came where they are no more than rounding."""
    array = view if is_array_api_obj(view) else np.asarray(view, dtype=float)
    xp, parts = array_namespace(array), []
    for start, n in starts(lengths):
        run = array[start : start + n, ...]
        parts.append(run - xp.mean(run, axis=0))
    centred = xp.concat(parts)
    offsets, spread = xp.max(xp.abs(array - centred)), xp.max(xp.abs(centred))
    if float(offsets) <= 1e3 * float(xp.finfo(array.dtype).eps) * float(spread):
        return view
    return _named(centred, view)


def is_pairwise(estimator: Any) -> bool:
    """Whether the estimator takes kernel matrices, whose columns have no means to be taken out."""
    return hasattr(estimator, "__sklearn_tags__") and estimator.__sklearn_tags__().input_tags.pairwise


def _named(residuals: NDArray, view: Any) -> Any:
    """Residuals of a data frame as a data frame: its names may say which columns belong to which feature space."""
    return type(view)(residuals, columns=view.columns) if hasattr(view, "columns") else residuals


def _filtered_columns(scheme: Prewhiten, Y: NDArray, Z: NDArray, lengths: Lengths, a: NDArray) -> NDArray:
    """Every column of y by its own filter, without what it owes to the nuisance variables under that filter."""
    columns = []
    for j, own in enumerate(scheme.columns(Y, Z[:, len(lengths) :], lengths, a)):
        y, z = filtered(Y[:, [j]], own, lengths), filtered(Z, own, lengths)
        columns.append(y - z @ np.linalg.lstsq(z, y)[0])
    return np.hstack(columns)

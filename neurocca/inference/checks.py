"""What a test can see of its data before it starts: values it cannot use, and levels it will not hold."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array
from numpy.typing import NDArray

from neurocca.inference.options import is_whole, shown
from neurocca.inference.plan import Plan
from neurocca.inference.schemes import Lengths, RowShuffle
from neurocca.linalg import to_numpy

Array = Any
AUTOCORRELATED = 0.1
"""Lag-1 autocorrelation of both views above which samples do not count as independent."""
FEW_EFFECTIVE = 50
"""Independent samples that a run must be worth for shifts and random phases (``benchmarks/calibration.py``)."""
PER_STEP = 20
"""Independent samples that every component takes that is taken out before another is tested."""
COARSE = 0.01
"""Smallest p-value that is worth a warning."""


class InferenceWarning(UserWarning):
    """A test that is known not to hold its level on such data, or that can hardly find anything.

    Parameters
    ----------
    message : str
    plain : str, optional
        The same for readers who have not called the function.
    """

    def __init__(self, message: str, plain: str = "") -> None:
        super().__init__(message)
        self.plain = plain or message


def check_rows(X: Any, y: Any, names: tuple[str, str] = ("X", "y")) -> tuple[Array, Array]:
    """Two views as two-dimensional arrays with equal numbers of rows and finite values.

    Raises
    ------
    ValueError
        With the numbers.
    """
    views = []
    for view, name in ((X, names[0]), (y, names[1])):
        array = view if is_array_api_obj(view) else np.asarray(view)
        if is_numpy_array(array) and array.dtype.kind != "f":
            if array.dtype.kind not in "iub":
                raise ValueError(f"{name} must hold real numbers, not {array.dtype}.")
            array = array.astype(float)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{name} must be a non-empty (samples, columns) array, not {tuple(array.shape)}.")
        _check_finite(array, name)
        views.append(array)
    if views[0].shape[0] != views[1].shape[0]:
        raise ValueError(
            f"{names[0]} has {views[0].shape[0]} rows and {names[1]} has {views[1].shape[0]}: one of each per sample "
            "is needed."
        )
    return views[0], views[1]


def _check_finite(array: Array, name: str) -> None:
    xp = array_namespace(array)
    finite = xp.isfinite(array)
    if not bool(xp.all(finite)):
        bad = ~to_numpy(finite)
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{name} holds {int(bad.sum())} values that are not finite, the first in row {row}, column {column}."
        )


def check_separable(U: Array, V: Array, n_free: int) -> None:
    """Refuse bases that share directions whatever their rows are.

    Parameters
    ----------
    U, V : arrays, shapes (n, p) and (n, q)
    n_free : int
        Dimensions that the rows of a basis can lie in.

    Raises
    ------
    ValueError
        When p + q > n_free for two orthonormal bases: every null correlation would be 1. When one of them fills all
        dimensions by itself: rearranging its rows would change nothing.
    """
    p, q = U.shape[1], V.shape[1]
    for basis in (U, V):
        if basis.shape[1] >= n_free and _is_orthonormal(basis):
            raise ValueError(
                f"{basis.shape[1]} dimensions of a view that is not regularised are all that {U.shape[0]} samples "
                "leave: rearranging them changes nothing. Use shrinkage, or fewer principal axes."
            )
    if p + q > n_free and _is_orthonormal(U) and _is_orthonormal(V):
        raise ValueError(
            f"{p} and {q} dimensions of two views that are not regularised fill more than the {n_free} that "
            f"{U.shape[0]} samples leave: every null correlation would be 1. Use shrinkage, or fewer principal axes "
            f"(at most {n_free} for both views together)."
        )


def check_n_components(n_components: int | None, estimator: Any, U: Array, V: Array) -> int:
    """Components to be tested: those that are asked for, those of the estimator, or all.

    Raises
    ------
    ValueError
        When there are not as many, or it is no whole number.
    """
    limit = min(U.shape[1], V.shape[1])
    k = getattr(estimator, "n_components", None) if n_components is None else n_components
    k = limit if k is None else k
    if not is_whole(k) or not 1 <= k <= limit:
        raise ValueError(
            f"n_components={shown(k)} must be a whole number between 1 and {limit}: the views have {U.shape[1]} and "
            f"{V.shape[1]} dimensions."
        )
    return int(k)


def _is_orthonormal(U: Array) -> bool:
    xp = array_namespace(U)
    tolerance = max(1e-6, 3 * float(xp.finfo(U.dtype).eps) ** 0.5)
    return float(xp.max(xp.abs(xp.sum(U * U, axis=0) - 1))) < tolerance


def n_dimensions(U: Array) -> float:
    """Dimensions that a whitened basis fills, of which shrinkage leaves a part: (tr U'U)² / tr (U'U)²."""
    xp = array_namespace(U)
    products = U @ U.T if U.shape[1] > U.shape[0] else U.T @ U
    return float(xp.linalg.trace(products) ** 2 / xp.sum(products * products))


def warn_of_scheme(
    plan: Plan, views: Sequence[Array], dimensions: float | None = None, n_steps: int = 1, share: float = 1.0
) -> None:
    """Say so where a scheme does not hold its level on such data, or p-values are coarse.

    Parameters
    ----------
    plan : Plan
    views : pair of arrays, shapes (n, p) and (n, q)
    dimensions : float, optional
        Of both views together. None leaves out whether samples suffice for an in-sample test.
    n_steps : int
        Components that are tested one after the other.
    share : float
        Of the samples that are not censored.

    Warns
    -----
    InferenceWarning
    """
    available = plan.scheme.n_arrangements(plan.lengths, plan.t_r)
    if 1 / (1 + available) > COARSE:
        _warn(
            f"{plan.scheme.name} has {available:.0f} arrangements besides the observed one: no p-value can be below "
            f"{1 / (1 + available):.2g}.",
            f"there are only {available:.0f} ways to rearrange the film in time, so that no p-value can be below "
            f"{1 / (1 + available):.2g}.",
        )
    first, second = (autocorrelation(to_numpy(view), plan.lengths) for view in views)
    n = sum(plan.lengths)
    if plan.scheme.name == RowShuffle.name:
        noise = 3 / n**0.5
        if min(first[1], second[1]) > max(AUTOCORRELATED, noise):
            _warn(
                f"rows are not independent: neighbours correlate by {first[1]:.2f} and {second[1]:.2f} (mean of the "
                'columns), so row_shuffle will call almost anything related. Use "circular_shift".'
            )
    elif dimensions is not None and plan.scheme.name in ("circular_shift", "phase_randomize", "block_permute"):
        effective = effective_samples(first, second, n) * share
        per_run, steps = effective / len(plan.lengths), PER_STEP * (n_steps - 1)
        needed = max(FEW_EFFECTIVE, dimensions)
        if per_run < needed or effective < steps:
            _warn(
                f"{n} samples in {len(plan.lengths)} runs are worth {effective:.0f} independent ones, {per_run:.0f} "
                f"per run; the views have {dimensions:.0f} dimensions, of which {n_steps} are tested one by one: "
                f"with fewer than {needed:.0f} per run or {steps} in all, {plan.scheme.name} rejects too often "
                "(docs/inference.md has the rates). Trust held_out_test, or use fewer principal axes or components.",
                f"{n} volumes change so slowly that they are worth some {effective:.0f} independent ones, which is too "
                f"few for {dimensions:.0f} dimensions of film and brain: p here is too small. Go by that of the "
                "held-out test.",
            )


def autocorrelation(view: NDArray, lengths: Lengths, max_columns: int = 100) -> NDArray[np.float64]:
    """Mean autocorrelation of a view's columns inside runs.

    Parameters
    ----------
    view : array, shape (n, p)
    lengths : tuple of int
        Samples of each run.
    max_columns : int
        Of more columns, so many at equal distances are looked at.

    Returns
    -------
    array, shape (L,)
        At lags 0 to L - 1; L is a quarter of the longest run, at least 2.
    """
    step = -(-view.shape[1] // max_columns)
    products = np.zeros((max(2, max(lengths) // 4), -(-view.shape[1] // step)))
    start = 0
    for n in lengths:
        run = np.asarray(view[start : start + n, ::step], dtype=float)
        run = run - run.mean(axis=0)
        spectrum = np.abs(np.fft.rfft(run, n=2 * n, axis=0)) ** 2
        lagged = np.fft.irfft(spectrum, n=2 * n, axis=0)[: min(n, len(products))]
        products[: len(lagged)] += lagged
        start += n
    varying = products[0] > 0
    if not varying.any():
        return np.r_[1.0, np.zeros(len(products) - 1)]
    return np.mean(products[:, varying] / products[0, varying], axis=1)


def effective_samples(first: NDArray, second: NDArray, n: int) -> float:
    """Number of independent samples whose correlation varies as much as that of two autocorrelated series.

    Parameters
    ----------
    first, second : arrays, shape (L,)
        Autocorrelations.
    n : int
        Number of samples.

    References
    ----------
    Bartlett (1946), On the theoretical specification and sampling properties of autocorrelated time-series, Supplement
    to the Journal of the Royal Statistical Society 8:27-41, doi:10.2307/2983611.
    """
    both = first[1:] * second[1:]
    # beyond the first lag at which nothing is left, sample autocorrelations are noise
    gone = np.flatnonzero(both < 0.01)
    return n / (1 + 2 * both[: gone[0] if len(gone) else None].sum())


def _warn(text: str, plain: str = "") -> None:
    warnings.warn(InferenceWarning(text, plain), stacklevel=4)

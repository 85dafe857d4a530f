"""Samples of one view that are not to be trusted: censored volumes of BOLD.

The film has no gaps, only BOLD has. So the film is rearranged in full time, and what an arrangement brings beside a
censored volume does not count: there BOLD is set to its mean over the run's other volumes, which adds nothing to any
product with it. All algebra stays as it is, as whitening does: that of the film comes from all samples, which no
rearrangement changes, that of BOLD from those that are kept.

A correlation is then the covariance over kept samples, divided by the film's standard deviation over all samples and
BOLD's over kept ones. Formed over all samples it would be too small by the square root of the share that is kept, which
`inflation` makes up for, in the observed data and in every rearrangement alike.
"""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj
from numpy.typing import ArrayLike, NDArray

from neurocca.inference.plan import labelled_bounds

Array = Any
Bounds = list[tuple[int, int]]


def check_kept(kept: ArrayLike | None, bounds: Bounds) -> NDArray[np.bool_] | None:
    """Which samples count, or None where all do.

    Parameters
    ----------
    kept : array of bool, shape (n,), optional
    bounds : list of pairs of int
        First row and row after the last of each run.

    Raises
    ------
    ValueError
        When it is not a truth value per sample, or a run keeps fewer than three samples.
    """
    if kept is None:
        return None
    found, n = np.asarray(kept), bounds[-1][1]
    if found.dtype != bool or found.shape != (n,):
        raise ValueError(f"kept must be {n} truth values, one per sample, not {found.dtype} of shape {found.shape}.")
    for number, (start, stop) in enumerate(bounds, start=1):
        if (left := int(found[start:stop].sum())) < 3:
            raise ValueError(f"run {number} in order keeps {left} of {stop - start} samples: 3 are the least.")
    return None if found.all() else found


def without_censored(view: Any, kept: NDArray[np.bool_], bounds: Bounds) -> Any:
    """A view that is 0 in censored samples and has mean 0 over the others of every run.

    Parameters
    ----------
    view : array or data frame, shape (n, q)
        Values in censored samples are never used, and may be NaN.
    kept : array of bool, shape (n,)
    bounds : list of pairs of int

    Returns
    -------
    array or data frame, shape (n, q)
    """
    array = view if is_array_api_obj(view) else np.asarray(view, dtype=float)
    array = array[:, None] if array.ndim == 1 else array
    xp, parts = array_namespace(array), []
    for start, stop in bounds:
        rows = xp.asarray(kept[start:stop, None], device=device(array))
        run = xp.where(rows, array[start:stop, :], xp.zeros_like(array[start:stop, :]))
        mean = xp.sum(run, axis=0) / int(kept[start:stop].sum())
        parts.append(xp.where(rows, run - mean, run))
    filled = xp.concat(parts)
    return type(view)(filled, columns=view.columns) if hasattr(view, "iloc") and view.ndim == 2 else filled


def inflation(kept: NDArray[np.bool_] | None, rows: NDArray | slice = slice(None)) -> float:
    """What a correlation over all of some samples is to be multiplied by where BOLD is missing in some of them."""
    return 1.0 if kept is None else float(np.mean(kept[rows])) ** -0.5


def prepared(X: Any, y: Any, kept: ArrayLike | None, runs: Any) -> tuple[Any, NDArray[np.bool_] | None]:
    """BOLD as a test takes it, and which of its samples count; both as they came where all do."""
    if kept is None:
        return y, None
    n = len(X)
    bounds = [(0, n)] if runs is None else labelled_bounds(runs, n)
    found = check_kept(kept, bounds)
    # views of different lengths are complained about where views are checked
    return (y, found) if found is None or len(y) != n else (without_censored(y, found, bounds), found)

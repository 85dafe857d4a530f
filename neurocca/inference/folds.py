"""Which samples a fold fits and which it leaves out."""

import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import LeaveOneGroupOut, check_cv

from neurocca.inference.plan import check_labels

Bounds = list[tuple[int, int]]
Splitter = Any
"""A scikit-learn splitter, a number of folds, or an iterable of pairs of index arrays."""


@dataclass(frozen=True)
class Fold:
    """Rows of one fold.

    Parameters
    ----------
    train, test : arrays of int
        Rows that are fitted, and rows that are left out.
    label : hashable
        The group that is left out, or its groups in one string; the fold's number, from 1, where the rows that are
        left out are not whole groups.
    """

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    label: Hashable


def split_folds(
    X: NDArray, y: NDArray, bounds: Bounds, groups: NDArray, *, cv: Splitter | None = None, gap: float = 0.0
) -> list[Fold]:
    """Folds of a splitter, without training samples that lie close to the samples left out.

    Parameters
    ----------
    X, y : arrays, shapes (n, p) and (n, q)
    bounds : list of pairs of int
        First row and row after the last of each run.
    groups : array, shape (n,)
        Label of each row, for splitters that leave groups out.
    cv : scikit-learn splitter, int or iterable of pairs of index arrays, optional
        None leaves one group out at a time.
    gap : float
        In samples: training samples that are not further from a test sample of the same run are left out as well.

    Raises
    ------
    ValueError
        When there is one group only to leave out, a label is missing, rows are none of the n, samples are both fitted
        and left out, or a fold has fewer than 2 samples to fit or 3 to correlate.
    """
    n = len(X)
    if groups.shape != (n,):
        raise ValueError(f"groups has shape {groups.shape}, but there are {n} rows: one label per row is needed.")
    check_labels(groups, "groups")
    if cv is None and len(set(groups.tolist())) < 2:
        raise ValueError(
            "leaving a run or group out takes at least two of them, and there is one: give a splitter as cv to leave "
            "out parts of it."
        )
    splitter = LeaveOneGroupOut() if cv is None else check_cv(cv)
    folds = []
    for number, split in enumerate(splitter.split(X, y, groups), start=1):
        train, test = (_row_numbers(rows, n, number) for rows in split)
        folds.append(_purged(Fold(train, test, _label(test, groups, number)), bounds, gap))
    if not folds:
        raise ValueError("cv gives no folds: at least one is needed.")
    return folds


def whole_runs(rows: NDArray, bounds: Bounds) -> NDArray[np.intp] | None:
    """Numbers of the runs that rows make up, or None where they take a part of a run, or a row twice."""
    counts = np.bincount(rows, minlength=bounds[-1][1])
    runs = [np.unique(counts[start:stop]).tolist() for start, stop in bounds]
    if any(found not in ([0], [1]) for found in runs):
        return None
    return np.flatnonzero([found == [1] for found in runs])


def run_sizes(bounds: Bounds) -> NDArray[np.int64]:
    """Rows of each run."""
    return np.array([stop - start for start, stop in bounds])


@contextmanager
def groups_may_be_ignored() -> Iterator[None]:
    """No warning of scikit-learn's splitters, of groups that nobody but the test has given to them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The groups parameter is ignored")
        yield


def _row_numbers(rows: Any, n: int, number: int) -> NDArray[np.intp]:
    found = np.asarray(rows)
    if found.dtype.kind == "b" and found.shape == (n,):
        return np.flatnonzero(found)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(
            f"fold {number} of cv gives {found.dtype} of shape {found.shape}: row numbers in one dimension are needed."
        )
    wrong = found[(found < 0) | (found >= n)]
    if wrong.size:
        raise ValueError(f"fold {number} of cv gives row {wrong[0]}, and there are the rows 0 to {n - 1}.")
    return found.astype(np.intp)


def _label(test: NDArray, groups: NDArray, number: int) -> Hashable:
    left = list(dict.fromkeys(groups[test].tolist()))
    if not left or sum(label in left for label in groups.tolist()) != len(test):
        return number
    return left[0] if len(left) == 1 else ", ".join(map(str, left))


def _purged(fold: Fold, bounds: Bounds, gap: float) -> Fold:
    """The fold without training rows near a test row, after a check of what is left."""
    shared = np.intersect1d(fold.train, fold.test)
    if len(shared):
        raise ValueError(f"fold {fold.label!r}: {len(shared)} samples are both fitted and left out.")
    near = _near(fold.test, bounds, gap)[fold.train]
    train = fold.train[~near]
    if len(train) < 2:
        raise ValueError(
            f"fold {fold.label!r}: {len(train)} of {len(fold.train)} training samples are left after those within "
            f"{gap:g} samples of a left-out one are taken out: 2 are the least."
        )
    if len(fold.test) < 3:
        raise ValueError(f"fold {fold.label!r} leaves out {len(fold.test)} samples: a correlation takes at least 3.")
    return Fold(train, fold.test, fold.label)


def _near(test: NDArray, bounds: Bounds, gap: float) -> NDArray[np.bool_]:
    """Whether a row is within the gap of a test row of its run, shape (n,)."""
    reach, n = int(gap + 1e-9), bounds[-1][1]
    before = np.r_[0, np.cumsum(np.bincount(test, minlength=n))]  # test rows before each row
    near = np.zeros(n, dtype=bool)
    for start, stop in bounds:
        rows = np.arange(start, stop)
        near[rows] = before[np.minimum(rows + reach + 1, stop)] > before[np.maximum(rows - reach, start)]
    return near

"""What of a fold no rearrangement inside runs changes, and its held-out correlations from what one does change.

Rearranging rows inside runs changes the runs' cross-products and nothing else. No variate is formed: variances and
correlations of variates follow from weights, cross-products and scatter.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurocca.inference.folds import Bounds, run_sizes
from neurocca.linalg import top_eigenvectors

STACKED = 128
"""Up to this size numpy decomposes a stack of matrices faster than LAPACK finds the top of each."""
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class View:
    """A view in coordinates in which its columns, over all samples, are orthonormal.

    There the similarity of two variates is the cosine between their weights.

    Parameters
    ----------
    inside : array, shape (n, r)
        Coordinates without the runs' means.
    between : array, shape (runs, r)
        The runs' means.
    means : array, shape (runs, p)
        The runs' means in the view's own columns.
    R : array, shape (r, p)
        Takes weights for the view's columns to weights for the coordinates.
    """

    inside: NDArray
    between: NDArray
    means: NDArray
    R: NDArray

    @classmethod
    def of(cls, data: NDArray, bounds: Bounds) -> "View":
        """From a view, shape (n, p)."""
        data = data.astype(np.float64)
        # without pivots: also where columns depend on each other the first factor is orthonormal
        Q, R = np.linalg.qr(data - data.mean(axis=0))
        means, between = (np.array([rows[a:b].mean(axis=0) for a, b in bounds]) for rows in (data, Q))
        return cls(Q - np.repeat(between, run_sizes(bounds), axis=0), between, means, R)

    def factor(self, runs: NDArray, bounds: Bounds) -> NDArray:
        """F with F'F the scatter of some runs about their common mean, shape (m, r), m ≤ r or as few as samples."""
        rows = np.concatenate([self.inside[slice(*bounds[r])] + self.between[r] for r in runs])
        rows -= rows.mean(axis=0)
        return rows if len(rows) <= rows.shape[1] else np.asarray(np.linalg.qr(rows, mode="r"))


@dataclass(frozen=True)
class WhitenedFit:
    """What of a fit no rearrangement changes.

    Parameters
    ----------
    Wx, Wy : arrays, shapes (p, rx) and (q, ry)
        Whitening matrices, for coordinates of the views.
    between : array, shape (rx, ry)
        What the runs' means contribute to the whitened cross-product.
    absent : array of int
        Runs that the fit does not see.
    """

    Wx: NDArray
    Wy: NDArray
    between: NDArray
    absent: NDArray

    @classmethod
    def of(cls, whitening: Any, x: View, y: View, runs: NDArray, lengths: NDArray) -> "WhitenedFit":
        """From what an estimator's ``whitening`` gives for some runs."""
        (x_mean, Wx), (y_mean, Wy) = whitening
        present = np.isin(np.arange(len(lengths)), runs)
        seen = (lengths * present)[:, None]
        between = ((x.means - x_mean) @ Wx).T @ (seen * ((y.means - y_mean) @ Wy))
        return cls(x.R @ Wx, y.R @ Wy, between, np.flatnonzero(~present))

    def weights(self, cross: NDArray, total: NDArray, k: int) -> tuple[NDArray, NDArray]:
        """Weights of the first components for the views' coordinates, one component per row.

        Parameters
        ----------
        cross : array, shape (b, runs, p, q)
            Cross-products of some permutations, run by run.
        total : array, shape (b, p, q)
            The same of all runs.
        k : int

        Returns
        -------
        arrays, shapes (b, k, p) and (b, k, q)
        """
        C = total - _summed(cross, self.absent) if len(self.absent) else total
        T = _times(self.Wx.T @ C, self.Wy) + self.between
        A, B = _top_singular_vectors(T, k)
        return _times(A, self.Wx.T), _times(B, self.Wy.T)


@dataclass(frozen=True)
class LeftOut:
    """The runs that a fold leaves out.

    Parameters
    ----------
    runs : array of int
    between : array, shape (p, q)
        What their means contribute to their cross-product.
    Fx, Fy : arrays, shapes (·, p) and (·, q)
        Factors of their scatter.
    """

    runs: NDArray
    between: NDArray
    Fx: NDArray
    Fy: NDArray

    @classmethod
    def of(cls, x: View, y: View, runs: NDArray, bounds: Bounds) -> "LeftOut":
        """From the views and the runs that are left out."""
        n = run_sizes(bounds)[runs]
        means = [view.between[runs] - n @ view.between[runs] / n.sum() for view in (x, y)]
        return cls(runs, means[0].T @ (n[:, None] * means[1]), x.factor(runs, bounds), y.factor(runs, bounds))

    def correlations(self, cross: NDArray, a: NDArray, b: NDArray) -> NDArray:
        """Correlations of variates, shape (b, k), by weights of length 1; 0 where a variate is constant."""
        C = _summed(cross, self.runs) + self.between
        norms = [np.linalg.norm(_times(w, F.T), axis=2) for w, F in ((a, self.Fx), (b, self.Fy))]
        # coordinates are at most 1, and so are rows of weights
        negligible = np.minimum(*norms) <= EPS * max(self.Fx.shape + self.Fy.shape)
        return np.sum((a @ C) * b, axis=2) / np.where(negligible, np.inf, norms[0] * norms[1])


def _summed(cross: NDArray, runs: NDArray) -> NDArray:
    """Cross-products of some runs together, shape (b, p, q)."""
    found = cross[:, runs[0]]
    for run in runs[1:]:
        found = found + cross[:, run]
    return found


def _top_singular_vectors(T: NDArray, k: int) -> tuple[NDArray, NDArray]:
    """First k left and right singular vectors of a stack of matrices, one per row; right or left ones not scaled.

    Parameters
    ----------
    T : array, shape (b, m, n)

    Returns
    -------
    arrays, shapes (b, k, m) and (b, k, n)
        Zero where the singular value is.
    """
    m, n = T.shape[1:]
    if m > n:
        right, left = _top_singular_vectors(T.swapaxes(1, 2), k)
        return left, right
    squares = T @ T.swapaxes(1, 2)
    if m > STACKED:
        found = [top_eigenvectors(S, k) for S in squares]
        values, vectors = (np.stack(part) for part in zip(*found, strict=True))
        left = vectors.swapaxes(1, 2)
    else:
        values, vectors = np.linalg.eigh(squares)
        values, left = values[:, : -k - 1 : -1], vectors[:, :, : -k - 1 : -1].swapaxes(1, 2)
    # what rounding leaves of a zero
    real = values > n * EPS * values[:, :1]
    return left, (left * real[:, :, None]) @ T


def _times(stack: NDArray, W: NDArray) -> NDArray:
    """Product of every matrix of a stack, shape (b, m, n), with one, shape (n, r), at once."""
    b, m, n = stack.shape
    return (np.ascontiguousarray(stack).reshape(b * m, n) @ W).reshape(b, m, W.shape[1])

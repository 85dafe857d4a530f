"""Principal axes of a stream of rows: exact where their covariance fits in memory, incremental beyond."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, eigvalsh
from scipy.linalg.blas import dsyrk

from neurocca.errors import DataError, UsageError

EXACT_FEATURES = 4096
"""Most features whose covariance is kept (134 MB): principal components are exact up to here, and close beyond."""

SHARE_COMPONENTS = 512
"""Most components that a share of variance may need beyond `EXACT_FEATURES`."""

_SPARE = 50  # components followed beside those asked for: the last ones of an incremental fit are the least exact
_BATCH = 256  # rows of an exact fit's product, and fewest of an incremental one

Blocks = Callable[[], Iterable[NDArray]]
"""Gives the rows anew each time, in blocks of any sizes: arrays, shape (b, d)."""


@dataclass(frozen=True)
class PrincipalAxes:
    """Axes of greatest variance of n_samples rows.

    Parameters
    ----------
    mean : array, shape (d,)
    axes : array, shape (k, d)
        Orthonormal, of descending variance; the largest entry of each is positive.
    shares : array, shape (k,)
        Share of each in the variance of the rows.
    n_samples : int
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    shares: NDArray[np.float64]
    n_samples: int


def principal_axes(blocks: Blocks, n_components: int | float) -> PrincipalAxes:
    """Principal axes; see `neurocca.features.reduce.fit_pca`."""
    width = next((block.shape[-1] for block in blocks()), 0)
    if width <= EXACT_FEATURES:
        n, mean, covariance = _covariance(_batches(blocks, _BATCH))
        axes, total = None, float(np.trace(covariance))
    else:
        mean, axes, total = _incremental_axes(blocks, n_components)
        n, _, covariance = _covariance((rows - mean) @ axes.T for rows in _batches(blocks, _BATCH))
    # constant features leave no more than rounding errors of their mean
    if not total > n * np.square(mean * np.finfo(float).eps).sum():
        raise UsageError(f"principal components: all {n} rows are the same.")
    values, vectors = _top(covariance, n_components, total, n)
    found = vectors.T if axes is None else vectors.T @ axes
    largest = np.abs(found).argmax(axis=1)
    signs = np.sign(found[np.arange(len(found)), largest])
    return PrincipalAxes(mean, found * signs[:, None], values / total, n)


def _covariance(batches: Iterable[NDArray]) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Number and mean of rows, and the lower half of their covariance."""
    n, first, total, products = 0, None, np.zeros(0), None
    for rows in batches:
        if first is None or products is None:
            # relative to the first row: what is far from zero and hardly varies keeps its digits
            first, d = rows[0].astype(np.float64), rows.shape[1]
            total, products = np.zeros(d), np.zeros((d, d), order="F")
        relative = rows - first
        n, total = n + len(rows), total + relative.sum(axis=0)
        products = dsyrk(1.0, relative.T, beta=1.0, c=products, lower=1, overwrite_c=1)
    if first is None or products is None or n < 2:
        raise UsageError(f"principal components need at least 2 rows, and there are {n}.")
    products = dsyrk(-1.0 / n, total[:, None], beta=1.0, c=products, lower=1, overwrite_c=1)
    products /= n - 1
    return n, first + total / n, products


def _incremental_axes(
    blocks: Blocks, n_components: int | float
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean, axes (somewhat more than asked for) and total variance, by incremental principal component analysis."""
    from sklearn.decomposition import IncrementalPCA  # slow to import

    kept = SHARE_COMPONENTS if n_components < 1 else int(n_components) + _SPARE
    model = None
    for rows in _batches(blocks, max(2 * kept, _BATCH)):
        # the first batch is as long as it should be, or all there is
        model = model or IncrementalPCA(min(kept, *rows.shape))
        with np.errstate(divide="ignore", invalid="ignore"):  # black frames at the beginning: shares of a variance of 0
            model.partial_fit(rows)
    assert model is not None  # rows have a width, so there are some
    n = model.n_samples_seen_
    return model.mean_, model.components_, float(model.var_.sum() * n / max(n - 1, 1))


def _top(
    covariance: NDArray, n_components: int | float, total: float, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances of the axes that were asked for, descending, and the axes as columns."""
    values = eigvalsh(covariance, check_finite=False)[::-1]
    rank = int(np.sum(values > values[0] * n * np.finfo(float).eps))
    if n_components < 1:
        shares = np.cumsum(values[:rank]) / total
        k = int(np.sum(shares < n_components - 1e-12)) + 1  # rounding must not ask for one more
        if k > rank:
            raise UsageError(
                f"the first {rank} principal components have {shares[-1]:.3g} of the variance, less than "
                f"{n_components:g}: give their number, or a random projection before them (srp:2000+pca:…)."
            )
    else:
        k = int(n_components)
    if k > rank:
        raise UsageError(f"{k} principal components cannot be had: the {n} rows vary in {rank} dimensions.")
    d = len(covariance)
    values, vectors = eigh(covariance, subset_by_index=(d - k, d - 1), check_finite=False)
    return values[::-1], vectors[:, ::-1]


def _batches(blocks: Blocks, size: int) -> Iterator[NDArray]:
    """All rows in batches of so many; the last one may be shorter."""
    held: list[NDArray] = []
    seen = waiting = 0
    for block in blocks():
        _check(block, held[0].shape[1] if held else block.shape[-1], seen)
        held.append(block)
        seen, waiting = seen + len(block), waiting + len(block)
        if waiting >= size:
            rows = np.concatenate(held)
            whole = waiting // size * size
            yield from (rows[start : start + size] for start in range(0, whole, size))
            held, waiting = [rows[whole:].copy()], waiting - whole
    if waiting:
        yield np.concatenate(held)


def _check(block: NDArray, width: int, seen: int) -> None:
    if block.ndim != 2 or block.shape[1] != width:
        raise DataError(f"features after row {seen} have shape {block.shape}, those before have {width} columns.")
    bad = ~np.isfinite(block)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(f"features are not finite in row {seen + row}, column {column}: nothing is fitted on them.")

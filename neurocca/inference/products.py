"""Cross-products of whitened bases under rearrangement, of one view inside runs.

Whitening is not repeated, as a rearrangement leaves it as it is. For circular shifts all cross-covariances of a run at
all lags come from one Fourier transform, and a permutation adds up one of them per run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import scipy.fft
from array_api_compat import array_namespace, device, is_numpy_array
from numpy.typing import NDArray

from neurocca.inference.plan import Plan
from neurocca.inference.schemes import CircularShift, Lengths, starts
from neurocca.inference.stepdown import StepDown
from neurocca.linalg import LARGE

Array = Any
BLOCK = 256
"""Columns of the wider basis that are squared at once: fixed, so that memory limits do not change last digits."""
BATCH_BYTES = 2**22
"""Matrices of a batch stay in a processor's cache."""
TILES_PAY = 500
"""Shifts from which on a table that has to be made in tiles costs less than a product for each of them."""
AT_ONCE = 64
"""Columns whose Fourier coefficients are multiplied at once."""


@dataclass
class RowProducts:
    """Statistics of permutations by one matrix product each, or one for several where a basis is narrow.

    Parameters
    ----------
    U, V : arrays, shapes (n, p) and (n, q), p ≤ q
    step : StepDown
    plan : Plan
    """

    U: Array
    V: Array
    step: StepDown
    plan: Plan
    batch: int = field(init=False)

    def __post_init__(self) -> None:
        lengths, scheme = self.plan.lengths, self.plan.scheme
        self._moving = scheme.prepare(self.U @ self.step.rotation, lengths)
        self._still = scheme.prepare(self.V, lengths)
        p = self.U.shape[1]
        self.batch = 4 if p >= 2 * LARGE else max(1, 256 // p)

    def __call__(self, start: int, stop: int) -> NDArray:
        """Statistics of permutations ``start``, a multiple of the batch, to ``stop``: shape (stop - start, 1 + k)."""
        parts = [self._statistics(i, min(i + self.batch, stop)) for i in range(start, stop, self.batch)]
        return np.concatenate(parts)

    def _statistics(self, start: int, stop: int) -> NDArray:
        scheme, lengths, p = self.plan.scheme, self.plan.lengths, self.U.shape[1]
        xp = array_namespace(self.U)
        moved = [scheme.move(self._moving, self.plan[i], lengths) for i in range(start, stop)]
        product = (moved[0] if len(moved) == 1 else xp.concat(moved, axis=1)).T @ self._still
        T = xp.reshape(product, (stop - start, p, self.V.shape[1]))
        return self.step(T @ xp.matrix_transpose(T), T @ self.step.axes)


@dataclass
class ShiftProducts:
    """Statistics of circular shifts from a table of cross-covariances at all lags.

    Parameters
    ----------
    U, V : arrays, shapes (n, p) and (n, q), p ≤ q
    step : StepDown
    plan : Plan
        Of circular shifts.
    max_memory : int
        Bytes that the table may take. Where it would be larger it is made tile by tile, of columns of V, for as many
        permutations at a time as fit beside it.
    """

    U: Array
    V: Array
    step: StepDown
    plan: Plan
    max_memory: int
    batch: int = field(init=False)
    is_affordable: bool = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.plan.scheme, CircularShift):
            raise TypeError("a table of lags is for circular shifts.")
        self._rotated = self.U @ self.step.rotation
        self._guard = self.plan.scheme.guard(self.plan.t_r)
        (p, q), size = (self.U.shape[1], self.V.shape[1]), np.dtype(str(self.U.dtype).split(".")[-1]).itemsize
        per_permutation = size * (2 * p * min(q, BLOCK) + p * p) + 8 * 2 * (p + self.step.n_components) ** 2
        self.batch = self._inner = max(1, BATCH_BYTES // per_permutation)
        # the table, and the Fourier coefficients of the column at twice its length
        bytes_per_column = size * (p + 2) * self.U.shape[0]
        affordable = self.max_memory // 2 // bytes_per_column
        self.is_affordable = affordable >= min(BLOCK, self.V.shape[1])
        self._tile = self.V.shape[1] if affordable >= self.V.shape[1] else max(1, affordable // BLOCK) * BLOCK
        if self.fits:
            self._table = self._table_of(self.V)
        else:  # tiles are made for many batches at once
            self.batch *= max(1, self.max_memory // 2 // (size * p * (p + self.step.n_components)) // self.batch)

    @property
    def fits(self) -> bool:
        """Whether the whole table does."""
        return self._tile >= self.V.shape[1]

    def __call__(self, start: int, stop: int) -> NDArray:
        """Statistics of permutations ``start``, a multiple of the batch, to ``stop``: shape (stop - start, 1 + k)."""
        size = self.batch
        return np.concatenate([self._group_statistics(i, min(i + size, stop)) for i in range(start, stop, size)])

    def _group_statistics(self, start: int, stop: int) -> NDArray:
        lags = np.stack([self.plan[i] for i in range(start, stop)]) - self._guard
        xp, p = array_namespace(self.U), self.U.shape[1]
        kind = {"dtype": self._rotated.dtype, "device": device(self.U)}
        squares = xp.zeros((len(lags), p, p), **kind)
        head = xp.zeros((len(lags), p, self.step.n_components), **kind)
        batches = [slice(i, min(i + self._inner, len(lags))) for i in range(0, len(lags), self._inner)]
        for first, tables in self._tiles():
            for batch in batches:
                self._add(tables, first, lags[batch], squares[batch, ...], head[batch, ...])
        return np.concatenate([self.step(squares[batch, ...], head[batch, ...]) for batch in batches])

    def _tiles(self) -> Iterator[tuple[int, list[Array]]]:
        """Tables of some columns of V after the other, with the first of these columns."""
        if self.fits:
            yield 0, self._table.made()
        else:
            for first in range(0, self.V.shape[1], self._tile):
                yield first, self._table_of(self.V[:, first : first + self._tile]).made()

    def _table_of(self, columns: Array) -> "LagTables":
        return LagTables(self._rotated, columns, self.plan.lengths, self._guard)

    def _add(self, tables: list[Array], first: int, lags: NDArray, squares: Array, head: Array) -> None:
        """Add T T', and T times the canonical axes, of the columns of a tile for some permutations."""
        width = tables[0].shape[2]
        xp = array_namespace(squares)
        where = [xp.asarray(column, device=device(squares)) for column in np.ascontiguousarray(lags.T)]
        for start in range(0, width, BLOCK):
            stop = min(start + BLOCK, width)
            T = xp.take(tables[0][:, :, start:stop], where[0], axis=0)
            for table, index in zip(tables[1:], where[1:], strict=True):
                T += xp.take(table[:, :, start:stop], index, axis=0)
            squares += T @ xp.matrix_transpose(T)
            head += T @ self.step.axes[first + start : first + stop, :]


def products_of(U: Array, V: Array, step: StepDown, plan: Plan, max_memory: int) -> RowProducts | ShiftProducts:
    """What gives the statistics of the permutations of a plan at the least cost; arguments as in `ShiftProducts`."""
    if isinstance(plan.scheme, CircularShift):
        shifts = ShiftProducts(U, V, step, plan, max_memory)
        # where not even a tile fits, or few shifts are asked for, a product for each of them is the better way
        if shifts.fits or (shifts.is_affordable and len(plan) >= TILES_PAY):
            return shifts
    return RowProducts(U, V, step, plan)


class LagTables:
    """Cross-products of every run at all lags; made when they are asked for, by all threads that ask for them.

    Parameters
    ----------
    A, B : arrays, shapes (n, p) and (n, q)
    lengths : tuple of int
        Samples of each run.
    guard : int
        Lags closer to 0 than this, in both directions, are not wanted.
    """

    def __init__(self, A: Array, B: Array, lengths: Lengths, guard: int = 0) -> None:
        self._made_of = A, B, lengths, guard
        runs = [_LaggedRun(A[i : i + n, :], B[i : i + n, :]) for i, n in starts(lengths)]
        self._stages = [
            [_Task(work) for run in runs for work in (run.transform_A, run.transform_B)],
            [_Task(partial(run.fill, *piece)) for run in runs for piece in run.pieces()],
        ]
        self._tables = [run.table[guard : run.n - guard + 1, ...] for run in runs]

    def made(self) -> list[Array]:
        """One array per run, shape (lags, p, q): ``[l]`` is ``roll(A, l, axis=0).T @ B``, counted from the guard."""
        for tasks in self._stages:
            for wait in (False, True):  # first what nobody is at, then what others are at
                for task in tasks:
                    task.do(wait=wait)
        self._stages = []
        return self._tables

    def __reduce__(self) -> tuple:
        return type(self), self._made_of  # another process makes its own faster than it would read them


class _Task:
    """What is to be done once, by whoever comes first."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work
        self._lock = Lock()

    def do(self, *, wait: bool) -> None:
        if self._work is None or not self._lock.acquire(blocking=wait):
            return
        try:  # who fails leaves it to the next one
            if self._work is not None:
                self._work()
                self._work = None
        finally:
            self._lock.release()


class _LaggedRun:
    """Cross-products of one run at all lags, shape (n, p, q), by Fourier transforms."""

    def __init__(self, A: Array, B: Array) -> None:
        xp = array_namespace(A, B)
        self.n, p, q = A.shape[0], A.shape[1], B.shape[1]
        self._A, self._B = A, B
        self._fft = scipy.fft if is_numpy_array(A) else xp.fft
        # a length with large prime factors is slow: then correlate without wrapping, at a good length, and wrap after
        self._size = self.n if _is_smooth(self.n) else scipy.fft.next_fast_len(2 * self.n - 1, real=True)
        self.table = xp.empty((self.n, p, q), dtype=A.dtype, device=device(A))

    def transform_A(self) -> None:
        self._a = array_namespace(self._A).conj(self._fft.rfft(self._A.T, n=self._size, axis=1))

    def transform_B(self) -> None:
        self._b = self._fft.rfft(self._B.T, n=self._size, axis=1)

    def pieces(self) -> Iterator[tuple[int, slice]]:
        """A column of A and some of B, which stay in the cache."""
        p, q = self.table.shape[1:]
        return ((i, slice(j, min(j + AT_ONCE, q))) for i in range(p) for j in range(0, q, AT_ONCE))

    def fill(self, i: int, columns: slice) -> None:
        products = self._fft.irfft(self._a[i, :] * self._b[columns, :], n=self._size, axis=1)
        found = products[:, : self.n]
        if self._size > self.n:
            found[:, 1:] += products[:, self._size - self.n + 1 :]
        self.table[:, i, columns] = found.T


def lagged_products(A: Array, B: Array) -> Array:
    """Cross-products of A, rotated by every lag, with B: shape (n, p, q).

    Parameters
    ----------
    A, B : arrays, shapes (n, p) and (n, q)

    Returns
    -------
    array, shape (n, p, q)
        ``[l]`` is ``roll(A, l, axis=0).T @ B``.
    """
    return LagTables(A, B, (A.shape[0],)).made()[0]


def _is_smooth(n: int) -> bool:
    """Whether a transform of this length is not slower than one of twice the length."""
    for prime in (2, 3, 5, 7, 11, 13):
        while n % prime == 0:
            n //= prime
    return n == 1

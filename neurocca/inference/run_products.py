"""Cross-products of every run under rearrangements of one view inside runs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurocca.inference.plan import Plan
from neurocca.inference.products import LagTables
from neurocca.inference.schemes import CircularShift


def run_products(x: NDArray, y: NDArray, plan: Plan, max_memory: int) -> "MovedProducts | TabledProducts":
    """From permutations to cross-products of every run: from a table where shifts have one that fits into memory."""
    n, size = len(x) + 5 * max(plan.lengths), 8 * x.shape[1] * y.shape[1]  # the table, and what it takes to make it
    if isinstance(plan.scheme, CircularShift) and n * size <= max_memory:
        return TabledProducts(LagTables(x, y, plan.lengths, plan.scheme.guard(plan.t_r)), plan)
    return MovedProducts(plan.scheme.prepare(x, plan.lengths), plan.scheme.prepare(y, plan.lengths), plan)


@dataclass(frozen=True)
class MovedProducts:
    """Cross-products of rearranged rows with rows of the other view, shape (b, runs, p, q).

    Parameters
    ----------
    moving, still : arrays, shapes (n, p) and (n, q)
        In the coordinates in which the scheme moves rows.
    plan : Plan
    """

    moving: NDArray
    still: NDArray
    plan: Plan

    def __call__(self, start: int, stop: int) -> NDArray:
        """Permutations from ``start`` to ``stop``."""
        lengths = self.plan.lengths
        ends = np.cumsum(lengths)
        found = np.empty((stop - start, len(lengths), self.moving.shape[1], self.still.shape[1]))
        for i in range(start, stop):
            moved = self.plan.scheme.move(self.moving, self.plan[i], lengths)
            for r, (n, end) in enumerate(zip(lengths, ends, strict=True)):
                np.matmul(moved[end - n : end].T, self.still[end - n : end], out=found[i - start, r])
        return found


@dataclass(frozen=True)
class TabledProducts:
    """The same for circular shifts, from cross-products of every run at all lags that a permutation may have."""

    tables: LagTables
    plan: Plan

    def __call__(self, start: int, stop: int) -> NDArray:
        """Permutations from ``start`` to ``stop``."""
        guard = self.plan.scheme.guard(self.plan.t_r)  # type: ignore[attr-defined]
        lags = np.stack([self.plan[i] for i in range(start, stop)]) - guard
        return np.stack([table[lags[:, r]] for r, table in enumerate(self.tables.made())], axis=1)

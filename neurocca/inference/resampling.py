"""Rows drawn with replacement, and what a fit to them gives.

References
----------
Künsch (1989), The jackknife and the bootstrap for general stationary observations, Annals of Statistics 17:1217-1241,
doi:10.1214/aos/1176347265.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from neurocca.inference.fits import plain, winner
from neurocca.inference.loading_null import Kind, unit_columns
from neurocca.inference.schemes import Lengths

Pair = tuple[NDArray, NDArray]
FEWEST_RUNS = 3


class Resampling(Protocol):
    """What is drawn with replacement."""

    def draw(self, stream: Generator) -> NDArray[np.int64]:
        """Rows of one resample."""


@dataclass(frozen=True)
class WholeRuns:
    """As many runs as there are, with replacement."""

    lengths: Lengths

    @classmethod
    def of(cls, lengths: Lengths) -> "WholeRuns":
        """Of runs that are enough to vary."""
        if len(lengths) < FEWEST_RUNS:
            raise ValueError(
                f"drawing runs takes at least {FEWEST_RUNS} of them, and there {_are(len(lengths))}: "
                'unit="blocks" draws blocks inside runs.'
            )
        return cls(lengths)

    def draw(self, stream: Generator) -> NDArray[np.int64]:
        """Rows of the drawn runs, which are two different ones at least: of a single one nothing could be left out."""
        runs = list(map(np.arange, *_bounds(self.lengths)))
        drawn = np.zeros(len(runs), dtype=int)
        while len(set(drawn.tolist())) == 1:
            drawn = stream.integers(len(runs), size=len(runs))
        return np.concatenate([runs[i] for i in drawn])


@dataclass(frozen=True)
class MovingBlocks:
    """Blocks of consecutive samples from anywhere in a run, until the run has its length again.

    Parameters
    ----------
    lengths : tuple of int
    size : int
        Samples of a block; the last one of a run is cut.
    """

    lengths: Lengths
    size: int

    @classmethod
    def of(cls, lengths: Lengths, block: float, t_r: float) -> "MovingBlocks":
        """Blocks of that many seconds."""
        size = max(1, round(block / t_r))
        if size >= min(lengths):
            raise ValueError(
                f"a block of {size} samples ({size * t_r:g} s) is not shorter than a run of {min(lengths)} samples "
                f"({min(lengths) * t_r:g} s): there is nothing to draw."
            )
        return cls(lengths, size)

    def draw(self, stream: Generator) -> NDArray[np.int64]:
        """Rows of the drawn blocks, run by run."""
        rows = []
        for start, stop in zip(*_bounds(self.lengths), strict=True):
            firsts = stream.integers(start, stop - self.size + 1, size=-(-(stop - start) // self.size))
            rows.append((firsts[:, None] + np.arange(self.size)).ravel()[: stop - start])
        return np.concatenate(rows)


@dataclass(frozen=True)
class Fit:
    """Variates of length 1, shapes (n, k), and loadings, shapes (p, k) and (q, k), of one fit."""

    variates: Pair
    loadings: Pair

    @classmethod
    def of(cls, estimator: Any, X: Any, y: Any, labels: NDArray | None, kind: Kind) -> "Fit":
        """A clone fitted to these rows."""
        model = clone(estimator)
        groups = {} if labels is None else {"groups": labels}
        takes_groups = "cv" in model.get_params() or has_fit_parameter(model, "groups")
        model.fit(X, y, **(groups if takes_groups else {}))
        model = winner(model)
        takes_groups = "groups" in inspect.signature(model.transform).parameters
        U, V = (unit_columns(_floats(w)) for w in model.transform(X, y, **(groups if takes_groups else {})))
        x_variates, y_variates = (U, V) if kind == "own" else (V, U)
        x, y = (unit_columns(_floats(c)).T @ w for c, w in ((X, x_variates), (y, y_variates)))
        return cls((U, V), (np.clip(x, -1.0, 1.0), np.clip(y, -1.0, 1.0)))


def _bounds(lengths: Sequence[int]) -> tuple[list[int], list[int]]:
    """First rows of all runs, and the rows after the last."""
    edges = list(pairwise([0, *np.cumsum(lengths).tolist()]))
    return [start for start, _ in edges], [stop for _, stop in edges]


def _are(n: int) -> str:
    return "is one" if n == 1 else f"are {n}"


def _floats(view: Any) -> NDArray[np.floating]:
    array = plain(view)
    return array if array.dtype.kind == "f" else array.astype(float)

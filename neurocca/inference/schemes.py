"""Rearrangements of one view that destroy its relation to the other and keep what the view is by itself.

All act inside runs and keep the product of the view with itself, so that whitening need not be repeated. Which one is
valid depends on what is exchangeable: shuffling the rows of a time series destroys its autocorrelation too, and makes
almost any two series look related.

Arrays of rows may be of any library that follows the array API standard; random numbers are numpy's.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace, device
from numpy.random import Generator
from numpy.typing import NDArray

from neurocca.inference.options import is_number, shown

Array = Any
Lengths = tuple[int, ...]
UNCOUNTED = 2.0**53
"""More arrangements than this are as good as infinitely many."""


class Scheme(ABC):
    """How the rows of a view are rearranged; run lengths are in samples, times in seconds."""

    name: ClassVar[str]

    @abstractmethod
    def n_arrangements(self, lengths: Lengths, t_r: float) -> float:
        """Number of distinct arrangements besides the observed one; infinite where nobody would count them."""

    @abstractmethod
    def draw(self, stream: Generator, lengths: Lengths, t_r: float) -> NDArray:
        """One random arrangement."""

    def everything(self, lengths: Lengths, t_r: float) -> Iterator[NDArray]:
        """All arrangements besides the observed one."""
        return iter(())  # where there are infinitely many none is listed

    def prepare(self, view: Array, lengths: Lengths) -> Array:
        """The view in the coordinates in which it is moved: an orthonormal transform of its rows."""
        return view

    @abstractmethod
    def move(self, prepared: Array, arrangement: NDArray, lengths: Lengths) -> Array:
        """Rearranged rows, in the same coordinates."""

    def apply(self, view: Array, arrangement: NDArray, lengths: Lengths) -> Array:
        """Rearranged rows of a view, shape (n, m)."""
        return self.move(view, arrangement, lengths)


@dataclass(frozen=True)
class CircularShift(Scheme):
    """Rotate every run in time by a lag of its own; what leaves at one end enters at the other.

    Keeps autocorrelation and the correlation between columns. Valid for stationary series that are long beside their
    autocorrelation.

    Parameters
    ----------
    min_shift : float
        Shortest shift in seconds, in both directions: shorter ones leave the haemodynamic response (about 20 s) in
        place and are hardly another arrangement.

    References
    ----------
    Chung & Fraser (1958), Randomization tests for a multivariate two-sample problem, JASA 53:729-735; Lancaster et al.
    (2018), Surrogate data for hypothesis testing of physical systems, Physics Reports 748:1-60,
    doi:10.1016/j.physrep.2018.06.001.
    """

    min_shift: float = 20.0
    name: ClassVar[str] = "circular_shift"

    def __post_init__(self) -> None:
        if not (is_number(self.min_shift) and 0 <= self.min_shift < math.inf):
            raise ValueError(f"min_shift={shown(self.min_shift)} must be seconds, at least 0.")

    def guard(self, t_r: float) -> int:
        """Shortest shift in samples, at least one."""
        return max(1, math.ceil(self.min_shift / t_r - 1e-9))

    def lags(self, n: int, t_r: float) -> NDArray[np.int64]:
        """Lags that a run of n samples may be rotated by, in samples.

        Raises
        ------
        ValueError
            When the run is too short to have any.
        """
        guard = self.guard(t_r)
        if n < 2 * guard:
            raise ValueError(
                f"a run of {n} volumes has no circular shift of at least {guard} volumes ({guard * t_r:g} s) in both "
                f"directions: at least {2 * guard} volumes are needed."
            )
        return np.arange(guard, n - guard + 1)

    def n_arrangements(self, lengths: Lengths, t_r: float) -> float:
        return _counted(len(self.lags(n, t_r)) for n in lengths)

    def draw(self, stream: Generator, lengths: Lengths, t_r: float) -> NDArray:
        guard = self.guard(t_r)
        return stream.integers(guard, np.asarray(lengths) - guard + 1)

    def everything(self, lengths: Lengths, t_r: float) -> Iterator[NDArray]:
        return map(np.array, product(*(self.lags(n, t_r) for n in lengths)))

    def move(self, prepared: Array, arrangement: NDArray, lengths: Lengths) -> Array:
        return _take(prepared, rotation_order(lengths, arrangement))


@dataclass(frozen=True)
class PhaseRandomize(Scheme):
    """Add random phases to the Fourier coefficients of every run, the same ones to all columns of a view.

    Keeps the autocorrelation of every column and the correlations between columns at all lags, hence the covariance.
    Valid for stationary Gaussian series.

    References
    ----------
    Prichard & Theiler (1994), Generating surrogate data for time series with several simultaneously measured
    variables, Physical Review Letters 73:951-954, doi:10.1103/PhysRevLett.73.951.
    """

    name: ClassVar[str] = "phase_randomize"

    def n_arrangements(self, lengths: Lengths, t_r: float) -> float:
        if min(lengths) < 3:
            raise ValueError(f"a run of {min(lengths)} volumes has no phase to randomise: 3 volumes are the least.")
        return math.inf

    def draw(self, stream: Generator, lengths: Lengths, t_r: float) -> NDArray:
        return stream.uniform(0, 2 * np.pi, sum((n - 1) // 2 for n in lengths))

    def prepare(self, view: Array, lengths: Lengths) -> Array:
        """Orthonormal Fourier coefficients, run by run: mean and highest frequency, cosines, sines."""
        xp, parts = array_namespace(view), []
        for rows, n in _runs(view, lengths):
            spectrum = xp.fft.rfft(rows, axis=0) / n**0.5
            middle = 2**0.5 * spectrum[1 : (n - 1) // 2 + 1, :]
            ends = [xp.real(spectrum[:1, :])] + ([xp.real(spectrum[n // 2 :, :])] if n % 2 == 0 else [])
            parts += [*ends, xp.real(middle), xp.imag(middle)]
        return xp.concat(parts)

    def move(self, prepared: Array, arrangement: NDArray, lengths: Lengths) -> Array:
        xp, parts, start = array_namespace(prepared), [], 0
        phases = xp.asarray(arrangement, dtype=prepared.dtype, device=device(prepared))[:, None]
        cos, sin = xp.cos(phases), xp.sin(phases)
        for rows, n in _runs(prepared, lengths):
            m = (n - 1) // 2
            c, s = cos[start : start + m, :], sin[start : start + m, :]
            real, imaginary = rows[n - 2 * m : n - m, :], rows[n - m :, :]
            parts += [rows[: n - 2 * m, :], c * real - s * imaginary, s * real + c * imaginary]
            start += m
        return xp.concat(parts)

    def apply(self, view: Array, arrangement: NDArray, lengths: Lengths) -> Array:
        xp, parts = array_namespace(view), []
        moved = self.move(self.prepare(view, lengths), arrangement, lengths)
        for rows, n in _runs(moved, lengths):
            m = (n - 1) // 2
            middle = (rows[n - 2 * m : n - m, :] + 1j * rows[n - m :, :]) / 2**0.5
            ends = [rows[k : k + 1, :] + 0j for k in range(n - 2 * m)]
            parts.append(xp.fft.irfft(xp.concat([ends[0], middle, *ends[1:]]) * n**0.5, n=n, axis=0))
        return xp.concat(parts)


@dataclass(frozen=True)
class BlockPermute(Scheme):
    """Permute blocks of consecutive volumes inside every run.

    Keeps autocorrelation inside blocks and breaks it at their borders, so it is liberal unless blocks are long beside
    the autocorrelation; then there are few of them.

    Parameters
    ----------
    length : float
        Length of a block in seconds. The last block of a run is what is left.
    """

    length: float = 60.0
    name: ClassVar[str] = "block_permute"

    def __post_init__(self) -> None:
        if not (is_number(self.length) and 0 < self.length < math.inf):
            raise ValueError(f"length={shown(self.length)} of a block must be seconds, above 0.")

    def _borders(self, n: int, t_r: float) -> list[NDArray]:
        size = max(1, round(self.length / t_r))
        blocks = np.split(np.arange(n), np.arange(size, n, size))
        if len(blocks) < 2:
            raise ValueError(
                f"a run of {n} volumes holds one block of {size} volumes ({self.length:g} s): two are the least."
            )
        return blocks

    def n_arrangements(self, lengths: Lengths, t_r: float) -> float:
        return _counted(_factorial(len(self._borders(n, t_r))) for n in lengths) - 1

    def draw(self, stream: Generator, lengths: Lengths, t_r: float) -> NDArray:
        orders = []
        for start, n in starts(lengths):
            blocks = self._borders(n, t_r)
            orders += [start + blocks[i] for i in stream.permutation(len(blocks))]
        return np.concatenate(orders)

    def everything(self, lengths: Lengths, t_r: float) -> Iterator[NDArray]:
        runs = [[start + block for block in self._borders(n, t_r)] for start, n in starts(lengths)]
        orders = product(*(permutations(blocks) for blocks in runs))
        next(orders)  # as observed
        return (np.concatenate([np.concatenate(run) for run in order]) for order in orders)

    def move(self, prepared: Array, arrangement: NDArray, lengths: Lengths) -> Array:
        return _take(prepared, arrangement)


@dataclass(frozen=True)
class RowShuffle(Scheme):
    """Shuffle rows inside every run, or among all where there is one run. For independent samples only."""

    name: ClassVar[str] = "row_shuffle"

    def n_arrangements(self, lengths: Lengths, t_r: float) -> float:
        return _counted(map(_factorial, lengths)) - 1

    def draw(self, stream: Generator, lengths: Lengths, t_r: float) -> NDArray:
        return np.concatenate([start + stream.permutation(n) for start, n in starts(lengths)])

    def everything(self, lengths: Lengths, t_r: float) -> Iterator[NDArray]:
        orders = product(*(permutations(range(start, start + n)) for start, n in starts(lengths)))
        next(orders)  # as observed
        return (np.concatenate(order) for order in orders)

    def move(self, prepared: Array, arrangement: NDArray, lengths: Lengths) -> Array:
        return _take(prepared, arrangement)


@dataclass(frozen=True)
class SignFlip(Scheme):
    """Turn the sign of whole runs, one sign each: a run here is a subject, or what else is independent.

    Valid where every unit's relation is as likely to have the one sign as the other under the null hypothesis,
    whatever the autocorrelation inside. Columns should have mean 0 in every unit.
    """

    name: ClassVar[str] = "sign_flip"

    def n_arrangements(self, lengths: Lengths, t_r: float) -> float:
        if len(lengths) < 2:
            raise ValueError("flipping signs takes at least two subjects (labels in runs), and there is one.")
        return 2.0 ** (len(lengths) - 1) - 1  # turning all of them turns nothing

    def draw(self, stream: Generator, lengths: Lengths, t_r: float) -> NDArray:
        return np.concatenate([[1], stream.choice([-1, 1], len(lengths) - 1)])

    def everything(self, lengths: Lengths, t_r: float) -> Iterator[NDArray]:
        signs = product([1], *([[1, -1]] * (len(lengths) - 1)))
        next(signs)  # as observed
        return map(np.array, signs)

    def move(self, prepared: Array, arrangement: NDArray, lengths: Lengths) -> Array:
        xp = array_namespace(prepared)
        signs = np.repeat(arrangement, lengths)[:, None]
        return prepared * xp.asarray(signs, dtype=prepared.dtype, device=device(prepared))


SCHEMES: dict[str, type[Scheme]] = {
    scheme.name: scheme for scheme in (CircularShift, PhaseRandomize, BlockPermute, RowShuffle, SignFlip)
}


def as_scheme(scheme: str | Scheme) -> Scheme:
    """The scheme of that name, with its defaults."""
    if isinstance(scheme, Scheme):
        return scheme
    if not isinstance(scheme, str) or scheme not in SCHEMES:
        raise ValueError(f"scheme={scheme!r} is none of {', '.join(SCHEMES)} and prewhiten (in-sample test only).")
    return SCHEMES[scheme]()


def rotation_order(lengths: Sequence[int], lags: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Row order that rotates each run by its lag: row t of a run takes the place of row t + lag.

    Parameters
    ----------
    lengths : sequence of int, length R
    lags : sequence of int, length R
        In samples.

    Returns
    -------
    array, shape (Σ lengths,)
    """
    return np.concatenate(
        [start + (np.arange(n) - lag) % n for (start, n), lag in zip(starts(lengths), lags, strict=True)]
    )


def _take(rows: Array, order: NDArray) -> Array:
    xp = array_namespace(rows)
    return xp.take(rows, xp.asarray(order, device=device(rows)), axis=0)


def starts(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each run."""
    start = 0
    for n in lengths:
        yield start, n
        start += n


def _runs(rows: Array, lengths: Lengths) -> Iterator[tuple[Array, int]]:
    return ((rows[start : start + n, :], n) for start, n in starts(lengths))


def _counted(factors: Any) -> float:
    count = 1.0
    for factor in factors:
        count *= factor
        if count > UNCOUNTED:
            return math.inf
    return count


def _factorial(n: int) -> float:
    return float(math.factorial(n)) if n < 19 else math.inf

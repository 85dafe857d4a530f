"""The arrangements of one test, and the seeds and run labels that they come from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from neurocca.design import run_bounds
from neurocca.inference.options import is_number, shown, whole_number
from neurocca.inference.schemes import Lengths, Scheme, as_scheme


@dataclass(frozen=True)
class Plan:
    """The arrangements of one test: all there are, or random ones, each from a random stream of its own.

    The first B of many are the B of few, and any of them can be had without the others.

    Parameters
    ----------
    scheme : Scheme
    lengths : tuple of int
        Samples of each run.
    t_r : float
        Seconds per sample.
    n : int
        Number of arrangements.
    seed : SeedSequence, or None where all arrangements are listed
    listed : tuple of arrays
        All arrangements, where there are not more than were asked for.
    """

    scheme: Scheme
    lengths: Lengths
    t_r: float
    n: int
    seed: SeedSequence | None
    listed: tuple[NDArray, ...] = ()

    @property
    def is_exhaustive(self) -> bool:
        """Whether all arrangements are there."""
        return self.seed is None

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> NDArray:
        """The i-th arrangement."""
        if not 0 <= i < self.n:
            raise IndexError(f"arrangement {i} of {self.n}")
        if self.seed is None:
            return self.listed[i]
        return self.scheme.draw(np.random.default_rng(child_seed(self.seed, i)), self.lengths, self.t_r)


def plan_permutations(
    scheme: str | Scheme,
    lengths: Sequence[int],
    n_permutations: int,
    *,
    t_r: float = 1.0,
    rng: int | Generator | SeedSequence = 0,
) -> Plan:
    """Random arrangements, or all there are when that is not more than asked for.

    Parameters
    ----------
    scheme : str or Scheme
        A name gives the scheme with its defaults.
    lengths : sequence of int
        Samples of each run.
    n_permutations : int
    t_r : float
        Seconds per sample; 1 makes every time a number of samples.
    rng : int, Generator or SeedSequence

    Raises
    ------
    ValueError
        When a run is too short for the scheme, or a number is out of its range.
    TypeError
        When ``rng`` is none of the above: None would give other results every time.
    """
    n_permutations = whole_number(n_permutations, "n_permutations")
    check_t_r(t_r)
    found, sizes = as_scheme(scheme), tuple(int(n) for n in lengths)
    seed = seed_sequence(rng)
    available = found.n_arrangements(sizes, t_r)
    if available < 1:
        raise ValueError(f"{found.name}: runs of {_shown(sizes)} samples have one arrangement only.")
    if available <= n_permutations:
        return Plan(found, sizes, t_r, int(available), None, tuple(found.everything(sizes, t_r)))
    return Plan(found, sizes, t_r, n_permutations, seed)


def check_t_r(t_r: float) -> None:
    """Refuse what is no time between samples."""
    if not (is_number(t_r) and 0 < t_r < math.inf):
        raise ValueError(f"t_r={shown(t_r)} must be seconds per sample, above 0.")


def seed_sequence(rng: int | Generator | SeedSequence) -> SeedSequence:
    """Root of all random streams of a test; a generator gives another one at every call."""
    if isinstance(rng, SeedSequence):
        return rng
    if isinstance(rng, Generator):
        return rng.bit_generator.seed_seq.spawn(1)[0]  # type: ignore[attr-defined]
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer):
        raise TypeError(f"rng must be an integer seed or a numpy Generator, not {type(rng).__name__}.")
    if rng < 0:
        raise ValueError(f"rng={rng} must not be negative.")
    return SeedSequence(int(rng))


def child_seed(seed: SeedSequence, i: int) -> SeedSequence:
    """What ``seed.spawn`` would give as the i-th, without the others and without a trace."""
    return SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, i), pool_size=seed.pool_size)


def run_lengths(runs: Any, n: int) -> Lengths:
    """Samples of each run; one run where no labels are given."""
    return (n,) if runs is None else tuple(stop - start for start, stop in labelled_bounds(runs, n))


def labelled_bounds(runs: Any, n: int) -> list[tuple[int, int]]:
    """First row and row after the last of each run.

    Raises
    ------
    ValueError
        When a label is missing or comes back, or there are not n of them.
    """
    labels = np.asarray(runs)
    check_labels(labels, "runs")
    return run_bounds(labels, n)


def check_labels(labels: NDArray, name: str) -> None:
    """Refuse labels that are NaN: each would be unlike any other, and a run or group by itself."""
    if labels.dtype.kind not in "fO":
        return
    missing = np.flatnonzero([isinstance(label, float) and math.isnan(label) for label in labels.ravel().tolist()])
    if len(missing):
        raise ValueError(
            f"{name} holds {len(missing)} labels that are NaN, the first in row {missing[0]}: every row needs one."
        )


def _shown(lengths: Lengths) -> str:
    return ", ".join(map(str, lengths[:8])) + (", …" if len(lengths) > 8 else "")

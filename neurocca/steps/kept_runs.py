"""Cleaned runs: what each of them is made from, and the columns of all of them, in the work directory or in memory."""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import neurocca
from neurocca.cca.coordinates import coordinates
from neurocca.cca.scoring import loadings
from neurocca.config import AlignConfig
from neurocca.io.cleaned import BLOCK, CleanedRun, KeptRuns, RunCache, key_of
from neurocca.io.recording import Recording, RunFiles
from neurocca.steps.inputs import Digest
from neurocca.temporal.clean import Cleaned

if TYPE_CHECKING:
    from neurocca.io.atlas import Atlas

log = logging.getLogger(__name__)

_OPTIONS = (
    "confounds",
    "fd_threshold",
    "dvars_threshold",
    "drift",
    "high_pass",
    "low_pass",
    "standardize_bold",
    "smoothing_fwhm",
    "min_coverage",
)
"""All of the configuration that cleaned BOLD depends on, but for files and the cut."""


@dataclass(frozen=True)
class RunKeeper:
    """The cleaned runs of one recording, in the work directory if there is one.

    Parameters
    ----------
    recording : Recording
    align : AlignConfig
    atlas : Atlas or None
    cache : RunCache or None
        None keeps nothing.
    digest : callable
        Of files.
    """

    recording: Recording
    align: AlignConfig
    atlas: "Atlas | None"
    cache: RunCache | None
    digest: Digest

    def kept(self, run: RunFiles, cut: tuple[int, int]) -> CleanedRun | None:
        """What an earlier call has kept of a run with the same inputs."""
        if self.cache is None:
            return None
        key = self.key(run, cut)
        found = self.cache.load(key)
        if found is not None:
            log.info(
                "sub-%s run %s: cleaned BOLD is that of %s", self.recording.subject, run.label, self.cache.path(key)
            )
        return found

    def keep(self, run: RunFiles, cut: tuple[int, int], cleaned: Cleaned, n_volumes: int) -> None:
        """Keep a run for later calls."""
        if self.cache is not None:
            self.cache.keep(self.key(run, cut), CleanedRun(cleaned, n_volumes))

    def path(self, run: RunFiles, cut: tuple[int, int]) -> Path:
        """Where a run is kept."""
        if self.cache is None:
            raise ValueError("no run is kept without a work directory.")
        return self.cache.path(self.key(run, cut))

    def key(self, run: RunFiles, cut: tuple[int, int]) -> str:
        """Digest of all that the cleaned BOLD of a run depends on: contents of files, not their names and times."""
        beside = [] if run.confounds is None else [run.confounds, run.confounds.with_suffix(".json")]
        options = asdict(self.align)
        return key_of(
            {
                "neurocca": neurocca.__version__,
                "bold": [self.digest(path) for path in run.bold],
                "brain": self._brain,
                "confounds": [run.confounds_kind, *(self.digest(path) for path in beside if path.is_file())],
                "options": {name: options[name] for name in _OPTIONS},
                "t_r": self.recording.t_r,
                "cut": list(cut),
                "expected": run.n_volumes,
            }
        )

    @cached_property
    def _brain(self) -> list[Any]:
        """What says which columns there are: masks, or where there are none all runs, the region and the atlas."""
        runs = self.recording.runs
        places = self.recording.masks or [path for run in runs for path in run.bold]
        # masks lie on the grid of the first run
        found: list[Any] = [self.digest(path) for path in (*runs[0].bold, *places)]
        found.append(self.digest(Path(self.align.mask)) if self.align.mask else "")
        if self.atlas is not None:
            found += [self.digest(self.atlas.path), list(self.atlas.labels), self.atlas.values.tolist()]
        return found


@dataclass(frozen=True)
class HeldRuns:
    """The usable columns of all runs of a subject, in memory; gives the blocks that `KeptRuns` gives.

    Parameters
    ----------
    data : array, shape (n, m)
    usable : array of bool, shape (q,)
        Which columns there are, m of them.
    """

    data: NDArray[np.floating]
    usable: NDArray[np.bool_]

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        """Columns, some at a time."""
        ends = np.cumsum([self.usable[start : start + BLOCK].sum() for start in range(0, len(self.usable), BLOCK)])
        for start, stop in zip([0, *ends[:-1]], ends, strict=True):
            # products depend in their last digits on how an array lies in memory
            yield slice(start, stop), np.ascontiguousarray(self.data[:, start:stop])


@dataclass(frozen=True)
class WideRuns:
    """All usable columns of a subject, looked at block by block.

    Parameters
    ----------
    runs : KeptRuns or HeldRuns
        On disk, so that no more than a block is in memory, or in memory.
    n_samples : int
        In all runs.
    """

    runs: KeptRuns | HeldRuns
    n_samples: int

    @property
    def n_columns(self) -> int:
        """Number of usable columns."""
        return int(self.runs.usable.sum())

    @property
    def is_wide(self) -> bool:
        """Whether columns are more than samples, so that coordinates are fewer."""
        return self.n_columns > self.n_samples

    def all_columns(self) -> NDArray[np.floating]:
        """All columns in memory, shape (n, q)."""
        if isinstance(self.runs, HeldRuns):
            return self.runs.data
        found = np.empty((self.n_samples, self.n_columns), dtype=np.float32)
        for columns, block in self.runs.blocks():
            found[:, columns] = block
        return found

    def columns(self) -> Iterator[NDArray[np.floating]]:
        """All columns, a block after the other."""
        return (block for _, block in self.runs.blocks())

    def coordinates(self) -> NDArray[np.float64]:
        """Coordinates of the samples, shape (n, r); see `neurocca.cca.coordinates`."""
        return coordinates(self.columns(), self.n_samples)

    def thinned(self, n: int) -> NDArray[np.floating]:
        """Every second, third, … column, so that there are n or fewer."""
        step = -(-self.n_columns // n)
        # copies: a part of a block would hold on to all of it
        parts = [block[:, -columns.start % step :: step].copy() for columns, block in self.runs.blocks()]
        return np.concatenate(parts, axis=1)

    def loadings(self, *variates: NDArray) -> Iterator[NDArray]:
        """Correlations of all columns with variates, each of shape (n, k), in one pass: shapes (q, k)."""
        found = [loadings(block, np.hstack(variates)) for _, block in self.runs.blocks()]
        widths = np.cumsum([part.shape[1] for part in variates])[:-1]
        yield from np.split(np.concatenate(found), widths, axis=1)

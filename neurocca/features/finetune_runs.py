"""Runs of a film as a fine-tuning takes them: frames, targets, and which frames a target depends on."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.random import SeedSequence
from numpy.typing import NDArray
from torch import Tensor

from neurocca.errors import UsageError
from neurocca.features.finetune_recipe import FineTuning
from neurocca.features.finetune_trunk import Trunk

Allocate = Callable[[tuple[int, ...]], NDArray[np.float32]]
"""Gives an array of so many numbers, in memory or mapped from a file; called once per run and view."""

Stretch = tuple[int, int, int]
"""Index of a run, first row of targets, row after the last."""


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """One run of a film with what is to be learnt from it.

    Parameters
    ----------
    label : str
        Name of the run.
    frames : array, shape (t, H, W, 3), uint8
        RGB; may be mapped from a file.
    targets : array, shape (n,) or (n, q)
        One row per volume, or per frame where there is no ``response``.
    response : array, shape (n, t), optional
        Turns a series of frames into one of volumes: the haemodynamic response, as
        `neurocca.temporal.hrf.hrf_matrix` gives it.
    shots : array of int, shape (t,), optional
        Shot that each frame belongs to: frames of a shot are augmented alike. Without it, the whole run is.

    Raises
    ------
    UsageError
        When these do not fit each other.
    """

    label: str
    frames: NDArray[np.uint8]
    targets: NDArray
    response: NDArray[np.float64] | None = None
    shots: NDArray[np.int_] | None = None

    def __post_init__(self) -> None:
        t = len(self.frames)
        if self.frames.ndim != 4 or self.frames.shape[3] != 3 or self.frames.dtype != np.uint8 or not t:
            raise UsageError(
                f"run {self.label}: frames are {self.frames.dtype} of shape {self.frames.shape}, "
                "expected uint8 (frames, height, width, 3)."
            )
        shape = (len(self.targets), t)
        if self.response is None and len(self.targets) != t:
            raise UsageError(f"run {self.label}: {len(self.targets)} targets for {t} frames.")
        if self.response is not None and self.response.shape != shape:
            raise UsageError(f"run {self.label}: a response of shape {self.response.shape}, expected {shape}.")
        if self.shots is not None and len(self.shots) != t:
            raise UsageError(f"run {self.label}: {len(self.shots)} shot numbers for {t} frames.")

    def digest(self) -> str:
        """SHA-256 of the frames, by which a stretch of film is known whatever it is called."""
        digest = hashlib.sha256(str(self.frames.shape).encode())
        for start in range(0, len(self.frames), 256):
            digest.update(np.ascontiguousarray(self.frames[start : start + 256]).data)
        return digest.hexdigest()

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """First frame that rows of targets depend on, and the frame after the last."""
        if self.response is None:
            return start, stop
        columns = np.flatnonzero(self.response[start:stop].any(axis=0))
        return (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, 1)


@dataclass(frozen=True)
class SeenRun:
    """A run that had a part in a fine-tuning: on it the network must not be evaluated.

    ``sha256`` is the digest of its frames.
    """

    label: str
    role: Literal["training", "stopping"]
    sha256: str


def seen_runs(training: Sequence[TrainingRun], stopping: Sequence[TrainingRun]) -> tuple[SeenRun, ...]:
    """Record of the runs.

    Raises
    ------
    UsageError
        When there are no training runs, or a run or its frames come twice.
    """
    if not training:
        raise UsageError("no runs to train on.")
    records = [SeenRun(str(run.label), "training", run.digest()) for run in training]
    records += [SeenRun(str(run.label), "stopping", run.digest()) for run in stopping]
    for i, record in enumerate(records):
        for other in records[:i]:
            if record.label == other.label or record.sha256 == other.sha256:
                raise UsageError(
                    f"{record.role} run {record.label} is {other.role} run {other.label}: each may come once."
                )
    return tuple(records)


def check_unseen(seen: Sequence[SeenRun], label: str, sha256: str) -> None:
    """Raise UsageError when a run is one of those seen, by its name or its frames."""
    for record in seen:
        if str(label) == record.label or sha256 == record.sha256:
            raise UsageError(
                f"run {label} had a part in the fine-tuning ({record.role} run {record.label}): nothing can be "
                "evaluated on it."
            )


class Source:
    """What the trained part of a network is given of one run: computed once where that can be.

    Parameters
    ----------
    run : TrainingRun
    index : int
        Among the runs; keeps their augmentations apart.
    trunk : Trunk
    recipe : FineTuning
    allocate : callable, optional
        See `Allocate`; memory by default.
    """

    def __init__(
        self, run: TrainingRun, index: int, trunk: Trunk, recipe: FineTuning, allocate: Allocate | None = None
    ) -> None:
        self.run, self._trunk, self._recipe = run, trunk, recipe
        self._seed = int(SeedSequence([recipe.seed, index]).generate_state(1)[0])
        self._allocate: Allocate = allocate or (lambda shape: np.empty(shape, np.float32))
        self._kept: dict[int | None, NDArray[np.float32]] = {}
        self._device = next(trunk.module.parameters()).device
        self.targets = torch.from_numpy(np.ascontiguousarray(run.targets, dtype=np.float64)).to(self._device)

    def __call__(self, start: int, stop: int, view: int | None = None) -> Tensor:
        """What `Trunk.prepare` makes of frames, augmented where a view is asked for."""
        if not self._trunk.keeps or (view is not None and not self._recipe.n_views):
            return self._prepared(start, stop, view)
        if view not in self._kept:
            self._kept[view] = self._whole(view)
        return torch.from_numpy(self._kept[view][start:stop]).to(self._device)

    def response(self, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor | None:
        """Part of the run's response, in double precision."""
        if self.run.response is None:
            return None
        part = np.ascontiguousarray(self.run.response[slice(*rows), slice(*columns)], dtype=np.float64)
        return torch.from_numpy(part).to(self._device)

    def _prepared(self, start: int, stop: int, view: int | None) -> Tensor:
        # a copy: torch takes no read-only arrays, and a mapped file must not change
        frames = torch.from_numpy(np.array(self.run.frames[start:stop])).to(self._device)
        if view is not None and self._recipe.augmentation is not None:
            shots = None if self.run.shots is None else self.run.shots[start:stop]
            frames = self._recipe.augmentation(frames, seed=self._seed, view=view, shots=shots)
        return self._trunk.prepare(frames)

    def _whole(self, view: int | None) -> NDArray[np.float32]:
        t, step, kept = len(self.run.frames), self._recipe.frames_per_pass, None
        for start in range(0, t, step):
            part = self._prepared(start, min(start + step, t), view).cpu().numpy()
            if kept is None:
                kept = self._allocate((t, *part.shape[1:]))
            kept[start : start + len(part)] = part
        assert kept is not None  # a run has frames
        return kept


def draw_steps(
    lengths: Sequence[int], stretch: int | None, rng: np.random.Generator, per_step: int
) -> Iterator[list[Stretch]]:
    """Stretches of an epoch, some at a time: every row of every run once, in random order.

    Parameters
    ----------
    lengths : sequence of int
        Rows of each run.
    stretch : int, optional
        Rows of a stretch, about: a run is cut evenly, from a random row on. None takes whole runs.
    rng : numpy Generator
    per_step : int
        Stretches of a step; the last step has those that are over as well.
    """
    stretches: list[Stretch] = []
    for index, n in enumerate(lengths):
        m = 1 if stretch is None else max(1, round(n / stretch))
        shift = rng.uniform(-0.5, 0.5)
        borders = [0, *(round((i + shift) * n / m) for i in range(1, m)), n]
        stretches += [(index, a, b) for a, b in pairwise(borders) if b > a]
    order: list[Any] = [stretches[i] for i in rng.permutation(len(stretches))]
    n_steps = max(1, len(order) // per_step)
    for k in range(n_steps):
        yield order[k * per_step : (k + 1) * per_step if k < n_steps - 1 else None]

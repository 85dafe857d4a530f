"""Which seconds of the film a variate owes its value at a volume to: the haemodynamic delay undone.

A stimulus-side variate is a weighted sum of features that were convolved with a response, or delayed. So its value at a
volume is a sum over the seconds of the film before it, and what each of them adds is known exactly: the features of
that second, times their weights, times the response so long after. Nothing is deconvolved.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from neurocca.config import AlignConfig
from neurocca.design import FeatureSeries
from neurocca.temporal.align import bins_per_volume, film_bins
from neurocca.temporal.hrf import STEP, hrf_kernels, hrf_matrix

SMOOTHING = 0.5
"""Standard deviation, in seconds, of the Gaussian over which contributions are averaged before the largest is taken: a
moment is no single frame."""


@dataclass(frozen=True)
class Attribution:
    """What every second of one run's film adds to variates.

    Parameters
    ----------
    courses : list of array, each of shape (v, b, k)
        Of every feature space, its weighted features in bins: one course per variant of the response (delay or basis
        function) and component.
    edges : list of array, each of shape (b + 1,)
        Borders of its bins in seconds since the film began.
    volume_times : array, shape (n,)
        What each volume stands for, in seconds since the film began.
    kernels : array, shape (v, m)
        Response of each variant every ``step`` seconds from ``first`` on.
    step, first : float
    """

    courses: list[NDArray[np.floating]]
    edges: list[NDArray[np.floating]]
    volume_times: NDArray[np.floating]
    kernels: NDArray[np.floating]
    step: float
    first: float

    @property
    def grid(self) -> NDArray[np.floating]:
        """Borders of the bins of contributions: those of the finest space, in seconds since the film began."""
        return max(self.edges, key=len)

    def contributions(self, volume: int) -> NDArray[np.floating]:
        """What each bin of the grid adds to the variates at one volume, shape (b, k)."""
        at, parts = self.volume_times[volume : volume + 1], []
        for course, edges in zip(self.courses, self.edges, strict=True):
            rows = [hrf_matrix(edges, at, kernel, step=self.step, first=self.first)[0] for kernel in self.kernels]
            added = np.einsum("vb,vbk->bk", np.array(rows), course)
            sums = np.vstack([np.zeros(added.shape[1]), added.cumsum(axis=0)])
            parts.append(np.diff(np.array([np.interp(self.grid, edges, column) for column in sums.T]).T, axis=0))
        return np.asarray(np.sum(parts, axis=0))

    def moment(self, volume: int, component: int, film_seconds: float) -> float:
        """Second of the film that adds most, in the direction of their sum, to a variate at one volume.

        Parameters
        ----------
        volume : int
            Of all the run's volumes, also of those that are cut off.
        component : int
        film_seconds : float
            Length of the film: what volumes before and after it take for features is no moment.
        """
        added = self.contributions(volume)[:, component]
        width = float(self.grid[1] - self.grid[0])
        # of bins that are longer than a moment each stands for itself
        smoothed = gaussian_filter1d(added, SMOOTHING / width) if width < SMOOTHING else added
        middles = (self.grid[:-1] + self.grid[1:]) / 2
        inside = (middles >= 0) & (middles <= film_seconds)
        return float(middles[inside][np.argmax(smoothed[inside] * np.sign(added.sum()))])


def attribute(
    series: Sequence[FeatureSeries],
    weights: NDArray,
    n_volumes: int,
    t_r: float,
    config: AlignConfig,
    *,
    onset: float = 0.0,
    reference: float | None = None,
    kernel: NDArray | None = None,
) -> Attribution:
    """Attribute the variates of one run to the seconds of its film.

    Parameters
    ----------
    series : sequence of FeatureSeries
        One per feature space.
    weights : array, shape (p, k)
        From a column of `neurocca.temporal.align.align_features`, in the order of ``aligned_names``, to each variate.
    n_volumes : int
    t_r : float
        Seconds.
    config : AlignConfig
    onset : float
        Seconds from the first volume to the start of the film.
    reference : float, optional
        Seconds into a volume that it stands for.
    kernel : array, shape (m,), optional
        For response "kernel".

    Returns
    -------
    Attribution
        Its contributions to a volume add up to the variate before drift is taken out and its mean over the run is.
    """
    seconds = config.slice_reference * t_r if reference is None else reference
    kernels, step, first = _kernels(config, t_r, kernel)
    courses, edges, column = [], [], 0
    for space in series:
        per_volume = bins_per_volume(space, t_r)
        binned, borders = film_bins(
            space, n_volumes, t_r, config, onset=onset, reference=seconds, per_volume=per_volume
        )  # fmt: skip
        n_columns = len(kernels) * binned.shape[1]
        each = weights[column : column + n_columns].reshape(len(kernels), binned.shape[1], -1)
        courses.append((binned - binned.mean(axis=0)) @ each)
        edges.append(borders - onset)
        column += n_columns
    volume_times = np.arange(n_volumes) * t_r + seconds - onset
    return Attribution(courses, edges, volume_times, kernels, step, first)


def _kernels(config: AlignConfig, t_r: float, kernel: NDArray | None) -> tuple[NDArray, float, float]:
    """Response of every variant, the seconds between its samples, and those of the first one."""
    if config.response == "hrf":
        return hrf_kernels(config.hrf), STEP, -STEP
    if config.response == "kernel":
        if kernel is None:
            raise ValueError("align.response='kernel' takes a kernel.")
        return np.asarray(kernel)[None], config.kernel_step, 0.0
    # a volume takes the bin around the time that lies so many volumes before it, as it is
    delays = config.delays if config.response == "delays" else (0,)
    return np.eye(max(delays) + 1)[list(delays)], t_r, 0.0

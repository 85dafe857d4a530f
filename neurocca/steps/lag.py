"""Whether film and BOLD are aligned: held-out correlation against the lag between them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from neurocca.cca.linear import LinearCCA
from neurocca.config import AlignConfig
from neurocca.design import Design, FeatureSeries, split_runs
from neurocca.errors import DataError
from neurocca.io.recording import Recording
from neurocca.temporal.align import align_features
from neurocca.temporal.clean import standardize

log = logging.getLogger(__name__)

FIRST, LAST = -4.0, 14.0
"""Seconds: BOLD cannot come before the film, and follows it by about five seconds."""

LATEST = 10.0
"""Seconds: a peak after this one is none of a haemodynamic response."""

N_AXES = 30
"""Principal axes of each side, which are enough to see a lag."""

N_COLUMNS = 2000
"""Columns of each side that the axes are taken of, spread over all: no second array of the size of the data."""


@dataclass(frozen=True)
class LagCurve:
    """Held-out correlation of the first component, by the time that BOLD comes after the film.

    Parameters
    ----------
    lags : array, shape (l,)
        Seconds.
    correlations : array, shape (l,)
        Means over both halves of the data.
    least : float
        Correlation below which a peak is taken for noise.
    """

    lags: NDArray[np.float64]
    correlations: NDArray[np.float64]
    least: float = 0.0

    @property
    def peak(self) -> float:
        """Lag of the largest correlation, in seconds."""
        return float(self.lags[np.argmax(self.correlations)])

    @property
    def warning(self) -> str:
        """What is suspicious about the peak, or nothing."""
        if 0 <= self.peak <= LATEST or self.correlations.max() < self.least:
            return ""
        where = "before the film" if self.peak < 0 else f"more than {LATEST:g} s after the film"
        return (
            f"BOLD follows the film best at a lag of {self.peak:g} s (held-out r = {self.correlations.max():.3f}): "
            f"{where}, which no haemodynamic response explains. Are the onset and the order of the runs right?"
        )


def lag_curve(
    features: Sequence[Sequence[FeatureSeries]],
    bold: Sequence[NDArray],
    t_r: float,
    config: AlignConfig,
    *,
    onsets: Sequence[float] = (),
    cuts: Sequence[tuple[int, int]] = (),
    kept: Sequence[NDArray[np.bool_]] = (),
    references: Sequence[float] = (),
    lags: Sequence[float] | None = None,
) -> LagCurve:
    """Move the film against BOLD, and see how well it explains the other half of the data.

    Features enter without a response, at one lag at a time. Every second run is explained by a fit to the others, and
    the other way round; of one run, its halves.

    Parameters
    ----------
    features : sequence of sequences of FeatureSeries
        Per run, one per feature space.
    bold : sequence of arrays, each of shape (n_r - cut, q)
        Cleaned, scaled and trimmed runs.
    t_r : float
        Seconds.
    config : AlignConfig
    onsets : sequence of float
        Seconds from the first volume of each run to the start of the film; 0 by default.
    cuts : sequence of pairs of int
        Volumes that were cut off the start and the end of each run; none by default.
    kept : sequence of arrays of bool, each of shape (n_r - cut,)
        Volumes that are not censored; all by default.
    references : sequence of float
        Seconds into a volume of each run that it stands for; as the configuration says by default.
    lags : sequence of float, optional
        Seconds; by default from -4 to 14 in steps of a repetition time, or of one second where that is longer.

    Returns
    -------
    LagCurve

    Raises
    ------
    DataError
        When the data are too short for two halves.
    """
    step = max(t_r, 1.0)
    grid = np.arange(np.ceil(FIRST / step), np.floor(LAST / step) + 1) * step if lags is None else np.asarray(lags)
    plain = replace(config, response="none", partial=False, standardize="run")
    series = _reduced(features, config.log)
    rows = [np.ones(len(y), dtype=bool) for y in bold] if not kept else list(kept)
    onsets, cuts = onsets or [0.0] * len(bold), cuts or [(0, 0)] * len(bold)
    references = references or [config.slice_reference * t_r] * len(bold)
    half = _halves(rows)
    axes = _axes(np.concatenate([_thinned(y)[keep] for y, keep in zip(bold, rows, strict=True)]), N_AXES)
    correlations = []
    for lag in grid:
        X = [
            # what a volume stands for lies before it by the lag
            align_features(spaces, len(y) + sum(cut), t_r, plain, onset=onset, cut=cut, reference=reference - lag)[keep]
            for spaces, y, keep, onset, cut, reference in zip(series, bold, rows, onsets, cuts, references, strict=True)
        ]
        correlations.append(_held_out(np.concatenate(X), axes, half))
    # four standard errors: series are autocorrelated, and the largest of all lags is looked at
    least = 4 / np.sqrt(sum(int(keep.sum()) for keep in rows))
    return LagCurve(grid.astype(float), np.array(correlations), float(least))


def design_lag(
    features: Sequence[Sequence[FeatureSeries]],
    design: Design,
    recording: Recording,
    config: AlignConfig,
    references: Sequence[float],
) -> LagCurve | None:
    """Lag between the film and the BOLD of a design; None where the data are too short to tell one.

    Parameters
    ----------
    features : sequence of sequences of FeatureSeries
        Per run, one per feature space.
    design : Design
        Its Y is what is left of the runs of ``recording`` after cleaning and trimming.
    recording : Recording
    config : AlignConfig
    references : sequence of float
        Seconds into a volume of each run that it stands for.
    """
    try:
        return lag_curve(
            features,
            split_runs(design.Y, design.runs),
            recording.t_r,
            config,
            onsets=[run.onset for run in recording.runs],
            cuts=[(config.trim[0], config.trim[1]) if config.trim else run.cut for run in recording.runs],
            kept=[] if design.kept is None else split_runs(design.kept, design.runs),
            references=references,
        )
    except DataError as error:
        log.info("sub-%s: %s", recording.subject, error)
        return None


def _reduced(features: Sequence[Sequence[FeatureSeries]], logged: Sequence[str]) -> list[list[FeatureSeries]]:
    """Wide feature spaces by their principal axes over all runs; whether a lag is right shows in these as well."""
    spaces = []
    for of_runs in zip(*features, strict=True):
        if len(of_runs[0].names) <= N_AXES or any(name in logged for name in of_runs[0].names):
            spaces.append(list(of_runs))
            continue
        data = np.concatenate([standardize(_thinned(series.data)) for series in of_runs])
        axes = _axes(data, N_AXES)
        parts = np.split(axes, np.cumsum([len(series.data) for series in of_runs])[:-1])
        names = tuple(f"axis{j}" for j in range(axes.shape[1]))
        spaces.append([FeatureSeries(part, s.times, names) for part, s in zip(parts, of_runs, strict=True)])
    return [list(run) for run in zip(*spaces, strict=True)]


def _thinned(data: NDArray) -> NDArray:
    """Every second, third, … column, so that there are N_COLUMNS or fewer."""
    return data[:, :: -(-data.shape[1] // N_COLUMNS)]


def _axes(data: NDArray, n: int) -> NDArray:
    """Scores on the first principal axes, shape (rows, n or fewer)."""
    if data.shape[1] <= n:
        return data
    # columns of runs have mean 0 already
    U, s, _ = randomized_svd(data, min(n, *data.shape), n_iter=2, random_state=0)
    return U * s


def _halves(rows: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Which kept rows belong to the first half: every second run, or the first half of the only one."""
    sizes = [int(keep.sum()) for keep in rows]
    parts = sizes if len(sizes) > 1 else [sizes[0] // 2, sizes[0] - sizes[0] // 2]
    half = np.repeat(np.arange(len(parts)) % 2 == 0, parts)
    if min(half.sum(), (~half).sum()) < 10:
        raise DataError(f"{len(half)} volumes in {len(sizes)} runs are too few to tell a lag: 10 in each half.")
    return half


def _held_out(X: NDArray, Y: NDArray, half: NDArray[np.bool_]) -> float:
    found = []
    for train in (half, ~half):
        cca = LinearCCA(1, shrinkage=0.1, scale=True).fit(X[train], Y[train])
        u, v = (variate[:, 0] for variate in cca.transform(X[~train], Y[~train]))
        found.append(np.corrcoef(u, v)[0, 1] if u.std() > 0 and v.std() > 0 else 0.0)
    return float(np.mean(found))

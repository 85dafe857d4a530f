"""The hinge between time series and statistics: runs become one design, and runs again.

Above this module data are plain lists with one array per run, and everything that has to do with time
(convolving, filtering, trimming) is done there. Below it, samples are rows with a run label.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class FeatureSeries:
    """Features of one run of the film over time.

    Parameters
    ----------
    data : array, shape (t, f)
        One row per sample.
    times : array, shape (t,)
        Start of each sample in seconds since the film of this run began; ascending.
    names : tuple of str, length f
        Feature names.
    """

    data: NDArray[np.floating]
    times: NDArray[np.floating]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.data.ndim != 2 or self.data.shape != (len(self.times), len(self.names)):
            raise ValueError(
                f"features of shape {self.data.shape} do not go with {len(self.times)} times and "
                f"{len(self.names)} names: expected ({len(self.times)}, {len(self.names)})."
            )
        if np.any(np.diff(self.times) <= 0):
            raise ValueError("feature times must ascend.")

    @property
    def period(self) -> float:
        """Median distance between two samples, in seconds."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else float("nan")

    @property
    def duration(self) -> float:
        """End of the last sample, in seconds since the film of this run began."""
        return float(self.times[-1]) + self.period if len(self.times) else 0.0


@dataclass(frozen=True)
class Design:
    """Two views of the same samples, and the run that each sample belongs to.

    Parameters
    ----------
    X : array, shape (n, p)
        Film features at the volumes' times.
    Y : array, shape (n, q)
        BOLD, one column per voxel, vertex or parcel.
    runs : array, shape (n,)
        Run label of each volume; volumes of a run are contiguous and in order of time.
    x_names, y_names : tuple of str
        Column names; generated when not given.
    kept : array of bool, shape (n,), optional
        Volumes whose BOLD counts; None where all do. In the others, censored ones, Y is 0 and X is as it is.
    """

    X: NDArray[np.floating]
    Y: NDArray[np.floating]
    runs: NDArray
    x_names: tuple[str, ...] = ()
    y_names: tuple[str, ...] = ()
    kept: NDArray[np.bool_] | None = None

    @property
    def run_labels(self) -> list:
        """Labels in order of appearance."""
        return list(dict.fromkeys(self.runs.tolist()))

    def __repr__(self) -> str:
        (n, p), q = self.X.shape, self.Y.shape[1]
        return f"Design({n} volumes in {len(self.run_labels)} runs, {p} features x {q} responses)"


def stack_runs(
    X: Sequence[ArrayLike],
    Y: Sequence[ArrayLike],
    labels: Sequence[Hashable] | None = None,
    *,
    x_names: Sequence[str] = (),
    y_names: Sequence[str] = (),
    kept: Sequence[NDArray[np.bool_]] | None = None,
    copy: bool = True,
) -> Design:
    """Stack runs into one design after checking that they belong together.

    Parameters
    ----------
    X : sequence of arrays, each of shape (n_r, p)
        Features of each run at the volumes' times.
    Y : sequence of arrays, each of shape (n_r, q)
        BOLD of each run.
    labels : sequence, optional
        One label per run; 1, 2, … by default.
    x_names, y_names : sequence of str, optional
        Column names.
    kept : sequence of arrays of bool, each of shape (n_r,), optional
        Volumes of each run whose BOLD is not censored; all by default.
    copy : bool
        Whether Y is copied even where its runs lie below one another in one array already, as `split_runs` gives them.

    Returns
    -------
    Design
        All runs below one another, with n = Σ n_r rows.

    Raises
    ------
    ValueError
        When run counts, lengths or widths differ, a label repeats, or a value is not finite. The message
        names the run.

    Examples
    --------
    >>> import numpy as np
    >>> stack_runs([np.ones((4, 2)), np.ones((3, 2))], [np.ones((4, 5)), np.ones((3, 5))])
    Design(7 volumes in 2 runs, 2 features x 5 responses)
    """
    if len(X) != len(Y):
        raise ValueError(f"features have {len(X)} runs and BOLD has {len(Y)}: one of each per run is needed.")
    if len(X) == 0:
        raise ValueError("no runs to stack.")
    labels = list(range(1, len(X) + 1)) if labels is None else list(labels)
    if len(labels) != len(X) or len(set(labels)) != len(labels):
        raise ValueError(f"run labels {labels} must be {len(X)} different ones.")
    Xs = [_run_array(x, "features", label) for x, label in zip(X, labels, strict=True)]
    Ys = [_run_array(y, "BOLD", label) for y, label in zip(Y, labels, strict=True)]
    _check_fit(Xs, Ys, labels)
    censored = _censored(kept, Ys, labels)
    p, q = Xs[0].shape[1], Ys[0].shape[1]
    return Design(
        X=np.concatenate(Xs),
        Y=np.concatenate(Ys) if copy or (whole := _whole(Ys)) is None else whole,
        runs=np.repeat(np.asarray(labels), [len(x) for x in Xs]),
        x_names=_names(x_names, p, "x"),
        y_names=_names(y_names, q, "y"),
        kept=censored,
    )


def split_runs(array: NDArray, runs: NDArray) -> list[NDArray]:
    """Cut stacked rows back into one array per run, in order of appearance.

    Parameters
    ----------
    array : array, shape (n, ...)
        Stacked rows.
    runs : array, shape (n,)
        Run label of each row; rows of a run must be contiguous.

    Returns
    -------
    list of arrays
        Views of ``array``, one per run.

    Raises
    ------
    ValueError
        When a label comes back after another one, or lengths differ.
    """
    return [array[start:stop] for start, stop in run_bounds(runs, len(array))]


def run_bounds(runs: ArrayLike, n: int) -> list[tuple[int, int]]:
    """First row and row after the last of each run, in order of appearance."""
    labels = np.asarray(runs)
    if labels.shape != (n,):
        raise ValueError(f"runs has shape {labels.shape}, but there are {n} rows: one label per row is needed.")
    starts = np.r_[0, np.flatnonzero(labels[1:] != labels[:-1]) + 1] if n else np.zeros(0, dtype=int)
    if len(set(labels[starts].tolist())) != len(starts):
        raise ValueError("the rows of a run must be contiguous: a run label comes back after another one.")
    return list(zip(starts.tolist(), np.r_[starts[1:], n].tolist(), strict=True))


def _check_fit(Xs: list[NDArray], Ys: list[NDArray], labels: list) -> None:
    for x, y, label in zip(Xs, Ys, labels, strict=True):
        if len(x) != len(y):
            raise ValueError(f"run {label}: features have {len(x)} rows and BOLD has {len(y)} volumes.")
        for name, a, first in (("features", x, Xs[0]), ("BOLD", y, Ys[0])):
            if a.shape[1] != first.shape[1]:
                raise ValueError(
                    f"run {label}: {name} have {a.shape[1]} columns, but run {labels[0]} has {first.shape[1]}."
                )


def _censored(kept: Sequence[NDArray[np.bool_]] | None, Ys: list[NDArray], labels: list) -> NDArray[np.bool_] | None:
    """Which volumes of all runs are kept, or None where all are."""
    if kept is None:
        return None
    for rows, y, label in zip(kept, Ys, labels, strict=True):
        if rows.shape != (len(y),) or rows.dtype != bool:
            raise ValueError(f"run {label}: kept must be {len(y)} truth values, not {rows.dtype} of {rows.shape}.")
    stacked = np.concatenate(kept)
    return None if stacked.all() else stacked


def _whole(parts: list[NDArray]) -> NDArray | None:
    """The array of which parts are the rows, in order and without a gap; None where they are not."""
    base = parts[0].base
    if base is None or base.shape != (sum(map(len, parts)), parts[0].shape[1]) or not base.flags.c_contiguous:
        return None
    starts = np.cumsum([0, *map(len, parts)])[:-1] * base.strides[0]
    places = [part.__array_interface__["data"][0] - base.__array_interface__["data"][0] for part in parts]
    rows = all(part.base is base and part.strides == base.strides for part in parts)
    return base if rows and places == starts.tolist() else None


def _run_array(a: ArrayLike, name: str, label: Hashable) -> NDArray[np.floating]:
    array = np.asarray(a)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"run {label}: {name} must be real numbers, not {array.dtype}.")
    array = array if array.dtype.kind == "f" else array.astype(float)
    if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] == 0:
        raise ValueError(f"run {label}: {name} must be a non-empty (volumes, columns) array, not {array.shape}.")
    bad = ~np.isfinite(array)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"run {label}: {name} hold {int(bad.sum())} values that are not finite, the first in row {row}, "
            f"column {column}."
        )
    return array


def _names(names: Sequence[str], width: int, letter: str) -> tuple[str, ...]:
    if names and len(names) != width:
        raise ValueError(f"{len(names)} {letter}_names for {width} columns.")
    return tuple(names) or tuple(f"{letter}{j}" for j in range(width))

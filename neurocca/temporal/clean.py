"""Drift and confounds out, scale in; one run at a time."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurocca.temporal.nuisance import constant_columns, nuisance_basis

Scale = Literal["zscore", "psc", "none"]

BLOCK_BYTES = 2**21
"""Columns that are cleaned at once stay in a processor's cache."""


@dataclass(frozen=True)
class Cleaned:
    """Series of one run without drift and confounds, and what became of its columns.

    Parameters
    ----------
    data : array, shape (n - cut, q)
        Every column has mean 0 over the volumes that are kept. Censored volumes hold 0, and so do columns that hold
        nothing of use.
    kept : array of bool, shape (n - cut,)
        Which volumes are not censored.
    constant : array of bool, shape (q,)
        Columns with one value only, or nothing but rounding beside drift and confounds.
    missing : array of bool, shape (q,)
        Columns with a NaN or infinite value in a volume that is kept.
    no_baseline : array of bool, shape (q,)
        Columns without a mean that a change could be a percentage of; all False unless that was asked for.
    removed : array, shape (q,)
        Share of the variance that drift and confounds explain; 0 in constant columns.
    snr : array, shape (q,)
        Temporal signal-to-noise ratio: the mean by the standard deviation that drift and confounds leave; 0 in constant
        columns.
    """

    data: NDArray[np.floating]
    kept: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    missing: NDArray[np.bool_]
    no_baseline: NDArray[np.bool_]
    removed: NDArray[np.floating]
    snr: NDArray[np.floating]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Columns that hold a signal, shape (q,)."""
        return ~(self.constant | self.missing | self.no_baseline)


def clean_run(
    data: NDArray,
    basis: NDArray,
    *,
    kept: NDArray[np.bool_] | None = None,
    scale: Scale = "zscore",
    cut: tuple[int, int] = (0, 0),
    overwrite: bool = False,
) -> Cleaned:
    """What drift and confounds do not explain of the columns of one run, scaled.

    Everything is taken out in one regression: filtering and regressing one after the other would bring back what the
    first step removed (Lindquist et al. 2019, doi:10.1002/hbm.24528). Censored volumes take no part in it, nor in
    means and scales (Power et al. 2014, doi:10.1016/j.neuroimage.2013.08.048).

    Parameters
    ----------
    data : array, shape (n, q)
        Single precision stays single.
    basis : array, shape (n, r)
        From `nuisance_basis`, for the same ``kept``.
    kept : array of bool, shape (n,), optional
        Volumes that are not censored; all by default.
    scale : {"zscore", "psc", "none"}
        Unit variance; percent of the column's mean before cleaning; or the units of the data.
    cut : pair of int
        Volumes to cut off the start and the end after the regression and before scaling.
    overwrite : bool
        Work in ``data`` itself, which needs no second array of its size.

    Returns
    -------
    Cleaned

    Raises
    ------
    ValueError
        When fewer than three volumes are left, or more than half of the columns have a mean that is smaller than
        their standard deviation, of which nothing is a percentage.
    """
    n, q = data.shape
    kept = check_kept(kept, n)
    inside = slice(cut[0], n - cut[1])
    if cut[0] + cut[1] > n - 3:
        raise ValueError(f"cutting {cut[0]} + {cut[1]} volumes leaves nothing of a run of {n}.")
    if (left := int(kept[inside].sum())) < 3:
        raise ValueError(f"{left} of {n} volumes are left after censoring and cutting: 3 are the least.")
    out = data if overwrite and data.dtype.kind == "f" else np.empty(data.shape, _float_type(data))
    projector = np.where(kept[:, None], basis, 0.0).astype(out.dtype)
    found = np.empty((6, q))
    width = max(1, BLOCK_BYTES // (8 * n))
    for start in range(0, q, width):
        part = slice(start, start + width)
        out[:, part], found[:, part] = _clean_block(data[:, part], projector, kept, inside, scale)
    constant, missing, no_baseline = found[:3].astype(bool)
    if scale == "psc" and 2 * no_baseline.sum() > q:
        raise ValueError(
            f"percent signal change needs a mean, and that of {no_baseline.sum()} of {q} columns is smaller than their "
            "standard deviation: the series have no baseline any more. Use standardize_bold = zscore."
        )
    return Cleaned(out[inside], kept[inside], constant, missing, no_baseline, 1 - found[3] / found[4], found[5])


def clean(data: NDArray, t_r: float, high_pass: float, confounds: NDArray | None = None) -> NDArray[np.floating]:
    """What slow cosines and confounds do not explain of the columns of one run, in the units of the data.

    Parameters
    ----------
    data : array, shape (n, q)
    t_r : float
        Repetition time in seconds.
    high_pass : float
        Cutoff period in seconds; 0 removes the mean alone.
    confounds : array, shape (n, c), optional

    Returns
    -------
    array, shape (n, q)
        With mean zero.
    """
    basis = nuisance_basis(len(data), t_r, high_pass=high_pass, confounds=confounds)
    return clean_run(data, basis, scale="none").data


def standardize(data: NDArray) -> NDArray[np.float64]:
    """Columns of one run with mean zero and unit variance; constant columns become zero.

    Parameters
    ----------
    data : array, shape (n, q)
    """
    centred = data - data.mean(axis=0)
    sd = centred.std(axis=0)
    constant = sd <= len(data) * np.finfo(float).eps * np.abs(data).max(axis=0, initial=0)
    return centred / np.where(constant, np.inf, sd)


def check_kept(kept: NDArray[np.bool_] | None, n: int) -> NDArray[np.bool_]:
    """Which of n volumes are kept: all where nothing is said.

    Raises
    ------
    ValueError
        When it is not a truth value per volume.
    """
    if kept is None:
        return np.ones(n, dtype=bool)
    found = np.asarray(kept)
    if found.dtype != bool or found.shape != (n,):
        raise ValueError(f"kept must be {n} truth values, one per volume, not {found.dtype} of shape {found.shape}.")
    return found


def _clean_block(
    columns: NDArray, projector: NDArray, kept: NDArray, inside: slice, scale: Scale
) -> tuple[NDArray, NDArray]:
    """Some columns cleaned, and six numbers of each.

    Three truth values, the variance left, the variance there was, and the mean by the root of what is left.
    """
    block = columns.astype(projector.dtype)  # a copy
    block[~kept] = 0.0
    missing = ~np.isfinite(block).all(axis=0)
    block[:, missing] = 0.0
    n = kept.sum()
    largest = np.maximum(block.max(axis=0), -block.min(axis=0))
    mean = block.sum(axis=0, dtype=np.float64) / n
    # without the mean, which is a hundred times what is looked for, single precision is precise enough
    block -= mean.astype(block.dtype)
    block[~kept] = 0.0
    before = np.einsum("ij,ij->j", block, block) / n
    block -= projector @ (projector.T @ block)
    after = np.einsum("ij,ij->j", block, block) / n
    # what was constant, or drift and nothing else, is rounding now, and must not be taken for a signal
    rounding = max(len(block) * np.finfo(float).eps, 4 * np.finfo(_float_type(columns)).eps) * largest
    constant = ~missing & (constant_columns(columns[kept]) | (after**0.5 <= rounding))
    factor, no_baseline = _factors(block, mean, before**0.5, kept, inside, scale)
    factor[constant | missing | no_baseline] = 0.0
    block *= factor.astype(block.dtype)
    varied = (before > 0) & ~constant
    left = np.where(varied, after, 1)
    snr = np.where(varied, np.abs(mean), 0) / left**0.5
    bare = no_baseline & ~constant & ~missing
    return block, np.stack([constant, missing, bare, left, np.where(varied, before, 1), snr])


def _factors(
    block: NDArray, mean: NDArray, sd: NDArray, kept: NDArray, inside: slice, scale: Scale
) -> tuple[NDArray, NDArray]:
    """Centre the volumes that stay, in place, and give what scales the columns, and which have no baseline."""
    stay = kept.copy()
    stay[: inside.start] = stay[inside.stop :] = False
    block -= block[stay].mean(axis=0)
    block[~kept] = 0.0
    no_baseline = np.zeros(len(mean), dtype=bool)
    if scale == "none":
        return np.ones(len(mean)), no_baseline
    if scale == "psc":
        no_baseline = np.abs(mean) <= sd
        return 100 / np.where(no_baseline, 1.0, mean), no_baseline
    inside_block = block[inside]  # censored volumes are 0
    spread = np.einsum("ij,ij->j", inside_block, inside_block) / stay.sum()
    return np.where(spread > 0, spread, np.inf) ** -0.5, no_baseline


def _float_type(data: NDArray) -> np.dtype:
    return data.dtype if data.dtype.kind == "f" else np.dtype(float)

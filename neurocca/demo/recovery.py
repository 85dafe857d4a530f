"""How well planted components were found."""

import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from neurocca.demo.bold import standard_head


def recovery(
    maps: Nifti1Image, variates: ArrayLike, truth_maps: Nifti1Image, truth_mixing: ArrayLike, keep: ArrayLike
) -> pd.DataFrame:
    """Compare recovered components with the planted ones of the demo dataset.

    Each planted component is given another recovered one, such that the absolute correlations of maps and time
    courses add up to the most. Signs and scales of components are free, so only absolute correlations count.

    Parameters
    ----------
    maps : Nifti1Image, 4D
        Recovered maps, k volumes, 0 outside the analysis mask.
    variates : array, shape (n, k)
        Recovered time courses.
    truth_maps : Nifti1Image, 4D
        Planted maps, c volumes on the same voxel grid.
    truth_mixing : array, shape (m, c)
        Planted time courses, all runs stacked, nothing trimmed.
    keep : array of int, shape (n,)
        Rows of ``truth_mixing`` that the rows of ``variates`` belong to.

    Returns
    -------
    DataFrame
        A row per planted component: ``name``, ``component`` (index of the recovered one; -1 when there are
        fewer recovered than planted ones), ``map_r`` over the voxels of the brain, and ``time_r``.

    Raises
    ------
    ValueError
        When grids or numbers of components or rows do not go together.
    """
    U, T = np.asarray(variates, dtype=float), np.asarray(truth_mixing, dtype=float)[np.asarray(keep)]
    _check(maps, U, truth_maps, T)
    head = standard_head()
    if head.inside.shape != truth_maps.shape[:3]:
        raise ValueError(f"maps have the grid {truth_maps.shape[:3]}, the demo has {head.inside.shape}.")
    map_r = _correlations(np.asarray(truth_maps.dataobj)[head.inside], np.asarray(maps.dataobj)[head.inside])
    time_r = _correlations(T, U)
    planted, found = linear_sum_assignment(map_r + time_r, maximize=True)
    table = pd.DataFrame({"name": [f"truth_{i:02d}" for i in range(T.shape[1])], "component": -1})
    table[["map_r", "time_r"]] = np.nan
    table.loc[planted, "component"] = found
    table.loc[planted, "map_r"] = map_r[planted, found]
    table.loc[planted, "time_r"] = time_r[planted, found]
    return table


def _correlations(A: NDArray, B: NDArray) -> NDArray[np.float64]:
    """Absolute correlations of the columns of A (n, c) with those of B (n, k), shape (c, k); 0 for constant ones."""
    centred = [M - M.mean(axis=0) for M in (A.astype(float), B.astype(float))]
    A, B = (M / np.where(norm > 0, norm, np.inf) for M in centred for norm in [np.linalg.norm(M, axis=0)])
    return np.abs(A.T @ B)


def _check(maps: Nifti1Image, U: NDArray, truth_maps: Nifti1Image, T: NDArray) -> None:
    if maps.shape[:3] != truth_maps.shape[:3] or not np.allclose(maps.affine, truth_maps.affine, atol=1e-3):
        raise ValueError(f"recovered maps {maps.shape[:3]} and planted maps {truth_maps.shape[:3]} differ in grid.")
    if maps.shape[3] != U.shape[1] or truth_maps.shape[3] != T.shape[1]:
        raise ValueError(
            f"{maps.shape[3]} recovered and {truth_maps.shape[3]} planted maps do not go with {U.shape[1]} and "
            f"{T.shape[1]} time courses."
        )
    if len(U) != len(T):
        raise ValueError(f"{len(U)} rows of variates, but {len(T)} rows of the truth are to be kept.")

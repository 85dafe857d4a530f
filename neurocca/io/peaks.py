"""Peaks of a map: where clusters are highest, in millimetres and in the names of an atlas."""

import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from neurocca.errors import UsageError
from neurocca.io.atlas import Atlas
from neurocca.io.brains import Brain
from neurocca.io.maps import check_maps
from neurocca.io.parcellation import AtlasParcels
from neurocca.io.volumes import Voxels, unmask


def peak_table(
    row: ArrayLike, brain: Brain, atlas: Atlas | None = None, *, threshold: float | None = None, min_voxels: int = 1
) -> pd.DataFrame:
    """Peaks of the clusters of one map, positive ones first.

    Parameters
    ----------
    row : array, shape (n_columns,)
        A value per voxel, or per parcel of an atlas in volumes.
    brain : Brain
        Of voxels, or of an atlas's parcels.
    atlas : Atlas, optional
        In the space of the brain; gives the names.
    threshold : float, optional
        Clusters are voxels of one sign that exceed it in size; by default the 95th percentile of the sizes.
    min_voxels : int
        Smaller clusters are left out.

    Returns
    -------
    DataFrame
        Columns ``cluster`` (a number; a letter follows for further peaks of the same cluster), ``x``, ``y``, ``z``
        (millimetres), ``value``, ``volume`` (cubic millimetres, NaN for further peaks) and, with an atlas, ``label``
        (empty outside its parcels). No line where nothing exceeds the threshold.

    Raises
    ------
    UsageError
        When the brain does not lie in a volume.

    Notes
    -----
    Clusters are joined by faces, and peaks lie at least 8 mm apart: `nilearn.reporting.get_clusters_table`.
    """
    from nilearn.reporting import get_clusters_table  # slow to import

    if not isinstance(brain, Voxels | AtlasParcels):
        raise UsageError(f"peaks are found in volumes, not in {brain.kind} without coordinates.")
    values = check_maps(row, len(brain.labels), ("",))
    image = (unmask(values, brain.mask) if isinstance(brain, Voxels) else brain.paint(values)).slicer[..., 0]
    if threshold is None:
        threshold = float(np.percentile(np.abs(values), 95))
    with warnings.catch_warnings():  # an empty table says the same
        warnings.simplefilter("ignore", UserWarning)
        found = get_clusters_table(image, threshold, min_voxels, two_sided=True)
    table = pd.DataFrame(
        {
            "cluster": found["Cluster ID"].astype(str),
            **{axis: found[axis.upper()].astype(float) for axis in "xyz"},
            "value": found["Peak Stat"].astype(float),
            "volume": pd.to_numeric(found["Cluster Size (mm3)"], errors="coerce").astype(float),
        }
    )
    if atlas is not None:
        table["label"] = atlas.names_at(table[["x", "y", "z"]].to_numpy())
    return table

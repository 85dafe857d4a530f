"""What a report is made of."""

from dataclasses import dataclass, field
from typing import Any

import nibabel
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class ReportData:
    """Results of one subject, as they lie on disk.

    Parameters
    ----------
    decomposition : dict
        Content of ``*_decomposition.json``.
    bold_variates, stimulus_variates : DataFrame, shape (n, k)
        Canonical variates, columns cca_00, cca_01, …; one row per kept volume, runs stacked in order.
    held_out_bold, held_out_stimulus : DataFrame, shape (n, k)
        The same, of each run by the fit that has not seen it.
    null, held_out_null : DataFrame, shape (1 + B, 1 + k)
        In-sample and mean held-out correlations under permutation: columns permutation, cca_00, …; row 0 holds the
        observed ones. ``held_out_null`` may have no rows.
    feature_loadings : DataFrame
        Columns space, feature, delay (volumes; empty or NaN when a response model was used), cca_00, …
    response_loadings : DataFrame or None
        Parcels: columns parcel, cca_00, …; None for volumes.
    maps : Nifti1Image or None
        Volumes: 4D loading maps in MNI space, one volume per component.
    response_pvalues, pvalue_maps : DataFrame or None, Nifti1Image or None
        p of the correlation of each parcel, or voxel, with the stimulus-side variates, corrected over all of them and
        all components; shaped as ``response_loadings`` and ``maps``, the latter 0 outside of what was analysed.
    surfaces : pair of arrays, each of shape (k, n_vertices), or None
        Surfaces: loadings of the left and the right hemisphere, 0 where nothing was analysed.
    peaks : DataFrame or None
        Volumes: component, cluster, x, y, z (mm), value, volume (mm³; NaN for further peaks of a cluster) and, where an
        atlas names them, label.
    recovery : DataFrame or None
        Simulated data only: planted, component, map_r, timecourse_r.
    moments : DataFrame or None
        Film moments: component, sign ("high", "low"), rank, run, seconds, value.
    storyboards : dict of bytes
        JPEG of the frames at the moments, by component, where the film was at hand.
    quality : DataFrame, shape (n, 5 + g), or None
        One row per kept volume: run, censored, framewise_displacement (mm; NaN where it is not known), dvars,
        global_signal, group_00, … None in results without it.
    """

    decomposition: dict[str, Any]
    bold_variates: pd.DataFrame
    stimulus_variates: pd.DataFrame
    held_out_bold: pd.DataFrame
    held_out_stimulus: pd.DataFrame
    null: pd.DataFrame
    held_out_null: pd.DataFrame
    feature_loadings: pd.DataFrame
    response_loadings: pd.DataFrame | None = None
    maps: nibabel.Nifti1Image | None = None
    surfaces: tuple[NDArray, NDArray] | None = None
    peaks: pd.DataFrame | None = None
    recovery: pd.DataFrame | None = None
    moments: pd.DataFrame | None = None
    storyboards: dict[str, bytes] = field(default_factory=dict)
    quality: pd.DataFrame | None = None
    response_pvalues: pd.DataFrame | None = None
    pvalue_maps: nibabel.Nifti1Image | None = None

    def __post_init__(self) -> None:
        """Refuse tables that do not belong together."""
        kept = sum(run["Kept"] for run in self.decomposition["Runs"])
        names = [component["Name"] for component in self.decomposition["Components"]]
        for side in ("bold_variates", "stimulus_variates", "held_out_bold", "held_out_stimulus"):
            table = getattr(self, side)
            if len(table) != kept:
                raise ValueError(f"{side} has {len(table)} rows, but the runs kept {kept} volumes.")
            missing = [name for name in names if name not in table]
            if missing:
                raise ValueError(f"{side} has no column {', '.join(missing)}.")
        if self.quality is not None and len(self.quality) != kept:
            raise ValueError(f"quality has {len(self.quality)} rows, but the runs kept {kept} volumes.")
        if self.maps is not None and (self.maps.ndim != 4 or self.maps.shape[3] != len(names)):
            raise ValueError(
                f"maps of shape {self.maps.shape} do not hold one volume for each of {len(names)} components."
            )

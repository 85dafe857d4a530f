"""The door to BOLD of any kind: runs as (time, column) arrays, and maps over the columns back in the same space."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurocca.errors import DataError, UsageError
from neurocca.io.maps import Kind, Run, usable_columns

if TYPE_CHECKING:
    import pandas as pd

    from neurocca.io.atlas import Atlas

__all__ = ["Brain", "Kind", "Run", "open_brain", "read_maps", "usable_columns"]

_FORMS = {
    ".dtseries.nii": "cifti",
    ".ptseries.nii": "cifti",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".gii": "gifti",
    ".tsv": "table",
    ".csv": "table",
}
"""File formats by the ends of names, longer ends first."""

_UNSMOOTHED = {"gifti": "surfaces (GIFTI)", "cifti": "CIFTI", "table": "tables of parcels"}
"""What is not smoothed here: it takes meshes, which BOLD does not come with, or has no neighbours."""


class Brain(Protocol):
    """Where the columns of BOLD lie, and how maps over them are written.

    One run is read at a time, and nothing is remembered of it: which columns to leave out is decided over all runs
    (`usable_columns`) and said once, by `narrowed`.

    >>> def read_all(brain, runs):
    ...     kept = np.all([usable_columns(brain.read(run)) for run in runs], axis=0)
    ...     return [brain.narrowed(kept).read(run) for run in runs]
    """

    @property
    def kind(self) -> Kind:
        """What the columns are."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns, which stay with them in a narrowed brain."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of columns that were left out from the start: parcels of which the images hold too little."""

    def n_volumes(self, run: Run) -> int:
        """Number of volumes of a run, without reading all of it where the format allows."""

    def repetition_time(self, run: Run) -> float | None:
        """Repetition time in seconds as the header says it; None when it does not."""

    def read(self, run: Run) -> NDArray[np.float32]:
        """Time series of one run, as they are in the file.

        Parameters
        ----------
        run : tuple of Path
            One file, or for surfaces two: left and right hemisphere.

        Returns
        -------
        array, shape (n_volumes, n_columns), float32
            Columns may be constant or not finite.

        Raises
        ------
        NoInputError
            When a file does not exist or its content is not here.
        DataError
            When it is broken or does not fit to the brain.
        """

    def narrowed(self, kept: NDArray[np.bool_]) -> "Brain":
        """Brain of the columns for which ``kept``, shape (n_columns,), is true."""

    def write(self, rows: ArrayLike, stem: Path, names: Sequence[str], sidecar: dict[str, Any]) -> list[Path]:
        """Write maps, with a JSON sidecar beside each file; all of them or none.

        Parameters
        ----------
        rows : array, shape (k, n_columns)
        stem : Path
            Path of the files without extension.
        names : sequence of str, length k
            Names of the maps.
        sidecar : dict
            Content of the sidecars.

        Returns
        -------
        list of Path
            Volumes give ``.nii.gz``; surfaces one ``.func.gii`` per hemisphere, with ``hemi-L`` and ``hemi-R`` in
            the name; CIFTI ``.dscalar.nii`` or ``.pscalar.nii``; parcels ``.tsv``, and those of an atlas also the
            maps painted into its voxels, ``.nii.gz``. The sidecars follow.

        Raises
        ------
        OutputError
            When a file cannot be written.
        """


def open_brain(
    runs: Sequence[Run],
    masks: Sequence[Path] = (),
    atlas: "Atlas | None" = None,
    *,
    region: Path | None = None,
    min_coverage: float = 0.0,
    smoothing: float = 0.0,
) -> Brain:
    """Brain of the runs of one subject, all of one kind.

    Parameters
    ----------
    runs : sequence of tuples of Path
    masks : sequence of Path
        For volumes: brain masks on their grid; what all of them hold is analysed. None: told from the volumes
        (`neurocca.io.masks.shared_mask`, which reads all of them once), or with an atlas its parcels alone.
    atlas : Atlas, optional
        For volumes: average them within its parcels.
    region : Path, optional
        For volumes: another mask, of whose voxels those are analysed that all masks hold. It may show more of the
        brain than the volumes (`neurocca.io.masks.read_region`).
    min_coverage : float
        With an atlas: share of its voxels that a parcel must have (`neurocca.io.parcellation.place_atlas`).
    smoothing : float
        For volumes without an atlas: full width at half maximum, in millimetres, of a Gaussian; 0 for none.

    Raises
    ------
    NoInputError
        When a file does not exist.
    DataError
        When a file is broken, or runs, masks and atlas do not lie on one grid.
    UsageError
        When runs are of several formats, or masks, an atlas or smoothing are given for what they do not go with.
    """
    form = _form(runs)
    if smoothing and (form != "nifti" or atlas is not None):
        what = "means of an atlas's parcels" if form == "nifti" else _UNSMOOTHED[form]
        raise UsageError(f"{runs[0][0]}: smoothing goes with voxels of volumes (NIfTI), not with {what}.")
    if form == "nifti":
        return _volumes([run[0] for run in runs], masks, atlas, region, min_coverage, smoothing)
    if masks or region or atlas is not None:
        raise UsageError(
            f"{runs[0][0]}: {'an atlas' if atlas is not None else 'a mask'} goes with volumes (NIfTI) only."
        )
    if form == "gifti":
        from neurocca.io.surfaces import Surfaces

        return Surfaces.of(runs[0])
    if form == "cifti":
        from neurocca.io.cifti import Grayordinates

        return Grayordinates.of(runs[0])
    from neurocca.io.parcels import ParcelTable

    return ParcelTable.of(runs[0])


def _form(runs: Sequence[Run]) -> str:
    """File format of the runs, from their names."""
    if not runs:
        raise UsageError("no runs are given.")
    first = runs[0][0]
    form = _form_of(first)
    for path in (path for run in runs for path in run):
        if _form_of(path) != form:
            raise UsageError(f"{path}: not of the same format as {first}.")
    return form


def _form_of(path: Path) -> str:
    for end, form in _FORMS.items():
        if path.name.endswith(end):
            return form
    raise DataError(f"{path}: of a format that is not read; read are {', '.join(_FORMS)}.")


def _volumes(
    bold: list[Path],
    masks: Sequence[Path],
    atlas: "Atlas | None",
    region: Path | None,
    min_coverage: float,
    smoothing: float,
) -> Brain:
    from neurocca.io.images import check_grid, load_image
    from neurocca.io.masks import both_masks, intersect_masks, read_region, shared_mask
    from neurocca.io.volumes import Voxels

    first = load_image(bold[0], ndim=4)
    for path in bold[1:]:
        check_grid(load_image(path, ndim=4), first, path, bold[0])
    mask = intersect_masks(masks) if masks else None
    if mask is not None:
        check_grid(first, mask, bold[0], f"the mask {masks[0]}")
    if region is not None:
        part = read_region(region, first, bold[0])
        mask = part if mask is None else both_masks(mask, part, f"masks {masks[0]} and {region}")
    if atlas is not None:
        from neurocca.io.parcellation import place_atlas

        return place_atlas(atlas, first, bold[0], mask, min_coverage=min_coverage)
    return Voxels(shared_mask(bold) if mask is None else mask, smoothing)


def read_maps(stem: Path, names: Sequence[str]) -> "pd.DataFrame":
    """Maps over surfaces or CIFTI files, as `Brain.write` left them, without the columns that were not analysed.

    Parameters
    ----------
    stem : Path
        As it was given to ``write``.
    names : sequence of str
        Names of the maps.

    Returns
    -------
    DataFrame
        Column ``parcel``, the label of each column of BOLD, then one column per map.
    """
    from neurocca.io.parcels import parcel_maps

    scalars = [path for end in ("dscalar", "pscalar") if (path := stem.with_name(f"{stem.name}.{end}.nii")).is_file()]
    if scalars:
        from neurocca.io.cifti import read_scalars

        rows, labels = read_scalars(scalars[0])
    else:
        from neurocca.io.surfaces import read_surface_maps

        rows, labels = read_surface_maps(stem)
    analysed = np.isfinite(rows).all(axis=0) & (rows != 0).any(axis=0)
    return parcel_maps(rows[:, analysed], [label for label, use in zip(labels, analysed, strict=True) if use], names)

"""Volumes averaged within the parcels of an atlas, and maps over parcels painted into its voxels."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from neurocca.errors import DataError
from neurocca.io.atlas import Atlas
from neurocca.io.images import describe_grids, image_like, same_grid, save_image, slabs, to_grid
from neurocca.io.maps import Run, check_maps, only, usable_columns, within, write_maps
from neurocca.io.parcels import parcel_maps
from neurocca.io.timeseries import write_table
from neurocca.io.volumes import n_volumes, read_volumes, repetition_time, unmask

log = logging.getLogger(__name__)

_BLOCK = 32
"""Volumes that are averaged at a time, in double precision."""


@dataclass(frozen=True)
class AtlasParcels:
    """Brain of the parcels of an atlas in volumes; see `neurocca.io.brains.Brain`.

    Each volume is explained by the parcels' weights in least squares, as nilearn's NiftiMapsMasker does it. For a
    label atlas that is the mean of the parcel's voxels. Voxels that are constant or not finite in a run are left out
    of that run; a parcel of which too little is left is NaN.

    Parameters
    ----------
    mask : Nifti1Image
        Voxels in which some parcel has weight, on the grid of the runs.
    weights : sparse array, shape (n_voxels, number of parcels)
    names : tuple of str
        Names of all parcels.
    kept : array of bool, shape (number of parcels,)
        Which of them are analysed. The others explain their share of each volume still: maps of a probabilistic atlas
        overlap, and no parcel's series may depend on which others are looked at.
    size : array, shape (number of parcels,)
        Weight of each parcel as a whole: what lies outside of the mask and of the images counts as well.
    dropped : tuple of str
        Names of the atlas's parcels of which too little lies there.
    min_coverage : float
        A parcel is NaN in a run in which voxels of a smaller share of its weight vary.
    """

    mask: Nifti1Image
    weights: sparse.csr_array
    names: tuple[str, ...]
    kept: NDArray[np.bool_]
    size: NDArray[np.float64]
    dropped: tuple[str, ...] = ()
    min_coverage: float = 0.0
    kind: ClassVar[Literal["parcels"]] = "parcels"

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the parcels that are analysed."""
        return tuple(name for name, keep in zip(self.names, self.kept, strict=True) if keep)

    def n_volumes(self, run: Run) -> int:
        """Number of volumes, from the header."""
        return n_volumes(only(run))

    def repetition_time(self, run: Run) -> float | None:
        """Repetition time in seconds, from the header."""
        return repetition_time(only(run))

    def read(self, run: Run) -> NDArray[np.float32]:
        """Parcel time series, shape (n_volumes, n_parcels); errors as of `neurocca.io.volumes.read_volumes`."""
        data = read_volumes(only(run), self.mask)
        usable = usable_columns(data)
        if not usable.all():
            log.info("%s: %d of %d voxels in parcels are constant or not finite.", *run, (~usable).sum(), len(usable))
        data[:, ~usable] = 0  # in place: a run is in memory once
        weights = sparse.csr_array(self.weights * usable[:, None])
        series = _explain(data, weights)
        series[:, _weight(weights) < self.min_coverage * self.size] = np.nan
        return series[:, self.kept]

    def narrowed(self, kept: NDArray[np.bool_]) -> "AtlasParcels":
        """Brain of the parcels for which ``kept``, shape (n_parcels,), is true."""
        return replace(self, kept=within(self.kept, kept))

    def write(self, rows: ArrayLike, stem: Path, names: Sequence[str], sidecar: dict[str, Any]) -> list[Path]:
        """Write rows, shape (k, n_parcels), as the columns of ``stem.tsv`` and painted into ``stem.nii.gz``.

        Where parcels overlap a voxel shows their mean by weight; where there is none, 0.
        """
        rows = check_maps(rows, len(self.labels), names)
        table, image = parcel_maps(rows, self.labels, names), self.paint(rows)
        files = {
            f"{stem.name}.tsv": lambda path: write_table(path, table),
            f"{stem.name}.nii.gz": lambda path: save_image(image, path),
        }
        return write_maps(stem.parent, files, names, sidecar)

    def paint(self, rows: NDArray) -> Nifti1Image:
        """Image of maps over parcels, shape (k, n_parcels), one volume for each."""
        size = abs(self.weights[:, np.flatnonzero(self.kept)])
        total = size.sum(axis=1)
        painted = (size @ np.atleast_2d(rows).T) / np.where(total > 0, total, np.inf)[:, None]
        image = unmask(painted.T, self.mask)
        image.header.set_xyzt_units("mm")
        return image


def _explain(data: NDArray[np.float32], weights: sparse.csr_array) -> NDArray[np.float32]:
    """Coefficients of the parcels in each volume, shape (T, n_parcels); NaN for a parcel without weight."""
    out = np.full((len(data), weights.shape[1]), np.nan, dtype=np.float32)
    gram = (weights.T @ weights).toarray()
    alive = np.diag(gram) > 0
    gram, weights = gram[np.ix_(alive, alive)], sparse.csr_array(weights[:, np.flatnonzero(alive)])
    alone = np.count_nonzero(gram) == len(gram)
    for start in range(0, len(data), _BLOCK):
        products = data[start : start + _BLOCK].astype(np.float64) @ weights
        solved = products / np.diag(gram) if alone else np.linalg.lstsq(gram, products.T)[0].T
        out[start : start + _BLOCK, alive] = solved
    return out


def place_atlas(
    atlas: Atlas, target: Nifti1Image, path: Path, mask: Nifti1Image | None = None, *, min_coverage: float = 0.0
) -> AtlasParcels:
    """Bring an atlas to the voxel grid of volumes.

    Parameters
    ----------
    atlas : Atlas
        On the grid already, or brought there: labels to the nearest voxel, weights linearly.
    target : Nifti1Image
        4D image; its grid counts.
    path : Path
        Where that lies, for messages.
    mask : Nifti1Image, optional
        Brain mask on the grid; parcels keep what lies inside.
    min_coverage : float
        Share of its voxels, or of its weight, that a parcel must have there: 0 takes all that have any. It counts
        what of the parcel lies in the field of view, inside the mask, and varies.

    Raises
    ------
    DataError
        When atlas and volumes, or atlas and mask, do not overlap; both grids are printed.
    """
    inside = np.ones(target.shape[:3], dtype=bool) if mask is None else np.asarray(mask.dataobj) != 0
    weights = _weights(atlas, target)
    here = (np.asarray(abs(weights).sum(axis=1)) > 0) & inside.ravel()
    if not here.any():
        grid, other = describe_grids(atlas.image, target)
        raise DataError(
            f"atlas {atlas.path}: none of its parcels lies in {'the volumes' if mask is None else 'the brain mask'} of "
            f"{path}: the atlas has a grid {grid}, the volumes {other}; bring both to one space first."
        )
    # the part of a parcel that the images do not reach has no voxel on their grid
    reached = _share_in_view(atlas, target)
    size = _weight(weights) / np.where(reached > 0, reached, 1)
    weights = sparse.csr_array(weights[np.flatnonzero(here)])
    inside_weight = _weight(weights)
    found = (inside_weight > 0) & (inside_weight >= min_coverage * size)
    dropped = tuple(name for name, is_there in zip(atlas.labels, found, strict=True) if not is_there)
    if not found.any():
        raise DataError(f"atlas {atlas.path}: no parcel has {100 * min_coverage:g} % of its voxels in {path}.")
    if dropped:
        share = f"less than {100 * min_coverage:g} % of their voxels" if min_coverage else "no voxel"
        log.warning(
            "atlas %s: %d parcels have %s in %s: %s.", atlas.path, len(dropped), share, path, ", ".join(dropped)
        )
    voxels = image_like(here.reshape(target.shape[:3]).astype(np.uint8), target)
    # those of too little coverage explain their voxels still
    there = np.flatnonzero(inside_weight > 0)
    names = tuple(atlas.labels[i] for i in there)
    return AtlasParcels(
        voxels, sparse.csr_array(weights[:, there]), names, found[there], size[there], dropped, min_coverage
    )


def _weight(weights: sparse.csr_array) -> NDArray[np.float64]:
    """Sum of the absolute weights of each parcel."""
    return np.asarray(abs(weights).sum(axis=0)).ravel()


def _share_in_view(atlas: Atlas, target: Nifti1Image) -> NDArray[np.float64]:
    """Share of each parcel, by weight, whose voxels of the atlas lie inside the box of an image."""
    shape = atlas.image.shape[:3]
    to_target = np.linalg.inv(target.affine) @ atlas.image.affine
    places = nib.affines.apply_affine(to_target, np.indices(shape).reshape(3, -1).T)
    box = np.all((places > -0.5) & (places < np.array(target.shape[:3]) - 0.5), axis=1)
    if atlas.probabilistic:
        box = box.reshape(shape).ravel(order="F")
        sums: list[tuple[float, float]] = []
        for _, block in slabs(atlas.image, atlas.path):
            size = np.abs(np.nan_to_num(block.astype(np.float64)))
            sums += zip(size[:, box].sum(axis=1), size.sum(axis=1), strict=True)
        inside, whole = np.array(sums).T
    else:
        values = np.asarray(atlas.image.dataobj).ravel()
        parcels, used = np.searchsorted(atlas.values, values), values != 0
        whole = np.bincount(parcels[used], minlength=len(atlas.values))
        inside = np.bincount(parcels[used & box], minlength=len(atlas.values))
    return inside / np.where(whole > 0, whole, 1)


def _weights(atlas: Atlas, target: Nifti1Image) -> sparse.csr_array:
    """Weights on a grid, shape (voxels of the grid in order C, parcels)."""
    moved = not same_grid(atlas.image, target)
    size = int(np.prod(target.shape[:3]))
    if not atlas.probabilistic:
        values = (to_grid(atlas.image, target) if moved else np.asarray(atlas.image.dataobj)).ravel()
        voxels = np.flatnonzero(values)
        parcels = np.searchsorted(atlas.values, values[voxels])
        return sparse.csr_array((np.ones(len(voxels)), (voxels, parcels)), shape=(size, len(atlas.labels)))
    columns = []
    for _, block in slabs(atlas.image, atlas.path):  # a fine atlas of many maps is larger than a run
        for row in block:
            # weights that a NaN stands for are none
            weights = np.nan_to_num(row.astype(np.float64)).reshape(atlas.image.shape[:3], order="F")
            if moved:
                weights = to_grid(Nifti1Image(weights, atlas.image.affine), target, "linear")
            columns.append(sparse.csc_array(weights.reshape(-1, 1)))
    return sparse.csr_array(sparse.hstack(columns))

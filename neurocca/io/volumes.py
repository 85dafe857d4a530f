"""Volumes: NIfTI images as (time, voxel) arrays and back."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import ArrayLike, NDArray

from neurocca.io.images import (
    check_grid,
    image_like,
    load_image,
    save_image,
    slabs,
)
from neurocca.io.maps import Run, check_maps, only, write_maps

log = logging.getLogger(__name__)

__all__ = [
    "Voxels",
    "load_image",
    "n_volumes",
    "narrow_mask",
    "read_volumes",
    "repetition_time",
    "save_image",
    "unmask",
]

_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}


def n_volumes(path: Path | str) -> int:
    """Number of volumes of a 4D image, from its header."""
    return int(load_image(path, ndim=4).shape[3])


def repetition_time(path: Path | str) -> float | None:
    """Repetition time in seconds, from the header of a 4D image; None when it does not say."""
    header = load_image(path, ndim=4).header
    unit = header.get_xyzt_units()[1]
    # zooms are float32: without rounding 0.8 s would come back as 0.800000011920929
    seconds = round(float(header.get_zooms()[3]) * _SECONDS.get(unit, 0.0), 6)
    return seconds if seconds > 0 else None


def read_volumes(path: Path | str, mask: Nifti1Image, *, smoothing: float = 0.0) -> NDArray[np.float32]:
    """Time series of the voxels inside a mask, as they are in the file.

    Parameters
    ----------
    path : path
        4D image on the mask's voxel grid.
    mask : Nifti1Image
        As from `read_mask` or `shared_mask`.
    smoothing : float
        Full width at half maximum, in millimetres, of a Gaussian that volumes are smoothed with, as nilearn's
        NiftiMasker does it: before the mask is applied, with 0 in place of values that are not finite. 0 does not.

    Returns
    -------
    array, shape (n_volumes, n_voxels), float32

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When it cannot be read or is on another grid than the mask.

    Notes
    -----
    The file is read once from start to end, and a few volumes are in memory beside the result. Values that are not
    finite come back as they are: which voxels to leave out is decided over all runs.
    """
    image = load_image(path, ndim=4)
    check_grid(image, mask, path, "the mask")
    inside = np.nonzero(np.asarray(mask.dataobj))
    voxels = np.ravel_multi_index(inside, image.shape[:3], order="F")
    data = np.empty((image.shape[3], len(voxels)), dtype=np.float32)
    with np.errstate(over="ignore"):  # what does not fit into float32 is infinite, and not usable
        blocks = _smoothed(image, path, voxels, smoothing) if smoothing else slabs(image, path, voxels)
        for start, block in blocks:
            data[start : start + len(block)] = block
    return data


def _smoothed(
    image: Nifti1Image, path: Path | str, voxels: NDArray[np.intp], fwhm: float
) -> Iterator[tuple[int, NDArray]]:
    """One volume after the other, smoothed; what was not finite in it stays so."""
    from nilearn.image import smooth_img

    for start, block in slabs(image, path):
        for t, flat in enumerate(block):
            volume = np.asarray(flat, dtype=np.float32).reshape(image.shape[:3], order="F")
            smooth = np.asarray(smooth_img(Nifti1Image(volume, image.affine), fwhm).dataobj)
            before, after = (one.ravel(order="F")[voxels] for one in (volume, smooth))
            yield start + t, np.where(np.isfinite(before), after, np.nan)[None]


def unmask(rows: ArrayLike, mask: Nifti1Image) -> Nifti1Image:
    """Image of which each volume shows one row, 0 outside the mask.

    Parameters
    ----------
    rows : array, shape (k, n_voxels)
    mask : Nifti1Image
        The mask that the voxels came from.

    Returns
    -------
    Nifti1Image
        4D, float32, k volumes.
    """
    from nilearn import masking

    found = masking.unmask(np.atleast_2d(np.asarray(rows, dtype=np.float32)), mask)
    return image_like(np.asarray(found.dataobj), mask)


def narrow_mask(mask: Nifti1Image, kept: NDArray[np.bool_]) -> Nifti1Image:
    """Mask of the voxels of another mask for which ``kept``, shape (n_voxels,), is true."""
    inside = np.asarray(unmask(kept, mask).dataobj)[..., 0] > 0
    return image_like(inside.astype(np.uint8), mask)


@dataclass(frozen=True)
class Voxels:
    """Brain of the voxels inside a mask; see `neurocca.io.brains.Brain`.

    Parameters
    ----------
    mask : Nifti1Image
        As from `read_mask` or `shared_mask`, on the voxel grid of the runs.
    smoothing : float
        Of the volumes, see `read_volumes`.
    """

    mask: Nifti1Image
    smoothing: float = 0.0
    kind: ClassVar[Literal["voxels"]] = "voxels"
    dropped: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Places of the voxels in the grid, counted from 0: ``voxel_12_40_22``."""
        return tuple("voxel_{}_{}_{}".format(*ijk) for ijk in np.argwhere(np.asarray(self.mask.dataobj)).tolist())

    def n_volumes(self, run: Run) -> int:
        """Number of volumes, from the header."""
        return n_volumes(only(run))

    def repetition_time(self, run: Run) -> float | None:
        """Repetition time in seconds, from the header."""
        return repetition_time(only(run))

    def read(self, run: Run) -> NDArray[np.float32]:
        """Time series, shape (n_volumes, n_voxels); see `read_volumes`."""
        return read_volumes(only(run), self.mask, smoothing=self.smoothing)

    def narrowed(self, kept: NDArray[np.bool_]) -> "Voxels":
        """Brain of the voxels for which ``kept``, shape (n_voxels,), is true."""
        return replace(self, mask=narrow_mask(self.mask, kept))

    def write(self, rows: ArrayLike, stem: Path, names: Sequence[str], sidecar: dict[str, Any]) -> list[Path]:
        """Write rows, shape (k, n_voxels), as the volumes of ``stem.nii.gz``, 0 outside the mask."""
        rows = check_maps(rows, len(self.labels), names)
        image = unmask(rows, self.mask)
        image.header.set_xyzt_units("mm")
        return write_maps(stem.parent, {f"{stem.name}.nii.gz": lambda path: save_image(image, path)}, names, sidecar)

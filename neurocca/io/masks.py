"""Masks: which voxels are analysed."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from neurocca.errors import DataError
from neurocca.io.images import (
    check_grid,
    cut_to_grid,
    describe_grids,
    image_like,
    load_image,
    reading,
    slabs,
    to_grid,
)

log = logging.getLogger(__name__)

_OPENING = 5.0
"""Width in millimetres by which thin bridges to skull and eyes are taken off the brain mask."""

_BRAIN_VOLUME = 2.2e6
"""Cubic millimetres that a generous brain mask does not exceed."""


def read_mask(path: Path | str, grid_of: Path | str | None = None) -> Nifti1Image:
    """Read a brain mask.

    Parameters
    ----------
    path : path
        3D image; every voxel other than 0 belongs to the mask.
    grid_of : path, optional
        Image to whose voxel grid the mask is brought, to the nearest voxel.

    Returns
    -------
    Nifti1Image
        3D, uint8, 0 and 1.

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When it cannot be read, is not 3D or holds no voxel.
    """
    image = load_image(path, ndim=3)
    with reading(path):
        inside = np.nan_to_num(image.get_fdata(dtype=np.float32)) != 0
    mask = image_like(inside.astype(np.uint8), image)
    if grid_of is not None:
        target = load_image(grid_of)
        mask = image_like((to_grid(mask, target) > 0).astype(np.uint8), target)
    if not np.any(mask.dataobj):
        raise DataError(f"mask {path}: no voxel is inside{'' if grid_of is None else f' on the grid of {grid_of}'}.")
    return mask


def read_region(path: Path | str, target: Nifti1Image, name: Path | str) -> Nifti1Image:
    """Read the mask of a region, which may be one of more of the brain than the volumes hold, or of less.

    Parameters
    ----------
    path : path
        3D image, whose voxels coincide with those of the volumes.
    target : Nifti1Image
        The volumes.
    name : path
        Where these lie.

    Returns
    -------
    Nifti1Image
        3D, uint8, 0 and 1, on the grid of the volumes.

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When it cannot be read, or has no voxel in the volumes; when voxels do not coincide, both grids are printed.
    """
    mask = read_mask(path)
    inside = cut_to_grid(mask, target)
    this, that = describe_grids(mask, target)
    if inside is None:
        raise DataError(
            f"mask {path}: its voxels are not those of {name}: its grid is {this}, theirs {that}; bring both to one "
            "grid first."
        )
    if not inside.any():
        raise DataError(f"mask {path}: no voxel of it lies in {name}: its grid is {this}, theirs {that}.")
    if outside := int(np.count_nonzero(mask.dataobj)) - int(inside.sum()):
        log.warning("mask %s: %d voxels lie outside of %s, and %d inside.", path, outside, name, int(inside.sum()))
    return image_like(inside, target)


def intersect_masks(paths: Sequence[Path | str]) -> Nifti1Image:
    """Voxels that all masks hold; all must be on one voxel grid.

    Raises
    ------
    NoInputError, DataError
        The message names the file.
    """
    mask, names = read_mask(paths[0]), f"masks {', '.join(map(str, paths))}"
    for path in paths[1:]:
        other = read_mask(path)
        check_grid(other, mask, path, paths[0])
        mask = both_masks(mask, other, names)
    return mask


def both_masks(mask: Nifti1Image, other: Nifti1Image, names: str) -> Nifti1Image:
    """Voxels that two masks on one grid hold, which the message calls by ``names`` where there are none.

    Raises
    ------
    DataError
        When no voxel is inside both.
    """
    inside = (np.asarray(mask.dataobj) != 0) & (np.asarray(other.dataobj) != 0)
    if not inside.any():
        raise DataError(f"{names}: no voxel is inside all of them.")
    return image_like(inside.astype(np.uint8), mask)


def shared_mask(paths: Sequence[Path | str]) -> Nifti1Image:
    """Voxels of the brain that are finite and vary in every run.

    The brain is told from the background by nilearn's histogram rule on the mean of all runs, each run scaled to
    its own mean. Where no more than a brain varies (the images are masked already) and where the rule finds
    nothing, all varying voxels are kept.

    Parameters
    ----------
    paths : sequence of paths
        4D images on one voxel grid; of one at a time a few volumes are in memory.

    Returns
    -------
    Nifti1Image
        3D, uint8, 0 and 1.

    Raises
    ------
    NoInputError
        When a file does not exist.
    DataError
        When a file cannot be read, is on another grid than the first, or no voxel varies in every run.
    """
    images = [load_image(path, ndim=4) for path in paths]
    first = images[0]
    varying, mean = np.ones(first.shape[:3], dtype=bool), np.zeros(first.shape[:3])
    for image, path in zip(images, paths, strict=True):
        check_grid(image, first, path, paths[0])  # all of them before the first is read, which takes long
    for image, path in zip(images, paths, strict=True):
        in_this, run_mean = _varying(image, path)
        varying &= in_this
        mean += run_mean / (np.abs(run_mean).mean() or 1)
        if not varying.any():
            raise DataError(f"image {path}: no voxel is finite and varies in this and all runs before it.")
    inside = varying
    if varying.sum() * np.prod(nib.affines.voxel_sizes(first.affine)) > _BRAIN_VOLUME:
        inside = varying & _brain(np.where(varying, mean, 0), first.affine)
    return image_like((inside if inside.any() else varying).astype(np.uint8), first)


def _varying(image: Nifti1Image, path: Path | str) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Voxels that are finite throughout and vary, and the mean of the finite ones (0 elsewhere), both 3D."""
    size = int(np.prod(image.shape[:3]))
    # not the variance: that of a constant is not always 0 in floats
    low, high, total = np.full(size, np.inf), np.full(size, -np.inf), np.zeros(size)
    with np.errstate(invalid="ignore"):
        for _, block in slabs(image, path):
            np.minimum(low, block.min(axis=0), out=low)  # NaN goes through both
            np.maximum(high, block.max(axis=0), out=high)
            total += block.sum(axis=0, dtype=np.float64)
    finite = np.isfinite(low) & np.isfinite(high)
    varying, mean = finite & (high > low), np.where(finite, total / image.shape[3], 0)
    return varying.reshape(image.shape[:3], order="F"), mean.reshape(image.shape[:3], order="F")


def _brain(mean: NDArray, affine: NDArray) -> NDArray[np.bool_]:
    """Brain of a mean image by nilearn's histogram rule; empty where the rule finds nothing."""
    from nilearn.exceptions import MaskWarning
    from nilearn.masking import compute_epi_mask
    from scipy.ndimage import binary_fill_holes

    # the opening counts in voxels: nilearn's 2 suits voxels of 2 to 3 mm and would eat a coarse brain
    opening = int(_OPENING / nib.affines.voxel_sizes(affine).max())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MaskWarning)
        mask = compute_epi_mask(Nifti1Image(mean.astype(np.float32), affine), opening=opening or False)
    return np.asarray(binary_fill_holes(np.asarray(mask.dataobj) != 0))

"""Volumes: NIfTI images as (time, voxel) arrays and back. The only module that opens them."""

import gzip
import io
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import HeaderDataError
from numpy.typing import ArrayLike, DTypeLike, NDArray

from neurocca.errors import DataError, NeuroccaError, NoInputError
from neurocca.io.files import staged

_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}

_OPENING = 5.0
"""Width in millimetres by which thin bridges to skull and eyes are taken off the brain mask."""

_BRAIN_VOLUME = 2.2e6
"""Cubic millimetres that a generous brain mask does not exceed."""


def n_volumes(path: Path | str) -> int:
    """Number of volumes of a 4D image, from its header."""
    return int(_load(path, ndim=4).shape[3])


def repetition_time(path: Path | str) -> float | None:
    """Repetition time in seconds, from the header of a 4D image; None when it does not say."""
    header = _load(path, ndim=4).header
    unit = header.get_xyzt_units()[1]
    # zooms are float32: without rounding 0.8 s would come back as 0.800000011920929
    seconds = round(float(header.get_zooms()[3]) * _SECONDS.get(unit, 0.0), 6)
    return seconds if seconds > 0 else None


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
    image = _load(path, ndim=3)
    with _reading(path):
        inside = np.nan_to_num(image.get_fdata(dtype=np.float32)) != 0
    mask = Nifti1Image(inside.astype(np.uint8), image.affine)
    if grid_of is not None:
        mask = _to_grid(mask, _load(grid_of))
    if not np.any(mask.dataobj):
        raise DataError(f"mask {path}: no voxel is inside{'' if grid_of is None else f' on the grid of {grid_of}'}.")
    return mask


def intersect_masks(paths: Sequence[Path | str]) -> Nifti1Image:
    """Voxels that all masks hold; all must be on one voxel grid.

    Raises
    ------
    NoInputError, DataError
        The message names the file.
    """
    mask = read_mask(paths[0])
    inside = np.asarray(mask.dataobj) != 0
    for path in paths[1:]:
        other = read_mask(path)
        _check_grid(other, mask, path, paths[0])
        inside &= np.asarray(other.dataobj) != 0
    if not inside.any():
        raise DataError(f"masks {', '.join(map(str, paths))}: no voxel is inside all of them.")
    return Nifti1Image(inside.astype(np.uint8), mask.affine)


def shared_mask(paths: Sequence[Path | str]) -> Nifti1Image:
    """Voxels of the brain that are finite and vary in every run.

    The brain is told from the background by nilearn's histogram rule on the mean of all runs, each run scaled to
    its own mean. Where no more than a brain varies (the images are masked already) and where the rule finds
    nothing, all varying voxels are kept.

    Parameters
    ----------
    paths : sequence of paths
        4D images on one voxel grid; one is in memory at a time.

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
    first = _load(paths[0], ndim=4)
    varying = np.ones(first.shape[:3], dtype=bool)
    mean = np.zeros(first.shape[:3])
    for path in paths:
        image = _load(path, ndim=4)
        _check_grid(image, first, path, paths[0])
        with _reading(path):
            data = image.get_fdata(dtype=np.float32, caching="unchanged")
        finite = np.isfinite(data).all(axis=3)
        # not the variance: that of a constant is not always 0 in floats
        varying &= finite & (data.max(axis=3) > data.min(axis=3))
        run_mean = np.where(finite, data.mean(axis=3, dtype=np.float64), 0)
        mean += run_mean / (np.abs(run_mean).mean() or 1)
        if not varying.any():
            raise DataError(f"image {path}: no voxel is finite and varies in this and all runs before it.")
    inside = varying
    if varying.sum() * np.prod(nib.affines.voxel_sizes(first.affine)) > _BRAIN_VOLUME:
        inside = varying & _brain(np.where(varying, mean, 0), first.affine)
    return Nifti1Image((inside if inside.any() else varying).astype(np.uint8), first.affine)


def read_volumes(path: Path | str, mask: Nifti1Image) -> NDArray[np.float32]:
    """Time series of the voxels inside a mask, as they are in the file.

    Parameters
    ----------
    path : path
        4D image on the mask's voxel grid.
    mask : Nifti1Image
        As from `read_mask` or `shared_mask`.

    Returns
    -------
    array, shape (n_volumes, n_voxels), float32

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When it cannot be read, is on another grid than the mask, or holds values that are not finite.
    """
    from nilearn.masking import apply_mask  # slow to import

    image = _load(path, ndim=4)
    _check_grid(image, mask, path, "the mask")
    with _reading(path):
        data = image.get_fdata(dtype=np.float32)
    bad = ~np.isfinite(data[np.asarray(mask.dataobj) != 0]).all(axis=1)
    if bad.any():
        raise DataError(f"image {path}: {int(bad.sum())} voxels inside the mask hold values that are not finite.")
    # the masker's own repair would put zeros in place of them without a word
    return np.asarray(apply_mask(image, mask, dtype=np.float32, ensure_finite=False))


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

    return masking.unmask(np.atleast_2d(np.asarray(rows, dtype=np.float32)), mask)


def narrow_mask(mask: Nifti1Image, kept: NDArray[np.bool_]) -> Nifti1Image:
    """Mask of the voxels of another mask for which ``kept``, shape (n_voxels,), is true."""
    inside = np.asarray(unmask(kept, mask).dataobj)[..., 0] > 0
    return Nifti1Image(inside.astype(np.uint8), mask.affine)


def load_image(path: Path | str) -> Nifti1Image:
    """Image with its data still on disk.

    Raises
    ------
    NoInputError, DataError
        The message names the file.
    """
    return _load(path)


def save_image(image: Nifti1Image, path: Path | str, dtype: DTypeLike = np.float32) -> Path:
    """Write an image; the same image gives the same bytes.

    Parameters
    ----------
    image : Nifti1Image
    path : path
        Ends in .nii or .nii.gz.
    dtype : dtype
        Type on disk. Integers are rounded and not scaled.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        When a value does not fit into an integer type.
    OutputError
        When the file cannot be written.
    """
    path, dtype = Path(path), np.dtype(dtype)
    data = np.asanyarray(image.dataobj)
    if dtype.kind in "iu":
        data, limits = np.rint(data), np.iinfo(dtype)
        if not (np.isfinite(data).all() and data.min() >= limits.min and data.max() <= limits.max):
            raise ValueError(f"values from {data.min():g} to {data.max():g} do not fit into {dtype}.")
    written = Nifti1Image(data.astype(dtype), image.affine, image.header)
    written.set_data_dtype(dtype)
    content = written.to_bytes()
    with staged(path.parent) as folder:
        (folder / path.name).write_bytes(_compress(content) if path.suffix == ".gz" else content)
    return path


def _compress(content: bytes) -> bytes:
    """Gzip without the name and time of writing."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=buffer, mtime=0) as stream:
        stream.write(content)
    return buffer.getvalue()


def _load(path: Path | str, ndim: int | None = None) -> Nifti1Image:
    """Image whose data are not read yet."""
    path = Path(path)
    if not path.is_file():
        hint = "its content has not been fetched (datalad get)" if path.is_symlink() else "no such file"
        raise NoInputError(f"image {path}: {hint}.")
    with _reading(path):
        image = nib.load(path)
    if not isinstance(image, Nifti1Image):
        raise DataError(f"image {path}: not NIfTI but {type(image).__name__}.")
    if ndim is not None and len(image.shape) != ndim:
        raise DataError(f"image {path}: has shape {image.shape}, but {ndim} dimensions are needed.")
    return image


@contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    """Turn what a broken file makes nibabel raise into one line that names the file."""
    try:
        yield
    except NeuroccaError:
        raise
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"image {path}: cannot be read: {reason}") from error


def _check_grid(image: Nifti1Image, other: Nifti1Image, path: Path | str, name: Path | str) -> None:
    if image.shape[:3] != other.shape[:3] or not np.allclose(image.affine, other.affine, atol=1e-3):
        raise DataError(
            f"image {path}: its voxel grid {_grid(image)} is not that of {name}, {_grid(other)}; "
            "bring all to one grid first."
        )


def _grid(image: Nifti1Image) -> str:
    origin = ", ".join(f"{x:g}" for x in image.affine[:3, 3])
    sizes = " x ".join(f"{z:g}" for z in nib.affines.voxel_sizes(image.affine).round(3))
    return f"of {image.shape[:3]} voxels of {sizes} mm from ({origin})"


def _to_grid(mask: Nifti1Image, target: Nifti1Image) -> Nifti1Image:
    from nilearn.image import resample_img

    moved = resample_img(
        mask,
        target_affine=target.affine,
        target_shape=target.shape[:3],
        interpolation="nearest",
        force_resample=True,
        copy_header=True,
    )
    return Nifti1Image((np.asarray(moved.dataobj) > 0).astype(np.uint8), target.affine)


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

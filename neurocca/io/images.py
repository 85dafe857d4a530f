"""NIfTI files: opened, read in one pass, written byte-stable."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from xml.etree.ElementTree import ParseError
from xml.parsers.expat import ExpatError

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.cifti2.cifti2 import Cifti2HeaderError
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Image
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from numpy.typing import DTypeLike, NDArray

from neurocca.errors import DataError, NeuroccaError, NoInputError
from neurocca.io.files import staged, why_absent

_SLAB = 8 * 2**20
"""Bytes of consecutive volumes that are in memory at a time: enough to be fast, little beside any run."""

_PIECE = 2**20
"""Bytes that are decompressed at once."""

_BROKEN = (
    ImageFileError,
    HeaderDataError,
    Cifti2HeaderError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    zlib.error,
    ExpatError,
    ParseError,
)
"""What a broken file makes nibabel raise; the parsers of its XML formats meet None where an element is damaged."""


def load_image(path: Path | str, ndim: int | None = None) -> Nifti1Image:
    """Image with its data still on disk.

    Parameters
    ----------
    path : path
    ndim : int, optional
        Number of dimensions that it must have; more of length 1 at the end, as some programs write them, are dropped.

    Raises
    ------
    NoInputError, DataError
        The message names the file.
    """
    image = open_image(path)
    if not isinstance(image, Nifti1Image):
        raise DataError(f"image {path}: not NIfTI but {type(image).__name__}.")
    if ndim is not None and len(image.shape) > ndim and set(image.shape[ndim:]) == {1}:
        with reading(path):
            image = image.slicer[(slice(None),) * ndim + (0,) * (len(image.shape) - ndim)]
    if ndim is not None and len(image.shape) != ndim:
        raise DataError(f"image {path}: has shape {image.shape}, but {ndim} dimensions are needed.")
    return image


def open_image(path: Path | str) -> nib.filebasedimages.FileBasedImage:
    """Image of any kind that nibabel knows; errors as of `load_image`."""
    path = Path(path)
    if reason := why_absent(path):
        raise NoInputError(f"image {path}: {reason}.")
    with reading(path):
        return nib.load(path)


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn what a broken file makes nibabel raise into one line that names the file."""
    try:
        yield
    except NeuroccaError:
        raise
    except _BROKEN as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"image {path}: cannot be read: {reason}") from error


def slabs(
    image: Nifti1Image, path: Path | str, voxels: NDArray[np.intp] | None = None
) -> Iterator[tuple[int, NDArray]]:
    """Blocks of consecutive volumes, in order; each byte of the file is read and decompressed once.

    Parameters
    ----------
    image : Nifti1Image
        4D, as from `load_image`.
    path : path
        Where it lies.
    voxels : array of int, shape (v,), optional
        Which voxels, counted with the first axis fastest (order F); all by default.

    Yields
    ------
    start : int
        First volume of the block.
    block : array, shape (n, v)
        Scaled as the header says, in the file's own type where nothing is to be scaled. Valid until the next block.

    Raises
    ------
    DataError
        When the file is truncated or corrupt, or does not hold plain numbers.
    """
    proxy, n_volumes = cast(ArrayProxy, image.dataobj), image.shape[3]
    if proxy.dtype.kind not in "iuf":
        raise DataError(f"image {path}: holds values of type {proxy.dtype}, not plain numbers.")
    size = int(np.prod(image.shape[:3]))
    step = max(1, min(n_volumes, _SLAB // max(1, size * proxy.dtype.itemsize)))
    buffer = np.empty((step, size), proxy.dtype)
    with reading(path), ImageOpener(str(path)) as file:
        file.seek(proxy.offset)
        for start in range(0, n_volumes, step):
            block = buffer[: n_volumes - start]
            got = _fill(block.reshape(-1).view(np.uint8).data, file)
            if got < block.nbytes:
                whole = start + got // (block.nbytes // len(block))
                raise DataError(f"image {path}: truncated after {whole} of {n_volumes} volumes.")
            yield start, _scaled(block if voxels is None else np.take(block, voxels, axis=1), proxy)
        file.read(1)  # gzip compares the checksum when it meets the end


def _fill(buffer: memoryview, file: ImageOpener) -> int:
    """Bytes that a buffer took from a file: fewer than it holds where the file ends."""
    done = 0
    # in pieces: what gzip reads at once it has in memory twice
    while done < len(buffer) and (got := file.readinto(buffer[done : done + _PIECE])):
        done += got
    return done


def _scaled(block: NDArray, proxy: ArrayProxy) -> NDArray:
    if (proxy.slope, proxy.inter) == (1, 0):
        return block
    return np.multiply(block, proxy.slope, dtype=np.float64) + proxy.inter


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


def image_like(data: NDArray, image: Nifti1Image) -> Nifti1Image:
    """Image of other values on a grid, in the space that the header there says (scanner, aligned, MNI)."""
    made = Nifti1Image(data, image.affine)
    if code := int(image.header["sform_code"]) or int(image.header["qform_code"]):
        made.set_sform(image.affine, code)
    return made


def same_grid(image: Nifti1Image, other: Nifti1Image) -> bool:
    """Whether two images have the same voxels in the same places, to a micrometre."""
    return image.shape[:3] == other.shape[:3] and bool(np.allclose(image.affine, other.affine, atol=1e-3))


def check_grid(image: Nifti1Image, other: Nifti1Image, path: Path | str, name: Path | str) -> None:
    """Refuse an image on another voxel grid than the image called ``name``; both grids are printed."""
    if not same_grid(image, other):
        this, that = describe_grids(image, other)
        raise DataError(
            f"image {path}: its voxel grid {this} is not that of {name}, {that}; bring all to one grid first."
        )


def cut_to_grid(image: Nifti1Image, target: Nifti1Image) -> NDArray | None:
    """Values of a 3D image on the grid of another one, 0 outside its own; None unless their voxels coincide.

    Grids whose voxels coincide have the same axes, and origins that are whole voxels apart: nothing is interpolated.
    """
    steps = np.linalg.inv(image.affine) @ target.affine
    start = np.rint(steps[:3, 3]).astype(int)
    if not np.allclose(steps[:3, :3], np.eye(3), atol=1e-5) or not np.allclose(steps[:3, 3], start, atol=1e-3):
        return None
    found, stop = np.zeros(target.shape[:3], dtype=image.get_data_dtype()), start + target.shape[:3]
    here = tuple(slice(max(0, a), max(0, min(b, n))) for a, b, n in zip(start, stop, image.shape, strict=True))
    there = tuple(slice(h.start - a, h.stop - a) for h, a in zip(here, start, strict=True))
    if all(h.stop > h.start for h in here):
        found[there] = np.asarray(image.dataobj)[here]
    return found


def describe_grids(image: Nifti1Image, other: Nifti1Image) -> tuple[str, str]:
    """Two grids in words that tell them apart: sizes and origins, or where these agree the affines."""
    this, that = _grid(image), _grid(other)
    if this != that:
        return this, that
    return f"with the affine {image.affine[:3].tolist()}", f"with the affine {other.affine[:3].tolist()}"


def _grid(image: Nifti1Image) -> str:
    origin = ", ".join(f"{x:g}" for x in image.affine[:3, 3])
    sizes = " x ".join(f"{z:g}" for z in nib.affines.voxel_sizes(image.affine).round(3))
    return f"of {image.shape[:3]} voxels of {sizes} mm from ({origin})"


def to_grid(image: Nifti1Image, target: Nifti1Image, interpolation: str = "nearest") -> NDArray:
    """Values of a 3D image on the voxel grid of another one, 0 outside its own, shape as the other's."""
    from nilearn.image import resample_img  # slow to import
    from nilearn.image.resampling import BoundingBoxError

    try:
        moved = resample_img(
            image,
            target_affine=target.affine,
            target_shape=target.shape[:3],
            interpolation=interpolation,
            force_resample=True,
            copy_header=True,
        )
    except BoundingBoxError:  # the caller knows what to say about grids that have nothing in common
        return np.zeros(target.shape[:3])
    return np.asarray(moved.dataobj)

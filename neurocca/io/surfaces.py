"""Surfaces: GIFTI series of both hemispheres as (time, vertex) arrays and back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple
from xml.etree import ElementTree

import numpy as np
from nibabel.gifti.gifti import GiftiDataArray, GiftiImage, GiftiMetaData
from numpy.typing import ArrayLike, NDArray

from neurocca.errors import DataError, NoInputError, UsageError
from neurocca.io.files import why_absent
from neurocca.io.images import open_image, reading
from neurocca.io.maps import Run, check_maps, within, write_maps

_HEMISPHERES = {"L": "CortexLeft", "R": "CortexRight"}

_BEFORE_HEMI = re.compile(
    "(sub|tpl|cohort|ses|sample|task|tracksys|acq|nuc|voi|ce|trc|stain|rec|dir|run|mod|echo|flip|inv|mt|part|proc)-.*"
)
"""Entities that stand before ``hemi`` in a BIDS name."""


class _Header(NamedTuple):
    n_volumes: int
    n_vertices: int
    t_r: float | None


@dataclass(frozen=True)
class Surfaces:
    """Brain of the vertices of both hemispheres, left before right; see `neurocca.io.brains.Brain`.

    Parameters
    ----------
    n_left : int
        Vertices of the left hemisphere.
    kept : array of bool, shape (vertices of both hemispheres,)
        Which of them are analysed. The medial wall is in at first: it is constant or NaN, and `narrowed` drops it.
    """

    n_left: int
    kept: NDArray[np.bool_]
    kind: ClassVar[Literal["surface"]] = "surface"
    dropped: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of(cls, run: Run) -> "Surfaces":
        """Brain of all vertices of a run.

        Raises
        ------
        NoInputError, DataError
            The message names the file.
        """
        left, right = _headers(run)
        return cls(left.n_vertices, np.ones(left.n_vertices + right.n_vertices, dtype=bool))

    @property
    def labels(self) -> tuple[str, ...]:
        """Hemisphere and number of the vertices, counted from 0: ``L_12``."""
        left, right = (np.flatnonzero(kept).tolist() for kept in self._halves())
        return (*(f"L_{vertex}" for vertex in left), *(f"R_{vertex}" for vertex in right))

    def n_volumes(self, run: Run) -> int:
        """Number of volumes, from the header."""
        return _headers(run)[0].n_volumes

    def repetition_time(self, run: Run) -> float | None:
        """Repetition time in seconds, from the header; None when it does not say."""
        return _headers(run)[0].t_r

    def read(self, run: Run) -> NDArray[np.float32]:
        """Time series, shape (n_volumes, n_vertices).

        Raises
        ------
        NoInputError, DataError
            When a file cannot be read, or has another number of vertices.
        """
        headers = _headers(run)
        for path, header, expected in zip(run, headers, map(len, self._halves()), strict=True):
            if header.n_vertices != expected:
                raise DataError(f"image {path}: has {header.n_vertices} vertices, but the first run has {expected}.")
        columns = np.cumsum([0, *(kept.sum() for kept in self._halves())])
        data = np.empty((headers[0].n_volumes, columns[-1]), dtype=np.float32)
        for i, (path, kept) in enumerate(zip(run, self._halves(), strict=True)):
            _fill(data[:, columns[i] : columns[i + 1]], path, kept)
        return data

    def narrowed(self, kept: NDArray[np.bool_]) -> "Surfaces":
        """Brain of the vertices for which ``kept``, shape (n_vertices,), is true."""
        return Surfaces(self.n_left, within(self.kept, kept))

    def write(self, rows: ArrayLike, stem: Path, names: Sequence[str], sidecar: dict[str, Any]) -> list[Path]:
        """Write rows, shape (k, n_vertices), as one ``.func.gii`` per hemisphere, 0 where nothing is analysed."""
        full = np.zeros((len(names), len(self.kept)), dtype=np.float32)
        full[:, self.kept] = check_maps(rows, int(self.kept.sum()), names)
        files = {}
        for hemisphere, maps in zip(_HEMISPHERES, np.split(full, [self.n_left], axis=1), strict=True):
            content = _gifti(maps, names, _HEMISPHERES[hemisphere]).to_bytes()
            files[f"{with_hemisphere(stem.name, hemisphere)}.func.gii"] = lambda path, c=content: path.write_bytes(c)
        return write_maps(stem.parent, files, names, sidecar)

    def _halves(self) -> list[NDArray[np.bool_]]:
        return np.split(self.kept, [self.n_left])


def read_hemispheres(stem: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Maps over the left and the right hemisphere, each of shape (k, n_vertices), as `Surfaces.write` left them."""
    halves = []
    for hemisphere in _HEMISPHERES:
        path = stem.with_name(f"{with_hemisphere(stem.name, hemisphere)}.func.gii")
        image = open_image(path)
        if not isinstance(image, GiftiImage):
            raise DataError(f"image {path}: not GIFTI but {type(image).__name__}.")
        with reading(path):
            halves.append(np.stack([array.data for array in image.darrays]))
    return halves[0], halves[1]


def read_surface_maps(stem: Path) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Maps over both hemispheres, shape (k, n_vertices), as `Surfaces.write` left them, and the vertices' labels."""
    halves = read_hemispheres(stem)
    rows = np.concatenate(halves, axis=1)
    return rows, Surfaces(halves[0].shape[1], np.ones(rows.shape[1], dtype=bool)).labels


def with_hemisphere(name: str, hemisphere: str) -> str:
    """BIDS name with the entity ``hemi`` in its place.

    >>> with_hemisphere("sub-01_task-film_space-fsaverage5_desc-cca_components", "L")
    'sub-01_task-film_hemi-L_space-fsaverage5_desc-cca_components'
    """
    parts = name.split("_")
    place = next((i for i, part in enumerate(parts) if not _BEFORE_HEMI.fullmatch(part)), len(parts))
    return "_".join([*parts[:place], f"hemi-{hemisphere}", *parts[place:]])


def _headers(run: Run) -> tuple[_Header, _Header]:
    """What both hemispheres' files say, which must be as long as each other."""
    if len(run) != 2:
        raise UsageError(f"run {', '.join(map(str, run))}: two files are expected, left and right hemisphere.")
    for path, hemisphere in zip(run, _HEMISPHERES, strict=True):
        said = re.search(r"hemi-([LR])", path.name)
        if said and said[1] != hemisphere:
            raise UsageError(f"image {path}: is of hemisphere {said[1]}, where {hemisphere} is expected.")
    left, right = (_header(path) for path in run)
    if left.n_volumes != right.n_volumes:
        raise DataError(
            f"image {run[1]}: has {right.n_volumes} volumes, but {run[0].name} of the other hemisphere has "
            f"{left.n_volumes}."
        )
    return left, right


def _header(path: Path) -> _Header:
    """Sizes and repetition time from the start of the file: all volumes are one XML text, slow to read."""
    if reason := why_absent(path):
        raise NoInputError(f"image {path}: {reason}.")
    n_arrays, array, meta = 0, None, {}
    with reading(path), path.open("rb") as file:
        for event, element in ElementTree.iterparse(file, events=("start", "end")):
            if event == "start" and element.tag == "GIFTI":
                n_arrays = int(element.attrib["NumberOfDataArrays"])
            elif event == "start" and element.tag == "DataArray":
                array = dict(element.attrib)
            elif event == "end" and element.tag == "MD":
                meta[element.findtext("Name")] = element.findtext("Value")
            elif event == "start" and element.tag == "Data":
                break
    if array is None or not n_arrays:
        raise DataError(f"image {path}: not a GIFTI file with data arrays.")
    return _Header(*_sizes(path, n_arrays, array), _seconds(meta.get("TimeStep")))


def _sizes(path: Path, n_arrays: int, array: dict[str, str]) -> tuple[int, int]:
    if array["Intent"] in ("NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE", "NIFTI_INTENT_LABEL"):
        raise DataError(f"image {path}: holds a {array['Intent'].rsplit('_', 1)[-1].lower()}, not a time series.")
    n_vertices = int(array["Dim0"])
    if n_arrays == 1 and array["Dimensionality"] == "2":
        return int(array["Dim1"]), n_vertices
    return n_arrays, n_vertices


def _seconds(time_step: str | None) -> float | None:
    """Repetition time; FreeSurfer, and fMRIPrep with it, writes milliseconds, others write seconds."""
    try:
        value = float(time_step or 0)
    except ValueError:
        return None
    # no volume takes 30 s, and none takes 30 ms
    seconds = round(value / 1000 if value > 30 else value, 6)
    return seconds if seconds > 0 else None


def _fill(out: NDArray[np.float32], path: Path, kept: NDArray[np.bool_]) -> None:
    """Write the kept vertices of one hemisphere, shape (n_volumes, n_vertices), into ``out``."""
    image = open_image(path)
    if not isinstance(image, GiftiImage):
        raise DataError(f"image {path}: not GIFTI but {type(image).__name__}.")
    arrays = image.darrays
    with reading(path):
        if len(arrays) == 1 and arrays[0].data.ndim == 2:
            out[:] = arrays[0].data[kept].T
            return
        shapes = {array.data.shape for array in arrays}
        if len(arrays) != len(out) or shapes != {kept.shape}:
            raise DataError(
                f"image {path}: holds {len(arrays)} arrays of shape {', '.join(map(str, sorted(shapes)))}, but its "
                f"header says {len(out)} of {kept.shape}."
            )
        for t in range(len(out)):
            out[t] = arrays[t].data[kept]
            arrays[t] = None  # what is copied need not stay


def _gifti(maps: NDArray[np.float32], names: Sequence[str], structure: str) -> GiftiImage:
    arrays = [
        GiftiDataArray(row, intent="NIFTI_INTENT_NONE", datatype="NIFTI_TYPE_FLOAT32", meta=GiftiMetaData(Name=name))
        for row, name in zip(maps, names, strict=True)
    ]
    return GiftiImage(meta=GiftiMetaData(AnatomicalStructurePrimary=structure), darrays=arrays)

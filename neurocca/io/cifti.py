"""CIFTI: dense and parcellated series as (time, grayordinate) arrays and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from nibabel.cifti2.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import BrainModelAxis, ParcelsAxis, ScalarAxis, SeriesAxis
from numpy.typing import ArrayLike, NDArray

from neurocca.errors import DataError
from neurocca.io.images import open_image, reading
from neurocca.io.maps import Kind, Run, check_maps, only, within, write_maps

_BLOCK = 8 * 2**20
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class Grayordinates:
    """Brain of the grayordinates or parcels of CIFTI series; see `neurocca.io.brains.Brain`.

    Parameters
    ----------
    axis : BrainModelAxis or ParcelsAxis
        What the columns are.
    kept : array of bool, shape (len(axis),)
        Which of them are analysed.
    """

    axis: BrainModelAxis | ParcelsAxis
    kept: NDArray[np.bool_]
    dropped: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of(cls, run: Run) -> "Grayordinates":
        """Brain of all columns of a run.

        Raises
        ------
        NoInputError, DataError
            The message names the file.
        """
        axis = _open(only(run))[2]
        return cls(axis, np.ones(len(axis), dtype=bool))

    @property
    def kind(self) -> Kind:
        """Parcels for a ``.ptseries.nii``, grayordinates for a ``.dtseries.nii``."""
        return "parcels" if isinstance(self.axis, ParcelsAxis) else "grayordinates"

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the parcels; structure and vertex or voxel of grayordinates: ``CORTEX_LEFT_12``."""
        if isinstance(self.axis, ParcelsAxis):
            return tuple(map(str, self.axis.name[self.kept]))
        structures = [str(name).removeprefix("CIFTI_STRUCTURE_") for name in self.axis.name[self.kept]]
        vertices, voxels = self.axis.vertex[self.kept].tolist(), self.axis.voxel[self.kept].tolist()
        places = [
            vertex if vertex >= 0 else "{}_{}_{}".format(*ijk) for vertex, ijk in zip(vertices, voxels, strict=True)
        ]
        return tuple(f"{structure}_{place}" for structure, place in zip(structures, places, strict=True))

    def n_volumes(self, run: Run) -> int:
        """Number of volumes, from the header."""
        return len(_open(only(run))[1])

    def repetition_time(self, run: Run) -> float | None:
        """Repetition time in seconds, from the series axis; None when that is not in seconds."""
        series = _open(only(run))[1]
        seconds = round(float(series.step), 6) if series.unit == "SECOND" else 0.0
        return seconds if seconds > 0 else None

    def read(self, run: Run) -> NDArray[np.float32]:
        """Time series, shape (n_volumes, n_columns).

        Raises
        ------
        NoInputError, DataError
            When the file cannot be read, or has other columns.
        """
        path = only(run)
        image, series, axis = _open(path)
        if axis != self.axis:
            raise DataError(
                f"image {path}: its {len(axis)} {_words(axis)} are not the {len(self.axis)} {_words(self.axis)} of the "
                "first run."
            )
        data = np.empty((len(series), int(self.kept.sum())), dtype=np.float32)
        # the file holds one column after the other
        step = max(1, _BLOCK // (len(series) * image.get_data_dtype().itemsize))
        done = 0
        with reading(path), np.errstate(over="ignore"):
            for start in range(0, len(axis), step):
                chosen = self.kept[start : start + step]
                stop = done + int(chosen.sum())
                data[:, done:stop] = np.asarray(image.dataobj[:, start : start + step])[:, chosen]
                done = stop
        return data

    def narrowed(self, kept: NDArray[np.bool_]) -> "Grayordinates":
        """Brain of the columns for which ``kept``, shape (n_columns,), is true."""
        return Grayordinates(self.axis, within(self.kept, kept))

    def write(self, rows: ArrayLike, stem: Path, names: Sequence[str], sidecar: dict[str, Any]) -> list[Path]:
        """Write rows, shape (k, n_columns), as named maps of a ``.dscalar.nii`` or ``.pscalar.nii``.

        All columns of the series are there, so that the maps fit to other files of the same space: 0 in
        grayordinates that are not analysed, NaN in such parcels.
        """
        dense = self.kind == "grayordinates"
        full = np.full((len(names), len(self.kept)), 0 if dense else np.nan, dtype=np.float32)
        full[:, self.kept] = check_maps(rows, int(self.kept.sum()), names)
        image = Cifti2Image(full, header=(ScalarAxis(list(names)), self.axis))
        image.nifti_header.set_intent("ConnDenseScalar" if dense else "ConnParcelScalr")
        name = f"{stem.name}.{'dscalar' if dense else 'pscalar'}.nii"
        content = image.to_bytes()
        return write_maps(stem.parent, {name: lambda path: path.write_bytes(content)}, names, sidecar)


def read_scalars(path: Path) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Maps of a ``.dscalar.nii`` or ``.pscalar.nii``, shape (k, n_columns), and the labels of all columns."""
    image = open_image(path)
    if not isinstance(image, Cifti2Image):
        raise DataError(f"image {path}: not CIFTI but {type(image).__name__}.")
    with reading(path):
        axis = image.header.get_axis(1)
        return image.get_fdata(dtype=np.float32), Grayordinates(axis, np.ones(len(axis), dtype=bool)).labels


def _open(path: Path) -> tuple[Cifti2Image, SeriesAxis, BrainModelAxis | ParcelsAxis]:
    """A series with its data still on disk, and its two axes."""
    image = open_image(path)
    if not isinstance(image, Cifti2Image):
        raise DataError(f"image {path}: not CIFTI but {type(image).__name__}.")
    with reading(path):
        axes = [image.header.get_axis(i) for i in range(image.ndim)]
    if len(axes) != 2 or not isinstance(axes[0], SeriesAxis) or not isinstance(axes[1], BrainModelAxis | ParcelsAxis):
        found = " x ".join(type(axis).__name__.removesuffix("Axis").lower() for axis in axes)
        raise DataError(f"image {path}: not a series of grayordinates or parcels but {found}.")
    if tuple(map(len, axes)) != image.shape:
        raise DataError(f"image {path}: has shape {image.shape}, but its header describes {tuple(map(len, axes))}.")
    return image, axes[0], axes[1]


def _words(axis: BrainModelAxis | ParcelsAxis) -> str:
    return "parcels" if isinstance(axis, ParcelsAxis) else "grayordinates"

"""Atlases: label images and probabilistic maps with the names of their parcels."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image
from numpy.typing import ArrayLike, NDArray

from neurocca.errors import DataError, NoInputError
from neurocca.io.images import load_image, reading, slabs
from neurocca.io.timeseries import read_table


@dataclass(frozen=True)
class Atlas:
    """Parcels in a space, each a label of a 3D image or a map of a 4D one.

    Parameters
    ----------
    path : Path
        Where the image lies.
    image : Nifti1Image
        3D, int32, labels; or 4D, weights, one volume per parcel, on disk.
    labels : tuple of str
        Names of the parcels; no two are equal.
    values : array of int, shape (number of parcels,)
        Label of each parcel, ascending; of a 4D atlas its volume.
    """

    path: Path
    image: Nifti1Image
    labels: tuple[str, ...]
    values: NDArray[np.int_]

    @property
    def probabilistic(self) -> bool:
        """Whether parcels are maps of weights."""
        return len(self.image.shape) == 4

    def names_at(self, points: ArrayLike) -> list[str]:
        """Parcels at points in space.

        Parameters
        ----------
        points : array, shape (n, 3)
            Millimetres.

        Returns
        -------
        list of str, length n
            Empty where there is no parcel. Of a probabilistic atlas the parcel of the largest weight.
        """
        to_voxels = np.linalg.inv(self.image.affine)
        places = np.rint(nib.affines.apply_affine(to_voxels, np.reshape(points, (-1, 3)))).astype(int)
        inside = np.all((places >= 0) & (places < self.image.shape[:3]), axis=1)
        names = np.full(len(places), "", dtype=object)
        ijk = tuple(places[inside].T)
        if self.probabilistic:
            flat = np.ravel_multi_index(ijk, self.image.shape[:3], order="F")
            weights = np.vstack([block for _, block in slabs(self.image, self.path, flat)])
            best, found = weights.argmax(axis=0), weights.max(axis=0) > 0
        else:
            here = np.asarray(self.image.dataobj)[ijk]
            best, found = np.searchsorted(self.values, here).clip(max=len(self.values) - 1), here != 0
            found &= self.values[best] == here
        names[inside] = np.where(found, np.array(self.labels, dtype=object)[best], "")
        return names.tolist()


def read_atlas(source: Path | str, table: Path | None = None) -> Atlas:
    """Read an atlas.

    Parameters
    ----------
    source : path or str
        A 3D image of integer labels (0 is background), or a 4D image of which each volume holds the weights of one
        parcel; or a name such as ``schaefer_2018:100``, which is looked up in nilearn's cache and never downloaded
        (`neurocca.io.nilearn_atlases`).
    table : Path, optional
        TSV with columns ``index`` and ``name``: the labels, or for a 4D image its volumes in their order. By default
        the table of BIDS that belongs to the image: of its name, or of the same suffix with fewer entities, in its
        folder. Parcels that no table names are called ``parcel_17``.

    Raises
    ------
    NoInputError
        When a file does not exist, or the named atlas is not in the cache.
    DataError
        When image or table cannot be used.
    UsageError
        When the name is not that of a known atlas.
    """
    if not Path(source).exists() and not str(source).endswith((".nii", ".nii.gz")):
        from neurocca.io.nilearn_atlases import cached_atlas

        path, names = cached_atlas(str(source))
    else:
        path = Path(source)
        table = table or _table_of(path)
        names = _read_names(table) if table else {}
    image = load_image(path)
    shape = image.shape
    if len(shape) == 4 and shape[3] > 1:
        return _probabilistic(path, image, names)
    if len(shape) == 3 or shape[3:] == (1,):
        return _deterministic(path, image, names)
    raise DataError(f"atlas {path}: has shape {shape}; labels have 3 dimensions and maps of weights 4.")


def atlas_files(source: Path | str) -> list[Path]:
    """Image and table of an atlas, here or not; none where nilearn knows it by its name."""
    path = Path(source)
    if not os.path.lexists(path):
        return []
    table = _table_of(path)
    return [path, table] if table else [path]


def _deterministic(path: Path, image: Nifti1Image, names: dict[int, str]) -> Atlas:
    with reading(path):
        data = image.get_fdata(dtype=np.float32, caching="unchanged").reshape(image.shape[:3])
    data = np.nan_to_num(data)
    values = np.unique(data)
    if not np.array_equal(values, np.rint(values)):
        raise DataError(
            f"atlas {path}: holds {values[values != np.rint(values)][0]:g}, and labels are whole numbers "
            "(a probabilistic atlas has 4 dimensions)."
        )
    found = set(values.astype(int).tolist()) - {0}
    if not found:
        raise DataError(f"atlas {path}: holds no label.")
    # a label that only the table knows is a parcel too: without voxels, and named as such later
    parcels = sorted(found | (set(names) - {0}))
    labels = _unique([names.get(value, f"parcel_{value}") for value in parcels], parcels)
    return Atlas(path, Nifti1Image(data.astype(np.int32), image.affine), labels, np.array(parcels))


def _probabilistic(path: Path, image: Nifti1Image, names: dict[int, str]) -> Atlas:
    n = image.shape[3]
    if names and len(names) != n:
        # tables of some atlases begin with the background, which has no map
        names = {value: name for value, name in names.items() if value != 0}
        if len(names) != n:
            raise DataError(f"atlas {path}: has {n} maps, but its table names {len(names)} parcels.")
    labels = [names[value] for value in sorted(names)] or [f"parcel_{i}" for i in range(n)]
    return Atlas(path, image, _unique(labels, range(n)), np.arange(n))


def _unique(labels: list[str], values: Any) -> tuple[str, ...]:
    """Labels of which those that repeat are told apart by their numbers."""
    counts = Counter(labels)
    return tuple(
        f"{label}_{value}" if counts[label] > 1 else label for label, value in zip(labels, values, strict=True)
    )


def _read_names(table: Path) -> dict[int, str]:
    content = read_table(table, ("index", "name"))
    index = content["index"]
    if not pd.api.types.is_integer_dtype(index):
        raise DataError(f"{table}: column 'index' holds values that are not whole numbers.")
    if index.duplicated().any():
        raise DataError(f"{table}: index {index[index.duplicated()].iloc[0]} repeats.")
    if content["name"].isna().any():
        raise DataError(f"{table}: index {index[content['name'].isna()].iloc[0]} has no name.")
    return dict(zip(index.tolist(), content["name"].astype(str), strict=True))


def _table_of(path: Path) -> Path | None:
    """Table of labels that belongs to an image by the rules of BIDS; None where there is none."""
    own = path.name.removesuffix(".gz").removesuffix(".nii")
    *entities, suffix = own.split("_")
    try:
        tables = sorted(path.parent.glob(f"*{suffix}.tsv"))
    except OSError as error:
        raise NoInputError(f"atlas {path}: its folder cannot be read: {error.strerror}.") from error
    candidates = []
    for table in tables:
        *others, other_suffix = table.stem.split("_")
        if table.stem == own or (others and other_suffix == suffix and set(others) <= set(entities)):
            candidates.append((len(others), table))
    return max(candidates, default=(0, None))[1]

"""Atlases by name, from nilearn's cache. Nothing is downloaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from neurocca.errors import NoInputError, UsageError


class _Entry(NamedTuple):
    """How nilearn fetches an atlas: function, names of its arguments, folder and files in the cache."""

    fetcher: str
    arguments: tuple[tuple[str, type], ...]
    folder: str
    files: Callable[..., tuple[str, ...]]


def _schaefer(n_rois: int, yeo_networks: int = 7, resolution_mm: int = 1) -> tuple[str, ...]:
    stem = f"Schaefer2018_{n_rois}Parcels_{yeo_networks}Networks_order"
    return f"{stem}_FSLMNI152_{resolution_mm}mm.nii.gz", f"{stem}.txt"


def _harvard_oxford(atlas_name: str) -> tuple[str, ...]:
    part = {"sub": "Subcortical", "cortl": "Cortical-Lateralized"}.get(atlas_name.split("-")[0], "Cortical")
    folder = "data/atlases/HarvardOxford"
    return f"{folder}/HarvardOxford-{atlas_name}.nii.gz", f"data/atlases/HarvardOxford-{part}.xml"


def _difumo(dimension: int, resolution_mm: int = 2) -> tuple[str, ...]:
    maps = f"{dimension}/{resolution_mm}mm/maps.nii.gz"
    return maps, f"{dimension}/labels_{dimension}_dictionary.csv", "README.md"  # nilearn would download the last one


_ATLASES = {
    "schaefer_2018": _Entry(
        "fetch_atlas_schaefer_2018",
        (("n_rois", int), ("yeo_networks", int), ("resolution_mm", int)),
        "schaefer_2018",
        _schaefer,
    ),
    "harvard_oxford": _Entry("fetch_atlas_harvard_oxford", (("atlas_name", str),), "fsl", _harvard_oxford),
    "difumo": _Entry("fetch_atlas_difumo", (("dimension", int), ("resolution_mm", int)), "difumo_atlases", _difumo),
}


def cached_atlas(name: str) -> tuple[Path, dict[int, str]]:
    """Image and label names of an atlas that nilearn has fetched before.

    Parameters
    ----------
    name : str
        ``schaefer_2018:PARCELS[:NETWORKS[:MILLIMETRES]]``, ``harvard_oxford:ATLAS_NAME`` or
        ``difumo:DIMENSION[:MILLIMETRES]``, with the values of nilearn's fetchers.

    Returns
    -------
    path : Path
    names : dict of int to str

    Raises
    ------
    UsageError
        When the name is not of that form.
    NoInputError
        When the atlas is not in the cache; the message says how to fetch it.
    """
    from nilearn import datasets  # slow to import

    entry, arguments = _parse(name)
    needed = entry.files(*arguments.values())
    folders = [Path(folder) for folder in datasets.get_data_dirs()]
    cache = next((c for c in folders if all((c / entry.folder / file).is_file() for file in needed)), None)
    if cache is None:
        call = f"{entry.fetcher}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
        raise NoInputError(
            f"atlas {name}: not in nilearn's cache ({', '.join(map(str, folders))}); nothing is downloaded here. "
            f'Fetch it once with: python -c "from nilearn.datasets import {entry.fetcher}; {call}"'
        )
    fetched = getattr(datasets, entry.fetcher)(**arguments, data_dir=str(cache), verbose=0)
    return cache / entry.folder / needed[0], _names(fetched)


def _parse(name: str) -> tuple[_Entry, dict[str, Any]]:
    family, *parts = name.split(":")
    if family not in _ATLASES:
        raise UsageError(f"atlas {name}: no such file, and no known atlas; known are {', '.join(_ATLASES)}.")
    entry = _ATLASES[family]
    try:
        if not 1 <= len(parts) <= len(entry.arguments):
            raise ValueError
        values = {key: kind(part) for (key, kind), part in zip(entry.arguments, parts, strict=False)}
    except ValueError:
        form = ":".join([family, *(key.upper() for key, _ in entry.arguments)])
        raise UsageError(
            f"atlas {name}: the name has the form {form}, of which only the first value is needed."
        ) from None
    return entry, values


def _names(fetched: Any) -> dict[int, str]:
    if fetched.get("lut") is not None:
        return dict(zip(fetched.lut["index"].astype(int).tolist(), fetched.lut["name"].astype(str), strict=True))
    labels: pd.DataFrame = fetched.labels  # difumo: one line per map, in their order
    return dict(enumerate(labels["difumo_names"].astype(str)))

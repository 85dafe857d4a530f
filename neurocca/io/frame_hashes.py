"""Hashes of every frame of the studyforrest film, as published in studyforrest-data-confoundsannotation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurocca import studyforrest
from neurocca.errors import DataError, NoInputError
from neurocca.features.phash import hex_to_hash
from neurocca.io.timeseries import read_table

_IN_SUPERDATASET = Path("stimulus", "curated_annotations", "src", "confounds")


@dataclass(frozen=True)
class PublishedFrames:
    """Frames of one run's film segment, at 25 per second.

    Parameters
    ----------
    perceptual : array, shape (n, 144), bool
        Perceptual hashes of rows 90 to 630 of the 720.
    md5 : list of str, length n, or None
        Checksums of the same rows in RGB, where they are published.
    """

    perceptual: NDArray[np.bool_]
    md5: list[str] | None


def read_published_frames(folder: Path) -> dict[str, PublishedFrames]:
    """Published hashes by run label.

    Parameters
    ----------
    folder : Path
        A clone of studyforrest-data-confoundsannotation, or of the superdataset that holds it.

    Raises
    ------
    NoInputError
        When the hashes are not there.
    DataError
        When a table holds something else.
    """
    roots = [folder, folder / _IN_SUPERDATASET]
    visual = next((path for root in roots if (path := root / "annotation" / "visual").is_dir()), None)
    found = {run: visual / f"fg_av_ger_seg{k}_phash.tsv" for k, run in enumerate(studyforrest.RUNS)} if visual else {}
    if not any(path.exists() for path in found.values()):
        raise NoInputError(
            f"{folder}: no annotation/visual/fg_av_ger_seg0_phash.tsv to … seg7; get them with "
            f"neurocca fetch studyforrest DEST --what measures, and give DEST."
        )
    return {run: _read(path) for run, path in found.items() if path.exists()}


def _read(path: Path) -> PublishedFrames:
    texts = _column(path, "phash")
    try:
        perceptual = hex_to_hash(texts)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    checksums = path.with_name(path.name.replace("_phash", "_md5sum"))
    md5 = _column(checksums, "md5sum") if checksums.exists() else None
    if md5 is not None and len(md5) != len(perceptual):
        raise DataError(f"{checksums}: {len(md5)} frames, but {path.name} has {len(perceptual)}.")
    return PublishedFrames(perceptual, md5)


def _column(path: Path, name: str) -> list[str]:
    table = read_table(path, required=(name,), text=(name,))
    if table.empty or table[name].isna().any():
        raise DataError(f"{path}: column {name!r} has no value on line {int(table[name].isna().argmax()) + 2}.")
    return table[name].tolist()

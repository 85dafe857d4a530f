"""Cleaned runs of BOLD in the work directory, one HDF5 file each, found again by what they were made from.

A file is named after its key, the digest of everything that its content depends on, and holds a digest of its content:
one that is damaged, or was not written by `RunCache.keep`, is not there.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurocca.errors import DataError
from neurocca.io.files import staged
from neurocca.io.unfailing import UnfailingFile, write_file
from neurocca.temporal.clean import Cleaned

log = logging.getLogger(__name__)

FORMAT = "neurocca cleaned run 2"

BLOCK = 2048
"""Columns that are read at a time."""

_ARRAYS = ("data", "kept", "constant", "missing", "no_baseline", "removed", "snr")


@dataclass(frozen=True)
class CleanedRun:
    """A cleaned run, and how many volumes its file has.

    Parameters
    ----------
    cleaned : Cleaned
    n_volumes : int
        Before cutting.
    """

    cleaned: Cleaned
    n_volumes: int


class RunCache:
    """Cleaned runs in a folder.

    Parameters
    ----------
    folder : Path
        Made with the first run that is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the run of a key lies."""
        return self.folder / f"run-{key}.h5"

    def load(self, key: str) -> CleanedRun | None:
        """The run of a key; None where there is none, or it is not whole."""
        import h5py

        path = self.path(key)
        if not path.is_file():
            return None
        # what h5py raises depends on which bytes are wrong
        try:
            with h5py.File(path, "r") as file:
                arrays = {name: file[name][()] for name in _ARRAYS}
                n_volumes = int(file.attrs["n_volumes"])
                whole = file.attrs["format"] == FORMAT and file.attrs["sha256"] == _digest(key, n_volumes, arrays)
        except Exception as error:
            log.debug("%s: %s", path, error)
            whole = False
        if not whole:
            log.warning("%s: is damaged, and made anew.", path)
            return None
        return CleanedRun(Cleaned(**arrays), n_volumes)

    def keep(self, key: str, run: CleanedRun) -> None:
        """Write a run, all of it or nothing.

        Raises
        ------
        OutputError
            When it cannot be written, for one because the disk is full.
        """
        import h5py

        arrays = {name: getattr(run.cleaned, name) for name in _ARRAYS}
        digest = _digest(key, run.n_volumes, arrays)

        def write(target: UnfailingFile) -> None:
            with h5py.File(target, "w") as file:
                file.attrs.update({"format": FORMAT, "n_volumes": run.n_volumes, "sha256": digest})
                for name, array in arrays.items():
                    if name != "data":
                        file[name] = array
                n, q = arrays["data"].shape
                # whole columns, some at a time, as they are read
                chunks = (n, min(q, BLOCK)) if q else None
                data = file.create_dataset("data", (n, q), arrays["data"].dtype, chunks=chunks)
                for start in range(0, q, BLOCK):
                    data[:, start : start + BLOCK] = arrays["data"][:, start : start + BLOCK]
                    target.check()

        path = self.path(key)
        with staged(self.folder) as folder:
            write_file(folder / path.name, write)


@dataclass(frozen=True)
class KeptRuns:
    """The usable columns of all runs of a subject, on disk.

    Parameters
    ----------
    paths : sequence of Path
        Of runs that a `RunCache` has kept or loaded in this process.
    usable : array of bool, shape (q,)
        Which columns.
    """

    paths: Sequence[Path]
    usable: NDArray[np.bool_]

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        """Columns of all runs below one another, some at a time.

        Yields
        ------
        columns : slice
            Among the usable ones.
        block : array, shape (n, m)

        Raises
        ------
        DataError
            When a file has gone, or is damaged, since it was looked at.
        """
        first = 0
        for start in range(0, len(self.usable), BLOCK):
            keep = self.usable[start : start + BLOCK]
            # products depend in their last digits on how an array lies in memory
            block = np.ascontiguousarray(np.concatenate([_columns(path, start, keep) for path in self.paths]))
            yield slice(first, first + block.shape[1]), block
            first += block.shape[1]


def _columns(path: Path, start: int, keep: NDArray[np.bool_]) -> NDArray[np.floating]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return file["data"][:, start : start + len(keep)][:, keep]
    except Exception as error:
        raise DataError(f"{path}: cannot be read any more; was it removed while it was in use?") from error


def key_of(content: Any) -> str:
    """Key of what a run is made from, given as JSON knows it."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _digest(key: str, n_volumes: int, arrays: dict[str, NDArray]) -> str:
    digest = hashlib.sha256(json.dumps([key, n_volumes]).encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()

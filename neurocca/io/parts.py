"""Finished blocks of a store that is being made, so that a run that was killed goes on where it stood.

A block is one file, written under another name and renamed: it is whole or not there. HDF5 itself is no place for this,
as a process that is killed while it writes can leave a file that nobody opens again.
"""

import fcntl
import json
import os
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurocca.errors import OutputError
from neurocca.io.files import json_text, write_text

Arrays = Mapping[str, NDArray]

_ABOUT = "about.json"

_ABANDONED = 30 * 86400.0
"""Seconds after which nobody is expected to go on with what was interrupted."""


class Parts:
    """Blocks of one job, numbered from 0.

    Parameters
    ----------
    folder : Path
        Made when the first block is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        """Number of whole blocks without a gap before them."""
        n = 0
        while self._path(n).is_file():
            n += 1
        # the name of a block can reach the disk before its content when the power fails: only the last one can be torn
        while n and not _is_whole(self._path(n - 1)):
            n -= 1
        return n

    def save(self, index: int, arrays: Arrays) -> None:
        """Write a block.

        Raises
        ------
        OutputError
            When it cannot be written; the blocks before it stay.
        """
        temporary = self.folder / f".writing-{index:06d}.npz"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                np.savez(file, **dict(arrays))  # type: ignore[arg-type]  # its options are taken for arrays
            os.replace(temporary, self._path(index))
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise OutputError(
                f"{self.folder.parent}: cannot be written: {error.strerror or error}; what is done is kept there, "
                "run again to go on."
            ) from error

    def load(self, index: int) -> dict[str, NDArray]:
        """Arrays of a block."""
        with np.load(self._path(index), allow_pickle=False) as arrays:
            return dict(arrays)

    def array(self, name: str) -> Iterator[NDArray]:
        """One of the arrays from every block, in order."""
        for index in range(len(self)):
            with np.load(self._path(index), allow_pickle=False) as arrays:
                if name in arrays:
                    yield arrays[name]

    def finish(self, about: Mapping[str, Any]) -> None:
        """Note that no block is to come, and what is to be said of them."""
        try:
            write_text(self.folder / _ABOUT, json_text(about))
        except OutputError as error:
            raise OutputError(f"{self.folder.parent}: cannot be written; run again to go on.") from error

    def about(self) -> dict[str, Any] | None:
        """What ``finish`` noted; None where blocks are still to come."""
        try:
            return json.loads((self.folder / _ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def remove(self) -> None:
        """Remove all blocks: what they were for is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"block-{index:06d}.npz"


@contextmanager
def parts_folder(output: Path) -> Iterator[Path]:
    """Folder beside an output for its parts, which stays as long as an interrupted call has left some.

    Parts that nobody took up again within a month are removed.

    Raises
    ------
    OutputError
        When it cannot be made, or another process is at work on the same output.
    """
    folder = output.with_name(f".{output.name}.parts")
    made = not output.parent.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise OutputError(f"output {output}: cannot be written: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(f"output {output}: another process is making it.") from error
        _sweep(folder)
        try:
            yield folder
        finally:
            _remove_if_empty(folder, output.parent if made else None)


def _sweep(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(OSError):
            if path.is_dir() and time.time() - path.stat().st_mtime > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def _remove_if_empty(folder: Path, parent: Path | None) -> None:
    """Leave nothing behind where nothing was done."""
    if any(path.name != "lock" for path in folder.iterdir()):
        return
    shutil.rmtree(folder, ignore_errors=True)
    if parent is not None:
        with suppress(OSError):
            parent.rmdir()


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError):
        return False

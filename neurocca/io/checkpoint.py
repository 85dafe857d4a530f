"""Finished permutations of a test that takes long, in one file that is whole at any time.

The file is a zip archive of four arrays in numpy's format, without pickle, as ``numpy.load`` reads it: format, key,
done and values. Equal content gives equal bytes.
"""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from neurocca.errors import DataError, OutputError

FORMAT = 1


class Checkpoint:
    """Where a permutation test keeps what it has done, to go on from there when it is run again.

    Parameters
    ----------
    path : path
        By convention ``*.npz``. One file for one test; its folder is made where it is missing.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(f"{folder}/test.npz")
    ...     checkpoint.save("of this test", np.array([True, False]), np.array([[0.5], [0.0]]))
    ...     done, values = checkpoint.load("of this test")
    >>> done
    array([ True, False])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self, key: str) -> tuple[NDArray[np.bool_], NDArray] | None:
        """What was saved, or None where nothing was.

        Parameters
        ----------
        key : str
            Names the test.

        Returns
        -------
        done : array of bool, shape (B,)
        values : array, shape (B, m)

        Raises
        ------
        DataError
            When the file is damaged, or that of another test.
        """
        with self._opened(key) as archive:
            if archive is None:
                return None
            done, values = (_read(archive, name) for name in ("done", "values"))
            if done.dtype != bool or done.ndim != 1 or values.ndim != 2 or len(values) != len(done):
                raise ValueError(f"arrays of shapes {done.shape} and {values.shape}")
        return done, values

    def save(self, key: str, done: NDArray[np.bool_], values: NDArray) -> None:
        """Put the state in place of the one before; whenever this is interrupted, one of them is there.

        Parameters
        ----------
        key : str
        done : array of bool, shape (B,)
        values : array, shape (B, m)

        Raises
        ------
        DataError
            When the file that is there is damaged, or that of another test.
        OutputError
            When the file cannot be written.
        """
        with self._opened(key):
            pass
        temporary = self.path.with_name(f"{self._prefix}{uuid4().hex[:8]}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with temporary.open("xb") as file:
                _write(file, {"format": np.array(FORMAT), "key": np.array(key), "done": done, "values": values})
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
            _flush_folder(self.path.parent)
        except OSError as error:
            raise OutputError(f"checkpoint {self.path}: cannot be written: {error.strerror or error}.") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the file, if there is one.

        Raises
        ------
        OutputError
            When it cannot be removed.
        """
        self._sweep()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"checkpoint {self.path}: cannot be removed: {error.strerror}.") from error

    @property
    def _prefix(self) -> str:
        return f".{self.path.name}.tmp-"

    def _sweep(self) -> None:
        """Remove what a killed process has left unfinished; whoever only reads must not, as another may be writing."""
        with suppress(OSError):
            for left in self.path.parent.iterdir():
                if left.name.startswith(self._prefix):
                    left.unlink(missing_ok=True)

    @contextmanager
    def _opened(self, key: str) -> Iterator[zipfile.ZipFile | None]:
        """The file, when it belongs to this test; None where there is none."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                self._check(archive, key)
                yield archive
        except (FileNotFoundError, NotADirectoryError):
            yield None
        except DataError:
            raise
        except OSError as error:
            raise DataError(f"checkpoint {self.path}: cannot be read: {error.strerror or error}.") from error
        except Exception as error:  # what zipfile, zlib and numpy raise depends on where a file is damaged
            raise DataError(
                f"checkpoint {self.path}: damaged, or no checkpoint ({error}); delete it or choose another path."
            ) from error

    def _check(self, archive: zipfile.ZipFile, key: str) -> None:
        version, found = (_read(archive, name) for name in ("format", "key"))
        if version != FORMAT:
            raise DataError(f"checkpoint {self.path}: of format {version}, which this neurocca does not know.")
        if found != key:
            raise DataError(
                f"checkpoint {self.path} belongs to another test: of other data, options or seed, or computed to other "
                f"last digits on another machine; delete it or choose another path."
            )


def _read(archive: zipfile.ZipFile, name: str) -> NDArray:
    with archive.open(f"{name}.npy") as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # reading on to the end compares checksums
            raise ValueError(f"{name} is longer than it says")
    return array


def _write(file: IO[bytes], arrays: dict[str, NDArray]) -> None:
    # numpy.savez would pickle objects
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            # an entry without a date
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array, order="C"), allow_pickle=False)


def _flush_folder(folder: Path) -> None:
    """Make sure that the new name, too, outlives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

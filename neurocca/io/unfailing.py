"""A file whose writes never fail where a library cannot bear it: what went wrong is said when the library is done.

HDF5 holds on to a file that could not be written to its end, writes to it again when the interpreter ends, and takes
the process down. So does an interrupt that comes while HDF5 has called back into Python.
"""

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


class UnfailingFile(io.FileIO):
    """A new file that takes whatever is written, and remembers the first failure.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    failure : BaseException or None
        Once there is one, nothing more reaches the disk.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.failure: BaseException | None = None

    def write(self, data: Any, /) -> int:
        """Write all of it, or move on by as many bytes."""
        left, end = memoryview(data), self.tell() + len(data)
        try:
            while left and self.failure is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.failure = error
        if left:
            self.seek(end)
        return len(data)

    def truncate(self, size: int | None = None, /) -> int:
        """Cut or lengthen the file."""
        try:
            if self.failure is None:
                return super().truncate(size)
        except OSError as error:
            self.failure = error
        return self.tell() if size is None else size

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.failure is not None:
            raise self.failure


def write_file(path: Path, write: Callable[[UnfailingFile], object]) -> None:
    """Write a new file by a function that must not see it fail.

    The function runs in a thread of its own, because signals interrupt the main thread only. It calls ``check`` where
    it can stop.

    Raises
    ------
    OSError
        What went wrong on the disk; before anything that the function raises in consequence.
    """
    file = UnfailingFile(path)

    def run() -> None:
        with file:
            try:
                write(file)
            except Exception:
                file.check()
                raise
            file.check()
            os.fsync(file.fileno())  # some file systems find only now that there is no room

    with ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(run).result()
        except BaseException as error:
            file.failure = error  # an interrupt: lets the thread come to its end soon
            raise

"""One process at a time: a second fetch into the same place waits for the first."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def turn(root: Path) -> Iterator[None]:
    """Wait until no other process is at work in a place, and keep others waiting.

    The lock is a file beside the place, which need not be there; the system gives up the locks of a process with it.
    Where no such file can be written, nobody waits.

    Parameters
    ----------
    root : Path
        Absolute.
    """
    path = root.parent / f".{root.name}.fetching"
    lock = _locked(path, root)
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):
                path.unlink()  # before others can have it
            os.close(lock)


def _locked(path: Path, root: Path) -> int | None:
    said = False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError:
            return None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not said:
                    log.warning("%s: another fetch is at work there: waiting for it.", root)
                said = True
                fcntl.flock(lock, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), path.stat()):
                    return lock
        except OSError:  # a file system without locks
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # who had it before has removed it

"""Digests, and writing that leaves either the whole file or none."""

import fcntl
import hashlib
import json
import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from neurocca.errors import NeuroccaError, OutputError

_TEMPORARY = f".tmp-neurocca-{platform.node()}-"
"""How the names of temporary folders begin. With the machine: some shared disks keep the locks of each to itself."""


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def why_absent(path: Path) -> str | None:
    """What keeps a path from being a file that can be opened, in words; None when nothing does."""
    if path.is_dir():
        return "a directory, where a file is expected"
    if path.is_file():
        return None
    if path.is_symlink():
        command = f"datalad get {shlex.quote(str(path))}"
        return f"its content is not here (a link that leads nowhere; {command} fetches it)"
    return "no such file"


def json_text(content: Any) -> str:
    """JSON that is the same text for the same content."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def one_line(error: BaseException) -> str:
    """What an error of a library says, on one line."""
    return " ".join(str(error).split())


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, making its folder."""
    with staged(path.parent) as folder:
        (folder / path.name).write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def staged(destination: Path) -> Iterator[Path]:
    """Folder to write into; its files move to ``destination`` when the block ends well, and vanish when not.

    What killed processes of this machine have left of such folders is removed.

    Raises
    ------
    OutputError
        When the destination cannot be made or written.
    """
    try:
        existing = next(folder for folder in [destination, *destination.absolute().parents] if folder.exists())
        folder, lock = _make_folder(destination)
    except OSError as error:
        raise OutputError(f"output {destination}: cannot be written: {error.strerror}.") from error
    # only what this call made is taken away again when it fails
    try:
        sweep(destination)
        yield folder
        sources = sorted(p for p in folder.rglob("*") if p.is_file())
        for source in sources:  # all of them before the first is moved
            _check_free(destination, source.relative_to(folder))
        for source in sources:
            _publish(source, destination / source.relative_to(folder))
    except NeuroccaError:
        raise
    except OSError as error:  # a full disk, for one
        raise OutputError(f"output {destination}: cannot be written: {error.strerror or one_line(error)}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        _remove_empty(destination.absolute(), existing.absolute())


def _make_folder(destination: Path, attempts: int = 200) -> tuple[Path, int]:
    """Temporary folder in the destination, and the descriptor that holds its lock.

    Tried again where another process has just removed the empty destination, or swept the folder before it was locked.
    Many at once may do so many times in a row; an attempt takes some microseconds.
    """
    for _ in range(attempts - 1):
        # FileExistsError: there when `mkdir` tried, gone when it looked what it is
        with suppress(FileNotFoundError, FileExistsError):
            return _make_locked(destination)
    return _make_locked(destination)


def _make_locked(destination: Path) -> tuple[Path, int]:
    destination.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=destination, prefix=_TEMPORARY))
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # where a file system has no locks for folders, nobody can take this one either, and nobody sweeps
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        os.stat(folder)  # who had the lock before may have removed it
    except BaseException:
        os.close(lock)
        raise
    return folder, lock


def sweep(destination: Path, remove: bool = False) -> None:
    """Remove temporary folders whose makers are dead: the system gives up the locks of a process with it.

    With ``remove``, also the destination if nothing else is in it.
    """
    with suppress(OSError):
        for left in [path for path in destination.iterdir() if path.name.startswith(_TEMPORARY)]:
            with suppress(OSError):
                _remove_unlocked(left)
        if remove:
            destination.rmdir()


def _remove_unlocked(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _check_free(destination: Path, relative: Path) -> None:
    """Refuse a target that is a directory, or lies below a file."""
    parents = [destination / parent for parent in relative.parents]
    blocked = [p for p in parents if p.exists() and not p.is_dir()]
    if blocked or (destination / relative).is_dir():
        where = blocked[0] if blocked else destination / relative
        raise OutputError(f"output {where}: cannot be written: a {'file' if blocked else 'directory'} is in its place.")


def _publish(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.chmod(0o666 & ~_umask())
        # os.replace also takes the place of a link into an annex, which is read-only and must not be written through
        os.replace(source, target)
    except OSError as error:
        raise OutputError(f"output {target}: cannot be written: {error.strerror}.") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _remove_empty(folder: Path, keep: Path) -> None:
    # another process may be using, or have removed, what this one made
    with suppress(OSError):
        while folder != keep and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

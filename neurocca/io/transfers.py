"""Content on its way: how much of it has come, and whether it is what its key says."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from neurocca.io.annex import is_unfetched
from neurocca.io.git_programs import git
from neurocca.io.git_tree import TreeFile

Progress = Callable[[int], object]


def transfers(folder: Path) -> Path:
    """Where git-annex keeps what has come of files that are on their way."""
    return folder / git("rev-parse", "--git-path", "annex/tmp", folder=folder).strip()


def matches(content: Path, key: str) -> bool | None:
    """Whether a file is what a key says; None where the key has no size and checksum that are known here."""
    match = re.match(r"(MD5|SHA1|SHA256|SHA512)E?-s(\d+)--([0-9a-f]+)", key)
    if match is None:
        return None
    if content.stat().st_size != int(match[2]):
        return False
    with content.open("rb") as file:
        return hashlib.file_digest(file, match[1].lower()).hexdigest() == match[3]


def is_damaged(transferred: Path, file: TreeFile) -> bool:
    """Whether all of a content came and is not what its key says; it is removed then, for another attempt."""
    if not transferred.is_file() or transferred.stat().st_size < file.size:
        return False
    damaged = matches(transferred, file.key) is False
    if damaged:
        transferred.unlink()
    return damaged


class Meter:
    """Calls ``progress`` with the bytes of files as they come; what earlier attempts have left counts at once.

    Parameters
    ----------
    folder : Path
        Root of the dataset.
    files : sequence of TreeFile
    progress : callable
    """

    def __init__(self, folder: Path, files: Sequence[TreeFile], progress: Progress) -> None:
        self._folder, self._files, self._progress = folder, files, progress
        self._transfers = transfers(folder)
        self._seen = dict.fromkeys((file.path for file in files), 0)

    def update(self) -> None:
        """Look how much has come."""
        now = {file.path: max(self._come(file), self._seen[file.path]) for file in self._files}
        if grown := sum(now.values()) - sum(self._seen.values()):
            self._progress(grown)
        self._seen = now

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look twice a second."""
        stop = threading.Event()

        def watch() -> None:
            self.update()
            while not stop.wait(0.5):
                self.update()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            self.update()

    def _come(self, file: TreeFile) -> int:
        if not is_unfetched(self._folder / file.path):
            return file.size
        with suppress(OSError):
            return (self._transfers / file.key).stat().st_size
        return 0

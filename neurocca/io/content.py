"""Content of annexed files: getting it from whichever remote answers, and letting go of it."""

import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from neurocca.errors import ContentNotHereError, DataError, NeuroccaError, OutputError
from neurocca.io.annex import dataset_root, is_here, is_unfetched
from neurocca.io.clones import begin_annex
from neurocca.io.git_programs import datalad, git, run
from neurocca.io.git_tree import TreeFile, tree_file

_PATIENCE = 20.0
"""Seconds in which a remote has to answer."""

_AT_ONCE = 500
"""Files per call: a command line has an end."""

_DAMAGED = "its content at the source is damaged (the checksum is another one)"
Progress = Callable[[int], object]


def get_content(
    folder: Path, files: Sequence[TreeFile], *, jobs: int = 1, progress: Progress = lambda n: None
) -> dict[str, str]:
    """Get the content of files of one dataset; what is here already is left alone.

    Remotes that git-annex would enable by itself are enabled only where the source lacks a file, one after the
    other, and those that do not answer are left out.

    Parameters
    ----------
    folder : Path
        Root of the dataset.
    files : sequence of TreeFile
    jobs : int
        Files at a time.
    progress : callable
        Called with the bytes that came.

    Returns
    -------
    failures : dict
        Why, by path; empty when all content is here.
    """
    missing = [file for file in files if not is_here(folder / file.path)]
    if not missing:
        return {}
    begin_annex(folder)
    for some in _portions([file for file in missing if not os.path.lexists(folder / file.path)]):
        git("checkout", "--quiet", "--", *(file.path for file in some), folder=folder)  # somebody has removed them
    failures = _get(folder, missing, jobs, progress)
    for name in _remotes_to_try(folder, failures):
        if not failures:
            break
        if _enabled(folder, name):
            failures = _get(folder, [file for file in missing if file.path in failures], jobs, progress)
    return failures


def by_dataset(paths: Iterable[Path]) -> dict[Path, list[TreeFile]]:
    """Annexed files without content, by the root of the innermost dataset that knows them."""
    found: dict[Path, list[TreeFile]] = {}
    for path in dict.fromkeys(path.parent.resolve() / path.name for path in paths):
        if path.is_symlink():
            text = path.readlink().as_posix()
        else:
            with path.open("rb") as file:
                text = file.read(4096).decode("utf-8", "replace").partition("\n")[0]
        root = dataset_root(path)
        found.setdefault(root, []).append(tree_file(path.relative_to(root).as_posix(), text))
    return found


def check_space(folder: Path, size: int) -> None:
    """Refuse what does not fit on a disk.

    Parameters
    ----------
    folder : Path
        Where it goes; it need not be there yet.
    size : int
        Bytes.

    Raises
    ------
    OutputError
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if size > (free := shutil.disk_usage(there).free):
        raise OutputError(f"{folder}: {as_size(size)} are to come, and the disk has {as_size(free)} left.")


def as_size(n: int) -> str:
    """Bytes in words, decimal as disks are sold.

    Examples
    --------
    >>> as_size(12_080_000_000)
    '12.08 GB'
    """
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n >= scale:
            return f"{n / scale:.2f} {unit}"
    return f"{n} B"


def drop_content(folder: Path, files: Sequence[TreeFile]) -> dict[str, str]:
    """Let go of the content of files of one dataset, where git-annex knows that it can be had again.

    Returns
    -------
    failures : dict
        Why content was kept, by path.
    """
    failures: dict[str, str] = {}
    here = [file for file in files if file.key and not is_unfetched(folder / file.path)]
    for some in _portions(here):
        paths = [str(folder / file.path) for file in some]
        for record in datalad("drop", "--what", "filecontent", "--dataset", str(folder), *paths, folder=folder):
            if record.get("status") in ("error", "impossible"):
                failures[_inside(folder, record)] = _reason(record)
    return failures


def refusal(folder: Path, failures: dict[str, str]) -> NeuroccaError:
    """The error that files without content are, in one line."""
    path, reason = next(((p, r) for p, r in failures.items() if r == _DAMAGED), next(iter(failures.items())))
    others = f" (and that of {len(failures) - 1} other files)" if len(failures) > 1 else ""
    if reason == _DAMAGED:
        return DataError(f"{folder / path}: {reason}: not used.")
    if re.search(r"No space left|not enough free space", reason):
        return OutputError(f"{folder / path}: its content{others} does not fit on the disk: {reason}")
    return ContentNotHereError(
        f"{folder / path}: its content{others} cannot be had now: {reason.rstrip('.')}. What could be had is here; the "
        "same command goes on from there.",
        paths=[folder / name for name in failures],
    )


def _get(folder: Path, files: Sequence[TreeFile], jobs: int, progress: Progress) -> dict[str, str]:
    """One attempt, and more where another process is getting the same file."""
    failures: dict[str, str] = {}
    for attempt in range(5):
        with _metered(folder, files, progress):
            failures.update(_attempt(folder, files, jobs))
        failures = {path: reason for path, reason in failures.items() if not is_here(folder / path)}
        files = [file for file in files if "already in progress" in failures.get(file.path, "")]
        if not files:
            break
        time.sleep(1 + attempt)
    return failures


def _attempt(folder: Path, files: Sequence[TreeFile], jobs: int) -> dict[str, str]:
    failures: dict[str, str] = {}
    for some in _portions(files):
        paths = [str(folder / file.path) for file in some]
        for record in datalad("get", "--jobs", str(jobs), "--dataset", str(folder), *paths, folder=folder):
            if record.get("status") in ("error", "impossible"):
                failures[_inside(folder, record)] = _reason(record)
    absent = [file for file in files if not is_here(folder / file.path)]
    reasons = {file.path: failures.get(file.path, "DataLad does not say why") for file in absent}
    transfers = _transfers(folder)
    damaged = {file.path for file in absent if _is_damaged(transfers / file.key, file.key)}
    return {path: _DAMAGED if path in damaged else reason for path, reason in reasons.items()}


def _portions(files: Sequence[TreeFile]) -> Iterator[Sequence[TreeFile]]:
    return (files[start : start + _AT_ONCE] for start in range(0, len(files), _AT_ONCE))


def _inside(folder: Path, record: dict) -> str:
    path = Path(record["path"])
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def _reason(record: dict) -> str:
    said = record.get("error_message") or record.get("message") or "no reason is given"
    text = said if isinstance(said, str) else str(said[0]) % tuple(said[1:])
    return " ".join(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def _transfers(folder: Path) -> Path:
    """Where git-annex keeps what has come of files that are on their way."""
    return folder / git("rev-parse", "--git-path", "annex/tmp", folder=folder).strip()


def _is_damaged(transferred: Path, key: str) -> bool:
    """Whether all of a content came and is not what its key says; it is removed then, for another attempt."""
    match = re.match(r"(MD5|SHA1|SHA256|SHA512)E?-s(\d+)--([0-9a-f]+)", key)
    if match is None or not transferred.is_file() or transferred.stat().st_size < int(match[2]):
        return False
    with transferred.open("rb") as file:
        damaged = hashlib.file_digest(file, match[1].lower()).hexdigest() != match[3]
    if damaged:
        transferred.unlink()
    return damaged


def _remotes_to_try(folder: Path, failures: dict[str, str]) -> list[str]:
    """Remotes that are not enabled and may have what failed: those reached by git first, programs last."""
    if not failures:
        return []
    try:
        listed = git("show", "git-annex:remote.log", folder=folder)
    except NeuroccaError:  # a dataset without special remotes
        return []
    there = git("remote", folder=folder).split()
    kinds = {"git": 0, "S3": 1, "web": 1, "external": 3}
    found = []
    for line in listed.splitlines():
        about = dict(word.split("=", 1) for word in line.split() if "=" in word)
        name = about.get("name", "")
        # of a name that git would take for something else, nothing good can be meant
        if about.get("autoenable") == "true" and re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) and name not in there:
            found.append((kinds.get(about.get("type", ""), 2), name))
    return [name for _, name in sorted(found)]


def _enabled(folder: Path, name: str) -> bool:
    """Enable a remote, unless it does not answer in time; then no trace of it is left, and the next run tries again."""
    section = f"remote.{name}"
    try:
        run(["git-annex", "enableremote", name], folder=folder, seconds=_PATIENCE)
        # as if git-annex had enabled it by itself: read from, never written to
        git("config", f"{section}.annex-verified", "automatic", folder=folder)
        # a remote of kind git is only asked when something wants to know of it
        run(["git-annex", "info", "--fast", name], folder=folder, seconds=_PATIENCE)
        known = git("config", "--default", "", f"{section}.annex-uuid", folder=folder).strip()
        ignored = git("config", "--default", "false", "--bool", f"{section}.annex-ignore", folder=folder).strip()
        if known and ignored != "true":
            return True
    except NeuroccaError:
        pass
    with suppress(NeuroccaError):
        git("config", "--remove-section", section, folder=folder)
    return False


@contextmanager
def _metered(folder: Path, files: Sequence[TreeFile], progress: Progress) -> Iterator[None]:
    """Call ``progress`` with bytes as they come, from the sizes of what is on its way."""
    stop, transfers = threading.Event(), _transfers(folder)
    before = {file.path: _come(folder, file, transfers) for file in files}

    def watch() -> None:
        seen = before
        while True:
            last = stop.wait(0.5)
            now = {file.path: _come(folder, file, transfers) for file in files}
            if grown := sum(max(now[path] - seen[path], 0) for path in now):
                progress(grown)
            seen = {path: max(now[path], seen[path]) for path in now}
            if last:
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _come(folder: Path, file: TreeFile, transfers: Path) -> int:
    if not is_unfetched(folder / file.path):
        return file.size
    with suppress(OSError):
        return (transfers / file.key).stat().st_size
    return 0

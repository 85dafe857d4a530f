"""Content of annexed files: getting it from whichever remote answers, and letting go of it."""

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from neurocca.errors import ContentNotHereError, DataError, NeuroccaError, OutputError
from neurocca.io.annex import dataset_root, is_here, is_unfetched
from neurocca.io.clones import begin_annex
from neurocca.io.git_programs import datalad, git, run
from neurocca.io.git_tree import TreeFile, tree_file
from neurocca.io.remotes import enabled, mirrored, remotes_to_try
from neurocca.io.sharing import LINKED, intact, shareable, source_of
from neurocca.io.transfers import Meter, Progress, is_damaged, transfers

_AT_ONCE = 500
"""Files per call: a command line has an end."""

_DAMAGED = "its content at the source is damaged (its size or checksum is another one)"


def get_content(
    folder: Path,
    files: Sequence[TreeFile],
    *,
    jobs: int = 1,
    share: bool = False,
    mirrors: Sequence[str] = (),
    progress: Progress = lambda n: None,
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
    share : bool
        Have hard links to content of a source on the same disk, where that is protected from writing.
    mirrors : sequence of str
        Addresses of other clones, which are asked for what the source does not have.
    progress : callable
        Called with the bytes that came, in this attempt or an earlier one.

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
    if share:
        _share(folder, missing, jobs, progress)
        missing = [file for file in missing if not is_here(folder / file.path)]
    meter = Meter(folder, missing, progress)
    failures = _get(folder, missing, jobs, meter)
    others = [partial(mirrored, folder, address) for address in mirrors]
    if failures:
        others += [partial(enabled, folder, name) for name in remotes_to_try(folder)]
    for answers in others:
        if failures and answers():
            failures = _get(folder, [file for file in missing if file.path in failures], jobs, meter)
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


def _share(folder: Path, files: Sequence[TreeFile], jobs: int, progress: Progress) -> None:
    shared = intact(folder, shareable(folder, files), jobs, progress)
    if not shared:
        return
    # to git-annex a copy that is the source's own is none to count on
    run(["git-annex", "untrust", "--quiet", "here"], folder=folder)
    for some in _portions(shared):
        for _ in _datalad_get(folder, some, jobs, LINKED):
            pass  # what has failed is not here, and is asked for again


def _get(folder: Path, files: Sequence[TreeFile], jobs: int, meter: Meter) -> dict[str, str]:
    """One attempt, and more where another process is getting the same file."""
    failures: dict[str, str] = {}
    for attempt in range(5):
        with meter.running():
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
        for record in _datalad_get(folder, some, jobs):
            if record.get("status") in ("error", "impossible"):
                failures[_inside(folder, record)] = _reason(record)
    absent = [file for file in files if not is_here(folder / file.path)]
    reasons = {file.path: failures.get(file.path, "DataLad does not say why") for file in absent}
    on_their_way, source = transfers(folder), source_of(folder)
    damaged = {file.path for file in absent if is_damaged(on_their_way / file.key, file) or _is_cut(source, file)}
    # what came from a server and is not what its key says, git-annex removes itself
    damaged.update(path for path, reason in reasons.items() if "verification of content failed" in reason.lower())
    return {path: _DAMAGED if path in damaged else reason for path, reason in reasons.items()}


def _datalad_get(folder: Path, files: Sequence[TreeFile], jobs: int, options: Sequence[str] = ()) -> Iterator[dict]:
    paths = [str(folder / file.path) for file in files]
    return datalad(*options, "get", "--jobs", str(jobs), "--dataset", str(folder), *paths, folder=folder)


def _is_cut(source: Path | None, file: TreeFile) -> bool:
    """Whether a source on this machine has only a part of a content; what came looks like what was interrupted."""
    if source is None or not file.key.partition("-")[2].startswith("s"):
        return False
    content = source / file.path
    return content.is_symlink() and content.is_file() and content.stat().st_size != file.size


def _portions(files: Sequence[TreeFile]) -> Iterator[Sequence[TreeFile]]:
    return (files[start : start + _AT_ONCE] for start in range(0, len(files), _AT_ONCE))


def _inside(folder: Path, record: dict) -> str:
    path = Path(record["path"])
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def _reason(record: dict) -> str:
    said = record.get("error_message") or record.get("message") or "no reason is given"
    text = said if isinstance(said, str) else str(said[0]) % tuple(said[1:])
    return " ".join(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))

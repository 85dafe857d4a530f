"""Files of DataLad datasets whose content has not been fetched."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from neurocca.errors import ContentNotHereError, NoInputError

_POINTER = b"/annex/objects/"
"""How git-annex begins the small file that stands in place of an unlocked file's content."""


def check_here(paths: Iterable[Path]) -> None:
    """Refuse files that cannot be opened, all those of one dataset at once.

    Parameters
    ----------
    paths : iterable of Path

    Raises
    ------
    ContentNotHereError
        When git-annex knows a file and its content is not here; the message has the command that fetches it.
    NoInputError
        When there is no such file, or it may not be read.
    """
    absent = []
    for path in dict.fromkeys(paths):
        if is_unfetched(path):
            absent.append(path)
        elif not path.is_file():
            what = "a link that leads nowhere" if path.is_symlink() else "no such file"
            raise NoInputError(f"{path}: {what}.")
        elif not os.access(path, os.R_OK):
            raise NoInputError(f"{path}: cannot be read: permission denied.")
    if not absent:
        return
    others = f" and that of {len(absent) - 1} other files" if len(absent) > 1 else ""
    raise ContentNotHereError(
        f"{absent[0]}: its content{others} is not here: get it with: {get_command(absent)}", absent
    )


def is_unfetched(path: Path) -> bool:
    """Whether a path is a file of git-annex without its content."""
    if path.is_symlink():
        return not path.exists() and "annex/objects" in path.readlink().as_posix()
    if not path.is_file() or path.stat().st_size > 32768 or not os.access(path, os.R_OK):
        return False
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def is_here(path: Path) -> bool:
    """Whether a path is a file whose content can be read."""
    return path.is_file() and not is_unfetched(path)


def get_command(paths: Iterable[Path]) -> str:
    """Shell command that fetches files, whatever the current folder.

    Examples
    --------
    >>> get_command([Path("/data/sub-01/bold.nii.gz"), Path("/data/sub-01/a mask.nii.gz")])
    "cd /data/sub-01 && datalad get bold.nii.gz 'a mask.nii.gz'"
    """
    by_dataset: dict[Path, list[str]] = {}
    for path in paths:
        path = path.absolute()
        root = dataset_root(path)
        by_dataset.setdefault(root, []).append(shlex.quote(path.relative_to(root).as_posix()))
    commands = [f"cd {shlex.quote(str(root))} && datalad get {' '.join(names)}" for root, names in by_dataset.items()]
    return " && ".join(commands)


def dataset_root(path: Path) -> Path:
    """Root of the innermost dataset that a file lies in."""
    # .git is a file, not a folder, in a subdataset; the innermost dataset is the one that knows the file
    return next((folder for folder in path.parents if (folder / ".git").exists()), path.parent)

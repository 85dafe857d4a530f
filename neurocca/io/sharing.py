"""Content of a dataset on the same disk, shared with a clone of it by hard links.

git-annex keeps content that nobody may write to, and copies it before it lets somebody (``git annex unlock``); so both
may have the same file. It does not look into what it links, so that is done here first.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from neurocca.io.git_programs import git, is_url
from neurocca.io.git_tree import TreeFile
from neurocca.io.transfers import Progress, matches

LINKED = ("-c", "annex.hardlink=true", "-c", "annex.diskreserve=0")
"""Words for DataLad, before its command."""


def source_of(folder: Path) -> Path | None:
    """Dataset on this machine that a folder was cloned from; None where it is none."""
    origin = git("config", "--default", "", "remote.origin.url", folder=folder).strip()
    return Path(origin) if origin and not is_url(origin) and Path(origin).is_dir() else None


def shareable(folder: Path, files: Iterable[TreeFile]) -> list[TreeFile]:
    """Files whose content the source has on the same disk, protected from writing."""
    source = source_of(folder)
    # there, content becomes writable in its place when it is unlocked
    if source is None or git("config", "--bool", "--default", "false", "annex.thin", folder=source).strip() == "true":
        return []
    disk = folder.stat().st_dev
    return [file for file in files if _is_protected(source / file.path, file, disk)]


def intact(folder: Path, files: Sequence[TreeFile], jobs: int, progress: Progress) -> list[TreeFile]:
    """Those of shareable files whose content at the source is what their keys say."""
    source = source_of(folder)
    if source is None or not files:
        return []

    def checked(file: TreeFile) -> bool:
        with suppress(OSError):
            return bool(matches(source / file.path, file.key))
        return False

    found = []
    with ThreadPoolExecutor(jobs) as pool:
        for file, good in zip(files, pool.map(checked, files), strict=True):
            if good:
                found.append(file)
                progress(file.size)
    return found


def _is_protected(path: Path, file: TreeFile, disk: int) -> bool:
    if not path.is_symlink() or path.readlink().name != file.key:
        return False
    with suppress(OSError):
        about = path.stat()
        # Linux links nobody to what is somebody else's
        ours = os.getuid() in (0, about.st_uid)
        return ours and stat.S_ISREG(about.st_mode) and about.st_dev == disk and not about.st_mode & 0o222
    return False

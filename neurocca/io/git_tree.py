"""Files of a dataset as git knows them, with git-annex's keys; whether the working tree has them does not matter."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neurocca.io.git_programs import git, run

DATASET = "160000"
"""Git's mode of a dataset inside another."""

_LINK = "120000"


@dataclass(frozen=True)
class TreeFile:
    """A file of a dataset, here or not.

    Parameters
    ----------
    path : str
        From the dataset's root.
    key : str
        git-annex's name of its content; empty for a file that git itself has.
    size : int
        Bytes of the content as the key says them; 0 where it does not, and for files of git.
    """

    path: str
    key: str = ""
    size: int = 0


def tree_of(folder: Path) -> list[tuple[str, str, str]]:
    """Mode, object and path of everything in the commit that is checked out."""
    listed = git("ls-tree", "-r", "-z", "HEAD", folder=folder)
    found = []
    for line in listed.split("\0")[:-1]:
        about, _, path = line.partition("\t")
        mode, _, sha = about.split()
        found.append((mode, sha, path))
    return found


def with_keys(folder: Path, entries: Sequence[tuple[str, str, str]]) -> list[TreeFile]:
    """Files with what git-annex calls their content, read from git: what is in the working tree does not matter."""
    links = _objects(folder, [sha for mode, sha, _ in entries if mode == _LINK])
    # an unlocked file is a short text in git
    pointers = _objects(folder, _short(folder, [sha for mode, sha, _ in entries if mode != _LINK]))
    found = []
    for _, sha, path in entries:
        found.append(tree_file(path, links.get(sha) or pointers.get(sha, "")))
    return found


def tree_file(path: str, text: str) -> TreeFile:
    """A file and what its link, or the short text in place of its content, leads to.

    Examples
    --------
    >>> tree_file("a.nii", ".git/annex/objects/x1/y2/MD5E-s9--0a.nii/MD5E-s9--0a.nii")
    TreeFile(path='a.nii', key='MD5E-s9--0a.nii', size=9)
    """
    key = text.strip().rpartition("/")[2] if "annex/objects/" in text else ""
    size = re.match(r"[A-Z0-9_]+-s(\d+)-", key)
    return TreeFile(path, key, int(size[1]) if size else 0)


def _objects(folder: Path, shas: Sequence[str]) -> dict[str, str]:
    """Content of short objects."""
    found: dict[str, str] = {}
    unique = list(dict.fromkeys(shas))
    if not unique:
        return found
    text = run(["git", "cat-file", "--batch"], folder=folder, stdin="\n".join(unique) + "\n")
    content, start = text.encode("utf-8", "surrogateescape"), 0
    for sha in unique:
        begin = content.index(b"\n", start) + 1
        end = begin + int(content[start:begin].split()[2])
        found[sha] = content[begin:end].decode("utf-8", "replace")
        start = end + 1
    return found


def _short(folder: Path, shas: Sequence[str]) -> list[str]:
    """Those of objects that can be git-annex's short texts."""
    if not shas:
        return []
    checked = run(["git", "cat-file", "--batch-check"], folder=folder, stdin="\n".join(dict.fromkeys(shas)) + "\n")
    lines = [line.split() for line in checked.splitlines()]
    return [sha for sha, _, size in lines if int(size) < 1024]

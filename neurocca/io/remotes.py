"""Remotes that a dataset names and that are enabled only when they are needed, and only if they answer."""

import re
from contextlib import suppress
from pathlib import Path

from neurocca.errors import NeuroccaError
from neurocca.io.clones import check_answers
from neurocca.io.git_programs import checked_address, git, run

PATIENCE = 20.0
"""Seconds in which a remote has to answer."""


MIRROR = "mirror"
"""Remote that stands for what ``--source`` names, where a clone is of something else."""


def mirrored(folder: Path, address: str) -> bool:
    """Have a mirror as a remote, unless it is where the clone is from, or does not answer."""
    if address == git("config", "--default", "", "remote.origin.url", folder=folder).strip():
        return False
    try:
        checked_address(address)
        check_answers(address)
        there = MIRROR in git("remote", folder=folder).split()
        git("remote", *(("set-url",) if there else ("add",)), MIRROR, address, folder=folder)
        git("fetch", "--quiet", MIRROR, folder=folder)
        return True
    except NeuroccaError:
        with suppress(NeuroccaError):
            git("remote", "remove", MIRROR, folder=folder)
        return False


def remotes_to_try(folder: Path) -> list[str]:
    """Remotes that git-annex would enable by itself and are not enabled: those reached by git first, programs last."""
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


def enabled(folder: Path, name: str) -> bool:
    """Enable a remote, unless it does not answer in time; then no trace of it is left, and the next run tries again."""
    section = f"remote.{name}"
    try:
        run(["git-annex", "enableremote", name], folder=folder, seconds=PATIENCE)
        # as if git-annex had enabled it by itself: read from, never written to
        git("config", f"{section}.annex-verified", "automatic", folder=folder)
        # a remote of kind git is only asked when something wants to know of it
        run(["git-annex", "info", "--fast", name], folder=folder, seconds=PATIENCE)
        known = git("config", "--default", "", f"{section}.annex-uuid", folder=folder).strip()
        ignored = git("config", "--default", "false", "--bool", f"{section}.annex-ignore", folder=folder).strip()
        if known and ignored != "true":
            return True
    except NeuroccaError:
        pass
    with suppress(NeuroccaError):
        git("config", "--remove-section", section, folder=folder)
    return False

"""Clones of DataLad datasets and of those inside them, without their content and without dead remotes.

``datalad clone`` would let git-annex enable every remote that a dataset names, and wait for those that no longer
answer. Here git clones and git-annex begins without remotes; `neurocca.io.content` enables one when it is needed.
"""

import os
import platform
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from neurocca.errors import NeuroccaError, NoInputError, OutputError, UsageError
from neurocca.io.git_programs import checked_address, git, is_url, run, without_password
from neurocca.io.git_tree import DATASET, tree_of

_CONFIG = ".datalad/config"

_PATIENCE = 20.0
"""Seconds in which a server has to answer; git would wait for minutes for one that takes no connection."""


@dataclass(frozen=True)
class Subdataset:
    """A dataset that another one names.

    Parameters
    ----------
    path : str
        From the dataset that names it.
    commit : str
        That belongs to it.
    name : str
        What ``.gitmodules`` calls it.
    url : str
        Where ``.gitmodules`` says it comes from; empty where it does not say.
    dataset_id : str
    skipped : bool
        Marked as one that is not for everybody.
    """

    path: str
    commit: str
    name: str = ""
    url: str = ""
    dataset_id: str = ""
    skipped: bool = False


def is_dataset(folder: Path) -> bool:
    """Whether a folder is the root of a git repository with a commit."""
    return (folder / ".git").exists()


def clone(addresses: Sequence[str], target: Path, *, commit: str | None = None, shallow: bool = False) -> str:
    """Clone from the first address that answers; either the whole clone is there afterwards, or nothing.

    Parameters
    ----------
    addresses : sequence of str
    target : Path
        Not there yet, or an empty folder.
    commit : str, optional
        To check out; the newest by default.
    shallow : bool
        Only what is needed to list files; from a URL without the history.

    Returns
    -------
    address : str
        The one that answered.

    Raises
    ------
    OutputError
        When the target cannot be written.
    NoInputError
        Why the addresses did not answer.
    UsageError
        When the user can mend it.
    """
    failures: dict[str, NeuroccaError] = {}
    staging = _staging(target)
    try:
        for address in addresses:
            try:
                _clone_into(staging, checked_address(address), commit, shallow)
                os.replace(staging, target)
                return address
            except NoInputError as error:
                failures[address] = error
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"output {target}: cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    said = "; ".join(f"{without_password(address)} cannot be cloned: {error}" for address, error in failures.items())
    # where one is only out of reach, another attempt may help
    worst = max(failures.values(), key=lambda error: error.exit_code)
    raise type(worst)(said)


def check_answers(address: str) -> None:
    """Refuse an address where nobody answers."""
    if is_url(address) and not address.startswith("file:"):
        git("ls-remote", "--quiet", "--", address, "HEAD", seconds=_PATIENCE)


def begin_annex(folder: Path) -> None:
    """Make git-annex ready in a clone whose dataset uses it, enabling no remotes."""
    branches = git("branch", "--all", "--list", "git-annex", "*/git-annex", folder=folder)
    with suppress(NeuroccaError):
        if git("config", "annex.uuid", folder=folder).strip():
            return
    if branches.strip():
        run(["git-annex", "init", "--quiet", "--no-autoenable"], folder=folder)


def subdatasets(folder: Path) -> list[Subdataset]:
    """Datasets that the commit that is checked out names."""
    links = [entry for entry in tree_of(folder) if entry[0] == DATASET]
    if not links:
        return []
    described = _gitmodules(folder)
    return [_subdataset(path, commit, described.get(path, {})) for _, commit, path in links]


def addresses_of(sub: Subdataset, parent: Path, *, mirrors: Sequence[str] = ()) -> list[str]:
    """Where a dataset inside another may be cloned from, best first.

    Parameters
    ----------
    sub : Subdataset
    parent : Path
        The clone that names it.
    mirrors : sequence of str
        Other addresses, which come first: `mirrors_of`.

    Raises
    ------
    NoInputError
        When there is none that can be handed to git.
    """
    origin = git("config", "--default", "", "remote.origin.url", folder=parent).strip()
    found = list(mirrors)
    if _is_relative(sub.url):
        found.append(_inside(origin, sub.url))
    elif sub.url:
        found.append(sub.url)
    if origin and not is_url(origin):
        found.append(_inside(origin, sub.path))
    for name, template in _settings(parent, _CONFIG):
        if name.startswith("datalad.get.subdataset-source-candidate-") and "{id}" in template and sub.dataset_id:
            found.append(_store_address(template.replace("{id}", sub.dataset_id)))
    usable = [address for address in dict.fromkeys(found) if _is_usable(address)]
    if not usable:
        raise NoInputError(f"{parent / sub.path} cannot be cloned: {sub.url!r} is no address to clone from")
    return usable


def mirrors_of(sub: Subdataset, mirror: str) -> list[str]:
    """Where a mirror of a dataset may have one that is inside it: below it, or beside it where the address says so."""
    return [f"{mirror.rstrip('/')}/{sub.path}", *([_inside(mirror, sub.url)] if _is_relative(sub.url) else [])]


def commit_of(folder: Path) -> str:
    """Commit that is checked out."""
    return git("rev-parse", "HEAD", folder=folder).strip()


def dataset_id(folder: Path) -> str:
    """Identifier that DataLad gave a dataset; empty where it has none."""
    return dict(_settings(folder, _CONFIG)).get("datalad.dataset.id", "")


def register(parent: Path, sub: Subdataset) -> None:
    """Tell a clone that a dataset inside it is there."""
    # as `git submodule init` does, which is a slow shell script
    git("config", f"submodule.{sub.name}.active", "true", folder=parent)
    git("config", f"submodule.{sub.name}.url", sub.url, folder=parent)


def _clone_into(staging: Path, address: str, commit: str | None, shallow: bool) -> None:
    source = address if is_url(address) else str(Path(address).resolve())
    depth = ["--depth", "1"] if shallow and is_url(address) else []
    check_answers(address)
    git("clone", "--quiet", "--no-checkout", *depth, "--", source, str(staging))
    if commit is None:
        if not git("rev-list", "--max-count=1", "--all", folder=staging).strip():
            raise NoInputError("the dataset is empty")
        if not shallow:
            git("checkout", "--quiet", folder=staging)
        return
    try:
        git("cat-file", "-e", f"{commit}^{{commit}}", folder=staging)
    except NeuroccaError:  # not on a branch, or a shallow clone
        git("fetch", "--quiet", *depth, "origin", commit, folder=staging)
    git("update-ref", "HEAD", commit, folder=staging)
    if not shallow:
        git("checkout", "--quiet", folder=staging)


def _staging(target: Path) -> Path:
    """Folder beside the target that this process clones into; what killed processes have left is removed."""
    prefix = f".{target.name}.clone-{platform.node()}-"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f"{prefix}*"):
            if not _lives(left.name.removeprefix(prefix)):
                shutil.rmtree(left, ignore_errors=True)
        staging = target.with_name(f"{prefix}{os.getpid()}")
        staging.mkdir()
    except OSError as error:
        raise OutputError(f"output {target}: cannot be written: {error.strerror}.") from error
    return staging


def _is_relative(url: str) -> bool:
    return re.match(r"\.\.?(/|$)", url) is not None


def _is_usable(address: str) -> bool:
    try:
        checked_address(address)
    except UsageError:
        return False
    return True


def _lives(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _gitmodules(folder: Path) -> dict[str, dict[str, str]]:
    """What ``.gitmodules`` says of each path."""
    by_name: dict[str, dict[str, str]] = {}
    for name, value in _settings(folder, ".gitmodules"):
        section, _, key = name.rpartition(".")
        by_name.setdefault(section, {"name": section.partition(".")[2]})[key] = value
    return {about["path"]: about for about in by_name.values() if "path" in about}


def _subdataset(path: str, commit: str, about: dict[str, str]) -> Subdataset:
    skipped = about.get("datalad-recursiveinstall") == "skip"
    url, identifier = about.get("url", ""), about.get("datalad-id", "")
    return Subdataset(path, commit, about.get("name", path), url, identifier, skipped)


def _settings(folder: Path, file: str) -> list[tuple[str, str]]:
    """Settings in a file of the commit that is checked out, which the working tree may lack."""
    try:
        listed = git("config", "--null", "--blob", f"HEAD:{file}", "--list", folder=folder)
    except NeuroccaError:  # there is no such file
        return []
    pairs = [item.partition("\n") for item in listed.split("\0")[:-1]]
    return [(name, value) for name, _, value in pairs]


def _inside(base: str, path: str) -> str:
    """An address below another one; ``..`` leads up, as in ``.gitmodules``."""
    scheme, found, rest = base.rpartition("://")
    parts = list(PurePosixPath(rest).parts)
    for part in PurePosixPath(path).parts:
        if part == "..":
            parts = parts[: max(len(parts) - 1, 1)]  # not above the host or the root
        else:
            parts.append(part)
    return f"{scheme}{found}{PurePosixPath(*parts)}"


def _store_address(address: str) -> str:
    """Address in a store of datasets (RIA), in which an identifier is two folders."""
    store, _, name = address.removeprefix("ria+").partition("#")
    return f"{store.rstrip('/')}/{name[:3]}/{name[3:]}"

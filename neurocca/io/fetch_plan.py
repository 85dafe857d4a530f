"""Which datasets and files a request needs, found out without their content; nothing is cloned that is not needed."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from neurocca.errors import NeuroccaError, NoInputError, NoMatchError, OutputError
from neurocca.io import clones
from neurocca.io.annex import is_here
from neurocca.io.fetch_choice import STUDYFORREST, Choice, ChosenFiles, labels_in
from neurocca.io.fetch_record import read_record
from neurocca.io.git_programs import checked_address, git, is_url, without_password
from neurocca.io.git_tree import DATASET, TreeFile, tree_of, with_keys
from neurocca.io.turn import turn


@dataclass(frozen=True)
class Part:
    """Files of one dataset that are asked for.

    Parameters
    ----------
    path : str
        From the outermost dataset, which is ".".
    folder : Path
        A clone of it; for a dry run not where it will be.
    target : Path
        Where it is, or will be.
    url, dataset_id, commit : str
    files : tuple of TreeFile
    mirrors : tuple of str
        Other places that may have its content.
    """

    path: str
    folder: Path
    target: Path
    url: str
    dataset_id: str
    commit: str
    files: tuple[TreeFile, ...]
    mirrors: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[TreeFile, ...]:
        """Files whose content has to come."""
        return tuple(f for f in self.files if f.key and not is_here(self.target / f.path))

    def from_root(self, file: TreeFile) -> str:
        """Path of a file from the outermost dataset."""
        return file.path if self.path == "." else f"{self.path}/{file.path}"


@dataclass(frozen=True)
class Plan:
    """What is asked for, and where.

    Parameters
    ----------
    name, root : str, Path
        What the dataset is called, and where it goes.
    parts : tuple of Part
    failures : tuple of NeuroccaError
        Of datasets that are needed and could not be cloned.
    """

    name: str
    root: Path
    parts: tuple[Part, ...]
    failures: tuple[NeuroccaError, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that have to come."""
        return sum(file.size for part in self.parts for file in part.missing)


@dataclass
class _Survey:
    """Walks through a dataset and those inside it, cloning what is needed and not there."""

    chosen: ChosenFiles
    dry: Path | None
    only_here: bool
    parts: list[Part] = field(default_factory=list)
    failures: list[NeuroccaError] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)

    def walk(self, folder: Path, target: Path, path: str, url: str, mirrors: Sequence[str]) -> None:
        prefix = "" if path == "." else f"{path}/"
        entries = [entry for entry in tree_of(folder) if entry[0] != DATASET and self.chosen.has(prefix + entry[2])]
        self.labels.update(*(labels_in(entry[2]) for entry in entries))
        theirs = [entry for entry in entries if self.chosen.is_theirs(prefix + entry[2])]
        files = tuple(with_keys(folder, theirs))
        about = (url, clones.dataset_id(folder), clones.commit_of(folder))
        self.parts.append(Part(path, folder, target, *about, files, tuple(mirrors)))
        for sub in clones.subdatasets(folder):
            inner = prefix + sub.path
            if not self.chosen.enters(inner, named=sub.skipped):
                continue
            try:
                self._enter(sub, folder, target / sub.path, inner, mirrors)
            except NoInputError as error:  # others may be had
                self.failures.append(error)

    def _enter(self, sub: clones.Subdataset, parent: Path, target: Path, path: str, above: Sequence[str]) -> None:
        folder, mirrors = target, [address for mirror in above for address in clones.mirrors_of(sub, mirror)]
        if not clones.is_dataset(target):
            if self.only_here:
                return
            if self.dry is not None:
                folder = self.dry / str(len(self.parts))
            addresses = clones.addresses_of(sub, parent, mirrors=mirrors)
            used = clones.clone(addresses, folder, commit=sub.commit, shallow=self.dry is not None)
            if self.dry is None:
                clones.register(parent, sub)
        else:
            used = git("config", "--default", "", "remote.origin.url", folder=target).strip()
        self.walk(folder, target, path, _as_url(sub.url if is_url(sub.url) else used), mirrors)


@contextmanager
def planned(
    name: str, root: Path, choice: Choice, *, source: str = "", dry_run: bool = False, only_here: bool = False
) -> Iterator[Plan]:
    """Find out what a choice of files is, cloning the datasets that hold them, without content.

    Parameters
    ----------
    name : str
        ``studyforrest``, the number of a dataset on OpenNeuro (``ds000113``), a URL or a path.
    root : Path
        Where the dataset is or goes.
    choice : Choice
    source : str
        Where to clone from in place of the dataset's own address; datasets inside it are looked for below.
    dry_run : bool
        Clone into a temporary folder, so that nothing in ``root`` changes.
    only_here : bool
        Clone nothing: what is not here is not part of the plan.

    Raises
    ------
    UsageError
        When name or source cannot be handed to git.
    NoInputError
        When the dataset cannot be cloned.
    NoMatchError
        When there are no such files, or none of a participant.
    OutputError
        When ``root`` cannot be written, or holds something else.
    """
    url = published_address(name)
    name = name if name == "studyforrest" or url.endswith(f"/{name}.git") else url
    base = _absolute(source) if source else ""
    addresses = [base or url]
    for address in addresses:
        if not is_url(address) and not Path(address).is_dir():
            raise NoInputError(f"{address}: no such directory.")
    root = root.resolve()
    waiting = nullcontext() if dry_run else turn(root)
    with waiting, tempfile.TemporaryDirectory(prefix="neurocca-") as temporary:
        there = check_target(root, name, url)
        dry = Path(temporary) if dry_run else None
        folder = root if there or dry is None else dry / "root"
        if not there:
            if only_here:
                raise NoInputError(f"{root}: no dataset.")
            clones.clone(addresses, folder, shallow=dry_run)
        chosen = choice.of(clones.dataset_id(folder))
        survey = _Survey(chosen, dry, only_here)
        survey.walk(folder, root, ".", _as_url(url), [base] if base else [])
        if not survey.failures:
            _check_found(root, survey)
        yield Plan(without_password(name), root, tuple(survey.parts), tuple(survey.failures))


def published_address(name: str) -> str:
    """Where a dataset is published; a URL or path is itself.

    Examples
    --------
    >>> published_address("ds000113")
    'https://github.com/OpenNeuroDatasets/ds000113.git'
    """
    if name == "studyforrest":
        return "https://github.com/psychoinformatics-de/studyforrest-data.git"
    if re.fullmatch(r"ds\d{6}", name):
        return f"https://github.com/OpenNeuroDatasets/{name}.git"
    return _absolute(name)


def check_target(root: Path, name: str, url: str) -> bool:
    """Whether the dataset is in its place already.

    Raises
    ------
    OutputError
        When something else is there.
    """
    try:
        if not root.exists() or (root.is_dir() and not any(root.iterdir())):
            return False
    except OSError as error:
        raise OutputError(f"output {root}: cannot be read: {error.strerror}.") from error
    if not root.is_dir():
        raise OutputError(f"output {root}: not a directory.")
    if not clones.is_dataset(root):
        raise OutputError(f"output {root}: not empty, and no dataset; choose another place.")
    origin = git("config", "--default", "", "remote.origin.url", folder=root).strip()
    same = {name: url, "studyforrest": STUDYFORREST}
    known = clones.dataset_id(root) == same[name] or read_record(root).get("Dataset") == without_password(name)
    if not known and origin != url:
        raise OutputError(
            f"output {root}: holds another dataset ({without_password(origin) or 'of its own'}); choose another place."
        )
    return True


def _absolute(address: str) -> str:
    checked_address(address)
    return address if is_url(address) else str(Path(address).resolve())


def _as_url(address: str) -> str:
    return without_password(address) if is_url(address) else Path(address).as_uri()


def _check_found(root: Path, survey: _Survey) -> None:
    files = [part.from_root(file) for part in survey.parts for file in part.files]
    if not files and not survey.labels:
        raise NoMatchError(f"{root}: the dataset has no such files.")
    lacking = sorted(survey.chosen.labels - set().union(*map(labels_in, files)))
    if lacking and survey.labels:
        there = ", ".join(sorted(survey.labels))
        raise NoMatchError(f"{root}: no such files of participant {', '.join(lacking)}; there are those of {there}.")

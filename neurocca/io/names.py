"""File names made of BIDS entities, and the files that BIDS lets several others share."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from neurocca.io.recording import run_label

_ENTITY = re.compile(r"([a-z]+)-([a-zA-Z0-9+]+)")
_INDICES = ("run", "echo")


@dataclass(frozen=True)
class BidsName:
    """What the name of a file says.

    Parameters
    ----------
    entities : mapping
        Label by short key (``sub``, ``task``, …), in the name's order; indices without leading zeros.
    suffix, extension : str
        ``bold`` and ``.nii.gz``, for example.
    """

    entities: Mapping[str, str]
    suffix: str
    extension: str

    def get(self, key: str) -> str | None:
        """Label of an entity; None where the name does not have it."""
        return self.entities.get(key)

    def fits(self, other: "BidsName", ignore: tuple[str, ...] = ()) -> bool:
        """Whether all that this name says, other than entities of ``ignore``, is also said by another."""
        return all(key in ignore or other.get(key) == label for key, label in self.entities.items())


def parse_name(name: str) -> BidsName | None:
    """Entities, suffix and extension of a file name; None for a name that is not made of them.

    Examples
    --------
    >>> parse_name("sub-01_task-film_run-02_bold.nii.gz")
    BidsName(entities={'sub': '01', 'task': 'film', 'run': '2'}, suffix='bold', extension='.nii.gz')
    >>> parse_name("sub-01_notes on task.txt") is None
    True
    """
    stem, dot, extension = name.partition(".")
    *parts, suffix = stem.split("_")
    if not dot or not suffix.isalnum():
        return None
    entities = {}
    for part in parts:
        if match := _ENTITY.fullmatch(part):
            key, label = match.groups()
            entities[key] = run_label(label) if key in _INDICES else label
        elif part != "bold":  # FSL's and others' names add to that of the volumes: …_bold_mcparams.txt
            return None
    return BidsName(entities, suffix, f".{extension}")


def shared_files(path: Path, root: Path, suffix: str, extension: str) -> Iterator[Path]:
    """Files that hold for a file by BIDS's principle of inheritance, the nearest first.

    Parameters
    ----------
    path : Path
        Inside ``root``; need not exist.
    root : Path
        Folder of the dataset.
    suffix, extension : str
        Of the files looked for.

    Yields
    ------
    Path
        In the same folder or above, whose entities are all among those of ``path``.
    """
    target = parse_name(path.name)
    if target is None:
        return
    folders = [folder for folder in path.parents if folder.is_relative_to(root)]
    for folder in folders:
        found = []
        for file in sorted(folder.glob(f"*{suffix}{extension}")):
            name = parse_name(file.name)
            if name is not None and (name.suffix, name.extension) == (suffix, extension) and name.fits(target):
                found.append((len(name.entities), file))
        yield from (file for _, file in sorted(found, key=lambda pair: -pair[0]))

"""BIDS datasets, raw or derivative, through pybids: what files there are."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurocca.errors import DataError, NoInputError, UsageError
from neurocca.io.choice import SeriesFile
from neurocca.io.names import BidsName, parse_name
from neurocca.io.recording import Kind
from neurocca.io.sidecars import read_json

log = logging.getLogger(__name__)

KINDS: Mapping[tuple[str, str], Kind] = {
    ("bold", ".nii.gz"): "voxels",
    ("bold", ".nii"): "voxels",
    ("bold", ".func.gii"): "surface",
    ("bold", ".dtseries.nii"): "grayordinates",
    ("timeseries", ".ptseries.nii"): "parcels",
    ("timeseries", ".tsv"): "parcels",
}
"""What files of a suffix and extension hold."""

# Only functional files are looked at: indexing the rest takes long, and what is broken there does not matter here.
# Patterns are matched against paths from the dataset's root; names without a dot are taken for folders.
_IGNORED = (
    re.compile(r"/\."),
    re.compile(r"^/(?!sub-)[^/.]+(/|$)"),
    re.compile(r"^/sub-[^/]+/(?!func(/|$)|ses-)[^/.]+(/|$)"),
    re.compile(r"^/sub-[^/]+/ses-[^/]+/(?!func(/|$))[^/.]+(/|$)"),
)


class BidsDataset:
    """A BIDS dataset, raw or derivative.

    Parameters
    ----------
    root : Path
    name : str
        What the user calls it. Without one, "raw", or for a derivative the program that has made it.
    database : Path, optional
        Folder in which pybids keeps the index; one of its own for each dataset.
    filters : mapping
        Per suffix, what pybids selects files by.

    Raises
    ------
    DataError
        When the description is not valid JSON.
    """

    def __init__(
        self,
        root: Path,
        name: str = "",
        *,
        database: Path | None = None,
        filters: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        about = root / "dataset_description.json"
        self.description = read_json(about) if about.is_file() or about.is_symlink() else {}
        self.name = name or (next(iter(self.generators), root.name) if self.is_derivative else "raw")
        self._filters = filters or {}
        self._layout = _index(root, database)
        self.root = Path(self._layout.root)
        if self.root.resolve() != root.resolve():
            raise UsageError(f"--bids-database-dir: {database} is the index of {self._layout.root}, not of {root}.")
        self._names: dict[Path, BidsName] | None = None

    @property
    def is_derivative(self) -> bool:
        """Whether its description says that it is derived from another dataset."""
        return self.description.get("DatasetType") == "derivative"

    @property
    def generators(self) -> tuple[str, ...]:
        """Names of the programs that have made it."""
        made_by = self.description.get("GeneratedBy")
        return tuple(str(item.get("Name", "")) for item in made_by or () if isinstance(item, dict))

    @property
    def names(self) -> Mapping[Path, BidsName]:
        """All functional files whose names are made of entities."""
        if self._names is None:
            paths = map(Path, self._layout.get(return_type="filename"))
            named = ((path, parse_name(path.name)) for path in paths)
            self._names = {path: name for path, name in named if name is not None}
        return self._names

    def series(self) -> list[SeriesFile]:
        """BOLD of participants' tasks that the filters let through; parcel time series where there is none.

        A filter for ``timeseries`` asks for parcels even where there is BOLD.
        """
        for suffix in ("timeseries",) if "timeseries" in self._filters else ("bold", "timeseries"):
            if found := self._select(suffix):
                return found
        return []

    def matching(self, suffix: str, extension: str) -> list[Path]:
        """Files of a suffix and extension that its filter lets through, by name."""
        files = [p for p, name in self.names.items() if (name.suffix, name.extension) == (suffix, extension)]
        return sorted(self._filtered(suffix, files))

    def _select(self, suffix: str) -> list[SeriesFile]:
        files = [
            SeriesFile(path, self.names[path], kind, self.root, self.name)
            for (of, extension), kind in KINDS.items()
            if of == suffix
            for path in self.matching(suffix, extension)
        ]
        files = [f for f in files if {"sub", "task"} <= f.name.entities.keys()]
        if suffix == "timeseries":
            # confounds and components are time series too; parcels are those that name their atlas
            files = [
                f for f in files if {"atlas", "seg"} & f.name.entities.keys() and f.name.get("desc") != "confounds"
            ]
        return files

    def _filtered(self, suffix: str, files: list[Path]) -> list[Path]:
        from bids.layout import Query

        if suffix not in self._filters or not files:
            return files
        special = {None: Query.NONE, "*": Query.ANY}
        wanted = {
            entity: special[label] if label is None or label == "*" else label
            for entity, label in self._filters[suffix].items()
        }
        try:
            passed = set(map(Path, self._layout.get(return_type="filename", **wanted)))
        except (ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"--bids-filter-file: filter {suffix!r}: {reason}") from error
        return [path for path in files if path in passed]


def _index(root: Path, database: Path | None) -> Any:
    from bids import BIDSLayout, BIDSLayoutIndexer
    from sqlalchemy.exc import SQLAlchemyError

    # metadata of every modality are slow to index and may be broken where nobody looks
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=list(_IGNORED))
    config = ["bids", "derivatives"]
    try:
        return BIDSLayout(root, validate=False, config=config, indexer=indexer, database_path=database)
    except (OSError, SQLAlchemyError) as error:
        if database is None:
            raise NoInputError(f"{root}: cannot be indexed: {error}") from error
        reason = " ".join(str(error).split())
        raise UsageError(
            f"--bids-database-dir: {database} cannot be used (remove it to start anew): {reason}"
        ) from error


def open_datasets(
    root: Path, derivatives: Mapping[str, Path], *, database: Path | None, filters: Mapping[str, Mapping[str, Any]]
) -> tuple[BidsDataset, list[BidsDataset], list[BidsDataset]]:
    """A dataset and its derivatives.

    Parameters
    ----------
    root : Path
    derivatives : mapping
        Folders that the user names.
    database, filters
        As `BidsDataset` takes them.

    Returns
    -------
    dataset : BidsDataset
    given : list of BidsDataset
        Derivatives that the user names.
    found : list of BidsDataset
        Others that lie in the dataset's ``derivatives``.
    """

    def opened(folder: Path, name: str) -> BidsDataset:
        return BidsDataset(folder, name, database=database / name if database else None, filters=filters)

    given = [opened(folder, name) for name, folder in derivatives.items()]
    known = {folder.resolve() for folder in derivatives.values()}
    folders = [f for f in sorted(root.glob("derivatives/*")) if any(f.glob("sub-*/")) and f.resolve() not in known]
    found = []
    for folder in folders:
        if folder.name in derivatives:
            continue
        try:
            found.append(opened(folder, folder.name))
        except (DataError, NoInputError) as error:  # nobody has asked for it
            log.warning("%s is left out: %s", folder, error)
    main = BidsDataset(root, database=database / "bids_dir" if database else None, filters=filters)
    return main, given, found

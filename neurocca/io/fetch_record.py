"""What was fetched, as ``.neurocca/fetch.json`` says it: datasets with their commits, files with their keys."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neurocca.errors import DataError
from neurocca.io.annex import is_here
from neurocca.io.files import json_text, write_text

RECORD = Path(".neurocca") / "fetch.json"


def read_record(root: Path) -> dict[str, Any]:
    """The record of a folder; empty where there is none.

    Raises
    ------
    DataError
        When it is damaged.
    """
    path = root / RECORD
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        paths = [item["Path"] for key in ("Datasets", "Files") for item in content[key]]
        if all(isinstance(path, str) for path in paths) and all("Size" in item for item in content["Files"]):
            return content
    except (ValueError, KeyError, TypeError):
        pass
    raise DataError(f"{path}: damaged; remove it, and fetch again.")


def write_record(
    root: Path, dataset: str, datasets: Iterable[Mapping[str, str]], files: Iterable[Mapping[str, Any]]
) -> None:
    """Write the record of what is here, keeping what an earlier one says that still is.

    Parameters
    ----------
    root : Path
    dataset : str
        What was asked for.
    datasets : iterable of mapping
        Path, DatasetId, Commit and URL.
    files : iterable of mapping
        Path, Key and Size in bytes.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    before = read_record(root)
    by_path = {
        name: {item["Path"]: dict(item) for item in (*before.get(name, ()), *new)}
        for name, new in (("Datasets", datasets), ("Files", files))
    }
    here = [
        item
        for path, item in sorted(by_path["Files"].items())
        if is_here(root / path) and (root / path).stat().st_size == item["Size"]
    ]
    content = {
        "Dataset": before.get("Dataset", dataset),
        "Datasets": [item for _, item in sorted(by_path["Datasets"].items())],
        "Files": here,
    }
    text = json_text(content)
    if not (root / RECORD).is_file() or (root / RECORD).read_text(encoding="utf-8") != text:
        write_text(root / RECORD, text)


def source_datasets(folders: Sequence[Path]) -> list[dict[str, str]]:
    """Where folders were fetched from, as ``SourceDatasets`` of a BIDS description: URL, and commit as version.

    Folders that `write_record` does not know are left out.
    """
    found = []
    for folder in folders:
        folder = folder.resolve()
        for root in (folder, *folder.parents):
            if (root / RECORD).is_file():
                found += _sources(read_record(root), folder.relative_to(root).as_posix())
                break
    return list({tuple(source.items()): source for source in found}.values())


def _sources(record: Mapping[str, Any], path: str) -> list[dict[str, str]]:
    """The innermost dataset that holds a folder."""
    holders = [
        item for item in record["Datasets"] if item["Path"] in (".", path) or path.startswith(f"{item['Path']}/")
    ]
    if not holders:
        return []
    innermost = max(holders, key=lambda item: 0 if item["Path"] == "." else len(item["Path"]))
    return [{"URL": innermost["URL"], "Version": innermost["Commit"]}]

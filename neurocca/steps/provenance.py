"""What features were made from, in a form that a store keeps and that tells whether they are up to date."""

import platform
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import neurocca
from neurocca.io.files import sha256

_LIBRARIES = ("numpy", "torch", "timm", "torchvision", "librosa", "scikit-learn", "h5py", "imageio-ffmpeg")


def source_record(path: Path, digest: str | None = None) -> dict[str, str]:
    """Name and digest of a file."""
    return {"name": path.name, "sha256": digest or sha256(path)}


def origin(settings: Mapping[str, Any], *, film: Mapping[str, str] | None = None, files: Sequence[Any] = ()) -> dict:
    """Everything that the numbers depend on: sources, settings and the version of neurocca."""
    sources = {"film": dict(film)} if film else {"files": list(files)}
    return {**sources, "settings": dict(settings), "neurocca": neurocca.__version__}


def same_origin(there: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a store's record says that its features were made from what is asked for; names of files may differ."""
    return all(_content(there.get(key)) == _content(asked[key]) for key in asked)


def difference(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """In words, in what a store's record differs from what is asked for."""
    if not there:
        return "an unknown source"
    for key, what in (("film", "another film"), ("files", "other files")):
        if _content(there.get(key)) != _content(asked.get(key)):
            return f"{what} ({_names(there.get(key))})"
    return f"other settings ({changed_settings(there, asked)})"


def changed_settings(there: Mapping[str, Any], asked: Mapping[str, Any], *, ignore: Collection[str] = ()) -> str:
    """In words, settings in which a store's record differs from what is asked for; empty where there is no difference.

    The version of neurocca counts as one: another may compute otherwise.
    """
    old, new = ({**record.get("settings", {}), "neurocca": record.get("neurocca")} for record in (there, asked))
    keys = [key for key in {**new, **old} if key not in ignore and old.get(key) != new.get(key)]
    return "; ".join(f"{key} {_change(old.get(key), new.get(key))}" for key in keys[:3])


def software() -> dict[str, str]:
    """Versions of what took part."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:  # conda's torch and opencv have other names
            continue
    return found


def _content(record: Any) -> Any:
    """A record without the names of its files: a film that was renamed is the same film."""
    if isinstance(record, Mapping) and "sha256" in record:
        return record["sha256"]
    if isinstance(record, list | tuple):
        return [_content(item) for item in record]
    return record


def _names(record: Any) -> str:
    if isinstance(record, Mapping):
        return str(record.get("name"))
    return ", ".join(_names(item) for item in record[:3]) if record else "none"


def _change(old: Any, new: Any) -> str:
    """Two values that differ, as text that shows where: lists of digests can begin alike."""
    texts = ["none" if value is None else str(value) for value in (old, new)]
    alike = next((k for k, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    cut = ["…" + text[alike - 8 :] if alike > 30 else text for text in texts]
    return ", not ".join(text if len(text) <= 40 else text[:37] + "…" for text in cut)

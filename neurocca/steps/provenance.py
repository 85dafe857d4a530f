"""What features were made from, in a form that a store keeps and that tells whether they are up to date."""

import platform
from collections.abc import Mapping, Sequence
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
    old, new = there.get("settings", {}), asked["settings"]
    changed = [f"{k} {_short(old.get(k))}, not {_short(new.get(k))}" for k in new if old.get(k) != new.get(k)]
    if changed:
        return f"other settings ({'; '.join(changed[:3])})"
    return f"neurocca {there.get('neurocca', '?')} (this is {neurocca.__version__})"


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


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "…"

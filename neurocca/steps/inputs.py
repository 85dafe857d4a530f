"""What one participant's analysis is made of: files by their contents, options, and neurocca's version."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import neurocca
from neurocca.config import AlignConfig, Config
from neurocca.io.analyses import Analysis, segmentation_label
from neurocca.io.files import json_text
from neurocca.io.recording import Recording

Digest = Callable[[Path], str]
"""Digest of a file's content."""


def analysis_of(recording: Recording, align: AlignConfig) -> Analysis:
    """Labels in the names of a recording's results."""
    seg = segmentation_label(align.atlas) if align.atlas else recording.seg
    variant = (recording.space, seg, recording.res, recording.session)
    return Analysis(recording.subject, recording.task, *(label or "" for label in variant))


def input_digests(
    root: Path, recording: Recording, align: AlignConfig, features: Path, digest: Digest
) -> list[dict[str, str]]:
    """All files that are read, with their digests.

    Parameters
    ----------
    root : Path
        Folder that paths are relative to.
    recording : Recording
    align : AlignConfig
    features : Path
        The feature store, which goes by its name.
    digest : callable
    """
    files = list(dict.fromkeys(path for run in recording.runs for path in run.files))
    # an atlas that goes by its name is nilearn's, and no file of the user's
    others = (align.mask, align.atlas, align.label_atlas, align.centroids, align.kernel)
    files += [path for path in map(Path, others) if path.is_file()]
    inside = [{"Path": _relative(path, root), "SHA256": digest(path)} for path in files]
    return [*inside, {"Path": features.name, "SHA256": digest(features)}]


def made_of(
    root: Path,
    recording: Recording,
    config: Config,
    features: Path,
    sources: list[dict[str, str]],
    digest: Digest,
) -> dict[str, Any]:
    """All that the results of a participant depend on.

    Parameters
    ----------
    root, recording, features, digest
        As `input_digests` takes them.
    config : Config
    sources : list of dict
        Datasets that the files come from.
    """
    # what sidecars and events say of runs: it is in no file that is digested
    facts = json_text(_plain(asdict(recording), root))
    return {
        "Version": neurocca.__version__,
        "Config": asdict(config),
        "Recording": hashlib.sha256(facts.encode()).hexdigest(),
        "SourceDatasets": sources,
        "Inputs": input_digests(root, recording, config.align, features, digest),
    }


def _plain(value: Any, root: Path) -> Any:
    if isinstance(value, Path):
        return _relative(value, root)
    if isinstance(value, dict):
        return {key: _plain(item, root) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, root) for item in value]
    return value


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()

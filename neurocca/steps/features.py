"""From films and annotations to a feature store."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import neurocca
from neurocca.config import FeaturesConfig
from neurocca.errors import DataError, NoInputError, OutputError, UsageError
from neurocca.io.files import sha256
from neurocca.io.stimuli import Spaces, read_source
from neurocca.io.store import FeatureStore, write_store
from neurocca.steps.progress import progress_bar

log = logging.getLogger(__name__)


def extract_features(sources: Sequence[Path], output: Path, config: FeaturesConfig) -> Path:
    """Write the features of all sources into one store.

    Parameters
    ----------
    sources : sequence of Path
        Films, or clones of studyforrest's confound or event annotations.
    output : Path
        HDF5 file; replaced when it exists.
    config : FeaturesConfig

    Returns
    -------
    Path
        The store.

    Raises
    ------
    UsageError
        When two sources give the same feature space for the same run.
    """
    if output.exists():
        _check_store(output)
    spaces: Spaces = {}
    files: list[Path] = []
    with progress_bar(len(sources), "features") as done:
        for source in sources:
            found, read = read_source(source, config)
            _merge(spaces, found, source)
            files += read
            done(1)
    provenance = {
        "neurocca": neurocca.__version__,
        "config": asdict(config),
        "sources": [{"name": path.name, "sha256": sha256(path)} for path in sorted(files)],
    }
    write_store(output, spaces, provenance)
    runs = sorted({run for space in spaces.values() for run in space})
    log.info("%s: %s; runs %s", output, ", ".join(describe(spaces)), ", ".join(runs))
    return output


def describe(spaces: Spaces) -> list[str]:
    """One phrase per feature space."""
    return [f"{name} ({len(next(iter(runs.values())).names)} features)" for name, runs in sorted(spaces.items())]


def films_store(films: dict[str, Path], folder: Path, config: FeaturesConfig) -> Path:
    """Store of the films that a dataset's events name, one per run; made only when it is not up to date.

    Parameters
    ----------
    films : dict
        Film by run label.
    folder : Path
        Working folder for the store.
    config : FeaturesConfig
    """
    output = folder / "features.h5"
    sources = [{"run": run, "name": film.name, "sha256": sha256(film)} for run, film in films.items()]
    provenance = {"neurocca": neurocca.__version__, "config": asdict(config), "sources": sources}
    if output.is_file() and _provenance(output) == provenance:
        log.info("%s is up to date", output)
        return output
    spaces: Spaces = {}
    with progress_bar(len(films), "film features") as done:
        for run, film in films.items():
            found, _ = read_source(film, config)
            _merge(spaces, {space: {run: next(iter(s.values()))} for space, s in found.items()}, film)
            done(1)
    write_store(output, spaces, provenance)
    return output


def _provenance(store: Path) -> dict[str, Any] | None:
    """What a store was made from; None when it is damaged and has to be made again."""
    try:
        with FeatureStore(store) as opened:
            return opened.provenance
    except (DataError, KeyError, ValueError):
        return None


def _check_store(output: Path) -> None:
    """Refuse to replace what is no feature store: a film, say, whose name was given by mistake."""
    try:
        with FeatureStore(output):
            pass
    except (DataError, NoInputError) as error:
        raise OutputError(f"output {output}: exists and is no feature store; it is left as it is.") from error


def _merge(spaces: Spaces, found: Spaces, source: Path) -> None:
    for space, runs in found.items():
        twice = spaces.get(space, {}).keys() & runs.keys()
        if twice:
            raise UsageError(
                f"{source}: space {space!r} of run {min(twice)} was already read from another source: name films "
                "run-1, run-2, … and give every source once."
            )
        spaces.setdefault(space, {}).update(runs)

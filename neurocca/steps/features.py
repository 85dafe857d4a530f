"""From films, events and tables to a feature store."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurocca.config import FeaturesConfig
from neurocca.errors import DataError, NoInputError, UsageError
from neurocca.io.parts import Parts, parts_folder
from neurocca.io.recording import run_key
from neurocca.io.stimuli import Spaces, event_columns, is_film, read_source, run_of
from neurocca.io.store import BlockedSeries, FeatureStore, write_store
from neurocca.steps.films import read_film
from neurocca.steps.jobs import Finished, Job, film_passes, only, run_jobs
from neurocca.steps.network_pass import NetworkPass
from neurocca.steps.passes import Film
from neurocca.steps.provenance import origin, software, source_record
from neurocca.steps.reduction import Projection, Transform, unchanged
from neurocca.steps.store_plan import StorePlan
from neurocca.steps.work_folder import STORE

if TYPE_CHECKING:
    from neurocca.features.reduce import Reduction

log = logging.getLogger(__name__)


def extract_features(
    sources: Sequence[Path | str],
    output: Path | str,
    config: FeaturesConfig,
    *,
    runs: Sequence[str] = (),
    overwrite: bool = False,
    reduction_from: Path | None = None,
    devices: Sequence[str] = (),
    n_jobs: int = 1,
) -> Path:
    """Write the features of all sources into one store.

    What the store holds already from the same sources by the same settings is kept, other spaces are added. A call
    that was killed is taken up at its last whole block.

    Parameters
    ----------
    sources : sequence of paths
        Films, BIDS events, tables of features, or clones of studyforrest's confound or event annotations.
    output : path
        HDF5 file.
    config : FeaturesConfig
    runs : sequence of str, optional
        Run label of each source; told from the names by default.
    overwrite : bool
        Whether features of other films or settings may be replaced.
    reduction_from : Path, optional
        A store whose fitted projections are applied.
    devices : sequence of str, optional
        Devices that films take in turn; that of the configuration by default.
    n_jobs : int
        Passes at the same time, a process for each.

    Returns
    -------
    Path
        The store.

    Raises
    ------
    UsageError
        When two sources give the same space for the same run, or the store holds it from elsewhere.
    NoInputError, DataError, OutputError
        When a source cannot be read or the store cannot be written.
    """
    paths = [Path(source) for source in sources]
    for source in paths:
        if not source.exists():
            raise NoInputError(f"{source}: no such file or directory.")
    given = list(zip(paths, runs or [run_of(path) for path in paths], strict=True))
    plan = StorePlan(Path(output), overwrite)
    return _fill(
        plan, given, config, are_named=bool(runs), reduction_from=reduction_from, devices=devices, n_jobs=n_jobs
    )


def _fill(
    plan: StorePlan,
    given: Sequence[tuple[Path, str]],
    config: FeaturesConfig,
    *,
    are_named: bool = True,
    reduction_from: Path | None = None,
    devices: Sequence[str] = (),
    n_jobs: int = 1,
) -> Path:
    """Write what is missing of sources and their runs, whose labels were given or told from the names of the files."""
    output, sources = plan.output, [path for path, _ in given]
    # in the order of runs, so that nothing depends on that of the command line
    films = sorted((read_film(*source, config) for source in given if is_film(source[0])), key=_place)
    plan.drop_other_films(films)
    durations, columns = {film.run: film.info.duration for film in films}, event_columns(sources)
    for path, run in given:
        if not is_film(path):
            found, files = read_source(
                path, config, run=run if are_named else None, durations=durations, columns=columns
            )
            _add_series(plan, found, files, config)
    jobs = _missing(plan, films, config, _projection(films, config, reduction_from), devices)
    plan.check_alike()
    if not jobs and not plan.series:
        log.info("%s is up to date", output)
        return output
    with parts_folder(output) as folder:
        finished = run_jobs(jobs, folder, n_jobs)
        reductions = {}
        for space in sorted({space for job in jobs for space in job.one.spaces}):
            whole = _add_rows(plan, space, [f for f in finished if space in f.job.one.spaces], config)
            if whole is not None:
                reductions[space] = whole.state()
        write_store(output, plan.series, plan.provenance, keep=plan.kept(), reductions=reductions)
        for one in finished:
            one.parts.remove()
    log.info("%s: %s", output, "; ".join(plan.described()))
    return output


def films_store(films: Mapping[str, Path], folder: Path, config: FeaturesConfig, *, n_jobs: int = 1) -> Path:
    """Store of the films that a dataset's events name, one per run; made only when it is not up to date.

    Parameters
    ----------
    films : mapping
        Film by run label.
    folder : Path
        Working folder for the store.
    config : FeaturesConfig
    n_jobs : int
        Passes at the same time.
    """
    output = folder / STORE
    if output.is_file() and not _is_store(output):
        output.unlink()  # in its own folder, a damaged store or one of an older version is made again
    plan = StorePlan(output, overwrite=True, forget=True)
    return _fill(plan, [(path, run) for run, path in films.items()], config, n_jobs=n_jobs)


def _place(film: Film) -> tuple[bool, int, str]:
    return run_key(film.run)


def _add_series(plan: StorePlan, found: Spaces, files: Sequence[Path], config: FeaturesConfig) -> None:
    """Take up series that were read from files."""
    records = [source_record(file) for file in sorted(files)]
    for space, runs in found.items():
        for run, series in runs.items():
            settings = {"annotation_rate": config.annotation_rate, "columns": list(series.names)}
            made_from = origin(settings, files=records)
            if plan.want(space, run, made_from):
                plan.add(space, run, series, made_from)


def _projection(films: Sequence[Film], config: FeaturesConfig, reduction_from: Path | None) -> Projection:
    if reduction_from is not None:
        if config.reduce:
            raise UsageError("a reduction is either fitted or taken from a store, not both.")
        return Projection(source=reduction_from)
    absent = set(config.reduce_runs) - {film.run for film in films}
    if absent:
        raise UsageError(f"features.reduce_runs: there is no film of run {', '.join(sorted(absent, key=run_key))}.")
    fitted = tuple(film.sha256 for film in films if not config.reduce_runs or film.run in config.reduce_runs)
    return replace(Projection.read(config.reduce), fitted_on=fitted)


def _missing(
    plan: StorePlan, films: Sequence[Film], config: FeaturesConfig, projection: Projection, devices: Sequence[str]
) -> list[Job]:
    """Passes that have to be made, each for the spaces that the store lacks."""
    jobs = []
    for index, film in enumerate(films):
        device = devices[index % len(devices)] if devices else config.device
        for one in film_passes(film, config, projection, device):
            record = source_record(film.path, film.sha256)
            origins = {space: origin(one.settings(film, space), film=record) for space in one.spaces}
            missing = {space: origins[space] for space in one.spaces if plan.want(space, film.run, origins[space])}
            if missing:
                jobs.append(Job(film, only(one, list(missing)), missing))
    return jobs


def _add_rows(plan: StorePlan, space: str, finished: Sequence[Finished], config: FeaturesConfig) -> "Reduction | None":
    """Take up one space of all films; returns the projection that it went through, if any."""
    first = finished[0]
    names, whole = first.about.names[space], None
    change: Transform = unchanged
    widths = {one.job.film.run: len(one.about.names[space]) for one in finished}
    if len(set(widths.values())) > 1:
        raise DataError(f"space {space!r} has other numbers of features in some runs: {widths}.")
    if isinstance(first.job.one, NetworkPass):
        projection = first.job.one.projection
        if projection.pca and plan.kept().get(space):  # by equal settings, else they would not stay
            change, names = projection.once_more(plan.output, space)
        else:
            fitted = [one.parts for one in finished if not config.reduce_runs or one.job.film.run in config.reduce_runs]
            change, names, whole = projection.afterwards(space, names, partial(_rows, fitted, space))
    for one in finished:
        times = np.arange(one.about.n_rows) / config.rate
        blocks: Callable[[], Iterator[NDArray]] = partial(_rows, [one.parts], space, change)
        record = one.job.origins[space] | one.about.details | {"software": software()}
        plan.add(space, one.job.film.run, BlockedSeries(blocks, times, names), record)
    return whole


def _rows(parts: Sequence[Parts], space: str, change: Transform = unchanged) -> Iterator[NDArray]:
    return (change(block) for one in parts for block in one.array(space) if len(block))


def _is_store(path: Path) -> bool:
    try:
        with FeatureStore(path):
            return True
    except DataError:
        return False

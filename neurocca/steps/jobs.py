"""The passes over the films of a store: which there are, and running them, here or in several processes."""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from joblib import effective_n_jobs
from joblib.externals.loky import as_completed
from threadpoolctl import threadpool_limits

from neurocca.config import FeaturesConfig
from neurocca.errors import DataError, UsageError
from neurocca.io.movie import n_samples
from neurocca.io.parts import Parts
from neurocca.steps.measures import LowLevel, Motion, Shots
from neurocca.steps.network_pass import NetworkPass, default_layers, loaded_network
from neurocca.steps.passes import LOWLEVEL_WIDTH, SMALL_WIDTH, About, Film, FilmPass, MeasurePass, SoundPass, block_size
from neurocca.steps.pool import processes
from neurocca.steps.reduction import Projection
from neurocca.steps.terminal import progress_bar

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One pass over one film, and what its features, by space, will have been made from."""

    film: Film
    one: FilmPass
    origins: dict[str, dict[str, Any]]

    def folder(self) -> str:
        """Name of the folder for its parts: other films, settings, blocks and kinds of arithmetic have others.

        Loads the network where there is one, as that settles how it computes.
        """
        engine = self.one.engine() if isinstance(self.one, NetworkPass) else {}
        made_from = {space: [record["settings"], record["neurocca"]] for space, record in self.origins.items()}
        # the film's digest, not its name: when it is renamed it is the same film
        parts = [self.film.sha256, self.film.run, made_from, engine, block_size(self.one.config.batch_size)]
        content = json.dumps(parts, sort_keys=True)
        return f"run-{self.film.run}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Finished:
    """A job, its saved rows, and what it says of them."""

    job: Job
    parts: Parts
    about: About


def film_passes(film: Film, config: FeaturesConfig, projection: Projection, device: str) -> list[FilmPass]:
    """All passes that a configuration asks for.

    Raises
    ------
    DataError
        When audio is asked for and the film has no sound, or it is too short for a time series.
    """
    if (n := n_samples(film.info.duration, config.rate)) < 2:
        raise DataError(f"film {film.path}: {n} samples are too few for a time series.")
    spaces = config.spaces or ("cnn", "lowlevel", *(("audio",) if film.info.has_audio else ()))
    if "audio" in spaces and not film.info.has_audio:
        raise DataError(f"film {film.path}: has no sound track, and features of the space audio are asked for.")
    passes: dict[str, FilmPass] = {
        "audio": SoundPass(config),
        "lowlevel": MeasurePass("lowlevel", _lowlevel, config, LOWLEVEL_WIDTH),
        "motion": MeasurePass("motion", Motion, config, SMALL_WIDTH, every_frame=True),
        "shots": MeasurePass("shots", _shots, config, SMALL_WIDTH, every_frame=True),
    }
    if "cnn" in spaces:
        weights = loaded_network(config.model, config.weights).weights
        digest = weights.sha256 if weights else ""
        passes["cnn"] = NetworkPass(config, default_layers(config), digest, projection, device)
    return [passes[space] for space in spaces]


def only(one: FilmPass, spaces: Sequence[str]) -> FilmPass:
    """The pass for some of its spaces."""
    if isinstance(one, NetworkPass):
        layers = tuple(layer for layer, space in zip(one.layers, one.spaces, strict=True) if space in spaces)
        return replace(one, layers=layers)
    return one


def run_jobs(jobs: Sequence[Job], folder: Path, n_jobs: int) -> list[Finished]:
    """Run what is not finished yet.

    Parameters
    ----------
    jobs : sequence of Job
    folder : Path
        For the parts.
    n_jobs : int
        Processes; with one, this one. -1 is one for each core.

    Raises
    ------
    DataError
        When a film cannot be measured; before any work where that can be told by then.
    """
    for job in jobs:
        job.one.check(job.film)  # before hours of work on another pass
    n_jobs = effective_n_jobs(n_jobs)
    if n_jobs == 1:
        return [_run(job, folder) for job in jobs]
    finished: dict[int, Finished] = {}
    with progress_bar(len(jobs), "features", "pass") as done, processes(min(n_jobs, len(jobs))) as pool:
        numbers = {pool.submit(_run, job, folder): k for k, job in enumerate(jobs)}
        for future in as_completed(numbers):
            finished[numbers[future]] = future.result()
            done(1)
    return [finished[k] for k in range(len(jobs))]


def _run(job: Job, folder: Path) -> Finished:
    parts = Parts(folder / job.folder())
    if parts.about() is None:
        _make(job, parts)
    return Finished(job, parts, _read(parts))


def _make(job: Job, parts: Parts) -> None:
    film, one = job.film, job.one
    start, before = time.perf_counter(), len(parts)
    if before:
        log.info("run %s, %s: goes on at block %d", film.run, one.name, before)
    # sums of several threads differ in their last digits; a network says how many it had
    alone = nullcontext() if isinstance(one, NetworkPass) else threadpool_limits(1)
    with alone, progress_bar(one.total(film), f"run {film.run} {one.name}", "frame") as done:
        about = one.run(film, parts, done)
    parts.finish(asdict(about))
    seconds = time.perf_counter() - start
    log.info("run %s, %s: %d samples in %.1f s", film.run, one.name, about.n_rows, seconds)


def _read(parts: Parts) -> About:
    about = parts.about()
    if about is None:
        raise UsageError(f"{parts.folder}: was removed while it was in use.")
    names = {space: tuple(names) for space, names in about["names"].items()}
    return About(names, about["n_rows"], about["details"])


def _lowlevel(frame_rate: float, rate: float, size: tuple[int, int]) -> LowLevel:
    return LowLevel()


def _shots(frame_rate: float, rate: float, size: tuple[int, int]) -> Shots:
    return Shots(frame_rate, rate)

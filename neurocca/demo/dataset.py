"""The demo dataset: a BIDS dataset with a real or a generated film and simulated BOLD with known components in it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from neurocca.demo import bold, responses
from neurocca.demo.descriptions import confounds_json, events, film_name, write_descriptions
from neurocca.demo.film import FPS, SIZE, SOUND_RATE, Film, sound_track
from neurocca.demo.plan import Plan
from neurocca.errors import OutputError
from neurocca.io.files import json_text, staged, write_text
from neurocca.io.movie_writing import write_movie
from neurocca.io.sample_film import SEGMENTS, STRETCH, cut_sample_film, show_again
from neurocca.io.volumes import save_image

N_SUBJECTS, N_RUNS = 3, 3

N_VOLUMES, T_R = 150, 2.0
"""Of a run with the generated film; T_R in seconds."""

REAL_N_VOLUMES, REAL_T_R = 264, 1.2
"""Of a run with the real film, whose stretches last 158 s: each is shown twice in its run, and so left out as a whole.
Eight minutes in all would be too little data to tell two components from each other."""

SEED = 1
"""Of the command's dataset."""


def make_dataset(
    root: Path | str,
    *,
    film: Path | None = None,
    n_subjects: int = N_SUBJECTS,
    n_runs: int = N_RUNS,
    n_volumes: int | None = None,
    t_r: float | None = None,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Path:
    """Make the demo dataset.

    Parameters
    ----------
    root : path
        Folder of the dataset; must not exist or be empty.
    film : path, optional
        *Big Buck Bunny*, as `neurocca.io.sample_film.fetch_sample_film` brings it; of its length come up to 3 runs.
        A film is generated when it is not given.
    n_subjects, n_runs, n_volumes : int
        Subjects, runs of each and volumes of each run; 264 volumes by default, 150 of a generated film.
    t_r : float, optional
        Repetition time in seconds; 1.2 by default, 2 with a generated film.
    seed : int
        The same seed and version make the same files. More subjects or runs leave the first ones as they are,
        except that responses are scaled over all runs.
    progress : callable, optional
        Called with 1 after every film and every run of a subject: ``n_runs * (1 + n_subjects)`` times.

    Returns
    -------
    Path
        The root of the dataset.

    Raises
    ------
    OutputError
        When the folder is not empty or cannot be written.
    ValueError
        When the real film is too short for so many runs or volumes.
    """
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise OutputError(f"output {root}: is not an empty folder; the demo dataset needs its own.")
    n_volumes = n_volumes or (REAL_N_VOLUMES if film else N_VOLUMES)
    t_r = t_r or (REAL_T_R if film else T_R)
    if film and (n_runs > len(SEGMENTS) or n_volumes * t_r > 2 * STRETCH):
        raise ValueError(
            f"{n_runs} runs of {n_volumes * t_r:g} s: the film has {len(SEGMENTS)} stretches of {STRETCH:g} s, which "
            "are shown twice at most."
        )
    film_rng, subject_rng = np.random.default_rng(seed).spawn(2)
    done = progress or (lambda _: None)
    with staged(root) as folder:
        plan = Plan(folder, film, n_subjects, n_runs, n_volumes, t_r)
        write_descriptions(plan, seed)
        planted = _make_films(plan, film_rng, done)
        head = bold.standard_head()
        for number, rng in enumerate(subject_rng.spawn(n_subjects), start=1):
            _make_subject(plan, f"{number:02d}", head, planted, rng, done)
    return root


def _make_films(plan: Plan, rng: Generator, done: Callable[[int], object]) -> list[NDArray[np.float64]]:
    """Write one film per run; returns the planted time courses of each run, shape (n_volumes, 2)."""
    films = []
    for number, run_rng in enumerate(rng.spawn(plan.n_runs), start=1):
        path = plan.root / "stimuli" / film_name(number)
        if plan.film:
            cut_sample_film(plan.film, SEGMENTS[number - 1], min(plan.film_seconds, STRETCH), path)
            if plan.film_seconds > STRETCH:
                show_again(path, plan.film_seconds)
        else:
            picture_rng, sound_rng = run_rng.spawn(2)
            generated = Film(plan.film_seconds, picture_rng)
            sound = sound_track(plan.film_seconds, sound_rng)
            write_movie(path, generated.frame, plan.film_seconds, FPS, SIZE, sound, SOUND_RATE)
        films.append(path)
        done(1)
    # from the films as they were written: what the pipeline will see
    rate = plan.story.rate
    seen = responses.pictures(films, rate) if plan.film else responses.motion(films, rate)
    middles = (np.arange(plan.n_volumes) + 0.5) * plan.t_r
    planted = [
        responses.respond([responses.loudness(f, rate), s], rate, middles) for f, s in zip(films, seen, strict=True)
    ]
    stacked = np.concatenate(planted)
    return [(r - stacked.mean(axis=0)) / stacked.std(axis=0) for r in planted]


def _make_subject(
    plan: Plan,
    subject: str,
    head: bold.Head,
    planted: list[NDArray[np.float64]],
    rng: Generator,
    done: Callable[[int], object],
) -> None:
    """Write a subject's runs, head motion and truth."""
    brain_rng, runs_rng = rng.spawn(2)
    maps = bold.planted_maps(head, brain_rng)
    truth = plan.func(subject, "truth")
    save_image(bold.as_image(maps, head.affine), f"{truth}_desc-truth_components.nii.gz")
    save_image(bold.as_image(bold.planted_loadings(maps), head.affine), f"{truth}_stat-r_desc-truth_statmap.nii.gz")
    _write_courses(f"{truth}_desc-truth_mixing.tsv", planted)
    activities = []
    for number, (course, run_rng) in enumerate(zip(planted, runs_rng.spawn(plan.n_runs), strict=True), start=1):
        run = f"run-{number}"
        motion = bold.motion_parameters(plan.n_volumes, run_rng)
        leak = bold.motion_leak(head, run_rng)
        activities.append(bold.activity(course, run_rng))
        volumes = bold.simulate_run(head, maps, activities[-1], leak, motion, run_rng)
        image = bold.as_image(volumes, head.affine, plan.t_r)
        save_image(image, f"{plan.func(subject)}_{run}_bold.nii.gz", np.int16)
        write_text(Path(f"{plan.func(subject)}_{run}_events.tsv"), events(plan, number))
        confounds = f"{plan.func(subject, 'motion')}_{run}_desc-confounds_timeseries"
        _write_table(f"{confounds}.tsv", motion, bold.MOTION_NAMES)
        write_text(Path(f"{confounds}.json"), json_text(confounds_json(plan.t_r)))
        done(1)
    _write_courses(f"{truth}_desc-truthActivity_mixing.tsv", activities)


def _write_courses(path: str, runs: list[NDArray[np.float64]]) -> None:
    """Time courses of all runs, which the last column says."""
    labels = np.repeat(np.arange(1, len(runs) + 1), [len(run) for run in runs])
    _write(path, pd.DataFrame(np.concatenate(runs), columns=list(bold.AREAS)).assign(run=labels))


def _write_table(path: str, data: NDArray, names: tuple[str, ...]) -> None:
    _write(path, pd.DataFrame(data, columns=list(names)))


def _write(path: str, table: pd.DataFrame) -> None:
    write_text(Path(path), table.to_csv(sep="\t", index=False, lineterminator="\n", float_format="%.6f"))

"""Fine-tuning on BOLD: films, haemodynamic response and canonical correlations around `neurocca.features.finetune`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurocca.cca.scoring import paired_correlations
from neurocca.cca.selection import LinearCCACV
from neurocca.errors import UsageError
from neurocca.features.finetune import FineTuned, finetune
from neurocca.features.finetune_recipe import FineTuning
from neurocca.features.finetune_runs import Allocate, TrainingRun
from neurocca.features.finetune_training import History
from neurocca.features.networks import Network
from neurocca.io.movie import iter_batches, n_samples
from neurocca.io.movie_header import probe
from neurocca.io.tuned import TrainingCheckpoint
from neurocca.steps.shared_response import SharedResponse
from neurocca.temporal.hrf import hrf_kernels, hrf_matrix

if TYPE_CHECKING:
    import pandas as pd


def bold_run(
    label: str,
    frames: NDArray[np.uint8],
    rate: float,
    bold: NDArray,
    t_r: float,
    *,
    onset: float = 0.0,
    hrf: str = "spm",
    shots: NDArray[np.int_] | None = None,
) -> TrainingRun:
    """A run of film and BOLD.

    Parameters
    ----------
    label : str
    frames : array, shape (t, H, W, 3), uint8
        Frame k is on screen from k / rate seconds on, as `read_frames` gives them.
    rate : float
        Frames per second.
    bold : array, shape (n, q)
        Cleaned of drift and confounds, each column in units of its standard deviation in this run.
    t_r : float
        Seconds; a volume stands for its middle.
    onset : float
        Seconds from the first volume to the start of the film.
    hrf : str
        "spm" or "glover".
    shots : array of int, shape (t,), optional
        See `TrainingRun`.

    Returns
    -------
    TrainingRun
    """
    if hrf not in ("spm", "glover"):
        raise UsageError(f'hrf {hrf!r} must be "spm" or "glover".')
    edges = np.arange(len(frames) + 1) / rate + onset
    response = hrf_matrix(edges, (np.arange(len(bold)) + 0.5) * t_r, hrf_kernels(hrf)[0])
    return TrainingRun(label, frames, bold, response, shots)


def read_frames(
    path: Path | str, rate: float, size: tuple[int, int], out: NDArray[np.uint8] | None = None, **framing: Any
) -> NDArray[np.uint8]:
    """Frames of a film as one array.

    Parameters
    ----------
    path : path
    rate : float
        Frames per second.
    size : (width, height)
        At a network's own size, 224 x 224 pixels say, an hour at 2 per second takes 1.1 GB; small frames are faster in
        proportion, but what is tuned on them is tuned to them.
    out : array, shape (t, height, width, 3), uint8, optional
        Where to put them, such as a file's map; memory by default.
    **framing
        Of `neurocca.io.movie.iter_frames`: crop, fit, resize, ….

    Returns
    -------
    array, shape (t, height, width, 3), uint8
    """
    t = n_samples(probe(path).duration, rate)
    frames = np.empty((t, size[1], size[0], 3), np.uint8) if out is None else out
    k = 0
    for batch in iter_batches(path, rate, 64, size, **framing):
        frames[k : k + len(batch)] = batch
        k += len(batch)
    return frames[:k]


def finetune_to_bold(
    network: Network,
    training: Sequence[TrainingRun],
    stopping: Sequence[TrainingRun],
    recipe: FineTuning,
    *,
    objective: SharedResponse | None = None,
    device: str = "auto",
    progress: Callable[[History], object] | None = None,
    checkpoint: Path | None = None,
    allocate: Allocate | None = None,
) -> FineTuned:
    """Tune a network such that its features share more with BOLD; see `neurocca.features.finetune.finetune`.

    Parameters
    ----------
    network, recipe, device, progress, allocate
        See there.
    training, stopping : sequences of TrainingRun
        As `bold_run` makes them: all of the same voxels.
    objective : SharedResponse, optional
        The default one by default.
    checkpoint : Path, optional
        File in which every finished epoch is kept.

    Returns
    -------
    FineTuned
    """
    saved = None if checkpoint is None else TrainingCheckpoint(checkpoint)
    wanted = objective or SharedResponse()
    return finetune(
        network, training, stopping, wanted, recipe,
        device=device, progress=progress, checkpoint=saved, allocate=allocate,
    )  # fmt: skip


@dataclass(frozen=True)
class HeldOut:
    """Variates of runs that neither the network nor the CCA has seen.

    ``variates`` holds a pair (film, BOLD) of arrays, shapes (n, k), per run, ``correlations`` their correlations,
    shape (runs, k).
    """

    variates: list[tuple[NDArray, NDArray]]
    correlations: NDArray[np.float64]


def evaluate(
    tuned: FineTuned,
    fitting: Sequence[TrainingRun],
    test: Sequence[TrainingRun],
    *,
    n_components: int = 3,
    device: str = "auto",
) -> HeldOut:
    """Canonical correlations of a tuned network's features with BOLD on new runs.

    Of mode "head", whose features are as they were, the head's outputs are taken.

    Parameters
    ----------
    tuned : FineTuned
    fitting : sequence of TrainingRun
        Runs that the linear CCA is fitted on, with the shrinkage that does best among them: all but the tests, those
        that the network was trained by included. A tuned network fits these better than it should, so the shrinkage is
        too weak for it rather than too strong: the comparison with a frozen one errs on the safe side.
    test : sequence of TrainingRun
    n_components : int
    device : str

    Returns
    -------
    HeldOut

    Raises
    ------
    UsageError
        When a test run has been seen by the network, or the CCA is to be fitted on it.
    """
    tuned.check_unseen(*test)
    known = {run.digest() for run in fitting}
    for run in test:
        if run.digest() in known:
            raise UsageError(f"run {run.label} is to be fitted on and to be tested: it can only be one of them.")
    Xs, Ys = zip(*[_views(tuned, run, device) for run in fitting], strict=True)
    groups = np.repeat(np.arange(len(fitting)), [len(Y) for Y in Ys])
    cca = LinearCCACV(n_components, scale=True).fit(np.concatenate(Xs), np.concatenate(Ys), groups=groups)
    variates = [cca.transform(*_views(tuned, run, device)) for run in test]
    return HeldOut(variates, np.array([paired_correlations(U, V) for U, V in variates]))


def compare(
    network: Network,
    runs: Sequence[TrainingRun],
    recipes: Mapping[str, FineTuning],
    *,
    folds: Sequence[tuple[int, int]] | None = None,
    objective: SharedResponse | None = None,
    device: str = "auto",
    progress: Callable[[str, int, History], object] | None = None,
) -> "pd.DataFrame":
    """What recipes are worth on runs that had no part in anything: one run tests, one stops, the others train.

    Parameters
    ----------
    network : Network
    runs : sequence of TrainingRun
        At least three.
    recipes : dict of FineTuning
        By name.
    folds : sequence of (int, int), optional
        Indices of the run that tests and of the one that stops; by default every run tests once and the next one
        stops.
    objective : SharedResponse, optional
    device : str
    progress : callable, optional
        Called with recipe, fold and history after every epoch.

    Returns
    -------
    DataFrame
        A row per recipe and fold: recipe, test, stopping, r (mean over components, on the test run), its p-value (all
        circular shifts of the test run's BOLD by at least 10 % of it), best_epoch, epochs. Recipes that train nothing
        fit their CCA on the same runs as the others.
    """
    import pandas as pd

    if len(runs) < 3:
        raise UsageError(f"{len(runs)} runs: one to train on, one to stop by and one to test are needed.")
    wanted = objective or SharedResponse()
    rows = []
    for fold, (test, stop) in enumerate(folds or [(i, (i + 1) % len(runs)) for i in range(len(runs))]):
        training = [run for i, run in enumerate(runs) if i not in (test, stop)]
        for name, recipe in recipes.items():
            tell = None if progress is None else lambda history, name=name, fold=fold: progress(name, fold, history)
            tuned = finetune_to_bold(
                network, training, [runs[stop]], recipe, objective=wanted, device=device, progress=tell
            )
            found = evaluate(
                tuned, [*training, runs[stop]], [runs[test]], n_components=wanted.n_components, device=device
            )
            rows.append(
                {
                    "recipe": name,
                    "test": runs[test].label,
                    "stopping": runs[stop].label,
                    "r": float(found.correlations.mean()),
                    "p": shift_pvalue(*found.variates[0]),
                    "best_epoch": tuned.history.best_epoch,
                    "epochs": len(tuned.history.loss),
                }
            )
    return pd.DataFrame(rows)


def shift_pvalue(U: NDArray, V: NDArray, min_shift: float = 0.1) -> float:
    """How often a test run's variates, one view shifted in a circle, correlate as much on average.

    Parameters
    ----------
    U, V : arrays, shape (n, k)
        Of one run that nothing was fitted on.
    min_shift : float
        Share of the run that shifts are at least as long as.

    Returns
    -------
    float
    """
    n, least = len(U), max(1, round(min_shift * len(U)))
    observed = float(paired_correlations(U, V).mean())
    null = [float(paired_correlations(U, np.roll(V, lag, axis=0)).mean()) for lag in range(least, n - least + 1)]
    return (1 + sum(r >= observed for r in null)) / (1 + len(null))


def _views(tuned: FineTuned, run: TrainingRun, device: str) -> tuple[NDArray, NDArray]:
    """Features at the volumes' times and BOLD, each about its mean in the run."""
    if run.response is None:
        raise UsageError(f"run {run.label} has no response: make it by bold_run.")
    see = tuned.outputs if tuned.recipe.mode == "head" else tuned.features
    features = see(run.frames, device=device).astype(np.float64)
    X = run.response @ (features - features.mean(axis=0))
    Y = np.asarray(run.targets, dtype=np.float64)
    return X - X.mean(axis=0), Y - Y.mean(axis=0)

"""Fine-tuning on BOLD: films, haemodynamic response and canonical correlations around `neurocca.features.finetune`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurocca.cca.deep.losses import correlation_loss, eckart_young_loss, held_out_correlations
from neurocca.cca.scoring import paired_correlations
from neurocca.cca.selection import LinearCCACV
from neurocca.cca.solvers import solve_cca
from neurocca.errors import UsageError
from neurocca.features.finetune import FineTuned, finetune
from neurocca.features.finetune_objectives import Head, Objective, Pair
from neurocca.features.finetune_recipe import FineTuning
from neurocca.features.finetune_runs import Allocate, TrainingRun
from neurocca.features.finetune_training import History
from neurocca.features.networks import Network
from neurocca.io.movie import iter_batches, n_samples
from neurocca.io.movie_header import probe
from neurocca.io.tuned import TrainingCheckpoint
from neurocca.temporal.hrf import hrf_kernels, hrf_matrix

if TYPE_CHECKING:
    import pandas as pd

LOSSES = ("held_out", "eckart_young", "correlation")

_SHORTEST = 10
"""Volumes of a stretch or run; fewer have next to nothing left about their own mean."""

_RIDGE = 1e-3  # of the correlations that choose the best epoch


class SharedResponse(Objective):
    """The components that the head's outputs, after the haemodynamic response, share with BOLD.

    BOLD is reduced to principal components of the training runs; linear CCA gives a head on either side, and with it
    the components. What the network learns by is one of three losses:

    ``held_out``: half of a step's stretches says which weighted sums of the features predict the components (ridge
    regression, solved for, through which gradients pass), the other half how well: minus the correlations, both ways.
    Features are numerous and runs are short, so that heads which were trained would fit the runs that they are trained
    on perfectly, and leave nothing for the network to learn. The heads of every epoch are linear CCA anew.

    ``eckart_young``: both heads are trained, from linear CCA on, together with the network; its minimum is minus the
    sum of the squared canonical correlations. ``correlation``: the same with minus the sum of the correlations.

    The best epoch has the largest sum of correlations on the stopping runs, by weights from the training runs.

    Parameters
    ----------
    n_components : int
    n_pca : int
        Principal components of BOLD.
    shrinkage : float in [0, 1]
        Of the linear CCA and the ridge regression.
    loss : {"held_out", "eckart_young", "correlation"}
        Stretches are taken about their own means: those of fewer than some fifty volumes lose slow components.

    References
    ----------
    Bertinetto, Henriques, Torr & Vedaldi (2019), Meta-learning with differentiable closed-form solvers, ICLR,
    arXiv:1805.08136. Chapman, Wells & Lawry Aguila (2024), Unconstrained stochastic CCA, ICLR, arXiv:2310.01012.
    """

    axes: Tensor

    def __init__(self, n_components: int = 3, n_pca: int = 20, shrinkage: float = 0.3, loss: str = "held_out") -> None:
        super().__init__()
        if loss not in LOSSES:
            raise UsageError(f"loss {loss!r} must be one of {', '.join(LOSSES)}.")
        if not 0 <= shrinkage <= 1 or (loss == "held_out" and shrinkage == 0):
            raise UsageError(f"shrinkage={shrinkage} must be above 0 and at most 1 (0 without the held-out loss).")
        if not 1 <= n_components <= n_pca:
            raise UsageError(f"n_components={n_components} must be between 1 and n_pca={n_pca}.")
        self.n_components, self.n_pca, self.shrinkage, self.loss_name = n_components, n_pca, shrinkage, loss
        self.closed_form = loss == "held_out"

    def fit(self, targets: Sequence[Tensor]) -> int:
        """Principal axes of the training runs, each scaled to unit variance."""
        for target in targets:
            if target.ndim != 2 or not bool(torch.isfinite(target).all()):
                raise UsageError("BOLD must be (volumes, columns) arrays of finite numbers.")
        Y = torch.cat([_centred(target) for target in targets])
        axes = _axes(Y, self.n_pca)
        if axes.shape[1] < self.n_components:
            raise UsageError(f"BOLD has {axes.shape[1]} principal components, but n_components={self.n_components}.")
        self.register_buffer("axes", axes)
        self.weights = nn.Parameter(torch.eye(axes.shape[1], self.n_components, dtype=axes.dtype, device=axes.device))
        return self.n_components

    def start(self, head: Head, pairs: Sequence[Pair]) -> None:
        """Linear CCA of features and BOLD."""
        U = torch.cat([_centred(features.double()) for features, _ in pairs])
        V = torch.cat([_centred(target) @ self.axes for _, target in pairs])
        solution = solve_cca(U, V, self.n_components, (self.shrinkage, self.shrinkage))
        head.start_at(solution.x_weights.to(head.linear.weight))
        with torch.no_grad():
            self.weights.copy_(solution.y_weights)

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """See the class; one half of the stretches is the independent batch of the other."""
        encoded = self._encoded(pairs)
        if self.loss_name == "correlation":
            return correlation_loss(*_stacked(encoded), _RIDGE)
        if self.loss_name == "held_out" and len(encoded) == 1:
            halves = zip(*(view.tensor_split(2) for view in encoded[0]), strict=True)
            encoded = [(_centred(U), _centred(V)) for U, V in halves]
        half = (len(encoded) + 1) // 2
        one = _stacked(encoded[:half])
        other = _stacked(encoded[half:]) if len(encoded) > 1 else None
        if self.loss_name == "eckart_young" or other is None:
            return eckart_young_loss(*one, other)
        return -(self._predicted(one, other) + self._predicted(other, one)) / 2

    def _predicted(self, known: Pair, new: Pair) -> Tensor:
        """Sum of the components' correlations with what ridge regression on one half predicts of the other."""
        (X, V), (X_new, V_new) = known, new
        gram, share = X @ X.T, self.shrinkage
        # as in shrunk CCA, the identity times the mean variance is mixed in; seen from the rows' side
        identity = torch.eye(len(X), dtype=X.dtype, device=X.device)
        gram = (1 - share) * gram + share * gram.trace() / X.shape[1] * identity
        P = X_new @ (X.T @ torch.linalg.solve(gram, V))
        tiny = torch.finfo(P.dtype).tiny
        return ((P * V_new).sum(dim=0) / (P.norm(dim=0) * V_new.norm(dim=0)).clamp_min(tiny)).sum()

    def score(self, training: Sequence[Pair], held_out: Sequence[Pair]) -> float:
        """Sum of the correlations on the held-out runs."""
        parts = [_stacked(self._encoded(pairs)) for pairs in (training, held_out)]
        return float(held_out_correlations(parts[0], parts[1], self.n_components, _RIDGE).sum())

    @property
    def description(self) -> dict[str, object]:
        """Name and parameters."""
        own = {
            "n_components": self.n_components,
            "n_pca": self.n_pca,
            "shrinkage": self.shrinkage,
            "loss": self.loss_name,
        }
        return super().description | own

    def _encoded(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Both views' outputs, each stretch about its own mean."""
        if (shortest := min(len(U) for U, _ in pairs)) < _SHORTEST:
            raise UsageError(f"stretches of {shortest} volumes are too short: at least {_SHORTEST} are needed.")
        return [(_centred(U), _centred(_centred(target) @ self.axes @ self.weights)) for U, target in pairs]


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


def _centred(X: Tensor) -> Tensor:
    return X - X.mean(dim=0)


def _stacked(pairs: Sequence[Pair]) -> Pair:
    U, V = zip(*pairs, strict=True)
    return torch.cat(U), torch.cat(V)


def _axes(Y: Tensor, n_pca: int) -> Tensor:
    """First principal axes of centred rows, shape (q, r), divided by the standard deviations along them."""
    n, q = Y.shape
    values, vectors = torch.linalg.eigh((Y @ Y.T if q > n else Y.T @ Y) / (n - 1))
    values, vectors = values.flip(0), vectors.flip(1)
    rank = min(n_pca, int((values > values[0] * n * torch.finfo(Y.dtype).eps).sum()))
    values, vectors = values[:rank], vectors[:, :rank]
    # of the Gram matrix the vectors are the scores: Y' u / sqrt(λ (n - 1)) is the axis
    return Y.T @ vectors / (values * (n - 1) ** 0.5) if q > n else vectors / values.sqrt()

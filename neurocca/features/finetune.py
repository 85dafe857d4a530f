"""Fine-tuning: a pretrained network learns from the user's film what its brains, or labels, have to say about it.

What it learns is measured on runs that had no part in it: `FineTuned` knows which ones had, and refuses them.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from neurocca.errors import UsageError
from neurocca.features.engine import resolve_device
from neurocca.features.finetune_objectives import Head, Objective
from neurocca.features.finetune_recipe import FineTuning
from neurocca.features.finetune_runs import Allocate, SeenRun, TrainingRun, check_unseen, seen_runs
from neurocca.features.finetune_training import History, Tensors, Training, seeded
from neurocca.features.finetune_trunk import Trunk
from neurocca.features.networks import Network, WeightsInfo


class CheckpointLike(Protocol):
    """Where a training keeps what it needs to go on when it was killed."""

    def load(self, key: str) -> tuple[Tensors, dict[str, Any]] | None:
        """What was saved under the key, or None."""

    def save(self, key: str, tensors: Tensors, meta: dict[str, Any]) -> None:
        """Put this, of which JSON can hold the meta, in place of what was saved."""


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A network after fine-tuning.

    Parameters
    ----------
    network : Network
        With the tuned weights; the one given to `finetune` is as it was.
    head : Head or None
        None where nothing was trained.
    history : History
    seen : tuple of SeenRun
        Runs that it was trained or stopped by.
    recipe : FineTuning
    """

    network: Network
    head: Head | None
    history: History
    seen: tuple[SeenRun, ...]
    recipe: FineTuning

    def features(self, frames: NDArray[np.uint8], *, device: str = "auto") -> NDArray[np.float32]:
        """Pooled outputs of the recipe's layers, side by side.

        Parameters
        ----------
        frames : array, shape (t, H, W, 3), uint8
            As those of the training runs: of the same size.
        device : str

        Returns
        -------
        array, shape (t, d), float32
        """
        recipe, target = self.recipe, training_device(device)
        trunk = Trunk(self.network, recipe.layers, None, pooling=recipe.pooling).to(target)
        step = recipe.frames_per_pass
        parts = [torch.from_numpy(np.array(frames[k : k + step])).to(target) for k in range(0, len(frames), step)]
        return torch.cat([trunk.prepare(part) for part in parts]).cpu().numpy()

    def outputs(self, frames: NDArray[np.uint8], *, device: str = "auto") -> NDArray[np.float32]:
        """What the head makes of frames, shape (t, k): scores of classes, say."""
        if self.head is None:
            raise UsageError("nothing was trained, so there is no head.")
        with torch.no_grad():
            return self.head(torch.from_numpy(self.features(frames, device=device))).numpy()

    def check_unseen(self, *runs: TrainingRun) -> None:
        """Raise UsageError when a run had a part in the fine-tuning, under whatever name."""
        for run in runs:
            check_unseen(self.seen, run.label, run.digest())

    def record(self) -> dict[str, Any]:
        """What has to be known of these weights, in values that JSON knows."""
        return {
            "model": self.network.name,
            "recipe": self.recipe.described(),
            "seen": [asdict(run) for run in self.seen],
            "history": asdict(self.history),
        }


def finetune(
    network: Network,
    training: Sequence[TrainingRun],
    stopping: Sequence[TrainingRun],
    objective: Objective,
    recipe: FineTuning,
    *,
    device: str = "auto",
    progress: Callable[[History], object] | None = None,
    checkpoint: CheckpointLike | None = None,
    allocate: Allocate | None = None,
) -> FineTuned:
    """Train a network's upper part and a new head on some runs, until others say that it is enough.

    Steps take contiguous stretches of rows of single runs, with the frames that they depend on: nothing crosses the
    border of a run.

    Parameters
    ----------
    network : Network
        Pretrained; left as it is.
    training, stopping : sequences of TrainingRun
        Runs to learn from, and runs to choose the best epoch by: without any, training goes on to the last epoch. What
        the network is worth can only be told from further runs.
    objective : Objective
        `Classes`, `Values`, or what `neurocca.steps.finetune` makes of BOLD; left as it is.
    recipe : FineTuning
    device : str
        "cpu", "cuda", "cuda:1", or "auto" for a GPU where there is one.
    progress : callable, optional
        Called with the history after every epoch.
    checkpoint : object with ``load`` and ``save``, optional
        Such as `neurocca.io.tuned.TrainingCheckpoint`: written after every epoch. A training that was
        killed goes on from there, to the same result.
    allocate : callable, optional
        Gives the arrays in which what lies below the trained part is kept; in memory by default.

    Returns
    -------
    FineTuned

    Raises
    ------
    UsageError
        When runs, objective and recipe do not go together, or training diverges.

    Examples
    --------
    >>> from neurocca.features.finetune_objectives import Classes
    >>> from neurocca.features.networks import build_network
    >>> frames = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    >>> runs = [TrainingRun(name, part, np.arange(6) % 2) for name, part in zip("ab", (frames[:6], frames[6:]))]
    >>> recipe = FineTuning("upper", ("layer4",), "layer4", epochs=2)
    >>> tuned = finetune(build_network("test_resnet"), runs[:1], runs[1:], Classes(2), recipe, device="cpu")
    >>> tuned.outputs(frames).shape, [run.role for run in tuned.seen]
    ((12, 2), ['training', 'stopping'])
    >>> tuned.check_unseen(runs[1])
    Traceback (most recent call last):
    neurocca.errors.UsageError: run b had a part in the fine-tuning (stopping run b): nothing can be evaluated on it.
    """
    if recipe.mode == "frozen":
        return FineTuned(network, None, History(), (), recipe)
    seen = seen_runs(training, stopping)
    target = training_device(device)
    if recipe.mixed_precision and target.type != "cuda":
        raise UsageError(f"mixed_precision needs CUDA, but device {device!r} is {target.type} here.")
    with seeded(recipe.seed, target):
        loop = Training(network, training, stopping, copy.deepcopy(objective), recipe, target, allocate)
        key = _key(network, seen, training, stopping, objective, recipe) if checkpoint is not None else ""
        if checkpoint is not None and (saved := checkpoint.load(key)) is not None:
            loop.restore(*saved)
        for _ in loop.epochs():
            if checkpoint is not None:
                checkpoint.save(key, *loop.state())
            if progress is not None:
                progress(loop.history)
    loop.take_best()
    return FineTuned(_with_weights(network, loop.trunk), loop.head.cpu(), loop.history, seen, recipe)


def training_device(device: str) -> torch.device:
    """The device of that name, one that knows double precision, in which losses are computed."""
    found = resolve_device(device)
    if found.type == "mps" and device == "auto":
        return torch.device("cpu")
    if found.type == "mps":
        raise UsageError('device "mps" does not know double precision: train on "cpu" or "cuda".')
    return found


def _with_weights(network: Network, trunk: Trunk) -> Network:
    module = copy.deepcopy(network.module)
    module.load_state_dict({name: value.cpu() for name, value in trunk.module.state_dict().items()})
    before = network.weights or WeightsInfo("random", "")
    weights = replace(before, source=f"fine-tuned from {before.source}", sha256="")
    return replace(network, module=module.eval(), weights=weights)


def _key(
    network: Network,
    seen: Sequence[SeenRun],
    training: Sequence[TrainingRun],
    stopping: Sequence[TrainingRun],
    objective: Objective,
    recipe: FineTuning,
) -> str:
    """What a training depends on."""
    digest = hashlib.sha256()
    described = {"recipe": recipe.described(), "seen": [asdict(run) for run in seen], **objective.description}
    digest.update(json.dumps(described, sort_keys=True).encode())
    for run in [*training, *stopping]:
        for array in (run.targets, run.response, run.shots):
            digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    for name, value in network.module.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

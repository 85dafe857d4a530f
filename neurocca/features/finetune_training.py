"""The training of a network's upper part and its head: epochs, steps, and the weights that did best."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurocca.errors import UsageError
from neurocca.features.finetune_objectives import Head, Objective, Pair
from neurocca.features.finetune_recipe import FineTuning
from neurocca.features.finetune_runs import Allocate, Source, Stretch, TrainingRun, draw_steps
from neurocca.features.finetune_trunk import Trunk
from neurocca.features.networks import Network

Tensors = dict[str, Tensor]

_MOMENTUM = 0.9


@dataclass
class History:
    """What happened in training.

    Parameters
    ----------
    loss : list of float
        Mean over the steps of each epoch.
    score : list of float
        Of the stopping runs after each epoch, the first before any training; empty without stopping runs.
    trained : list of int
        Modules below the head that were trained in each epoch.
    best_epoch : int
        Number of epochs after which the weights that are kept were reached.
    """

    loss: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    best_epoch: int = 0

    @property
    def since_best(self) -> int:
        """Epochs since the best one."""
        return len(self.loss) - self.best_epoch


class Training:
    """The state of a training, and its epochs."""

    def __init__(
        self,
        network: Network,
        training: Sequence[TrainingRun],
        stopping: Sequence[TrainingRun],
        objective: Objective,
        recipe: FineTuning,
        device: torch.device,
        allocate: Allocate | None,
    ) -> None:
        lowest = recipe.lowest(network)
        trunk = Trunk(network, recipe.layers, lowest, pooling=recipe.pooling, frames_per_pass=recipe.frames_per_pass)
        self.trunk, self.recipe, self.device = trunk.to(device), recipe, device
        sources = [Source(run, i, self.trunk, recipe, allocate) for i, run in enumerate([*training, *stopping])]
        self.training, self.stopping = sources[: len(training)], sources[len(training) :]
        self.objective = objective.to(device)
        n_outputs = self.objective.fit([source.targets for source in self.training])
        self.objective.to(device)
        self.head = self._start(n_outputs)
        self.optimizer = self._optimizer()
        self.history = History()
        self.best: Tensors = {}
        self._note_score()

    def epochs(self) -> Iterator[int]:
        """Train; gives the number of every epoch that is through."""
        recipe, n_units = self.recipe, len(self.trunk.units)
        if not n_units and self.objective.closed_form:
            return  # the head has been solved for, and nothing else changes
        for epoch in range(len(self.history.loss) + 1, recipe.epochs + 1):
            whole = not self.history.trained or self.history.trained[-1] == n_units
            if whole and self.stopping and self.history.since_best >= recipe.patience:
                return
            n_trained = recipe.n_unfrozen(epoch, n_units)
            self.trunk.unfreeze(n_trained)
            rng = np.random.default_rng([recipe.seed, epoch])
            lengths = [len(source.targets) for source in self.training]
            steps = draw_steps(lengths, recipe.stretch, rng, recipe.stretches)
            losses = [self._step(step, recipe.view(epoch)) for step in steps]
            self.history.loss.append(sum(losses) / len(losses))
            self.history.trained.append(n_trained)
            self._note_score()
            yield epoch

    def take_best(self) -> None:
        """Go back to the best weights."""
        self._set_weights(self.best)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """All that a training needs to go on."""
        tensors = {f"now.{name}": value for name, value in self._weights().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for i, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": torch.as_tensor(value) for name, value in moments.items()}
        return {name: value.detach().cpu().clone() for name, value in tensors.items()}, {
            "history": asdict(self.history)
        }

    def restore(self, tensors: Tensors, meta: dict[str, Any]) -> None:
        """Go on from a state."""
        moments: dict[int, Tensors] = {}
        parts: dict[str, Tensors] = {"now": {}, "best": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            if part == "optimizer":
                index, _, moment = rest.partition(".")
                moments.setdefault(int(index), {})[moment] = value
            else:
                parts[part][rest] = value.to(self.device)
        self._set_weights(parts["now"])
        self.best = parts["best"]
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.history = History(**meta["history"])

    @torch.no_grad()
    def _start(self, n_outputs: int) -> Head:
        features = [self._features(source) for source in self.training]
        scale, mean = torch.std_mean(torch.cat(features), dim=0)
        head = Head(mean, torch.where(scale > 0, scale, 1.0), n_outputs, self.recipe.hidden).to(self.device)
        self._start_head(head, features)
        return head

    def _start_head(self, head: Head, features: Sequence[Tensor]) -> None:
        pairs = [
            (_responded(source, head.scaled(X), (0, len(source.targets)), (0, len(X))), source.targets)
            for source, X in zip(self.training, features, strict=True)
        ]
        self.objective.start(head, pairs)

    def _optimizer(self) -> torch.optim.Optimizer:
        decay = self.recipe.weight_decay
        if self.recipe.optimizer == "sgd":
            return torch.optim.SGD(self._groups(), momentum=_MOMENTUM, weight_decay=decay)
        return torch.optim.AdamW(self._groups(), weight_decay=decay)

    def _groups(self) -> list[dict[str, Any]]:
        top = [] if self.objective.closed_form else [*self.head.parameters(), *self.objective.parameters()]
        groups: list[dict[str, Any]] = [{"params": top, "lr": self.recipe.learning_rate}]
        units = list(reversed(self.trunk.units))
        for rate, (_, modules) in zip(self.recipe.rates(len(units)), units, strict=True):
            groups.append({"params": [p for module in modules for p in module.parameters()], "lr": rate})
        return groups

    def _step(self, stretches: list[Stretch], view: int | None) -> float:
        see = self.head.scaled if self.objective.closed_form else self.head
        loss = self.objective.loss([self._pair(self.training[i], (a, b), view, see) for i, a, b in stretches])
        if not bool(torch.isfinite(loss)):
            raise UsageError(f"the training diverged at learning_rate={self.recipe.learning_rate:g}.")
        self.optimizer.zero_grad()
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self.recipe.max_norm)
        self.optimizer.step()
        return float(loss.detach())

    def _pair(self, source: Source, rows: tuple[int, int], view: int | None, see: Callable[[Tensor], Tensor]) -> Pair:
        frames = source.run.span(*rows)
        outputs = see(self._features(source, frames, view))
        return _responded(source, outputs, rows, frames), source.targets[slice(*rows)]

    def _features(self, source: Source, frames: tuple[int, int] | None = None, view: int | None = None) -> Tensor:
        start, stop = frames or (0, len(source.run.frames))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.mixed_precision):
            if torch.is_grad_enabled():
                return self.trunk(source(start, stop, view))
            # a long run's activations need not be there at the same time
            step = self.recipe.frames_per_pass
            parts = [self.trunk(source(k, min(k + step, stop), view)) for k in range(start, stop, step)]
        return torch.cat(parts)

    @torch.no_grad()
    def _note_score(self) -> None:
        """Keep the weights if they are the best so far."""
        history, epoch = self.history, len(self.history.loss)
        if self.objective.closed_form and epoch:
            self._start_head(self.head, [self._features(source) for source in self.training])
        if self.stopping:
            pairs = [
                [self._pair(source, (0, len(source.targets)), None, self.head) for source in sources]
                for sources in (self.training, self.stopping)
            ]
            history.score.append(self.objective.score(*pairs))
        if epoch == 0 or not self.stopping or history.score[-1] > history.score[history.best_epoch]:
            history.best_epoch = epoch
            self.best = {name: value.detach().clone() for name, value in self._weights().items()}

    def _weights(self) -> Tensors:
        """All tensors that training changes, by name."""
        modules = {"head": self.head, "objective": self.objective}
        named: Tensors = {
            f"{part}.{name}": p for part, module in modules.items() for name, p in module.named_parameters()
        }
        changed = {id(p) for _, parts in self.trunk.units for module in parts for p in module.parameters()}
        return named | {f"trunk.{name}": p for name, p in self.trunk.named_parameters() if id(p) in changed}

    @torch.no_grad()
    def _set_weights(self, weights: Tensors) -> None:
        for name, value in self._weights().items():
            value.copy_(weights[name])


def _responded(source: Source, outputs: Tensor, rows: tuple[int, int], frames: tuple[int, int]) -> Tensor:
    """Outputs at the rows of the targets, in double precision."""
    response = source.response(rows, frames)
    if response is None:
        return outputs.double()
    centred = outputs.double() - outputs.double().mean(dim=0)  # what was on before is taken to be the mean
    return response @ centred


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators of the CPU and the device, and leave them as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield

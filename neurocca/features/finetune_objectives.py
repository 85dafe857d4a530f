"""What a network is fine-tuned for: the head on its features, and what the head's outputs are measured against."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurocca.errors import UsageError

Pair = tuple[Tensor, Tensor]
"""Outputs of the head and targets of some rows of one run, shapes (n, k) and (n, …)."""


class Head(nn.Module):
    """Outputs of pooled features: weighted sums and, where there are hidden layers, a perceptron beside them.

    Parameters
    ----------
    mean, scale : tensors, shape (d,)
        Of the features of the training runs before any training: what the head sees is scaled by them.
    n_outputs : int
    hidden : sequence of int
        Widths of the hidden layers.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, n_outputs: int, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.linear = nn.Linear(len(mean), n_outputs)
        widths = [len(mean), *hidden]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            # unlike a rectifier's, the units of a leaky one cannot die
            layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(0.01)]
        self.beside = nn.Sequential(*layers, nn.Linear(widths[-1], n_outputs)) if hidden else None

    def forward(self, features: Tensor) -> Tensor:
        """Outputs, shape (b, k), of features, shape (b, d)."""
        X = self.scaled(features)
        return self.linear(X) if self.beside is None else self.linear(X) + self.beside(X)

    def scaled(self, features: Tensor) -> Tensor:
        """What the weights apply to."""
        return (features - self.mean) / self.scale

    @torch.no_grad()
    def start_at(self, weights: Tensor) -> None:
        """Make the outputs weighted sums of the scaled features by these weights, shape (d, k)."""
        self.linear.weight.copy_(weights.T)
        self.linear.bias.zero_()
        if self.beside is not None:
            for parameter in self.beside[-1].parameters():
                parameter.zero_()


class Objective(nn.Module, ABC):
    """What outputs are compared with. Subclasses may have parameters of their own, which are trained with the head.

    Where ``closed_form`` is true, nothing of this is trained: `start` gives the best head for the features as they are,
    and is called again whenever these have changed. `loss` is then given scaled features in place of outputs.
    """

    closed_form: bool = False

    @abstractmethod
    def fit(self, targets: Sequence[Tensor]) -> int:
        """Learn what scales the targets of the training runs; gives the number of outputs that the head is to have."""

    def start(self, head: Head, pairs: Sequence[Pair]) -> None:
        """Give the head, and what is here, a better start than random weights.

        Parameters
        ----------
        head : Head
        pairs : sequence of (features, targets)
            Scaled features of the training runs, shape (n, d), at the rows of the targets.
        """

    @abstractmethod
    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """What is made small, of some stretches of training runs."""

    def score(self, training: Sequence[Pair], held_out: Sequence[Pair]) -> float:
        """What the best epoch is chosen by, the higher the better, of whole runs: by default minus the loss."""
        return -float(self.loss(held_out))

    @property
    def description(self) -> dict[str, object]:
        """What tells this objective from others, in values that JSON knows."""
        return {"objective": type(self).__name__}


class Classes(Objective):
    """Cross-entropy of a class per frame: 0, 1, …; frames of -1 are left out.

    Parameters
    ----------
    n_classes : int
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        if n_classes < 2:
            raise UsageError(f"n_classes={n_classes} must be at least 2.")
        self.n_classes = n_classes

    def fit(self, targets: Sequence[Tensor]) -> int:
        """Check the classes; one output for each."""
        for target in targets:
            is_class = (target >= -1) & (target < self.n_classes) & (target == target.round())
            if target.ndim != 1 or not bool(is_class.all()):
                raise UsageError(f"classes must be whole numbers from -1 to {self.n_classes - 1}, one per frame.")
        if not any(bool((target >= 0).any()) for target in targets):
            raise UsageError("no frame of the training runs has a class.")
        return self.n_classes

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """Mean over the frames that have a class."""
        outputs, targets = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        known = targets >= 0
        # the sum of no terms is 0, where their mean would be NaN
        total = functional.cross_entropy(outputs[known], targets[known].long(), reduction="sum")
        return total / known.sum().clamp_min(1)

    @property
    def description(self) -> dict[str, object]:
        """Name and number of classes."""
        return super().description | {"n_classes": self.n_classes}


class Values(Objective):
    """Mean squared error of values per frame, in units of their variances; NaN is left out."""

    mean: Tensor
    scale: Tensor

    def fit(self, targets: Sequence[Tensor]) -> int:
        """Learn means and standard deviations; one output for each column."""
        if any(target.ndim != 2 for target in targets):
            raise UsageError("values must be (frames, columns) arrays.")
        values = torch.cat(list(targets))
        known = ~values.isnan()
        if bool((known.sum(0) < 2).any()):
            raise UsageError("a column of values has fewer than two known ones in the training runs.")
        n = known.sum(0)
        mean = values.nan_to_num().sum(0) / n
        variance = ((values - mean).nan_to_num() ** 2).sum(0) / n
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.where(variance > 0, variance.sqrt(), torch.ones_like(variance)))
        return values.shape[1]

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """Mean over the values that are known."""
        outputs, targets = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        errors, known = outputs - (targets - self.mean) / self.scale, ~targets.isnan()
        return errors.where(known, 0).square().sum() / known.sum().clamp_min(1)

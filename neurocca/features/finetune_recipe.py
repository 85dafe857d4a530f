"""How a network is fine-tuned: what is trained, when, and at which rate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from neurocca.errors import UsageError
from neurocca.features.networks import Network

Mode = Literal["frozen", "head", "upper", "gradual", "full"]
MODES: tuple[Mode, ...] = ("frozen", "head", "upper", "gradual", "full")

Augment = Callable[..., Tensor]
"""Called with frames, uint8 (b, H, W, 3), and ``seed``, ``view`` and ``shots``, as an `Augmentation` is."""

_LEAST = {
    **dict.fromkeys(("epochs", "patience", "stretch", "stretches", "frames_per_pass", "decay"), 1),
    **dict.fromkeys(("learning_rate", "max_norm"), 1e-12),
    **dict.fromkeys(("weight_decay", "n_views", "seed"), 0),
}


@dataclass(frozen=True)
class FineTuning:
    """Recipe of a fine-tuning.

    Statistics of batch normalisation are those that the network came with, in every mode; its gains and offsets are
    trained with the module that they belong to.

    Parameters
    ----------
    mode : {"frozen", "head", "upper", "gradual", "full"}
        ``frozen``: nothing is trained. ``head``: a new head on the features as they are. ``upper``: the head and all
        modules from ``from_layer`` up. ``gradual``: first the head alone, then in every epoch one module more, from
        the top down to ``from_layer`` (Howard & Ruder 2018). ``full``: the head and the whole network.
        All modules below are computed once for each frame and view; in ``full`` and ``gradual`` without ``from_layer``
        nothing lies below, and an epoch costs about four passes through the network.
    layers : tuple of str
        Module paths whose pooled outputs, side by side, are the features.
    from_layer : str, optional
        Lowest module that is trained; asked for by ``upper``. A module is whatever path has no other path named
        here strictly inside: with "blocks.4" up to "blocks.6", these two and "blocks.5".
    pooling : str
        See `neurocca.features.pooling.POOLINGS`.
    hidden : tuple of int
        Widths of the head's hidden layers, which lie beside a linear path; none makes it linear.
    epochs, patience : int
        Training ends after ``epochs``, or ``patience`` epochs after the one that did best on the stopping runs, but not
        before all modules that are to be trained have been. The weights of the best one are kept.
    optimizer : {"adamw", "sgd"}
        AdamW moves all weights at about one pace. Stochastic gradient descent, with a momentum of .9, moves them in
        proportion to their gradients: few runs overfit less by it, and rates are some twenty times higher.
    learning_rate : float
        Of the head.
    decay : float
        Every module learns at the rate of the one above it, the head being the topmost, divided by this.
    weight_decay : float
        Share of the weights, times the learning rate, that is taken away in a step.
    max_norm : float
        Gradients of larger norm are scaled down to it.
    stretch : int, optional
        Rows of targets (volumes) in a row, and with them the frames that they depend on; whole runs by default.
    stretches : int
        Number of stretches that a step takes.
    augmentation : callable, optional
        Applied to frames in training, never to those that stop it or are evaluated.
    n_views : int
        Number of augmented versions, each computed once and taken in turn; 0 makes a new one in every epoch, at the
        cost of a pass through the modules below.
    frames_per_pass : int
        Frames whose activations are held at a time: less memory, same result.
    mixed_precision : bool
        Train the network in bfloat16; the loss stays in double precision. CUDA only.
    seed : int
        Equal seeds give equal bytes on one machine's CPU.

    References
    ----------
    Howard & Ruder (2018), Universal language model fine-tuning for text classification, ACL, arXiv:1801.06146.
    """

    mode: Mode
    layers: tuple[str, ...]
    from_layer: str | None = None
    pooling: str = "avg"
    hidden: tuple[int, ...] = ()
    epochs: int = 30
    patience: int = 8
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    decay: float = 2.6
    weight_decay: float = 1e-2
    max_norm: float = 1.0
    stretch: int | None = None
    stretches: int = 2
    augmentation: Augment | None = None
    n_views: int = 0
    frames_per_pass: int = 64
    mixed_precision: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"mode {self.mode!r} must be one of {', '.join(MODES)}.")
        if self.optimizer not in ("adamw", "sgd"):
            raise UsageError(f"optimizer {self.optimizer!r} must be adamw or sgd.")
        if self.mode == "upper" and self.from_layer is None:
            raise UsageError('mode "upper" needs from_layer, the lowest module that is trained.')
        if self.mode in ("frozen", "head", "full") and self.from_layer is not None:
            raise UsageError(f'mode "{self.mode}" takes no from_layer, but {self.from_layer!r} is given.')
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                raise UsageError(f"{name}={value} must be at least {least:g}.")

    def lowest(self, network: Network) -> str | None:
        """The lowest module that is trained; None where none is."""
        from neurocca.features.finetune_trunk import lowest_layer

        if self.mode in ("frozen", "head"):
            return None
        return self.from_layer or lowest_layer(network, self.layers)

    def n_unfrozen(self, epoch: int, n_units: int) -> int:
        """Number of modules below the head that are trained in an epoch (the first is 1)."""
        return min(epoch - 1, n_units) if self.mode == "gradual" else n_units

    def rates(self, n_units: int) -> list[float]:
        """Learning rates of the modules, from the topmost below the head to the lowest."""
        return [self.learning_rate / self.decay ** (depth + 1) for depth in range(n_units)]

    def view(self, epoch: int) -> int | None:
        """Number of the augmented version that an epoch sees; None where frames are as they are."""
        if self.augmentation is None:
            return None
        return (epoch - 1) % self.n_views if self.n_views else epoch - 1

    def described(self) -> dict[str, object]:
        """In values that JSON knows."""
        plain = {name: value for name, value in vars(self).items() if name != "augmentation"}
        text = None if self.augmentation is None else repr(self.augmentation)
        return plain | {"layers": list(self.layers), "hidden": list(self.hidden), "augmentation": text}

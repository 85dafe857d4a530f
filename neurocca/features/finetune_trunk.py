"""A network that is trained from some module upwards: what lies below is computed once, what lies above by gradient.

Batch normalisation keeps the means and variances that the network came with, and dropout is off: a frame's features do
not depend on the frames beside it.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from neurocca.errors import UsageError
from neurocca.features.networks import Network, did_you_mean, look
from neurocca.features.pooling import check_pooling, pool, read_output

_NORMALISATIONS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


class _Reached(Exception):
    """Ends a pass below the cut, with what arrives there."""

    def __init__(self, x: Tensor) -> None:
        self.x = x


@dataclass(frozen=True)
class _Call:
    path: str
    given: Any
    output: Any


class Trunk(nn.Module):
    """Copy of a network whose upper part can be trained.

    Parameters
    ----------
    network : Network
        Left as it is.
    layers : sequence of str
        Module paths whose pooled outputs, side by side, are the features.
    from_layer : str, optional
        Lowest module that may be trained. None: nothing is, and what is computed once are the features themselves.
    pooling : str
        See `neurocca.features.pooling.POOLINGS`.
    frames_per_pass : int
        Frames whose activations are held at a time; those of more are computed anew for the gradient.

    Attributes
    ----------
    units : tuple of (str, list of nn.Module)
        Modules with weights from ``from_layer`` up to the last of the layers, from the bottom to the top. Containers
        are taken apart only as far as the layers and ``from_layer`` say; a normalisation belongs to what it follows.
    is_cut : bool
        Whether the part below can be computed by itself; where a shortcut passes the cut, it cannot, and every pass
        begins with the frames.
    keeps : bool
        Whether what `prepare` gives is worth keeping: it is more than the frames in another form.

    Raises
    ------
    UsageError
        When there are no such modules, or ``from_layer`` lies above all layers.
    """

    _scale: Tensor
    _shift: Tensor

    def __init__(
        self,
        network: Network,
        layers: Sequence[str],
        from_layer: str | None,
        *,
        pooling: str = "avg",
        frames_per_pass: int = 64,
    ) -> None:
        super().__init__()
        self.module = copy.deepcopy(network.module).eval().requires_grad_(False)
        self.layers, self.frames_per_pass = tuple(layers), frames_per_pass
        self._taken: dict[str, Tensor] = {}
        calls = _listen(network)
        named = [*layers, *([from_layer] if from_layer else [])]
        _check_called(network, named, calls)
        parts = set(_pieces(network.module, named))
        pieces = [call for call in calls if call.path in parts]
        paths = [call.path for call in pieces]
        bottom = _first(paths, from_layer) if from_layer else len(paths)
        top = 1 + max(_last(paths, layer) for layer in layers)
        if from_layer and bottom >= top:
            raise UsageError(
                f"from_layer {from_layer!r} lies above the layers {', '.join(layers)}: it would do nothing."
            )
        self.units = _units(self.module, paths[bottom:top])
        # a layer below what is trained has to be passed as well
        cut = min([bottom, *(_first(paths, layer) for layer in layers)])
        self.is_cut = _is_chain(pieces[cut:top]) and all(_within(paths, layer) for layer in layers)
        self.keeps = from_layer is None or (self.is_cut and cut > 0)
        self._cut = paths[cut] if from_layer else None
        above = paths[cut:top] if from_layer and self.is_cut else []
        self._chain = [self.module.get_submodule(path) for path in above] or [self.module]
        self._tap(layers, calls, network, pooling)
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (network.preprocessing.mean, network.preprocessing.std))
        self.register_buffer("_scale", 1 / (255 * std), persistent=False)
        self.register_buffer("_shift", mean / std, persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def train(self, mode: bool = True) -> "Trunk":
        """Does nothing: modules stay in evaluation mode, in which statistics of normalisations do not change."""
        return self

    def unfreeze(self, n_units: int) -> None:
        """Let gradients reach the weights of so many units from the top, and of no others."""
        for depth, (_, modules) in enumerate(reversed(self.units)):
            for module in modules:
                module.requires_grad_(depth < n_units)

    @torch.no_grad()
    def prepare(self, frames: Tensor) -> Tensor:
        """What does not change in training.

        Parameters
        ----------
        frames : Tensor, shape (b, H, W, 3), uint8
            RGB, on the device of the trunk.

        Returns
        -------
        Tensor, shape (b, …), float32
            What arrives at the cut; the features where nothing is trained, the scaled frames where nothing lies below.
        """
        return torch.cat([self._prepared(part) for part in frames.split(self.frames_per_pass)])

    def forward(self, prepared: Tensor) -> Tensor:
        """Features, shape (b, d), float32, of what `prepare` gave; with gradients to what is unfrozen."""
        if self._cut is None:
            return prepared
        parts = prepared.split(self.frames_per_pass)
        if len(parts) == 1 or not torch.is_grad_enabled():
            return torch.cat([self._features(part) for part in parts])
        # frames do not depend on each other, so their activations need not be there at the same time
        return torch.cat([checkpoint(self._features, part, use_reentrant=False) for part in parts])

    def _features(self, x: Tensor) -> Tensor:
        self._taken.clear()
        # a copy, because modules may work in place
        x = x.clone(memory_format=torch.channels_last if x.ndim == 4 else torch.contiguous_format)
        for module in self._chain:
            x = module(x)
        return torch.cat([self._taken.pop(layer) for layer in self.layers], dim=1)

    def _prepared(self, frames: Tensor) -> Tensor:
        x = frames.permute(0, 3, 1, 2) * self._scale - self._shift
        if self._cut is None:
            return self._features(x)
        if not self.is_cut:
            return x
        hook = self.module.get_submodule(self._cut).register_forward_pre_hook(_stop)
        try:
            self.module(x)
        except _Reached as reached:
            return reached.x.contiguous()
        finally:
            hook.remove()
        raise RuntimeError(f"{self._cut!r} did not run.")

    def _tap(self, layers: Sequence[str], calls: list[_Call], network: Network, pooling: str) -> None:
        outputs = {call.path: call.output for call in calls}
        prefix = getattr(network.module, "num_prefix_tokens", 1 if hasattr(network.module, "class_token") else 0)
        for layer in layers:
            output = read_output(layer, tuple(outputs[layer].shape[1:]), prefix=prefix)
            check_pooling(layer, output, pooling)
            take = partial(pool, output=output, pooling=pooling)
            self.module.get_submodule(layer).register_forward_hook(self._hook(layer, take))

    def _hook(self, layer: str, take: Any) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._taken[layer] = take(output)

        return hook


def _stop(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    raise _Reached(inputs[0])


def _listen(network: Network) -> list[_Call]:
    """Every call of a module in order of finishing, with the very tensors that it was given and that it gave."""
    calls: list[_Call] = []

    def note(path: str) -> Any:
        return lambda module, inputs, output: calls.append(_Call(path, inputs, output))

    hooks = [module.register_forward_hook(note(path)) for path, module in network.module.named_modules() if path]
    look(network, hooks)
    return calls


def lowest_layer(network: Network, layers: Sequence[str]) -> str:
    """The module that a frame comes to first, given what is named in ``layers``."""
    calls = _listen(network)
    _check_called(network, layers, calls)
    parts = set(_pieces(network.module, layers))
    return next(call.path for call in calls if call.path in parts)


def _check_called(network: Network, named: Sequence[str], calls: list[_Call]) -> None:
    usable = [call.path for call in calls if isinstance(call.output, Tensor) and len(call.output) == 1]
    if not named:
        raise UsageError("no layers are asked for.")
    for path in named:
        if path not in usable:
            raise UsageError(
                f"layer {path!r}: {network.name} has none of that name that gives one tensor with a row per frame."
                f"{did_you_mean(path, usable)}"
            )


def _pieces(module: nn.Module, named: Sequence[str], prefix: str = "") -> Iterator[str]:
    """Paths of the largest modules that have none of those named strictly inside."""
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if any(other.startswith(f"{path}.") for other in named):
            yield from _pieces(child, named, f"{path}.")
        else:
            yield path


def _first(paths: Sequence[str], layer: str) -> int:
    return next(i for i, path in enumerate(paths) if _related(path, layer))


def _last(paths: Sequence[str], layer: str) -> int:
    return max(i for i, path in enumerate(paths) if _related(path, layer))


def _related(path: str, layer: str) -> bool:
    """Whether one of them is the other or holds it."""
    return f"{layer}.".startswith(f"{path}.") or path.startswith(f"{layer}.")


def _within(paths: Sequence[str], layer: str) -> bool:
    return any(f"{layer}.".startswith(f"{path}.") for path in paths)


def _units(module: nn.Module, paths: Sequence[str]) -> tuple[tuple[str, list[nn.Module]], ...]:
    units: list[tuple[str, list[nn.Module]]] = []
    for path in dict.fromkeys(paths):
        part = module.get_submodule(path)
        own = [m for m in part.modules() if any(True for _ in m.parameters(recurse=False))]
        if not own:
            continue
        if units and all(isinstance(m, _NORMALISATIONS) for m in own):
            units[-1][1].append(part)
        else:
            units.append((path, [part]))
    return tuple(units)


def _is_chain(pieces: Sequence[_Call]) -> bool:
    """Whether each piece sees the output of the one before and nothing else, so that they can be called one by one."""
    alone = [len(call.given) == 1 and isinstance(call.given[0], Tensor) for call in pieces]
    once = len({call.path for call in pieces}) == len(pieces)
    links = (after.given[0] is before.output for before, after in pairwise(pieces))
    return once and all(alone) and all(links)

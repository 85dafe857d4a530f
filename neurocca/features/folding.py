"""Batch normalisation folded into the convolutions before it: the same function with fewer passes over memory."""

from collections import Counter, OrderedDict
from collections.abc import Collection
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from neurocca.features.networks import Network, look

# by name, because timm is not imported here; others, such as weight-standardised ones, change weights on their way
_CONVOLUTIONS = ("Conv2d", "Conv2dSame")
_NORMALISATIONS = ("BatchNorm2d", "BatchNormAct2d")

Pairs = list[tuple[str, str]]


def foldable(network: Network, keep: Collection[str] = ()) -> Pairs:
    """Find convolutions whose output goes straight into a batch normalisation.

    Whether the output goes anywhere else cannot be seen from here, so whoever folds compares the results.

    Parameters
    ----------
    network : Network
    keep : collection of str
        Paths of modules whose own output is wanted.

    Returns
    -------
    list of (str, str)
        Paths of convolution and normalisation.
    """
    watch = _Watch()
    parts = list(network.module.named_modules())
    hooks = [part.register_forward_hook(watch.convolved(path)) for path, part in parts if _is(part, _CONVOLUTIONS)]
    hooks += [
        part.register_forward_pre_hook(watch.normalised(path)) for path, part in parts if _is(part, _NORMALISATIONS)
    ]
    try:
        look(network)
    finally:
        for hook in hooks:
            hook.remove()
    return [pair for pair in watch.pairs if watch.calls[pair[0]] == watch.calls[pair[1]] == 1 and pair[0] not in keep]


def fold(module: nn.Module, pairs: Pairs) -> None:
    """Fold batch normalisations into convolutions, in place; both keep their paths, and what else a pair did.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode.
    pairs : list of (str, str)
        As `foldable` finds them.
    """
    for convolution, normalisation in pairs:
        conv: Any = module.get_submodule(convolution)
        norm: Any = module.get_submodule(normalisation)
        _replace(module, convolution, fuse_conv_bn_eval(conv, norm))
        # timm's normalisations have an activation inside
        rest = OrderedDict(norm.named_children())
        _replace(module, normalisation, nn.Sequential(rest) if rest else nn.Identity())


class _Watch:
    """Hooks that notice which normalisation gets the very tensor that a convolution gave."""

    def __init__(self) -> None:
        self.pairs: Pairs = []
        self.calls: Counter[str] = Counter()
        self._outputs: dict[int, tuple[str, Tensor]] = {}  # kept, so that no other tensor gets the address

    def convolved(self, path: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self.calls[path] += 1
            self._outputs[id(output)] = path, output

        return hook

    def normalised(self, path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.calls[path] += 1
            if id(inputs[0]) in self._outputs:
                self.pairs.append((self._outputs[id(inputs[0])][0], path))

        return hook


def _is(part: nn.Module, names: Collection[str]) -> bool:
    return type(part).__name__ in names


def _replace(module: nn.Module, path: str, part: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, part)

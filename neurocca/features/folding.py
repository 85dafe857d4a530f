"""The same function of a frame with fewer passes over memory: what follows a convolution becomes part of it."""

import copy
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from neurocca.features.networks import Network, look

# by name, because timm is not imported here; others, such as weight-standardised ones, change weights on their way
_CONVOLUTIONS = ("Conv2d", "Conv2dSame")
_NORMALISATIONS = ("BatchNorm2d", "BatchNormAct2d")

Pairs = list[tuple[str, str]]


def folded(network: Network, keep: Collection[str] = ()) -> tuple[Network, int]:
    """A copy with batch normalisations and uneven padding folded into the convolutions.

    Whether a convolution's output goes anywhere else cannot be seen from here, so whoever folds compares the results.

    Parameters
    ----------
    network : Network
        In evaluation mode. All frames must have its size.
    keep : collection of str
        Paths of modules whose own output is wanted.

    Returns
    -------
    network : Network
        Every module keeps its path.
    n_folded : int
        Number of batch normalisations that are gone.
    """
    pairs = _handed_over(network, _is_convolution, lambda part: type(part).__name__ in _NORMALISATIONS, keep)
    module = copy.deepcopy(network.module)
    for convolution, normalisation in pairs:
        conv: Any = module.get_submodule(convolution)
        norm: Any = module.get_submodule(normalisation)
        _replace(module, convolution, fuse_conv_bn_eval(conv, norm))
        # timm's normalisations have an activation inside
        rest = OrderedDict(norm.named_children())
        _replace(module, normalisation, nn.Sequential(rest) if rest else nn.Identity())
    found = replace(network, module=module)
    for path, size in _inputs_of_same(found).items():
        _replace(module, path, _evenly_padded(module.get_submodule(path), size))
    return found, len(pairs)


def fusable(network: Network, keep: Collection[str] = ()) -> Pairs:
    """Convolutions whose output goes straight into an activation that oneDNN computes on the way out.

    Parameters
    ----------
    network : Network
    keep : collection of str
        Paths of modules whose own output is wanted.

    Returns
    -------
    list of (str, str)
        Paths of convolution and activation; none where PyTorch comes without oneDNN.
    """
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return []
    return _handed_over(network, _is_plain, lambda part: _activation(part) is not None, keep)


def fuse(module: nn.Module, pairs: Pairs) -> None:
    """Let convolutions compute activations, in place; both keep their paths.

    Parameters
    ----------
    module : nn.Module
        On the CPU.
    pairs : list of (str, str)
        As `fusable` finds them.
    """
    for convolution, activation in pairs:
        conv: Any = module.get_submodule(convolution)
        _replace(module, convolution, _ActivatedConvolution(conv, module.get_submodule(activation)))
        _replace(module, activation, nn.Identity())


class _ActivatedConvolution(nn.Module):
    """A convolution and an activation in one pass over memory.

    The operator is the one that torch.compile takes; PyTorch has no public name for it.
    """

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution
        self._activation = _activation(activation) or ("none", [])

    def forward(self, x: Tensor) -> Tensor:
        conv = self.convolution
        places = conv.padding, conv.stride, conv.dilation, conv.groups
        return torch.ops.mkldnn._convolution_pointwise(x, conv.weight, conv.bias, *places, *self._activation, "")


def _activation(part: nn.Module) -> tuple[str, list[float]] | None:
    """OneDNN's name of an activation, and its parameters."""
    if isinstance(part, nn.Hardtanh):  # which nn.ReLU6 is one of
        return "hardtanh", [part.min_val, part.max_val]
    name = {nn.ReLU: "relu", nn.SiLU: "swish", nn.Hardswish: "hardswish"}.get(type(part))
    return (name, []) if name else None


def _is_convolution(part: nn.Module) -> bool:
    return type(part).__name__ in _CONVOLUTIONS


def _is_plain(part: nn.Module) -> bool:
    return type(part) is nn.Conv2d and part.padding_mode == "zeros" and not isinstance(part.padding, str)


def _handed_over(
    network: Network, gives: Callable[[nn.Module], bool], takes: Callable[[nn.Module], bool], keep: Collection[str]
) -> Pairs:
    """Modules whose output is, unchanged and unseen, the input of another one, when each of both runs once."""
    watch = _Watch()
    hooks = []
    for path, part in network.module.named_modules():
        if takes(part):
            hooks.append(part.register_forward_pre_hook(watch.taken(path)))
        if gives(part) and path not in keep:
            hooks.append(part.register_forward_hook(watch.given(path)))
        elif path in keep:
            hooks.append(part.register_forward_hook(watch.seen))
    look(network, hooks)
    return [(first, second) for first, second in watch.pairs if watch.calls[first] == watch.calls[second] == 1]


class _Watch:
    """Hooks that notice which module gets the very tensor that another one gave."""

    def __init__(self) -> None:
        self.pairs: Pairs = []
        self.calls: Counter[str] = Counter()
        # with the tensors, so that no other one gets the address; the version counts changes in place
        self._waiting: dict[int, tuple[str, Tensor, int]] = {}

    def given(self, path: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self.calls[path] += 1
            self._waiting[id(output)] = path, output, output._version

        return hook

    def taken(self, path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.calls[path] += 1
            for tensor in inputs[:1]:
                source, _, version = self._waiting.pop(id(tensor), ("", tensor, -1))
                if tensor._version == version:
                    self.pairs.append((source, path))

        return hook

    def seen(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._waiting.pop(id(output), None)


def _inputs_of_same(network: Network) -> dict[str, tuple[int, int]]:
    """Height and width of what goes into each of timm's convolutions with the padding of TensorFlow."""
    sizes: dict[str, tuple[int, int]] = {}
    calls: Counter[str] = Counter()

    def note(path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            calls[path] += 1
            sizes[path] = inputs[0].shape[-2], inputs[0].shape[-1]

        return hook

    parts = [(path, part) for path, part in network.module.named_modules() if type(part).__name__ == "Conv2dSame"]
    hooks = [part.register_forward_pre_hook(note(path)) for path, part in parts]
    look(network, hooks)
    return {path: size for path, size in sizes.items() if calls[path] == 1}


def _evenly_padded(conv: Any, size: tuple[int, int]) -> nn.Conv2d:
    """The convolution that pads by so much on all sides itself, with zeros in front of the kernel instead.

    TensorFlow pads by a pixel more behind than in front, which PyTorch can only do by copying the input.
    """
    behind, more = [], []
    for n, kernel, stride, dilation in zip(size, conv.kernel_size, conv.stride, conv.dilation, strict=True):
        total = max(0, (-(-n // stride) - 1) * stride + (kernel - 1) * dilation + 1 - n)
        behind.append(total - total // 2)
        more.append(total % 2)
    if any(add and step > 1 for add, step in zip(more, conv.dilation, strict=True)):
        return conv
    weight = nn.functional.pad(conv.weight.detach(), (more[1], 0, more[0], 0))
    even = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        (weight.shape[2], weight.shape[3]),
        conv.stride,
        (behind[0], behind[1]),
        conv.dilation,
        conv.groups,
        bias=conv.bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    even.weight.data = weight
    even.bias = conv.bias
    return even.eval()


def _replace(module: nn.Module, path: str, part: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, part)

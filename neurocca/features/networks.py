"""Vision networks of timm and torchvision by name, each with the preprocessing that it was trained with.

Networks come with random weights; `neurocca.io.weights` puts trained ones in.
"""

import importlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from neurocca.features.libraries import PACKAGED as PACKAGED
from neurocca.features.libraries import did_you_mean as did_you_mean
from neurocca.features.libraries import import_timm as import_timm
from neurocca.features.libraries import import_torchvision as import_torchvision
from neurocca.features.libraries import resolve_name as resolve_name

Call = tuple[str, tuple[int, ...] | None]
"""A module's path, and the shape of its output for one frame where that can be features."""

SEED = 0
"""Seed of the random weights."""

# with the published weights these two expect torchvision's normalisation to be undone inside the network
_INCEPTION = {"transform_input": True, "aux_logits": True, "init_weights": False}
_TORCHVISION_OPTIONS = {"googlenet": _INCEPTION, "inception_v3": _INCEPTION}


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its frames.

    ``size`` is (width, height) in pixels. A picture's short side is brought to ``resize`` pixels and its centre cut
    out; where ``resize`` is None it is stretched to ``size``. ``mean`` and ``std`` are per channel (red, green, blue),
    as fractions of full scale: the network sees (frame / 255 - mean) / std.
    """

    size: tuple[int, int]
    resize: int | None
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture as the frame that the network is to see.

        Films are scaled in the decoder; this is for pictures that are arrays already.

        Parameters
        ----------
        picture : array, shape (H, W, 3), uint8
            RGB, of any size.

        Returns
        -------
        array, shape (height, width, 3), uint8
        """
        transforms = importlib.import_module(f"{import_torchvision().__name__}.transforms.v2.functional")
        width, height = self.size
        mode = transforms.InterpolationMode(self.interpolation)
        scaled = [self.resize] if self.resize else [height, width]
        x = torch.from_numpy(np.require(picture, requirements=["C", "W"])).permute(2, 0, 1)
        x = transforms.resize(x, scaled, interpolation=mode, antialias=True)
        return transforms.center_crop(x, [height, width]).permute(1, 2, 0).contiguous().numpy()


@dataclass(frozen=True)
class WeightsInfo:
    """Where weights come from, the SHA-256 of their file, and under which licence and whose name they may be used."""

    source: str
    sha256: str
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True, eq=False)
class Network:
    """A network ready to look at frames.

    ``name`` is the one it was asked for by, ``module`` is in evaluation mode, ``library`` says where its architecture
    is from ("timm 1.0.31"). ``weights`` is None as long as they are random, ``labels`` are the names of its classes,
    where known.
    """

    name: str
    module: nn.Module
    preprocessing: Preprocessing
    library: str
    weights: WeightsInfo | None = None
    labels: tuple[str, ...] | None = None


def build_network(name: str) -> Network:
    """Make a network with random, but always the same, weights.

    Parameters
    ----------
    name : str
        "efficientnet-lite0", "efficientnet-lite1" or "efficientnet-lite2"; a model of timm ("timm:resnet50.a1_in1k"),
        or a classification model of torchvision ("torchvision:resnet50"). Without the library's name timm is asked
        first.

    Returns
    -------
    Network

    Raises
    ------
    UsageError
        When no library has such a model; the message has the nearest names.

    Examples
    --------
    >>> network = build_network("efficientnet-lite0")
    >>> network.preprocessing.size, network.preprocessing.resize
    ((224, 224), 256)
    """
    library, model = resolve_name(name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        if library == "timm":
            module = import_timm().create_model(model)
        else:
            options = _TORCHVISION_OPTIONS.get(model, {})
            module = import_torchvision().models.get_model(model, weights=None, **options)
    return describe(name, module)


def describe(name: str, module: nn.Module) -> Network:
    """The network of that name around a module that its library has made."""
    library, model = resolve_name(name)
    if library == "timm":
        preprocessing, labels = _timm_preprocessing(module), _timm_labels(module)
        version = import_timm().__version__
    else:
        preprocessing, labels = _torchvision_description(model)
        version = import_torchvision().__version__
    if name in PACKAGED:
        # these weights were trained on (x - 127) / 128 of x in 0 … 255
        preprocessing = replace(preprocessing, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    return Network(name, module.eval(), preprocessing, f"{library} {version}", None, labels)


def layer_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Every module path whose output can be taken as features, with the shape of that output for one frame.

    Left out are modules that never run, and those that do not give one tensor with a row per frame.

    Parameters
    ----------
    network : Network

    Returns
    -------
    dict of tuple of int
        In the order in which they (last) finish. (C, H, W) for maps, (N, C) for tokens.
    """
    last = {path: shape for path, shape in trace(network)}
    return {path: shape for path, shape in last.items() if shape is not None}


def stage_layers(network: Network) -> tuple[str, ...]:
    """Three layers to begin with: an early, a middle and the last of a network's stages.

    Stages are those that timm names, elsewhere the largest modules in a row whose output has places or tokens.
    """
    shapes = layer_shapes(network)
    named = [stage.get("module", "") for stage in getattr(network.module, "feature_info", None) or [] if stage]
    stages = [path for path in named if path in shapes] or _rows(network.module, shapes)
    chosen = [stages[max(0, round((k + 1) * len(stages) / 3) - 1)] for k in range(3)] if stages else list(shapes)[-1:]
    return tuple(dict.fromkeys(chosen))


def trace(network: Network) -> list[Call]:
    """Every call of a module, in order of finishing."""
    calls: list[Call] = []

    def note(path: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            usable = isinstance(output, Tensor) and output.ndim >= 2 and len(output) == 1
            calls.append((path, tuple(output.shape[1:]) if usable else None))

        return hook

    hooks = [module.register_forward_hook(note(path)) for path, module in network.module.named_modules() if path]
    look(network, hooks)
    return calls


def look(network: Network, hooks: Iterable[RemovableHandle]) -> None:
    """Show a network one black frame, for those who listen with hooks, and take the hooks off.

    Tensors count the changes made to them.
    """
    weight = next(network.module.parameters(), torch.zeros(()))
    width, height = network.preprocessing.size
    try:
        with torch.no_grad():
            network.module(torch.zeros(1, 3, height, width, device=weight.device, dtype=weight.dtype))
    finally:
        for hook in hooks:
            hook.remove()


def _rows(module: nn.Module, shapes: dict[str, tuple[int, ...]], prefix: str = "") -> list[str]:
    children = [(f"{prefix}{name}", child) for name, child in module.named_children()]
    paths = [path for path, _ in children if len(shapes.get(path, ())) > 1]
    inner = [(path, child) for path, child in children if next(child.children(), None) is not None]
    large = [path for path, _ in inner if path in paths]
    if len(large) > 1:
        return large
    deeper = [_rows(child, shapes, f"{path}.") for path, child in inner]
    return max(deeper, key=len, default=[]) or paths


def _timm_preprocessing(module: nn.Module) -> Preprocessing:
    config = import_timm().data.resolve_data_config({}, model=module)
    _, height, width = config["input_size"]
    # "squash" stretches; "border" pads by a pixel or two where this cuts from the centre of a slightly larger one
    resize = None if config["crop_mode"] == "squash" else math.floor(min(height, width) / config["crop_pct"])
    return Preprocessing((width, height), resize, config["interpolation"], config["mean"], config["std"])


def _timm_labels(module: nn.Module) -> tuple[str, ...] | None:
    data = import_timm().data
    subset = data.infer_imagenet_subset(module)
    if not subset:
        return None
    return tuple(data.ImageNetInfo(subset).label_descriptions())


def _torchvision_description(model: str) -> tuple[Preprocessing, tuple[str, ...]]:
    weights = import_torchvision().models.get_model_weights(model).DEFAULT
    preset = weights.transforms()
    size = preset.crop_size[0]
    preprocessing = Preprocessing(
        (size, size),
        preset.resize_size[0],
        preset.interpolation.value,
        tuple(preset.mean),
        tuple(preset.std),
    )
    return preprocessing, tuple(weights.meta["categories"])

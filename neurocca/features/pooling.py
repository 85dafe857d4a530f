"""From a layer's output to a row of features per frame: what is kept of the places in a map or of the tokens.

An output is a vector (channels), a map (channels × height × width, whatever the order of its axes) or a series of
tokens (tokens × channels) as transformers have it. In transformers the patches of the picture can be preceded by
tokens of no place, such as the class token.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from neurocca.errors import UsageError

POOLINGS = ("none", "avg", "max", "pyramid", "cls", "patch_mean")
"""
``none``: every place by itself; ``avg``, ``max``: average or maximum over places; ``pyramid``: averages over the whole,
its quarters and its sixteenths (Lazebnik, Schmid & Ponce 2006); ``cls``: the class token; ``patch_mean``: average over
the tokens of places. Vectors are taken as they are.
"""

PYRAMID = (1, 2, 4)
"""Cells per side at each level of the pyramid; levels finer than the map are left out."""


@dataclass(frozen=True)
class Output:
    """What the axes of a layer's output for one frame mean.

    ``kind`` is "vector" (C,), "map" (C, H, W), "last" (H, W, C) or "tokens" (N, C); ``prefix`` is the number of tokens
    that stand for no place.
    """

    shape: tuple[int, ...]
    kind: Literal["vector", "map", "last", "tokens"]
    prefix: int = 0

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[0] if self.kind in ("vector", "map") else self.shape[-1]

    @property
    def grid(self) -> tuple[int, int] | None:
        """Height and width of a map, or of the square that patch tokens form; None where they form none."""
        if self.kind == "tokens":
            side = math.isqrt(self.shape[0] - self.prefix)
            return (side, side) if side * side == self.shape[0] - self.prefix else None
        if self.kind == "vector":
            return None
        height, width = self.shape[1:] if self.kind == "map" else self.shape[:2]
        return height, width


def read_output(layer: str, shape: tuple[int, ...], *, prefix: int = 0) -> Output:
    """Tell what the axes of an output mean.

    Parameters
    ----------
    layer : str
        For messages.
    shape : tuple of int
        Of the output for one frame.
    prefix : int
        Tokens that precede the patches in this network.

    Returns
    -------
    Output

    Raises
    ------
    UsageError
        When the output is none of the three kinds.
    """
    if len(shape) == 1:
        return Output(shape, "vector")
    if len(shape) == 2:
        has_prefix = _is_square(shape[0] - prefix) or not _is_square(shape[0])
        return Output(shape, "tokens", prefix if has_prefix and shape[0] > prefix else 0)
    if len(shape) == 3:
        # maps of a square frame are square, so the axis that differs is the channels'
        return Output(shape, "last" if shape[0] == shape[1] != shape[2] else "map")
    raise UsageError(f"layer {layer!r} gives {shape} for a frame: neither a vector, a map nor tokens.")


def check_pooling(layer: str, output: Output, pooling: str) -> None:
    """Raise UsageError when a pooling does not exist or does not go with an output."""
    if pooling not in POOLINGS:
        raise UsageError(f"pooling {pooling!r} must be one of {', '.join(POOLINGS)}.")
    if output.kind == "vector":
        return
    problem = ""
    if pooling in ("cls", "patch_mean") and output.kind != "tokens":
        problem = "is a map, without tokens"
    elif pooling == "cls" and not output.prefix:
        problem = "has no class token"
    elif pooling == "pyramid" and output.grid is None:
        problem = "has tokens that form no square"
    if problem:
        raise UsageError(
            f'pooling {pooling!r} does not go with layer {layer!r}, which {problem} {output.shape}: try "avg".'
        )


def pool(x: Tensor, output: Output, pooling: str) -> Tensor:
    """Features of a batch of outputs.

    Parameters
    ----------
    x : Tensor, shape (b, …)
        Of any floating type, on any device; it is left as it is.
    output : Output
        What its axes mean.
    pooling : str
        One of `POOLINGS`, checked.

    Returns
    -------
    Tensor, shape (b, d), float32
        In the order of `feature_names`; its memory is its own.

    Examples
    --------
    >>> x = torch.arange(8.0).reshape(1, 2, 2, 2)
    >>> pool(x, read_output("conv", (2, 2, 2)), "avg")
    tensor([[1.5000, 5.5000]])
    """
    if output.kind == "vector" or (output.kind == "tokens" and pooling == "none"):
        return _owned(x.flatten(1), x)
    if output.kind == "tokens":
        if pooling == "cls":
            return _owned(x[:, 0], x)
        x = x[:, output.prefix :].transpose(1, 2)  # (b, C, places)
        if pooling == "pyramid" and output.grid is not None:
            x = x.unflatten(2, output.grid)
    elif output.kind == "last":
        x = x.permute(0, 3, 1, 2)
    if pooling == "none":
        return _owned(x.flatten(1), x)
    if pooling == "pyramid":
        x = x.float()
        levels = [functional.adaptive_avg_pool2d(x, n).flatten(1) for n in _levels(output)]
        return torch.cat(levels, dim=1)
    places = tuple(range(2, x.ndim))
    return x.amax(places).float() if pooling == "max" else x.mean(places, dtype=torch.float32)


def feature_names(output: Output, pooling: str) -> tuple[str, ...]:
    """Names of the features, in their order.

    "c12" is channel 12; "c12_y0x1" is channel 12 at row 0 and column 1 of a map, "t5_c12" channel 12 of token 5 (class
    and register tokens included), "c12_4x4_y0x1" a cell of the pyramid's level with 4 × 4 cells. Maps are written
    out channel by channel, then row by row; tokens one after the other; pyramids level by level, each like a map.

    Parameters
    ----------
    output : Output
    pooling : str

    Returns
    -------
    tuple of str, length d

    Examples
    --------
    >>> feature_names(read_output("conv", (1, 2, 2)), "none")
    ('c0_y0x0', 'c0_y0x1', 'c0_y1x0', 'c0_y1x1')
    """
    channels = range(output.channels)
    if output.kind == "vector" or pooling in ("avg", "max", "cls", "patch_mean"):
        return tuple(f"c{c}" for c in channels)
    if pooling == "pyramid":
        return tuple(
            f"c{c}_{n}x{n}_y{y}x{x}" for n in _levels(output) for c in channels for y in range(n) for x in range(n)
        )
    if output.kind == "tokens":
        return tuple(f"t{t}_c{c}" for t in range(output.shape[0]) for c in channels)
    height, width = output.grid or (0, 0)
    return tuple(f"c{c}_y{y}x{x}" for c in channels for y in range(height) for x in range(width))


def _levels(output: Output) -> list[int]:
    return [n for n in PYRAMID if n <= min(output.grid or (1, 1))]


def _is_square(n: int) -> bool:
    return n > 0 and math.isqrt(n) ** 2 == n


def _owned(features: Tensor, x: Tensor) -> Tensor:
    """In float32, and no view of an output that the network may go on to change in place."""
    features = features.float()
    return features.clone() if features.data_ptr() == x.data_ptr() else features

"""Which forward pass of a network is fastest and gives the same features, found out on frames made for it."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurocca.features.engine import PRECISIONS, Forward, fast_precision
from neurocca.features.folding import Pairs, folded, fusable
from neurocca.features.networks import Network
from neurocca.features.taps import Take

N_PROBES = 8
"""Frames on which precisions are compared."""

MIN_AGREEMENT = 0.999
"""Correlation with single precision from which on ``precision="auto"`` takes a faster one."""

# relative; rounding gives about 1e-6, a convolution whose output is used elsewhere as well about 1
_FOLDING_TOLERANCE = 1e-3


@functools.cache
def probe_frames(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Frames to compare precisions on: discs of all sizes before each other, and a texture on some.

    Such pictures have the edges, areas and spectrum of photographs (Lee, Mumford & Huang 2001).

    Parameters
    ----------
    size : (width, height)

    Returns
    -------
    array, shape (8, height, width, 3), uint8
        The same in every call.
    """
    width, height = size
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    frames = np.full((N_PROBES, height, width, 3), 128.0)
    for k, frame in enumerate(frames):
        colour, spread = rng.uniform(20, 235, 3), rng.uniform(15, 70)
        for radius in 0.02 * height / np.sqrt(rng.uniform(0.002, 1, 20 + 35 * k)):
            y, x = rng.uniform(-radius, height + radius), rng.uniform(-radius, width + radius)
            shade = colour + spread * (rng.standard_normal(3) + rng.standard_normal())
            frame[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = shade
        frame += k * rng.standard_normal((height, width, 1))
    return frames.clip(0, 255).astype(np.uint8)


def choose_forward(
    network: Network,
    takes: Mapping[str, Take],
    calls: list[str],
    device: torch.device,
    precision: str,
    *,
    fusing: bool = True,
) -> tuple[Forward, dict[str, Any]]:
    """The fastest forward pass that agrees with the plain one in single precision.

    Parameters
    ----------
    network : Network
    takes, calls
        See `Forward`.
    device : torch.device
    precision : str
        One of `PRECISIONS`, or "auto".
    fusing : bool
        Whether convolutions may compute activations; torch.compile does so itself.

    Returns
    -------
    forward : Forward
    description : dict
        ``precision``; ``agreement``, the lowest correlation of a layer's features with those in single precision (1
        for that itself); ``folded``, the number of batch normalisations, and ``fused``, that of activations.
    """

    def make(network: Network, fused: Pairs, precision: str) -> tuple[Forward, dict[str, Tensor]]:
        options: dict[str, Any] = {"device": device, "dtype": PRECISIONS[precision], "fused": fused}
        forward = Forward(network.module, network.preprocessing, takes, calls, **options)
        return forward, _run_probes(forward, probes)

    probes = probe_frames(network.preprocessing.size)
    best, exact = make(network, [], "fp32")
    simpler, n_folded = folded(network, keep=takes)
    forward, found = make(simpler, [], "fp32")
    if _error(exact, found) <= _FOLDING_TOLERANCE:
        network, best = simpler, forward
    else:
        n_folded = 0
    fused = fusable(network, keep=takes) if fusing and device.type == "cpu" else []
    if fused:
        forward, found = make(network, fused, "fp32")
        if _error(exact, found) <= _FOLDING_TOLERANCE:
            best = forward
        else:
            fused = []
    chosen = {"folded": n_folded, "fused": len(fused)}
    wanted = fast_precision(device) if precision == "auto" else precision
    if wanted != "fp32":
        forward, found = make(network, fused, wanted)
        r = min(agreement(exact, found).values())
        if r >= MIN_AGREEMENT or precision != "auto":
            return forward, {"precision": wanted, "agreement": round(r, 6), **chosen}
    return best, {"precision": "fp32", "agreement": 1.0, **chosen}


def agreement(exact: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, float]:
    """Correlation of two versions of each layer's features over frames, pooled over features.

    Parameters
    ----------
    exact, other : dict of Tensor, each of shape (n, d)

    Returns
    -------
    dict of float
        Of the deviations from each feature's mean, as those are what a time series is made of. 1 where
        nothing varies in either, 0 where a value is not finite.
    """
    return {layer: _correlation(exact[layer].double(), other[layer].double()) for layer in exact}


def _run_probes(forward: Forward, probes: NDArray[np.uint8]) -> dict[str, Tensor]:
    features = forward(torch.from_numpy(probes))
    if (event := forward.mark()) is not None:
        event.synchronize()
    return features


def _error(exact: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Largest difference in a layer, as a fraction of its largest value."""
    return max(float((other[k] - exact[k]).abs().max() / exact[k].abs().max().clamp_min(1e-30)) for k in exact)


def _correlation(x: Tensor, y: Tensor) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    scale = float(x.norm() * y.norm())
    if scale == 0:
        return float(torch.equal(x, y))
    r = float((x * y).sum()) / scale
    return r if np.isfinite(r) else 0.0

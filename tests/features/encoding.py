"""Networks, frames and what plain hooks make of them, for tests of encoders."""

import numpy as np
import torch
from torch import nn

from neurocca.features.networks import Network, Preprocessing


class Ended(nn.Module):
    """A network of one's own, and after it a layer that gives its output."""

    def __init__(self, body):
        super().__init__()
        self.body, self.end = body, nn.Identity()

    def forward(self, x):
        return self.end(self.body(x))


def own_network(module, size=8):
    """A network of one's own; pixels 0 … 255 become 0 … 1."""
    preprocessing = Preprocessing((size, size), None, "bilinear", (0.0,) * 3, (1.0,) * 3)
    return Network("own", module.eval(), preprocessing, "tests")


def noise(rng, n, network):
    width, height = network.preprocessing.size
    return rng.integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def normalised(network, frames):
    mean, std = (torch.tensor(x).reshape(3, 1, 1) for x in (network.preprocessing.mean, network.preprocessing.std))
    return (torch.from_numpy(frames).permute(0, 3, 1, 2) / 255 - mean) / std


def relative_error(found, exact):
    return float(np.abs(found - exact).max() / np.abs(exact).max())


def hooked(network, layers, frames):
    """Outputs of layers by plain hooks, as one writes them oneself."""
    outputs = {}
    for layer in layers:
        module = network.module.get_submodule(layer)
        hook = module.register_forward_hook(lambda m, i, o, layer=layer: outputs.update({layer: o.clone()}))
        outputs[hook] = None
    with torch.inference_mode():
        network.module(normalised(network, frames))
    for hook in [key for key in outputs if not isinstance(key, str)]:
        hook.remove()
    return {layer: outputs[layer].numpy() for layer in layers}

import functools

import numpy as np
import pytest
import torch
from torch import nn

from neurocca.features.cnn import FrameEncoder
from neurocca.features.folding import folded
from neurocca.features.networks import import_timm
from neurocca.io.weights import load_network
from tests.features.encoding import Ended, hooked, noise, own_network


def _statistics(module, rng):
    """Give batch normalisations something to do."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor, low, high in ((part.running_mean, -1, 1), (part.running_var, 0.5, 2), (part.bias, -1, 1)):
                tensor.data = torch.from_numpy(rng.uniform(low, high, len(tensor)).astype(np.float32))
    return module


def _engine_of_unchanged_features(rng, body, layers):
    """What the encoder of a body does, which must give the features of plain hooks."""
    network = own_network(_statistics(Ended(body()), rng))
    frames = noise(rng, 2, network)
    encoder = FrameEncoder(network, layers, precision="fp32", device="cpu", pooling="none")
    found = encoder.encode(frames)
    for layer, exact in hooked(network, layers, frames).items():
        np.testing.assert_allclose(found[layer], exact.reshape(2, -1), atol=1e-5)
    return encoder.engine


class _Shared(nn.Module):
    """A convolution that feeds more than its batch normalisation, where hooks cannot see it."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.conv(x)
        return self.bn(y) + y


class _Twice(nn.Module):
    """One convolution before two batch normalisations."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn1, self.bn2, self.end = (
            nn.Conv2d(3, 3, 1),
            nn.BatchNorm2d(3),
            nn.BatchNorm2d(3),
            nn.Identity(),
        )

    def forward(self, x):
        return self.end(self.bn2(self.conv(self.bn1(self.conv(x)))))


def _pair():
    return nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)


@pytest.mark.parametrize(
    ("body", "layers", "n_folded"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), ["body.1", "end"], 1),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), ["body.0", "end"], 0),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), ["end"], 0),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), import_timm().layers.BatchNormAct2d(4)), ["body.1", "end"], 1),
        (_Shared, ["end"], 0),
        # where one pair cannot be folded, the others still can
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *_pair()), ["body.0", "end"], 1),
        (lambda: nn.Sequential(_Twice(), nn.Conv2d(3, 4, 1), *_pair()), ["end"], 1),
    ],
)
def test_batch_normalisation_is_folded_only_where_nobody_can_tell(rng, body, layers, n_folded):
    assert _engine_of_unchanged_features(rng, body, layers)["folded"] == n_folded


def test_a_whole_network_is_folded():
    lite = load_network("efficientnet-lite0")
    n_normalisations = sum(isinstance(m, nn.BatchNorm2d) for m in lite.module.modules())
    assert FrameEncoder(lite, ["bn2"], precision="fp32", device="cpu").engine["folded"] == n_normalisations == 49


ACTIVATIONS = [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.Hardtanh(-0.1, 0.2), nn.SiLU(), nn.Hardswish()]


class _Residual(nn.Module):
    """An activation whose input is the convolution's output with something added in place."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()

    def forward(self, x):
        y = self.conv(x)
        y += x
        return self.act(y)


class _Forked(_Residual):
    """An activation of a convolution's output that is also used as it is, where hooks cannot see it."""

    def forward(self, x):
        y = self.conv(x)
        return self.act(y) + y


def _activated(*between, activation=None, **options):
    return nn.Sequential(nn.Conv2d(3, 4, 3, **options), *between, activation or nn.ReLU())


@pytest.mark.parametrize(
    ("body", "layers", "n_fused"),
    [
        *[(functools.partial(_activated, activation=kind), ["end"], 1) for kind in ACTIVATIONS],
        (lambda: _activated(nn.BatchNorm2d(4)), ["body.2", "end"], 1),
        (lambda: _activated(nn.BatchNorm2d(4)), ["body.1", "end"], 0),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), import_timm().layers.BatchNormAct2d(4)), ["body.1", "end"], 1),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), import_timm().layers.BatchNormAct2d(4)), ["body.1.drop", "end"], 0),
        (_activated, ["body.0", "end"], 0),
        (_activated, ["body.1"], 1),
        (lambda: _activated(padding=1, padding_mode="reflect"), ["end"], 0),
        (lambda: _activated(activation=nn.LeakyReLU()), ["end"], 0),
        (lambda: nn.Sequential(_Residual(), _activated()), ["end"], 1),
        (_Forked, ["end"], 0),
    ],
)
def test_activations_are_fused_only_where_nobody_can_tell(rng, body, layers, n_fused):
    assert _engine_of_unchanged_features(rng, body, layers)["fused"] == n_fused


def test_a_whole_network_in_half_precision_is_fused():
    engine = FrameEncoder(load_network("efficientnet-lite0"), ["bn2"], precision="bf16", device="cpu").engine
    assert engine["fused"] == 33
    assert engine["agreement"] > 0.999


@pytest.mark.parametrize("size", [8, 11])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 2, 1), (5, 2, 1), (5, 3, 1), (3, 1, 1), (2, 2, 1), (2, 1, 2)]
)
def test_uneven_padding_is_part_of_the_kernel(rng, size, kernel, stride, dilation):
    same = import_timm().layers.Conv2dSame(3, 4, kernel, stride, dilation=dilation)
    network = own_network(Ended(nn.Sequential(same, nn.ReLU())), size)
    frames = noise(rng, 2, network)
    simpler, _ = folded(network)
    assert type(simpler.module.body[0]) is nn.Conv2d
    assert type(network.module.body[0]) is type(same)
    for layer, exact in hooked(network, ["body.0", "end"], frames).items():
        found = hooked(simpler, [layer], frames)[layer]
        assert found.shape == exact.shape
        np.testing.assert_allclose(found, exact, atol=1e-5)


def test_uneven_padding_stays_where_no_kernel_has_it(rng):
    same = import_timm().layers.Conv2dSame(3, 4, 2, dilation=3)
    assert type(folded(own_network(same))[0].module) is type(same)

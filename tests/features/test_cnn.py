import itertools
import platform
import resource
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from sklearn.datasets import load_sample_images
from torch import nn

from neurocca.errors import UsageError
from neurocca.features.cnn import FrameEncoder
from neurocca.features.engine import fast_precision, kept_memory, resolve_device
from neurocca.features.networks import (
    Network,
    Preprocessing,
    build_network,
    import_timm,
    import_torchvision,
    layer_shapes,
)
from neurocca.features.prefetch import prefetched
from neurocca.io.movie import iter_frames
from neurocca.io.weights import load_network
from tests.features.encoding import Ended, hooked, noise, normalised, own_network, relative_error

LITE_LAYERS = ("blocks.2", "blocks.4", "blocks.6")
# networks of each kind, and layers at all depths and of all kinds of output
AGREEMENT = {
    "efficientnet-lite0": ("blocks.2", "blocks.4.1.bn1.act", "blocks.6", "bn2", "classifier"),
    "torchvision:resnet18": ("layer2.0.conv1", "layer2.0.bn1", "layer3", "layer4", "fc"),
    "vit_tiny_patch16_224": ("patch_embed", "blocks.0.attn.proj", "blocks.5", "blocks.11", "head"),
    "swin_tiny_patch4_window7_224": ("layers.1", "layers.3"),
    "test_convnext": ("stages.0", "stages.3", "head"),
    "test_nfnet": ("stem", "stages.1", "head"),  # weights standardised on their way
}


@pytest.fixture(scope="module")
def lite():
    return load_network("efficientnet-lite0")


@pytest.fixture(scope="module")
def photos():
    china, flower = load_sample_images().images
    names = ("chelsea", "coffee", "rocket", "astronaut")
    return {**{name: getattr(data, name)() for name in names}, "china": china, "flower": flower}


@pytest.fixture(scope="module")
def frames(lite, photos):
    """Photographs as the EfficientNets and ResNets want them."""
    return np.stack([lite.preprocessing.prepare(photo) for photo in photos.values()])


@pytest.mark.parametrize("name", AGREEMENT)
def test_layers_are_those_of_plain_hooks(rng, name):
    network = load_network(name, None if "lite" in name else "random")
    frames = noise(rng, 2, network)
    layers = AGREEMENT[name]
    encoder = FrameEncoder(network, layers, pooling="none", precision="fp32", device="cpu")
    found = encoder.encode(frames)
    for layer, exact in hooked(network, layers, frames).items():
        is_channels_last = exact.ndim == 4 and exact.shape[1] == exact.shape[2] != exact.shape[3]
        expected = np.moveaxis(exact, 3, 1) if is_channels_last else exact
        assert relative_error(found[layer], expected.reshape(2, -1)) < 1e-4, layer
        assert found[layer].shape[1] == len(encoder.names(layer))


@pytest.mark.parametrize("name", ["efficientnet-lite0", "torchvision:resnet18", "vit_tiny_patch16_224"])
def test_layers_are_those_of_torchvisions_feature_extractor(rng, name):
    import_torchvision()
    from torchvision.models.feature_extraction import create_feature_extractor

    network = load_network(name, None if "lite" in name else "random")
    nodes = {
        "efficientnet-lite0": ["blocks.1", "blocks.6", "classifier"],
        "torchvision:resnet18": ["layer1", "layer3", "fc"],
        "vit_tiny_patch16_224": ["blocks.3", "blocks.11", "head"],
    }[name]
    frames = noise(rng, 2, network)
    leaves = {"leaf_modules": [import_timm().layers.Conv2dSame]}  # it cannot trace these
    with torch.inference_mode():
        extractor = create_feature_extractor(network.module, nodes, tracer_kwargs=leaves)
        exact = extractor(normalised(network, frames))
    found = FrameEncoder(network, nodes, pooling="none", precision="fp32", device="cpu").encode(frames)
    for node in nodes:
        assert relative_error(found[node], exact[node].flatten(1).numpy()) < 1e-4


def test_photographs_are_what_they_show(lite, photos, frames):
    logits = FrameEncoder(lite, ["classifier"], device="cpu").encode(frames)["classifier"]
    top = {
        photo: [lite.labels[k].split(",")[0] for k in np.argsort(row)[:-6:-1]]
        for photo, row in zip(photos, logits, strict=True)
    }
    assert set(top["chelsea"][:3]) == {"tiger cat", "Egyptian cat", "tabby"}
    assert top["coffee"][0] == "espresso"
    assert set(top["rocket"][:2]) == {"missile", "projectile"}
    assert top["china"][0] == "palace"
    assert {"bell cote", "monastery"} <= set(top["china"])
    assert top["flower"][0] == "daisy"  # a dahlia, which is not among the classes


def test_features_follow_a_pan_and_break_at_a_cut(lite, photos):
    pans = [[photos[name][40:264, x : x + 224] for x in range(0, 100, 10)] for name in ("chelsea", "coffee")]
    film = np.concatenate([np.stack(pan) for pan in pans])
    for layer, features in FrameEncoder(lite, LITE_LAYERS, device="cpu").encode(film).items():
        z = features - features.mean(0)
        r = [np.corrcoef(a, b)[0, 1] for a, b in itertools.pairwise(z)]
        cut = r.pop(9)
        assert min(r) > 0.9, layer
        assert cut < 0, layer


def test_black_and_white_go_through_unchanged():
    # what the network sees is (x / 255 - mean) / std, exactly
    preprocessing = Preprocessing((4, 2), None, "bilinear", (0.1, 0.2, 0.3), (0.5, 0.25, 1.0))
    network = Network("own", nn.Sequential(nn.Identity()).eval(), preprocessing, "tests")
    frames = np.arange(2 * 2 * 4 * 3, dtype=np.uint8).reshape(2, 2, 4, 3) * 5
    found = FrameEncoder(network, ["0"], pooling="none", precision="fp32", device="cpu").encode(frames)["0"]
    np.testing.assert_allclose(found, normalised(network, frames).flatten(1), atol=1e-6)


class _Counting(nn.Module):
    """Modules that count their calls, one of them called twice."""

    def __init__(self):
        super().__init__()
        self.first, self.twice, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.relu = nn.ReLU(inplace=True)
        self.calls = []
        for name, module in self.named_children():
            module.register_forward_hook(lambda m, i, o, name=name: self.calls.append(name))

    def forward(self, x):
        x = self.first(x)
        self.relu(x)  # changes what `first` gave
        return self.last(self.twice(self.twice(x)).exp())


def test_nothing_is_computed_after_the_last_layer(rng):
    network = own_network(_Counting())
    encoder = FrameEncoder(network, ["twice", "first"], precision="fp32", device="cpu", pooling="none")
    network.module.calls.clear()
    encoder.encode(noise(rng, 2, network))
    # the encoder's hooks come after those here, so that the call that ends the pass counts too
    assert network.module.calls == ["first", "relu", "twice", "twice"]


def test_modules_that_are_called_twice_give_what_they_gave_last(rng):
    network = own_network(_Counting())
    frames = noise(rng, 2, network)
    found = FrameEncoder(network, ["twice"], precision="fp32", device="cpu", pooling="none").encode(frames)["twice"]
    m = network.module
    with torch.inference_mode():
        exact = m.twice(m.twice(torch.relu(m.first(normalised(network, frames)))))
    np.testing.assert_allclose(found, exact.flatten(1), atol=1e-6)


def test_outputs_are_taken_before_the_network_changes_them_in_place(rng):
    network = own_network(_Counting())
    frames = noise(rng, 2, network)
    found = FrameEncoder(network, ["first"], precision="fp32", device="cpu", pooling="none").encode(frames)["first"]
    with torch.inference_mode():
        exact = network.module.first(normalised(network, frames)).flatten(1)
    assert exact.min() < 0
    np.testing.assert_allclose(found, exact, atol=1e-6)


def test_the_network_given_stays_as_it_is(rng):
    network = build_network("test_resnet")
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    modules = [type(module) for module in network.module.modules()]
    FrameEncoder(network, ["layer2"], precision="bf16", device="cpu").encode(noise(rng, 2, network))
    assert [type(module) for module in network.module.modules()] == modules
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.module.modules())
    after = network.module.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


# precision


@pytest.mark.skipif(fast_precision(torch.device("cpu")) == "fp32", reason="this CPU has no bfloat16 of its own")
def test_half_precision_is_taken_where_it_agrees(lite, frames):
    encoder = FrameEncoder(lite, [*LITE_LAYERS, "classifier"], device="cpu")
    assert encoder.engine["precision"] == "bf16"
    assert 0.999 <= encoder.engine["agreement"] < 1
    exact = FrameEncoder(lite, encoder.layers, device="cpu", precision="fp32").encode(frames)
    for layer, features in encoder.encode(frames).items():
        deviations = [x - x.mean(0) for x in (features, exact[layer])]
        r = np.corrcoef(*(x.ravel() for x in deviations))[0, 1]
        assert 0.999 < r < 1, layer  # below 1: it is another precision


@pytest.mark.slow
@pytest.mark.skipif(fast_precision(torch.device("cpu")) == "fp32", reason="this CPU has no bfloat16 of its own")
def test_half_precision_agrees_on_a_real_film(lite, real_film):
    film = np.stack(list(itertools.islice(iter_frames(real_film, 0.2, lite.preprocessing.size), 32)))
    fast, exact = (FrameEncoder(lite, LITE_LAYERS, device="cpu", precision=p) for p in ("bf16", "fp32"))
    expected = exact.encode(film)
    for layer, features in fast.encode(film).items():
        deviations = [x - x.mean(0) for x in (features, expected[layer])]
        assert np.corrcoef(*(x.ravel() for x in deviations))[0, 1] > 0.999, layer


class _Cancelling(nn.Module):
    """Small differences of large numbers, which half precision does not have."""

    def __init__(self):
        super().__init__()
        self.large, self.end = nn.Identity(), nn.Identity()

    def forward(self, x):
        return self.end(self.large(x + 1000) - 1000)


def test_half_precision_is_not_taken_where_it_disagrees(rng):
    network = own_network(_Cancelling())
    auto = FrameEncoder(network, ["end"], device="cpu")
    assert auto.engine["precision"] == "fp32"
    forced = FrameEncoder(network, ["end"], device="cpu", precision="bf16").engine
    assert forced["precision"] == "bf16"
    assert forced["agreement"] < 0.9


def test_rounding_keeps_filters_that_see_no_light_blind():
    # an edge detector: its weights sum to 0, but rounded one by one they would not
    conv = nn.Conv2d(3, 1, 3, bias=False)
    weight = torch.tensor([0.3, 0.4, 0.1, -0.7, 0.2, -0.6, 0.05, 0.15, 0.1]).reshape(1, 1, 3, 3)
    conv.weight.data = (weight - weight.mean()).repeat(1, 3, 1, 1)
    network = own_network(nn.Sequential(conv, nn.Identity()))
    white = np.full((1, 8, 8, 3), 255, np.uint8)
    seen = FrameEncoder(network, ["1"], device="cpu", precision="bf16").encode(white)["1"]
    plain = abs(float(conv.weight.detach().bfloat16().float().sum()))
    assert abs(seen).max() < plain / 2


# streams


def test_results_do_not_depend_on_batches(rng):
    network = build_network("test_efficientnet")
    film = noise(rng, 15, network)
    layers = ["blocks.1", "blocks.3"]
    whole = FrameEncoder(network, layers, device="cpu", precision="fp32").encode(film)
    small = FrameEncoder(network, layers, device="cpu", precision="fp32", batch_size=4)
    for batches in ([film], [film[:7], film[7:]], [film[k : k + 1] for k in range(len(film))]):
        parts = list(small.stream(iter(batches)))
        assert [len(part["blocks.1"]) for part in parts] == [len(batch) for batch in batches]
        for layer, exact in whole.items():
            assert relative_error(np.concatenate([part[layer] for part in parts]), exact) < 1e-5


def test_a_stream_that_goes_on_later_gives_the_same_bytes(lite, frames):
    film = np.concatenate([frames, frames[::-1], frames[:3]])
    batches = [film[k : k + 4] for k in range(0, len(film), 4)]

    def features(start):
        return list(FrameEncoder(lite, LITE_LAYERS, device="cpu", batch_size=4).stream(batches[start:]))

    for first, second in zip(features(0)[2:], features(2), strict=True):
        assert all(first[layer].tobytes() == second[layer].tobytes() for layer in LITE_LAYERS)


def test_equal_frames_in_a_row_are_computed_once(rng):
    network = own_network(_Counting())
    encoder = FrameEncoder(network, ["last"], precision="fp32", device="cpu", pooling="none")
    sizes = []
    encoder._forward.module.first.register_forward_hook(lambda m, i, o: sizes.append(len(o)))
    a, b = noise(rng, 2, network)
    almost = b.copy()
    almost[3, 3, 1] ^= 1
    film = np.stack([a, a, a, b, almost, a, a])
    found = encoder.encode(film)["last"]
    assert sizes == [4]  # a, b, almost, a: what one bit makes of the last layer may be rounded away
    each = np.concatenate([encoder.encode(frame[None])["last"] for frame in film])
    np.testing.assert_allclose(found, each, rtol=1e-5)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


class _Narrow(nn.Module):
    """Runs out of memory with more than some frames, as torch itself does: a GPU where there is none."""

    def __init__(self, most):
        super().__init__()
        self.most, self.end, self.sizes = most, nn.Identity(), []

    def forward(self, x):
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.end(x)


def test_batches_are_halved_until_they_fit_and_stay_so(rng):
    module = _Narrow(8)
    network = own_network(module)
    encoder = FrameEncoder(network, ["end"], precision="fp32", device="cpu", batch_size=50)
    sizes = encoder._forward.module.sizes
    encoder._forward.module.most = 7
    sizes.clear()
    film = noise(rng, 20, network)
    found = list(encoder.stream([film, film[:9]]))
    assert sizes == [20, 10, 5, 5, 5, 5, 5, 4]
    assert encoder.engine["batch_size"] == 5
    np.testing.assert_allclose(found[0]["end"], film.mean((1, 2)) / 255, rtol=1e-5)
    np.testing.assert_allclose(found[1]["end"], film[:9].mean((1, 2)) / 255, rtol=1e-5)


def test_one_frame_that_does_not_fit_is_said(rng):
    network = own_network(_Narrow(8))
    encoder = FrameEncoder(network, ["end"], precision="fp32", device="cpu")
    encoder._forward.module.most = 0
    with pytest.raises(UsageError, match="device cpu: its memory does not suffice for one frame"):
        encoder.encode(noise(rng, 3, network))


def test_errors_of_the_source_come_after_what_was_before(rng):
    network = own_network(nn.Sequential(nn.Identity()))
    encoder = FrameEncoder(network, ["0"], device="cpu")

    def batches():
        yield noise(rng, 2, network)
        yield noise(rng, 3, network)
        raise UsageError("the film ends here")

    stream = encoder.stream(batches())
    assert [len(next(stream)["0"]) for _ in range(2)] == [2, 3]
    with pytest.raises(UsageError, match="the film ends here"):
        next(stream)


def test_an_abandoned_stream_closes_its_source(rng):
    network = own_network(nn.Sequential(nn.Identity()))
    closed = threading.Event()

    def batches():
        try:
            while True:
                yield noise(rng, 2, network)
        finally:
            closed.set()

    source = batches()
    stream = FrameEncoder(network, ["0"], device="cpu").stream(source)
    next(stream)
    stream.close()  # not only when nobody refers to the source any more
    assert closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_prefetching_stays_a_few_items_ahead():
    taken = []

    def items():
        for k in range(10):
            taken.append(k)
            yield k

    ready = prefetched(items(), str, ahead=2)
    assert next(ready) == "0"
    for _ in range(1000):  # until the thread has done what it may
        if len(taken) == 3:
            break
        time.sleep(0.001)
    time.sleep(0.02)
    assert taken == [0, 1, 2]
    assert list(ready) == [str(k) for k in range(1, 10)]


# devices, threads, memory


def test_threads_are_used_and_given_back(rng):
    network = own_network(_Counting())
    before = torch.get_num_threads()
    encoder = FrameEncoder(network, ["last"], device="cpu", threads=before + 1)
    used = []
    encoder._forward.module.first.register_forward_hook(lambda m, i, o: used.append(torch.get_num_threads()))
    for _ in encoder.stream([noise(rng, 2, network)] * 2):
        assert torch.get_num_threads() == before
    assert used == [before + 1] * 2
    assert encoder.engine["threads"] == before + 1


def test_the_engine_is_described_in_plain_values(lite):
    engine = FrameEncoder(lite, LITE_LAYERS, device="cpu", precision="fp32", batch_size=16, threads=1).engine
    expected = {"device": "cpu", "precision": "fp32", "agreement": 1.0, "folded": 49, "fused": 33, "batch_size": 16}
    assert engine == {**expected, "threads": 1, "compiled": False}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library is told to keep memory")
def test_memory_is_kept_from_batch_to_batch_and_given_back(rng):
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before, size = resident(), 300 * 2**20
    with kept_memory(torch.device("cpu")):
        for _ in range(2):
            np.ones(size, np.uint8)
            assert resident() > before + 0.9 * size
    assert resident() < before + 0.1 * size


def test_results_do_not_hold_on_to_batches(rng):
    network = own_network(_Counting())
    encoder = FrameEncoder(network, ["first", "last"], device="cpu")
    found = encoder.encode(noise(rng, 3, network))
    assert all(x.base is None for x in found.values())
    assert not encoder._forward._taps._taken


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_refused(device):
    with pytest.raises(UsageError, match=rf"device '{device}': PyTorch .* sees no CUDA GPUs here\.$"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:x", ""])
def test_devices_that_do_not_exist_are_refused(device):
    with pytest.raises(UsageError, match=r'must be "auto", "cpu", "cuda", "cuda:1" or "mps"'):
        resolve_device(device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_gpu_gives_what_the_cpu_gives(lite, frames, precision):
    film = np.concatenate([frames] * 5)
    exact = FrameEncoder(lite, LITE_LAYERS, device="cpu", precision="fp32").encode(film)
    encoder = FrameEncoder(lite, LITE_LAYERS, device="cuda", precision=precision)
    found = list(encoder.stream(film[k : k + 7] for k in range(0, len(film), 7)))
    for layer, expected in exact.items():
        stacked = np.concatenate([features[layer] for features in found])
        tolerance = 1e-3 if precision == "fp32" else 5e-2
        assert relative_error(stacked, expected) < tolerance


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch.compile's own imports
def test_compiled_networks_give_the_same(rng):
    stages = [nn.Sequential(nn.Conv2d(n, 4, 3), nn.BatchNorm2d(4), nn.ReLU()) for n in (3, 4)]
    network = own_network(Ended(nn.Sequential(*stages)))
    film = noise(rng, 7, network)
    layers = ["body.0", "body.1.1", "end"]
    options = {"device": "cpu", "precision": "fp32", "batch_size": 4}
    exact = FrameEncoder(network, layers, **options).encode(film)
    encoder = FrameEncoder(network, layers, compile=True, **options)
    assert encoder.engine["compiled"]
    for layer, found in encoder.encode(film).items():
        assert found.shape == exact[layer].shape
        assert relative_error(found, exact[layer]) < 1e-4


# what cannot be


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        (["blocks.7"], {}, r"layer 'blocks\.7': efficientnet-lite0 has none of that name\. Did you mean blocks\."),
        (["block.4.1"], {}, r"Did you mean blocks\.4\.1"),
        ([], {}, "no layers are asked for"),
        (["blocks.4"], {"pooling": "cls"}, "'cls' does not go with layer 'blocks.4', which is a map"),
        (["blocks.4"], {"pooling": "mean"}, "pooling 'mean' must be one of"),
        (["blocks.4"], {"precision": "int8"}, "precision 'int8' must be one of auto, fp32, bf16, fp16"),
        (["blocks.4"], {"batch_size": 0}, "batch_size=0 must be at least 1"),
        (["blocks.4"], {"threads": 0}, "threads=0 must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(lite, layers, options, message):
    with pytest.raises(UsageError, match=message):
        FrameEncoder(lite, layers, device="cpu", **options)


def test_networks_in_training_are_refused():
    module = nn.Sequential(nn.Identity())
    network = own_network(module)
    module.train()
    with pytest.raises(UsageError, match=r"network own is in training mode: network\.module\.eval\(\) ends it"):
        FrameEncoder(network, ["0"], device="cpu")


def test_a_network_that_does_not_fit_is_said():
    with pytest.raises(UsageError, match="device cpu: its memory does not suffice for own"):
        FrameEncoder(own_network(_Narrow(1)), ["end"], device="cpu")


def test_layers_that_give_no_row_per_frame_are_refused():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.list, self.pair, self.windows = nn.ModuleList([nn.Identity()]), _Pair(), nn.Flatten(0, 1)

        def forward(self, x):
            x, _ = self.pair(self.list[0](x))
            return self.windows(x)

    class _Pair(nn.Module):
        def forward(self, x):
            return x, x

    network = own_network(Odd())
    assert list(layer_shapes(network)) == ["list.0"]
    with pytest.raises(UsageError, match="layer 'list' of own is never run as a whole; take a layer inside it"):
        FrameEncoder(network, ["list"], device="cpu")
    for layer in ("pair", "windows"):
        with pytest.raises(UsageError, match=f"layer '{layer}' of own does not give one tensor with a row per frame"):
            FrameEncoder(network, [layer], device="cpu")


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 8, 9, 3), np.uint8), np.zeros((2, 8, 8, 3)), np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_frames_of_another_kind_are_refused(frames):
    with pytest.raises(ValueError, match=r"expected uint8 \(b, 8, 8, 3\)"):
        FrameEncoder(own_network(_Counting()), ["first"], device="cpu").encode(frames)


def test_frames_may_be_read_only_and_of_any_layout(rng):
    network = own_network(_Counting())
    encoder = FrameEncoder(network, ["first"], device="cpu")
    frames = noise(rng, 3, network)
    exact = encoder.encode(frames)["first"]
    fixed = frames.copy()
    fixed.flags.writeable = False
    for version in (fixed, np.asfortranarray(frames)):
        np.testing.assert_array_equal(encoder.encode(version)["first"], exact)

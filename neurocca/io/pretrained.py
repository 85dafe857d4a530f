"""Weights that timm and torchvision publish: from their caches on this machine, or by download."""

import os
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import huggingface_hub
import torch
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from torch import nn

from neurocca.errors import DataError, NoInputError
from neurocca.features.networks import (
    PACKAGED,
    Network,
    WeightsInfo,
    build_network,
    describe,
    import_timm,
    import_torchvision,
    resolve_name,
)
from neurocca.io.files import sha256

Announce = Callable[[str], object]
"""Told in a line what will be downloaded."""

_TIMEOUT = 10.0  # seconds
_INSTEAD = f"give a file of weights, or take {', '.join(PACKAGED)}, whose weights are installed"


def timm_network(name: str, announce: Announce | None = None) -> Network:
    """A network of timm with the weights that timm publishes.

    Raises
    ------
    NoInputError
        When there are none, or they are not here and cannot be downloaded.
    DataError
        When the file in timm's cache is damaged.
    """
    network = build_network(name)
    config = network.module.pretrained_cfg
    if not isinstance(config, dict) or not (config.get("hf_hub_id") or config.get("url")):
        raise NoInputError(f"weights of {name}: timm has none: {_INSTEAD}.")
    overlay: dict[str, Any] = {}
    if config.get("hf_hub_id"):
        path = _hub_file(config["hf_hub_id"], config.get("hf_hub_filename"), _size(network.module), announce)
        overlay["custom_load"] = False  # of the original files, which on the hub are converted
    else:
        path = _url_file(config["url"], _size(network.module), announce)
    try:
        # timm, not neurocca, knows how names in a file differ from those of its network
        with torch.random.fork_rng(devices=[]):
            model = resolve_name(name)[1]
            overlay["file"] = str(path)
            module = import_timm().create_model(model, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:  # what is raised depends on the format and on where the file is damaged
        line = " ".join(str(error).split())[:200]
        raise DataError(
            f"weights {path}: cannot be read into {name}: {line} Delete the file to fetch it anew."
        ) from error
    source = config.get("hf_hub_id") or config["url"]
    citation = config.get("paper_ids") or config.get("origin_url") or ""
    info = WeightsInfo(source, sha256(path), config.get("license") or "", str(citation))
    return replace(describe(name, module), weights=info)


def torchvision_file(model: str, announce: Announce | None = None) -> tuple[Path, WeightsInfo]:
    """The file of the newest weights that torchvision publishes for a model.

    Raises
    ------
    NoInputError
        When it is not here and cannot be downloaded.
    """
    weights = import_torchvision().models.get_model_weights(model).DEFAULT
    path = _url_file(weights.url, weights.meta["_file_size"], announce)
    return path, WeightsInfo(weights.url, sha256(path), citation=weights.meta["recipe"])


def _size(module: nn.Module) -> float:
    """Megabytes of a network's parameters."""
    return sum(p.numel() for p in module.parameters()) * 4e-6


def _url_file(url: str, megabytes: float, announce: Announce | None) -> Path:
    """The file in PyTorch's cache, fetched where it is missing."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(urlsplit(url).path)
    if path.is_file():
        return path
    stem = path.stem.rpartition("-")[2]
    is_hash = len(stem) >= 8 and all(c in "0123456789abcdef" for c in stem)
    _announce(url, megabytes, announce)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), stem if is_hash else None, progress=False)
    except (OSError, RuntimeError) as error:  # the latter is of a wrong hash
        raise _unreachable(url, megabytes, error) from error
    return path


def _hub_file(repository: str, filename: str | None, megabytes: float, announce: Announce | None) -> Path:
    """The file in the Hugging Face hub's cache, fetched where it is missing; safetensors before pickles."""
    repository, _, revision = repository.partition("@")
    pickled = filename or "pytorch_model.bin"
    safe = f"{pickled.removesuffix('.bin')}.safetensors".replace("pytorch_model", "model")
    for name in (safe, pickled):
        found = huggingface_hub.try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(found, str):
            return Path(found)
    url = f"{huggingface_hub.constants.ENDPOINT}/{repository}"
    _announce(url, megabytes, announce)
    try:
        _reach(huggingface_hub.constants.ENDPOINT)
        if huggingface_hub.file_exists(repository, safe, revision=revision or None):
            pickled = safe
        return Path(huggingface_hub.hf_hub_download(repository, pickled, revision=revision or None))
    except (OSError, HfHubHTTPError, EntryNotFoundError) as error:
        raise _unreachable(url, megabytes, error) from error


def _reach(url: str) -> None:
    """Raise at once where there is no network: the hub's own client would try for most of a minute."""
    with suppress(HTTPError):  # an answer, whatever it says
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_TIMEOUT).close()


def _announce(url: str, megabytes: float, announce: Announce | None) -> None:
    if announce is not None:
        announce(f"downloading weights, about {megabytes:.0f} MB: {url}")


def _unreachable(url: str, megabytes: float, error: Exception) -> NoInputError:
    reason = error.reason if isinstance(error, URLError) else error
    line = " ".join(str(reason).split())[:200]
    return NoInputError(
        f"weights {url} (about {megabytes:.0f} MB) are not here and cannot be downloaded ({line}): {_INSTEAD}."
    )

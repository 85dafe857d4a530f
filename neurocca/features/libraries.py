"""Libraries of vision networks, timm and torchvision: importing them, and the names of what they have."""

import difflib
import importlib
import sys
import threading
from collections.abc import Iterable
from types import ModuleType

from torch.library import Library

from neurocca.errors import UsageError

PACKAGED = {f"efficientnet-lite{i}": f"tf_efficientnet_lite{i}" for i in range(3)}
"""Networks whose trained weights are installed with neurocca, and timm's name of the same architecture."""

_LIBRARIES = ("timm", "torchvision")

_lock = threading.Lock()
_operators: list[Library] = []  # an operator lives as long as the library object that defines it


def import_torchvision() -> ModuleType:
    """Import torchvision, also the one of the package index, which is built for CUDA, beside a torch without CUDA.

    There the import stops because two operators of its compiled part are absent. Neither is of use here (they sort
    out overlapping boxes), so they are declared and left without content, and the import is tried again.
    """
    with _lock:
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            if "operator torchvision::" not in str(error):
                raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _operators.append(library)
        return importlib.import_module("torchvision")


def import_timm() -> ModuleType:
    """Import timm, which needs torchvision."""
    import_torchvision()
    return importlib.import_module("timm")


def resolve_name(name: str) -> tuple[str, str]:
    """Library that a network's name belongs to, and its name there.

    Raises
    ------
    UsageError
        When there is no such network.
    """
    if name in PACKAGED:
        return "timm", PACKAGED[name]
    prefix, colon, rest = name.partition(":")
    if not colon:
        found = [library for library in _LIBRARIES if _has_model(library, name)]
        if found:
            return found[0], name
    elif prefix in _LIBRARIES and _has_model(prefix, rest):
        return prefix, rest
    where = f"{prefix} does not have it" if colon and prefix in _LIBRARIES else "neither timm nor torchvision has it"
    raise UsageError(f"model {name!r}: {where}.{did_you_mean(rest or name, _all_names('.' in name))}")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A question after names that are like one that does not exist, led in by a space; "" when none is."""
    plain = {known.lower().replace("_", "-"): known for known in reversed(list(names))}
    like = difflib.get_close_matches(name.lower().replace("_", "-"), plain, n=3, cutoff=0.5)
    return f" Did you mean {', '.join(plain[known] for known in like)}?" if like else ""


def _has_model(library: str, name: str) -> bool:
    if library == "torchvision":
        return name in _torchvision_names()
    timm = import_timm()
    # timm knows the architecture of a name with any tag, so tags are looked up
    return bool(timm.is_model(name)) and ("." not in name or name in timm.list_models(name, include_tags=True))


def _torchvision_names() -> list[str]:
    models = import_torchvision().models
    return list(models.list_models(module=models))


def _all_names(tags: bool) -> list[str]:
    return [*PACKAGED, *import_timm().list_models(include_tags=tags), *_torchvision_names()]

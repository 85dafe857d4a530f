"""Running a network fast on what hardware there is: folded, channels last, in half precision where that agrees."""

import copy
import ctypes
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from neurocca.errors import UsageError
from neurocca.features.folding import Pairs, fuse
from neurocca.features.networks import Preprocessing
from neurocca.features.taps import Take, Taps

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# of mallopt(3)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4


def resolve_device(device: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one.

    Raises
    ------
    UsageError
        When there is no such device.
    """
    if device == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(best)
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f'device {device!r} must be "auto", "cpu", "cuda", "cuda:1" or "mps".') from error
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= n_gpus:
        raise UsageError(f"device {device!r}: PyTorch {torch.__version__} sees {n_gpus or 'no'} CUDA GPUs here.")
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"device {device!r}: PyTorch {torch.__version__} sees no Apple GPU here.")
    if found.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f'device {device!r} must be "auto", "cpu", "cuda", "cuda:1" or "mps".')
    return found


def fast_precision(device: torch.device) -> str:
    """The precision in which a device is fastest and may be accurate enough."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    # on other processors bfloat16 is emulated, which is slow
    is_native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if device.type == "cpu" and is_native() else "fp32"


class Forward:
    """A network's forward pass on one device, up to the last of some layers.

    The network given stays as it is.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode.
    preprocessing : Preprocessing
    takes : dict of callable
        What to make of each layer's output, by module path.
    calls : list of str
        Module paths in the order in which a pass calls them.
    device : torch.device
    dtype : torch.dtype
        Of weights and of what goes through the network.
    fused : list of (str, str)
        Convolutions, and activations that they are to compute; on the CPU only.
    """

    def __init__(
        self,
        module: nn.Module,
        preprocessing: Preprocessing,
        takes: Mapping[str, Take],
        calls: Collection[str],
        *,
        device: torch.device,
        dtype: torch.dtype,
        fused: Pairs | None = None,
    ) -> None:
        self.device, self.dtype = device, dtype
        self.module = copy.deepcopy(module)
        if dtype != torch.float32:
            round_filters(self.module, dtype)
        self.module.to(device, dtype)
        self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for part in self.module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.float()  # half-precision variances are too coarse
        fuse(self.module, fused or [])
        self._taps = Taps(self.module, dict(takes), calls)
        width = preprocessing.size[0]
        std = 255 * np.array(preprocessing.std)
        # a whole row of pixels at once: loops over three channels are slow
        scale, shift = np.tile(1 / std, width), np.tile(np.array(preprocessing.mean) * 255 / std, width)
        self._scale, self._shift = (torch.tensor(row, dtype=torch.float32, device=device) for row in (scale, shift))
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, frames: Tensor) -> dict[str, Tensor]:
        """Features of frames.

        Parameters
        ----------
        frames : Tensor, shape (b, H, W, 3), uint8
            In the CPU's memory; pinned, so that on CUDA sending them does not wait for the pass before.

        Returns
        -------
        dict of Tensor, each of shape (b, d), float32
            In the CPU's memory. On CUDA they are on their way: wait for the event that `mark` gives.
        """
        with torch.inference_mode():
            rows = self._sent(frames).flatten(2) * self._scale - self._shift
            x = rows.unflatten(2, (-1, 3)).to(self.dtype).permute(0, 3, 1, 2)  # channels last in memory
            is_cuda = self.device.type == "cuda"
            return {layer: y.to("cpu", non_blocking=is_cuda) for layer, y in self._taps(x).items()}

    def mark(self) -> torch.cuda.Event | None:
        """Event after all that was asked for so far; None where nothing runs on its own."""
        return torch.cuda.current_stream(self.device).record_event() if self._copies is not None else None

    def _sent(self, frames: Tensor) -> Tensor:
        if self._copies is None:
            return frames.to(self.device)
        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):
            sent = frames.to(self.device, non_blocking=True)
        current.wait_stream(self._copies)
        sent.record_stream(current)  # its memory is not given to the next copy before this pass is through
        return sent

    def compile(self) -> None:
        """Hand the largest parts that have no layer strictly inside to torch.compile; hooks stay outside."""
        for part in _parts_between(self.module, self._taps.layers):
            part.forward = torch.compile(part.forward)


def round_filters(module: nn.Module, dtype: torch.dtype) -> None:
    """Round convolutions to half precision, in place, such that the errors inside a filter cancel.

    Rounded one by one, the weights of a filter that answers to edges no longer sum to 0, and it answers to light:
    in EfficientNet-Lite0 that alone costs more accuracy than all else that half precision does.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            filters = part.weight.detach().flatten(1)
            error = torch.zeros_like(filters[:, 0])
            for k in range(filters.shape[1]):
                exact = filters[:, k] + error
                filters[:, k] = exact.to(dtype)
                error = exact - filters[:, k]
            part.weight.data.copy_(filters.view_as(part.weight))


def _parts_between(module: nn.Module, layers: Collection[str], prefix: str = "") -> Iterator[nn.Module]:
    is_container = isinstance(module, nn.ModuleList | nn.ModuleDict)  # these are never called themselves
    if is_container or any(layer.startswith(prefix) for layer in layers):
        for name, child in module.named_children():
            yield from _parts_between(child, layers, f"{prefix}{name}.")
    else:
        yield module


@contextmanager
def reproducible(threads: int | None, device: torch.device) -> Iterator[None]:
    """Run with so many CPU threads and, on CUDA, without what is inexact or differs from run to run.

    Everything is left as it was.
    """
    before = torch.get_num_threads()
    with ExitStack() as stack:
        if threads is not None and threads != before:
            torch.set_num_threads(threads)
            stack.callback(torch.set_num_threads, before)
        if device.type == "cuda":
            flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
            stack.enter_context(flags)
        yield


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """On the CPU, keep the memory of a pass for the next one, and give it back at the end.

    The GNU C library would return what is larger than 32 MiB to the system, which clears it page by page when it is
    asked for again; that took half of the time of a pass. Other libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if device.type != "cpu" or mallopt is None:
        yield
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)
    try:
        yield
    finally:
        # the library raises its thresholds to these by itself when large blocks come and go
        mallopt(_M_MMAP_MAX, 1 << 16)
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        ctypes.CDLL(None).malloc_trim(0)

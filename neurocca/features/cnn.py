"""Features of film frames: what the layers of a trained vision network make of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurocca.errors import UsageError
from neurocca.features.engine import PRECISIONS, kept_memory, reproducible, resolve_device
from neurocca.features.networks import Call, Network, did_you_mean, trace
from neurocca.features.pooling import Output, check_pooling, feature_names, pool, read_output
from neurocca.features.precision import choose_forward
from neurocca.features.prefetch import prefetched

Features = dict[str, NDArray[np.float32]]
_Prepared = tuple[Tensor, NDArray[np.intp]]


class FrameEncoder:
    """Layers of a network as features of frames.

    All layers come from one pass, which ends with the last of them. Equal frames in a row inside a batch are computed
    once. The same batches give the same bytes on the same machine with as many threads; in other batches a frame's
    features can differ in the last digits. The network given is left as it is.

    Parameters
    ----------
    network : Network
    layers : sequence of str
        Module paths, such as "blocks.4"; `neurocca.features.networks.layer_shapes` has all of them.
    pooling : str
        One of `neurocca.features.pooling.POOLINGS`.
    device : str
        "cpu", "cuda", "cuda:1", "mps", or "auto" for a GPU where there is one.
    precision : str
        "fp32", "bf16", "fp16", or "auto": the fastest on this device that agrees with fp32 in every layer, which
        means a correlation of at least .999 on frames made for this.
    batch_size : int
        Frames per pass: few stay in a CPU's caches, a GPU wants 64 or more. Where they do not fit in the memory of
        a GPU it is halved until they do.
    compile : bool
        Whether to use torch.compile, which takes a minute and pays off in long films.
    threads : int, optional
        CPU threads of a pass; as many as PyTorch would use by default.

    Attributes
    ----------
    layers : tuple of str
    frame_size : (width, height)
        Of the frames that the network wants.
    engine : dict
        What is used: device, precision and its agreement with fp32, how many batch
        normalisations and activations are part of convolutions, batch size, threads, whether compiled.

    Raises
    ------
    UsageError
        When a layer, pooling, device or precision does not exist, or a pooling does not go with a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from neurocca.features.networks import build_network
    >>> encoder = FrameEncoder(build_network("test_resnet"), ["layer1", "fc"], precision="fp32")
    >>> width, height = encoder.frame_size
    >>> features = encoder.encode(np.zeros((2, height, width, 3), np.uint8))
    >>> {layer: data.shape for layer, data in features.items()}
    {'layer1': (2, 32), 'fc': (2, 1000)}
    """

    def __init__(
        self,
        network: Network,
        layers: Sequence[str],
        *,
        pooling: str = "avg",
        device: str = "auto",
        precision: str = "auto",
        batch_size: int = 16,
        compile: bool = False,
        threads: int | None = None,
    ) -> None:
        for name, number in (("batch_size", batch_size), ("threads", threads)):
            if number is not None and number < 1:
                raise UsageError(f"{name}={number} must be at least 1.")
        if precision != "auto" and precision not in PRECISIONS:
            raise UsageError(f"precision {precision!r} must be one of auto, {', '.join(PRECISIONS)}.")
        if network.module.training:
            raise UsageError(f"network {network.name} is in training mode: network.module.eval() ends it.")
        self.frame_size = network.preprocessing.size
        self._device, self._threads = resolve_device(device), threads
        self._batch_size, self._pooling, self._compiled = batch_size, pooling, compile
        calls = trace(network)
        self._outputs = _outputs(network, layers, pooling, calls)
        self.layers = tuple(self._outputs)
        takes = {layer: partial(pool, output=output, pooling=pooling) for layer, output in self._outputs.items()}
        paths = [path for path, _ in calls]
        try:
            with self._reproducible():
                self._forward, self._chosen = choose_forward(
                    network, takes, paths, self._device, precision, fusing=not compile
                )
        except torch.cuda.OutOfMemoryError as error:
            raise UsageError(f"device {self._device}: its memory does not suffice for {network.name}.") from error
        if compile:
            self._forward.compile()

    def names(self, layer: str) -> tuple[str, ...]:
        """Names of a layer's features; see `neurocca.features.pooling.feature_names` for their order."""
        return feature_names(self._outputs[layer], self._pooling)

    @property
    def engine(self) -> dict[str, Any]:
        """What is used, in values that JSON knows."""
        return {
            "device": str(self._device),
            **self._chosen,
            "batch_size": self._batch_size,
            "threads": self._threads or torch.get_num_threads(),
            "compiled": self._compiled,
        }

    def encode(self, frames: NDArray[np.uint8]) -> Features:
        """Features of some frames.

        Parameters
        ----------
        frames : array, shape (b, H, W, 3), uint8
            RGB, of `frame_size`.

        Returns
        -------
        dict of array, each of shape (b, d), float32
            By layer.

        Raises
        ------
        ValueError
            When the frames are of another size or type.
        """
        return self._launch(self._prepare(frames))()

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[Features]:
        """Features batch by batch; the next batches are fetched and sent to the device meanwhile.

        Parameters
        ----------
        batches : iterable of array, each of shape (b, H, W, 3), uint8
            Taken in a thread, up to three ahead. They must not be changed after they are handed over.

        Yields
        ------
        dict of array, each of shape (b, d), float32
            As `encode` gives them, one per batch.
        """
        pending: list[Callable[[], Features]] = []
        lag = 1 if self._device.type == "cuda" else 0  # the GPU works on one batch while the next is sent
        with kept_memory(self._device):
            for prepared in prefetched(batches, self._prepare):
                pending.append(self._launch(prepared))
                if len(pending) > lag:
                    yield pending.pop(0)()
            for finish in pending:
                yield finish()

    def _reproducible(self) -> AbstractContextManager[None]:
        return reproducible(self._threads, self._device)

    def _prepare(self, frames: NDArray[np.uint8]) -> _Prepared:
        """Frames to compute, and which of them each frame is."""
        width, height = self.frame_size
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (height, width, 3) or not len(frames):
            raise ValueError(f"frames are {frames.dtype} {frames.shape}: expected uint8 (b, {height}, {width}, 3).")
        is_new = [k == 0 or not np.array_equal(frames[k], frames[k - 1]) for k in range(len(frames))]
        if not all(is_new):
            frames = frames[is_new]
        tensor = torch.from_numpy(np.require(frames, requirements=["C", "W"]))
        return tensor.pin_memory() if self._device.type == "cuda" else tensor, np.cumsum(is_new) - 1

    def _launch(self, prepared: _Prepared) -> Callable[[], Features]:
        """Begin with a batch; what comes back waits for its end and gives the features."""
        frames, which = prepared
        parts: list[dict[str, Tensor]] = []
        start = 0
        with self._reproducible():
            while start < len(frames):
                part = self._attempt(frames[start : start + self._batch_size])
                if part is not None:
                    parts.append(part)
                    start += self._batch_size
            done = self._forward.mark()

        def finish() -> Features:
            if done is not None:
                done.synchronize()
            return {layer: torch.cat([part[layer] for part in parts]).numpy()[which] for layer in self.layers}

        return finish

    def _attempt(self, frames: Tensor) -> dict[str, Tensor] | None:
        """One pass; where memory does not suffice, None and from now on smaller batches."""
        n = len(frames)
        if self._compiled and n < self._batch_size:  # another number of frames would be compiled anew
            frames = torch.cat([frames, frames[-1:].expand(self._batch_size - n, -1, -1, -1)])
        try:
            part = self._forward(frames)
        except torch.cuda.OutOfMemoryError as error:
            if self._batch_size == 1:
                raise UsageError(f"device {self._device}: its memory does not suffice for one frame.") from error
        else:
            return {layer: features[:n] for layer, features in part.items()}
        # not in the except block, where the error holds on to the tensors of the pass
        self._batch_size = max(1, min(self._batch_size, n) // 2)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return None


def _outputs(network: Network, layers: Sequence[str], pooling: str, calls: list[Call]) -> dict[str, Output]:
    shapes = dict(calls)
    module = network.module
    prefix = getattr(module, "num_prefix_tokens", 1 if hasattr(module, "class_token") else 0)
    outputs = {}
    for layer in layers:
        shape = shapes.get(layer)
        if shape is None:
            raise UsageError(_no_layer(network, layer, shapes))
        outputs[layer] = read_output(layer, shape, prefix=prefix)
        check_pooling(layer, outputs[layer], pooling)
    if not outputs:
        raise UsageError("no layers are asked for.")
    return outputs


def _no_layer(network: Network, layer: str, shapes: dict[str, tuple[int, ...] | None]) -> str:
    if layer in shapes:
        return f"layer {layer!r} of {network.name} does not give one tensor with a row per frame."
    if layer in dict(network.module.named_modules()):
        return f"layer {layer!r} of {network.name} is never run as a whole; take a layer inside it."
    usable = [path for path, shape in shapes.items() if shape is not None]
    return f"layer {layer!r}: {network.name} has none of that name.{did_you_mean(layer, usable)}"

"""Features averaged over many versions of each frame, and how much they differ between these."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurocca.errors import UsageError
from neurocca.features.augment import Augmentation
from neurocca.features.cnn import Features, FrameEncoder


class Moments(NamedTuple):
    """Mean and variance over the views of a frame, each of shape (b, d), float32; the variance divides by n_views."""

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]


class AugmentedEncoder:
    """A frame encoder that looks at every frame several times: as it is, then augmented.

    The first view is the frame itself, so that one view gives the plain features with variance 0. Time grows with the
    number of views, memory does not.

    Parameters
    ----------
    encoder : FrameEncoder
    augmentation : Augmentation, optional
        By default all kinds at their default strengths.
    n_views : int
        Number of views, the frame itself among them.
    seed : int
        Another seed for every film, lest shots of the same number get the same views.

    Raises
    ------
    UsageError
        When there is no view.

    Examples
    --------
    >>> from neurocca.features.networks import build_network
    >>> plain = FrameEncoder(build_network("test_resnet"), ["layer1"], precision="fp32")
    >>> encoder = AugmentedEncoder(plain, Augmentation(["flip"], strength=1), n_views=3)
    >>> width, height = encoder.frame_size
    >>> moments = encoder.encode(np.zeros((2, height, width, 3), np.uint8), shots=[0, 1])
    >>> moments["layer1"].mean.shape, float(moments["layer1"].variance.max())
    ((2, 32), 0.0)
    """

    def __init__(
        self, encoder: FrameEncoder, augmentation: Augmentation | None = None, *, n_views: int = 8, seed: int = 0
    ) -> None:
        if n_views < 1:
            raise UsageError(f"n_views={n_views} must be at least 1.")
        self.encoder, self.augmentation = encoder, augmentation or Augmentation()
        self.n_views, self.seed = n_views, seed
        self.frame_size, self.layers = encoder.frame_size, encoder.layers

    def names(self, layer: str) -> tuple[str, ...]:
        """Names of a layer's features, as the encoder has them."""
        return self.encoder.names(layer)

    def encode(self, frames: NDArray[np.uint8], shots: ArrayLike | None = None) -> dict[str, Moments]:
        """Moments of the features of some frames.

        Parameters
        ----------
        frames : array, shape (b, H, W, 3), uint8
        shots : array of int, shape (b,), optional
            Number in the film of the shot that each frame belongs to, of `neurocca.features.augment.shot_numbers`;
            without it, all are of one.

        Returns
        -------
        dict of Moments
            By layer.
        """
        return next(self.stream([(frames, shots)]))

    def stream(self, batches: Iterable[tuple[NDArray[np.uint8], ArrayLike | None]]) -> Iterator[dict[str, Moments]]:
        """Moments batch by batch; the next views are made while the network looks at one.

        Parameters
        ----------
        batches : iterable of pairs
            Frames and shots, as `encode` takes them.

        Yields
        ------
        dict of Moments
            One per batch.
        """
        views = (view for frames, shots in batches for view in self._views(frames, shots))
        features = self.encoder.stream(views)
        while (moments := _moments(islice(features, self.n_views))) is not None:
            yield moments

    def _views(self, frames: NDArray[np.uint8], shots: ArrayLike | None) -> Iterator[NDArray[np.uint8]]:
        yield frames
        for view in range(1, self.n_views):
            yield self.augmentation(frames, seed=self.seed, view=view, shots=shots)


class ViewVariance:
    """How much of a film's features is due to the view, gathered batch by batch."""

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}

    def update(self, moments: Mapping[str, Moments]) -> None:
        """Add the frames of a batch, as an `AugmentedEncoder` gives them."""
        for layer, (mean, variance) in moments.items():
            batch = _sums(mean, variance)
            self._sums[layer] = _merged(self._sums[layer], batch) if layer in self._sums else batch

    def state(self) -> dict[str, NDArray[np.float64]]:
        """What has been gathered, to go on from; an array per layer."""
        return dict(self._sums)

    def restore(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Go on from what `state` gave."""
        self._sums = {layer: np.array(sums, dtype=np.float64) for layer, sums in state.items()}

    def table(self) -> pd.DataFrame:
        """A row per layer.

        Returns
        -------
        DataFrame
            ``layer``; ``n_frames``; ``within``, the variance over views, and ``between``, the variance over frames of
            the mean over views, both averaged over features; ``share``, within / (within + between).
        """
        rows = []
        for layer, (n, _, squares, variances) in self._sums.items():
            within, between = float(np.mean(variances / n)), float(np.mean(squares / n))
            share = within / (within + between) if within else 0.0
            rows.append((layer, int(n[0]), within, between, share))
        return pd.DataFrame(rows, columns=["layer", "n_frames", "within", "between", "share"])


def _moments(views: Iterable[Features]) -> dict[str, Moments] | None:
    """Mean and variance of the views, one after the other (Welford 1962); None of no views."""
    means: dict[str, NDArray[np.float64]] = {}
    squares: dict[str, NDArray[np.float64]] = {}
    n = 0
    for n, features in enumerate(views, start=1):
        for layer, x in features.items():
            step = x - means.get(layer, 0.0)
            means[layer] = means.get(layer, 0.0) + step / n
            squares[layer] = squares.get(layer, 0.0) + step * (x - means[layer])
    if not n:
        return None
    return {
        layer: Moments(mean.astype(np.float32), (squares[layer] / n).astype(np.float32))
        for layer, mean in means.items()
    }


def _sums(mean: NDArray, variance: NDArray) -> NDArray[np.float64]:
    """Number of frames, mean, squared deviations from it and sum of variances, shape (4, d)."""
    centre = mean.mean(axis=0, dtype=np.float64)
    squares = np.sum((mean - centre) ** 2, axis=0)
    return np.stack([np.full_like(centre, len(mean)), centre, squares, variance.sum(axis=0, dtype=np.float64)])


def _merged(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of two sets of frames together (Chan, Golub & LeVeque 1983)."""
    n, step = a[0] + b[0], b[1] - a[1]
    squares = a[2] + b[2] + step**2 * a[0] * b[0] / n
    return np.stack([n, a[1] + step * b[0] / n, squares, a[3] + b[3]])

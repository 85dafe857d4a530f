"""The pass of a film through a network."""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurocca.config import FeaturesConfig
from neurocca.errors import DataError
from neurocca.io.files import sha256
from neurocca.io.movie import iter_batches, n_samples
from neurocca.io.parts import Parts
from neurocca.io.timeseries import check_file
from neurocca.steps.measures import Shots
from neurocca.steps.passes import BLOCK, SMALL_WIDTH, STATE, About, Done, Film, block_size, listed
from neurocca.steps.reduction import Projection, Transform
from neurocca.steps.seen import tuning_of

if TYPE_CHECKING:
    from neurocca.features.cnn import FrameEncoder
    from neurocca.features.networks import Network

log = logging.getLogger(__name__)

Frames = NDArray[np.uint8]
Rows = dict[str, NDArray[np.float32]]

DEFAULT_LAYERS = dict.fromkeys((f"efficientnet-lite{i}" for i in range(3)), ("blocks.2", "blocks.4", "blocks.6"))
"""Layers taken where none are asked for: an early, a middle and the last stage."""


def layer_space(model: str, layer: str) -> str:
    """Name of the feature space of a layer.

    Examples
    --------
    >>> layer_space("timm:resnet50.a1_in1k", "layer3")
    'resnet50.a1_in1k_layer3'
    """
    return f"{model.rpartition(':')[2]}_{layer}".replace("/", "-")


@dataclass(frozen=True)
class NetworkPass:
    """Layers of a network, one feature space each.

    Parameters
    ----------
    config : FeaturesConfig
    layers : tuple of str
    weights : str
        SHA-256 of the weights.
    projection : Projection
        What is applied to rows before they are saved.
    device : str
    """

    config: FeaturesConfig
    layers: tuple[str, ...]
    weights: str
    projection: Projection
    device: str

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.config.model

    @property
    def spaces(self) -> tuple[str, ...]:
        """One space per layer."""
        return tuple(layer_space(self.config.model, layer) for layer in self.layers)

    def settings(self, film: Film, space: str) -> dict[str, Any]:
        """Network and sampling."""
        config = self.config
        augmentation = {"n_views": config.n_views, "augment_strength": config.augment_strength}
        return {
            "rate": config.rate,
            "window": config.window,
            "crop": listed(film.crop),
            "model": config.model,
            "weights": self.weights,
            "pooling": config.pooling,
            "precision": config.precision,
            **(augmentation if config.n_views else {}),
            **self.projection.settings(space),
        }

    def total(self, film: Film) -> int:
        """Frames that the network sees."""
        return n_samples(film.info.duration, self.config.rate)

    def check(self, film: Film) -> None:
        """See FilmPass; what is wrong with the reduction is a UsageError."""
        encoder = network_encoder(self.config, self.layers, self.device)
        for layer, space in zip(self.layers, self.spaces, strict=True):
            self.projection.check(space, len(encoder.names(layer)))

    def engine(self) -> dict[str, str]:
        """What, beside settings, must be one and the same within a series: the kind of device, and the precision."""
        engine = network_encoder(self.config, self.layers, self.device).engine
        return {"device": engine["device"].partition(":")[0], "precision": engine["precision"]}

    def run(self, film: Film, parts: Parts, done: Done) -> About:
        """See FilmPass."""
        encoder, weights = network_encoder(self.config, self.layers, self.device), _network(self.config).weights
        if weights is None or weights.sha256 != self.weights:
            raise DataError(f"weights {self.config.weights}: changed while they were in use; run again.")
        block, finished = block_size(self.config.batch_size), len(parts)
        # the last block may be short: then the film has ended, and there are no more frames from there on
        n_rows = (finished - 1) * block + len(parts.load(finished - 1)[self.spaces[0]]) if finished else 0
        done(n_rows)
        projections: dict[str, Transform] = {}
        views = _Views(self.config, film, parts)
        rows = _counted(views.features(encoder, film_frames(film, self.config, n_rows), n_rows), done)
        for index, whole in enumerate(_grouped(rows, block), finished):
            saved: Rows = {}
            for layer, space in zip(self.layers, self.spaces, strict=True):
                if space not in projections:
                    projections[space] = self.projection.before_saving(space, whole[layer].shape[1])
                saved[space] = projections[space](whole[layer])
            parts.save(index, saved | views.state())
            n_rows += len(saved[self.spaces[0]])
        names = {space: encoder.names(layer) for layer, space in zip(self.layers, self.spaces, strict=True)}
        details = {"engine": encoder.engine, "weights": asdict(weights), **views.details()}
        if seen := tuning_of(self.config.weights):
            details["tuned_on"] = seen
        return About(names, n_rows, details)


class _Views:
    """Features of frames as they are, or averaged over augmented views, with what is gathered on the way."""

    def __init__(self, config: FeaturesConfig, film: Film, parts: Parts) -> None:
        self._config, self._film = config, film
        if not config.n_views:
            return
        from neurocca.features.augmented_encoder import ViewVariance

        self._variance = ViewVariance()
        if len(parts):
            last = parts.load(len(parts) - 1)
            self._variance.restore({k.removeprefix(STATE): v for k, v in last.items() if k.startswith(STATE)})

    def features(self, encoder: "FrameEncoder", frames: Iterator[Frames], first: int) -> Iterator[Rows]:
        """Rows of each batch of frames, the first of which is so far into the film."""
        if not self._config.n_views:
            yield from encoder.stream(frames)
            return
        from neurocca.features.augment import DEFAULT_STRENGTHS, Augmentation, shot_numbers
        from neurocca.features.augmented_encoder import AugmentedEncoder

        strength = self._config.augment_strength
        augmentation = Augmentation({kind: min(1.0, s * strength) for kind, s in DEFAULT_STRENGTHS.items()})
        seed = int(self._film.sha256[:8], 16)  # lest the same shot numbers of all films get the same views
        augmented = AugmentedEncoder(encoder, augmentation, n_views=self._config.n_views, seed=seed)
        cuts = np.ceil(film_cuts(self._film) * self._config.rate - 1e-9).astype(int)
        index = itertools.count(first, self._config.batch_size)
        batches = ((batch, shot_numbers(cuts, len(batch), next(index))) for batch in frames)
        for moments in augmented.stream(batches):
            self._variance.update(moments)
            yield {layer: mean for layer, (mean, _) in moments.items()}

    def state(self) -> dict[str, NDArray]:
        """What has to be known to go on after these rows."""
        return {STATE + layer: sums for layer, sums in self._variance.state().items()} if self._config.n_views else {}

    def details(self) -> dict[str, Any]:
        """How much of the features is due to the view."""
        return {"views": self._variance.table().to_dict("records")} if self._config.n_views else {}


def film_frames(film: Film, config: FeaturesConfig, start: int) -> Iterator[Frames]:
    """Batches of a film's frames as the network wants them, from one sample on."""
    preprocessing = _network(config).preprocessing
    fit: dict[str, Any] = {"fit": "cover", "resize": preprocessing.resize} if preprocessing.resize else {}
    if preprocessing.interpolation == "bilinear":  # for the few networks that ask for others, bicubic is near enough
        fit["interpolation"] = "bilinear"
    return iter_batches(
        film.path,
        config.rate,
        config.batch_size,
        preprocessing.size,
        crop=film.crop,
        window=config.window,
        start=start,
        **fit,
    )


def film_cuts(film: Film) -> NDArray[np.float64]:
    """Seconds at which the shots of a film begin, without the first."""
    rate = film.info.fps or 25.0
    shots = Shots(rate, rate)
    for frames in iter_batches(film.path, rate, BLOCK, film.size(SMALL_WIDTH), crop=film.crop):
        shots.update(frames)
    return shots.cuts()


def network_encoder(config: FeaturesConfig, layers: tuple[str, ...], device: str) -> "FrameEncoder":
    """The network of a configuration, ready to look at frames; kept from one film to the next."""
    return _encoder(_network(config), config, layers, device)


@lru_cache(maxsize=1)
def _encoder(network: "Network", config: FeaturesConfig, layers: tuple[str, ...], device: str) -> "FrameEncoder":
    from neurocca.features.cnn import FrameEncoder

    return FrameEncoder(
        network,
        layers,
        pooling=config.pooling,
        device=device,
        precision=config.precision,
        batch_size=config.batch_size,
        compile=config.compile,
    )


def _network(config: FeaturesConfig) -> "Network":
    return loaded_network(config.model, config.weights)


def loaded_network(model: str, weights: str) -> "Network":
    """A network with its weights; kept from one film to the next, for as long as the file of weights is the same."""
    if weights in ("pretrained", "random"):
        return _loaded(model, weights, "")
    check_file(Path(weights))
    return _loaded(model, weights, sha256(Path(weights)))


@lru_cache(maxsize=1)
def _loaded(model: str, weights: str, digest: str) -> "Network":
    from neurocca.io.weights import load_network

    return load_network(model, None if weights == "pretrained" else weights, announce=log.warning)


def default_layers(config: FeaturesConfig) -> tuple[str, ...]:
    """The layers asked for, or a few that the network's library takes for its stages."""
    if config.layers:
        return config.layers
    if config.model in DEFAULT_LAYERS:
        return DEFAULT_LAYERS[config.model]
    from neurocca.features.networks import stage_layers

    return stage_layers(_network(config))


def _grouped(rows: Iterable[Rows], size: int) -> Iterator[Rows]:
    """Rows of several batches as blocks of one size; the last one may be shorter."""
    waiting: list[Rows] = []
    n = 0
    for batch in rows:
        waiting.append(batch)
        n += len(next(iter(batch.values())))
        if n >= size:
            yield _joined(waiting)
            waiting, n = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[Rows]) -> Rows:
    return {layer: np.concatenate([batch[layer] for batch in batches]) for layer in batches[0]}


def _counted(rows: Iterable[Rows], done: Callable[[int], object]) -> Iterator[Rows]:
    for batch in rows:
        yield batch
        done(len(next(iter(batch.values()))))

"""The augmentation report of a film, as files."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurocca.config import FeaturesConfig
from neurocca.errors import DataError
from neurocca.features.augment import KINDS
from neurocca.features.augmentation_report import STRENGTHS, AugmentationReport
from neurocca.io.files import staged
from neurocca.steps.films import read_film
from neurocca.steps.network_pass import default_layers, film_cuts, film_frames, network_encoder
from neurocca.steps.passes import Film
from neurocca.steps.terminal import progress_bar

log = logging.getLogger(__name__)

N_FRAMES = 60
"""Frames that are looked at, one of each of so many shots."""


def write_augmentation_report(sources: Sequence[Path], folder: Path, config: FeaturesConfig) -> list[Path]:
    """Measure how far augmentation carries a film's features away, draw it, and say where frames stop being themselves.

    Parameters
    ----------
    sources : sequence of Path
        Films.
    folder : Path
        Gets ``augmentation.svg``, ``augmentation.tsv`` (every measurement) and ``augmentation_limits.tsv``.
    config : FeaturesConfig
        Network, layers and crop.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    DataError
        When the films have fewer than three shots.
    """
    from neurocca.features.augmentation_report import HALF_WAY, augmentation_examples, augmentation_report
    from neurocca.report.figures import augmentation_drift

    films = [read_film(source, str(number), config) for number, source in enumerate(sources, start=1)]
    layers, classes = default_layers(config), class_layer(config)
    encoder = network_encoder(config, (*layers, *([classes] if classes else ())), config.device)
    frames = np.concatenate([list(_frame_per_shot(film, config)) for film in films])
    if len(frames) < 3:
        raise DataError(f"{len(frames)} shots are too few: an augmentation report compares frames of different shots.")
    frames = frames[np.unique(np.linspace(0, len(frames) - 1, N_FRAMES).round().astype(int))]
    passes = 1 + (len(KINDS) + 1) * len(STRENGTHS[1:])  # of each kind, and of all together
    with progress_bar(len(frames) * passes, "augmentation", "frame") as done:
        report = augmentation_report(encoder, frames, labels=classes, progress=done)
    examples = augmentation_examples(frames[len(frames) // 2], report)
    figure = augmentation_drift(report.table, report.limits, examples, threshold=HALF_WAY, name="augmentation")
    _write(folder, report, figure)
    for line in report.lines():
        log.info("%s", line)
    return [folder / name for name in ("augmentation.svg", "augmentation.tsv", "augmentation_limits.tsv")]


def _write(folder: Path, report: AugmentationReport, figure: str) -> None:
    with staged(folder) as target:
        (target / "augmentation.svg").write_text(figure, encoding="utf-8")
        for name, table in (("augmentation", report.table), ("augmentation_limits", report.limits)):
            table.to_csv(target / f"{name}.tsv", sep="\t", index=False, lineterminator="\n", float_format="%.6g")


def _frame_per_shot(film: Film, config: FeaturesConfig) -> Iterator[NDArray[np.uint8]]:
    """The frame in the middle of every shot."""
    borders = np.concatenate([[0.0], film_cuts(film), [film.info.duration]])
    middles = np.floor((borders[:-1] + borders[1:]) / 2 * config.rate).astype(int)
    wanted, index = set(middles.tolist()), 0
    for batch in film_frames(film, replace(config, window="frame"), 0):
        for frame in batch:
            if index in wanted:
                yield frame.copy()
            index += 1


def class_layer(config: FeaturesConfig) -> str | None:
    """The layer of a network that has its class scores: the last one with as many outputs as it has labels."""
    from neurocca.features.networks import layer_shapes
    from neurocca.steps.network_pass import loaded_network

    network = loaded_network(config.model, config.weights)
    if network.labels is None:
        return None
    shapes = layer_shapes(network)
    return next((layer for layer in reversed(shapes) if shapes[layer] == (len(network.labels),)), None)

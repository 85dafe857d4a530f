"""Can too much of a good thing be good? How far augmented frames drift from what a network saw in the film itself.

Two things are measured, for every kind and strength, on frames of different shots:

* Drift of a layer's features: (1 - r with the frame's own original) / (1 - r between different frames of the film), 0
  where nothing changed and 1 where an augmented frame is as far from its original as any other frame. Features are
  z-scored over the film's frames before, as they are in any analysis of time series; without this all frames correlate,
  because some channels are always larger than others.
* Labels lost: the share of frames whose first class is no longer the first, or not even among the first five.

A frame stops being itself where in any layer it has gone half of the way to another frame, or where half of the frames
have lost their label from the first five. The first place alone would be too strict: it changes between the names of
like things. In Big Buck Bunny a frame's mirror image, to which drift is at most .13, loses it in a third of the shots.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from neurocca.features.augment import KINDS, Augmentation, amount, augment

STRENGTHS = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)

HALF_WAY = 0.5
"""Drift, and share of labels lost from the first five, at which frames stop being themselves."""

TOGETHER = "together"
"""All kinds at once, as `Augmentation` mixes them; here strength is the share of each kind's own limit."""

MARGIN = 2 / 3
"""Share of the way to where frames stop being themselves that recommended strengths go."""

_BLOCK = 32

Features = dict[str, NDArray[np.float32]]
Rows = list[dict[str, Any]]


class Encoder(Protocol):
    """What is needed of a `neurocca.features.cnn.FrameEncoder`."""

    layers: tuple[str, ...]

    def encode(self, frames: NDArray[np.uint8]) -> Features:
        """Features (b, d) of frames (b, H, W, 3), by layer."""
        ...


@dataclass(frozen=True)
class AugmentationReport:
    """What augmentation makes of a film's frames in a network's eyes.

    Attributes
    ----------
    table : DataFrame
        A row per kind, strength, layer and measure, with columns ``kind``, ``strength``, ``amount`` (the strength in
        the unit of its kind), ``layer``, ``measure`` and ``value``. Measures of a layer are ``drift`` and
        ``identified``, the share of the other frames that an augmented frame is less like than its own original (0.5
        by chance); those of class scores are ``top1_lost`` and ``top5_lost``.
    limits : DataFrame
        A row per kind with ``strength`` and ``amount`` up to which frames are still themselves, and ``limited_by``:
        the layer that ends it, "labels", or "" where strength 1 is within it.
    n_frames : int
    """

    table: pd.DataFrame
    limits: pd.DataFrame
    n_frames: int

    @property
    def strengths(self) -> dict[str, float]:
        """Strengths for all kinds together: `MARGIN` of those at which frames stop being themselves."""
        together = float(self.limits.set_index("kind")["strength"][TOGETHER])
        return {kind: MARGIN * together * limit for kind, limit in _own_limits(self.limits).items()}

    def lines(self) -> list[str]:
        """Where the frames stop being themselves, a line per kind."""
        return [_line(row) for row in self.limits.to_dict("records")]


def augmentation_report(
    encoder: Encoder,
    frames: NDArray[np.uint8],
    *,
    kinds: Sequence[str] = KINDS,
    strengths: Sequence[float] = STRENGTHS,
    labels: str | None = None,
    rng: int | Generator = 0,
    progress: Callable[[int], object] | None = None,
) -> AugmentationReport:
    """Measure, kind by kind, up to which strength augmented frames are still themselves.

    Every frame is changed by exactly the strength in question, in a direction of its own; `TOGETHER` alone has
    amounts between 0 and the strength, as `Augmentation` has.

    Parameters
    ----------
    encoder : FrameEncoder
    frames : array, shape (n, H, W, 3), uint8
        One of each of many shots, at least three.
    kinds : sequence of str
        Of `neurocca.features.augment.KINDS`.
    strengths : sequence of float
        From 0 up, at most 1.
    labels : str, optional
        Layer of the encoder that has the class scores.
    rng : int or Generator
    progress : callable, optional
        Called with a number of frames when so many more have been encoded, of n · (1 + (kinds + 1) · (strengths - 1)).

    Returns
    -------
    AugmentationReport

    Raises
    ------
    ValueError
        When there are fewer than three frames, strengths do not ascend from 0, a kind does not exist, or the encoder
        has no layer called ``labels`` or none besides.
    """
    _check(encoder, frames, strengths, labels)
    Augmentation(kinds, max(strengths))  # complains of kinds and strengths
    seed = _seed(rng)
    original = _encode(encoder, frames, progress)
    compare = _comparison(original, labels)
    tables, limits = [], pd.DataFrame({"kind": [], "strength": []})
    for kind in (*kinds, TOGETHER):
        rows: Rows = []
        for s in strengths:
            changed = _change(frames, kind, s, _own_limits(limits), seed, np.arange(len(frames)))
            features = _encode(encoder, changed, progress) if s > 0 else original
            rows += [{"kind": kind, "strength": s, "amount": _named(kind, s), **row} for row in compare(features)]
        tables.append(pd.DataFrame(rows))
        limits = pd.DataFrame([*limits.to_dict("records"), _limit(tables[-1])])
    return AugmentationReport(pd.concat(tables, ignore_index=True), limits, len(frames))


def augmentation_examples(
    frame: NDArray[np.uint8], report: AugmentationReport, *, rng: int | Generator = 0
) -> dict[str, NDArray[np.uint8]]:
    """One frame at every strength of a report, in one direction.

    Parameters
    ----------
    frame : array, shape (H, W, 3), uint8
    report : AugmentationReport
    rng : int or Generator

    Returns
    -------
    dict of array, each of shape (strengths, H, W, 3), uint8
        By kind.
    """
    seed, own = _seed(rng), _own_limits(report.limits)
    strengths = report.table["strength"].unique().tolist()
    return {
        kind: np.concatenate([_change(frame[None], kind, s, own, seed, np.zeros(1, int)) for s in strengths])
        for kind in report.limits["kind"].tolist()
    }


def _seed(rng: int | Generator) -> int:
    return int(np.random.default_rng(rng).integers(2**32))


def _change(
    frames: NDArray[np.uint8], kind: str, s: float, own: Mapping[str, float], seed: int, shots: NDArray[np.int_]
) -> NDArray[np.uint8]:
    if kind == TOGETHER:
        return Augmentation({k: s * limit for k, limit in own.items()})(frames, seed=seed, shots=shots)
    return augment(frames, kind, s, seed=seed, shots=shots)


def _line(row: Mapping[Hashable, Any]) -> str:
    if not row["limited_by"]:
        return f"{row['kind']}: still themselves at full strength, {row['amount']}"
    return f"{row['kind']}: up to {row['amount']}, strength {row['strength']:.2f} (limited by {row['limited_by']})"


def _named(kind: str, s: float) -> str:
    return f"{s:.0%} of each limit" if kind == TOGETHER else amount(kind, s)


def _own_limits(limits: pd.DataFrame) -> dict[str, float]:
    return {kind: float(s) for kind, s in zip(limits["kind"], limits["strength"], strict=True) if kind != TOGETHER}


def _encode(encoder: Encoder, frames: NDArray[np.uint8], progress: Callable[[int], object] | None) -> Features:
    blocks = []
    for start in range(0, len(frames), _BLOCK):
        block = frames[start : start + _BLOCK]
        blocks.append(encoder.encode(block))
        if progress is not None:
            progress(len(block))
    return {layer: np.concatenate([block[layer] for block in blocks]) for layer in encoder.layers}


def _comparison(original: Features, labels: str | None) -> Callable[[Features], Rows]:
    """Function that says how features differ from the original ones, a row per layer and measure."""
    scales = {layer: (x.mean(axis=0), x.std(axis=0)) for layer, x in original.items() if layer != labels}
    units = {layer: _unit(original[layer], *scale) for layer, scale in scales.items()}
    n = len(next(iter(original.values())))
    apart = {layer: 1 - (np.sum(u @ u.T) - n) / (n * n - n) for layer, u in units.items()}

    def rows(features: Features) -> Rows:
        found: Rows = []
        for layer, scale in scales.items():
            r = _unit(features[layer], *scale) @ units[layer].T
            own = np.diag(r)[:, None]
            less = np.sum(r < own) + 0.5 * (np.sum(r == own) - n)  # equal frames count half
            found.append({"layer": layer, "measure": "drift", "value": float((1 - own.mean()) / apart[layer])})
            found.append({"layer": layer, "measure": "identified", "value": float(less / (n * n - n))})
        if labels is not None:
            found += _labels_lost(original[labels], features[labels], labels)
        return found

    return rows


def _unit(x: NDArray, mean: NDArray, spread: NDArray) -> NDArray[np.float64]:
    """Rows whose products are correlations of z-scored features; features that never vary are left out."""
    varies = spread > 1e-6 * np.abs(mean)
    z = (x[:, varies].astype(np.float64) - mean[varies]) / spread[varies]
    z -= z.mean(axis=1, keepdims=True)
    return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)


def _labels_lost(original: NDArray, scores: NDArray, layer: str) -> Rows:
    first = original.argmax(axis=1)
    rank = np.sum(scores > scores[np.arange(len(scores)), first][:, None], axis=1)
    return [
        {"layer": layer, "measure": "top1_lost", "value": float(np.mean(rank >= 1))},
        {"layer": layer, "measure": "top5_lost", "value": float(np.mean(rank >= 5))},
    ]


def _limit(table: pd.DataFrame) -> dict[str, Any]:
    """Where the first of a kind's curves comes half way; straight lines between the strengths measured."""
    kind = str(table["kind"].iloc[0])
    curves = table[table["measure"].isin(["drift", "top5_lost"])].groupby(["layer", "measure"], sort=False)
    limit, by = 1.0, ""
    for (layer, measure), curve in curves:
        crossing = _crossing(curve["strength"].to_numpy(), curve["value"].to_numpy())
        if crossing < limit:
            limit, by = crossing, str(layer) if measure == "drift" else "labels"
    return {"kind": kind, "strength": limit, "amount": _named(kind, limit), "limited_by": by}


def _crossing(strengths: NDArray, values: NDArray) -> float:
    beyond = np.flatnonzero(values > HALF_WAY)
    if not beyond.size:
        return 1.0
    j = int(beyond[0])  # never 0, where nothing has changed
    return float(np.interp(HALF_WAY, values[j - 1 : j + 1], strengths[j - 1 : j + 1]))


def _check(encoder: Encoder, frames: NDArray[np.uint8], strengths: Sequence[float], labels: str | None) -> None:
    if len(frames) < 3:
        raise ValueError(f"{len(frames)} frames: at least three, of different shots, are needed to tell them apart.")
    if list(strengths) != sorted(set(strengths)) or not strengths or strengths[0] != 0:
        raise ValueError(f"strengths {list(strengths)} must ascend from 0.")
    if labels is not None and labels not in encoder.layers:
        raise ValueError(f"labels={labels!r} is none of the encoder's layers {', '.join(encoder.layers)}.")
    if set(encoder.layers) == {labels}:
        raise ValueError(f"the encoder has no layer besides labels={labels!r}.")

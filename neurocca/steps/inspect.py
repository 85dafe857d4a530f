"""Looking into a feature store and a network, and exporting a store."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurocca.config import FeaturesConfig
from neurocca.errors import DataError, UsageError
from neurocca.io.files import json_text, staged
from neurocca.io.store import FeatureStore


def store_table(path: Path) -> pd.DataFrame:
    """What a store holds: one row per space and run."""
    rows = []
    with FeatureStore(path) as store:
        for space in store.spaces:
            reduction = store.reduction(space)
            for run in store.runs(space):
                n, f = store.shape(space, run)
                times, record = store.times(space, run), store.provenance(space, run)
                step = float(np.median(np.diff(times))) if n > 1 else math.nan
                rows.append(
                    {
                        "space": space,
                        "run": run,
                        "features": f,
                        "samples": n,
                        "rate": f"{1 / step:.6g} Hz",
                        "seconds": f"{times[-1] + step:.2f}",
                        "source": _source(record),
                        "made": _made(record, reduction[1] if reduction else None),
                    }
                )
    return pd.DataFrame(rows)


def layer_table(config: FeaturesConfig) -> pd.DataFrame:
    """Layers of a network with the shapes of their outputs for one frame."""
    from neurocca.features.networks import build_network, layer_shapes

    shapes = layer_shapes(build_network(config.model))
    text = [" x ".join(map(str, shape)) for shape in shapes.values()]
    return pd.DataFrame({"layer": list(shapes), "shape": text, "features": [math.prod(s) for s in shapes.values()]})


def export_timeseries(path: Path, folder: Path, task: str) -> list[Path]:
    """Write every space and run of a store as a BIDS ``_timeseries.tsv`` with its sidecar.

    Parameters
    ----------
    path : Path
        A feature store.
    folder : Path
        Made where it is missing.
    task : str
        Task label in the names.

    Returns
    -------
    list of Path
        The tables.

    Raises
    ------
    UsageError
        When the label is none of BIDS.
    DataError
        When samples of a series are not evenly spaced, or two spaces would have the same name.
    """
    if not re.fullmatch(r"[A-Za-z0-9]+", task):
        raise UsageError(f"task {task!r}: a BIDS label has letters and digits only.")
    written: list[str] = []
    with FeatureStore(path) as store, staged(folder) as target:
        for space in store.spaces:
            for run in store.runs(space):
                series, label = store.read(space, run), _label(space)
                name = f"task-{task}_run-{run}_desc-{label}_timeseries"
                if name in written:
                    raise DataError(f"features {path}: two spaces have the BIDS label {label!r}.")
                if np.abs(np.diff(series.times) - series.period).max() > 1e-3 * series.period:
                    raise DataError(f"features {path}: samples of space {space!r}, run {run} are not evenly spaced.")
                table = pd.DataFrame(series.data, columns=list(series.names))
                table.to_csv(target / f"{name}.tsv", sep="\t", index=False, lineterminator="\n", float_format="%.7g")
                sidecar = {
                    "SamplingFrequency": round(1 / series.period, 9),
                    "StartTime": float(series.times[0]),
                    "Space": space,
                    "Provenance": store.provenance(space, run),
                }
                (target / f"{name}.json").write_text(json_text(sidecar), encoding="utf-8")
                written.append(name)
    return [folder / f"{name}.tsv" for name in written]


def _label(space: str) -> str:
    """A space's name as BIDS allows it: letters and digits, words told apart by capitals.

    Examples
    --------
    >>> _label("efficientnet-lite0_blocks.4"), _label("lowlevel")
    ('efficientnetLite0Blocks4', 'lowlevel')
    """
    first, *rest = re.findall(r"[A-Za-z0-9]+", space)
    return first + "".join(word[0].upper() + word[1:] for word in rest)


def _source(record: Mapping[str, Any]) -> str:
    if "film" in record:
        return str(record["film"]["name"])
    names = [file["name"] for file in record.get("files", ())]
    return (f"{names[0]}, …" if len(names) > 1 else names[0]) if names else "?"


def _made(record: Mapping[str, Any], reduction: Mapping[str, Any] | None) -> str:
    settings, engine = record.get("settings", {}), record.get("engine", {})
    words = [settings.get("model"), settings.get("pooling"), settings.get("window")]
    words += [f"weights {record['weights']['sha256'][:8]}" if record.get("weights") else None]
    words += [f"{engine['device']} {engine['precision']}" if engine else None]
    words += [reduction.get("kind") if reduction else None]
    words += [f"neurocca {record['neurocca']}" if "neurocca" in record else None]
    return ", ".join(str(word) for word in words if word)

"""Fine-tuned weights and unfinished trainings on disk: safetensors, without pickle.

Weights are the state dict of the network, so that `neurocca.io.weights.load_network` reads them. The header's metadata
hold one entry, ``neurocca``, a JSON object: what the weights were trained on, or how far a training has come.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from neurocca.errors import DataError, OutputError
from neurocca.features.finetune import FineTuned
from neurocca.io.files import staged
from neurocca.io.timeseries import check_file

FORMAT = 1

Tensors = dict[str, Tensor]


class TrainingCheckpoint:
    """Where a fine-tuning keeps how far it has come, to go on from there when it is run again.

    Parameters
    ----------
    path : path
        By convention ``*.safetensors``. One file for one training; its folder is made where it is missing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self, key: str) -> tuple[Tensors, dict[str, Any]] | None:
        """What was saved, or None where nothing was.

        Parameters
        ----------
        key : str
            Names the training.

        Raises
        ------
        DataError
            When the file is damaged, or that of another training.
        """
        if not self.path.is_file():
            return None
        tensors, content = _read(self.path)
        if content.get("key") != key:
            raise DataError(
                f"checkpoint {self.path} belongs to another training: of other runs, weights, options or seed; delete "
                "it or choose another path."
            )
        return tensors, content["meta"]

    def save(self, key: str, tensors: Tensors, meta: dict[str, Any]) -> None:
        """Put the state in place of the one before; whenever this is interrupted, one of them is there.

        Raises
        ------
        OutputError
            When the file cannot be written.
        """
        _write(self.path, tensors, {"format": FORMAT, "key": key, "meta": meta})


def save_tuned(path: str | os.PathLike[str], tuned: FineTuned) -> None:
    """Write the weights of a fine-tuned network, with the record of the runs that it has seen.

    Parameters
    ----------
    path : path
        By convention ``*.safetensors``; ``neurocca features --weights`` takes it.
    tuned : FineTuned

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    _write(Path(path), tuned.network.module.state_dict(), {"format": FORMAT, "tuned": tuned.record()})


def read_tuned_record(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What is known of weights: model, recipe, history, and in ``seen`` the runs that they must not be evaluated on.

    None for weights that neurocca has not tuned.

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When it is not a safetensors file.
    """
    content = _header(Path(path))
    return None if content is None else content.get("tuned")


def _write(path: Path, tensors: Mapping[str, Tensor], content: dict[str, Any]) -> None:
    # the format knows one order of axes in memory
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    with staged(path.parent) as folder:
        try:
            safetensors.torch.save_file(tensors, folder / path.name, {"neurocca": json.dumps(content, sort_keys=True)})
        except SafetensorError as error:  # its own, even where the disk is full
            raise OutputError(f"output {path}: cannot be written: {error}.") from error


def _read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    content = _header(path)
    if content is None:
        raise DataError(f"{path}: not written by neurocca.")
    return safetensors.torch.load_file(path), content


def _header(path: Path) -> dict[str, Any] | None:
    check_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise DataError(f"{path}: not a whole safetensors file: {error}.") from error
    if "neurocca" not in metadata:
        return None
    content = json.loads(metadata["neurocca"])
    if content.get("format") != FORMAT:
        raise DataError(f"{path}: of format {content.get('format')}, which this neurocca does not know.")
    return dict(content)

"""No run is evaluated by features of a network that was fine-tuned on it."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurocca.errors import DataError
from neurocca.io.recording import run_key, run_label
from neurocca.io.store import FeatureStore

log = logging.getLogger(__name__)


def tuning_of(weights: str) -> list[dict[str, Any]]:
    """Runs that weights were trained or stopped by: label, role and digest of each; none for weights from elsewhere."""
    path = Path(weights)
    if path.suffix != ".safetensors" or not path.is_file():
        return []
    from neurocca.io.tuned import read_tuned_record

    record = read_tuned_record(path)
    return [] if record is None else list(record["seen"])


def check_unseen(store: FeatureStore, spaces: Sequence[str], runs: Sequence[str]) -> None:
    """Refuse runs that a network behind the features has seen.

    Runs are told by their labels, as frames that were trained on are not those of a store. A network that was tuned on
    runs of other labels, those of another film, is warned of.

    Parameters
    ----------
    store : FeatureStore
    spaces, runs : sequences of str

    Raises
    ------
    DataError
        The message names the space and the runs.
    """
    for space in spaces:
        seen = {
            run_label(str(one["label"]).lower().removeprefix("run").lstrip("-_ "))
            for run in runs
            for one in store.provenance(space, run).get("tuned_on", [])
        }
        if both := sorted(seen & set(runs), key=run_key):
            raise DataError(
                f"features {store.path}: space {space!r} is of a network that was fine-tuned on run {', '.join(both)}: "
                "nothing can be evaluated there. Leave the space out, or take features of a network that was tuned on "
                "other runs."
            )
        if seen:
            log.warning(
                "space %s is of a network that was fine-tuned on runs %s: they must not be the same film.",
                space,
                ", ".join(sorted(seen, key=run_key)),
            )

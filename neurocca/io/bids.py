"""Raw BIDS datasets through pybids."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from neurocca.errors import DataError, NoInputError, NoMatchError, UsageError
from neurocca.io.recording import Recording, RunFiles, run_key, run_label
from neurocca.io.timeseries import read_table


class BidsDataset:
    """A raw BIDS dataset with volumes of a film.

    Parameters
    ----------
    root : Path
        The folder of dataset_description.json.

    Raises
    ------
    DataError
        When the description is not valid JSON.
    NoInputError
        When the dataset holds no BOLD volumes.
    """

    def __init__(self, root: Path) -> None:
        from bids import BIDSLayout, BIDSLayoutIndexer

        self.root = root
        self.description = _read_json(root / "dataset_description.json")
        # metadata of every modality are slow to index and may be broken where nobody looks
        indexer = BIDSLayoutIndexer(validate=False, index_metadata=False)
        self._layout = BIDSLayout(root, validate=False, indexer=indexer)
        found = self._layout.get(suffix="bold", extension=[".nii.gz", ".nii"])
        self._bold = [f for f in found if {"subject", "task"} <= f.entities.keys()]
        if not self._bold:
            raise NoInputError(f"{root}: a BIDS dataset without any sub-*_task-*_bold.nii.gz.")

    @property
    def subjects(self) -> list[str]:
        """Participants with BOLD."""
        return sorted({f.entities["subject"] for f in self._bold})

    @property
    def tasks(self) -> list[str]:
        """Tasks with BOLD."""
        return sorted({f.entities["task"] for f in self._bold})

    def recording(self, subject: str, task: str, t_r: float = 0.0) -> Recording:
        """Runs of one participant and task; ``t_r`` in seconds must agree with the sidecars, or be 0."""
        files = [f for f in self._bold if (f.entities["subject"], f.entities["task"]) == (subject, task)]
        if not files:
            raise NoMatchError(f"{self.root}: participant {subject} has no BOLD of task {task!r}.")
        by_run = {run_label(f.entities.get("run", 1)): f for f in files}
        if len(by_run) < len(files):
            raise UsageError(
                f"{self.root}: participant {subject}, task {task!r} has {len(files)} BOLD files for "
                f"{len(by_run)} runs: several sessions, echoes or acquisitions cannot be told apart yet."
            )
        runs = tuple(self._run(label, by_run[label]) for label in sorted(by_run, key=run_key))
        times = {self._repetition_time(f, t_r) for f in files}
        if len(times) > 1:
            raise DataError(f"{self.root}: participant {subject} has runs of different repetition time: {times} s.")
        name = str(self.description.get("Name", self.root.resolve().name))
        masks = tuple(self._derivatives(subject, f"sub-{subject}*_task-{task}_*desc-brain_mask.nii.gz"))
        simulated = bool(self.description.get("Simulated", False))
        return Recording(subject, task, name, "voxels", times.pop(), runs, masks, simulated)

    def _run(self, label: str, bold: Any) -> RunFiles:
        path = Path(bold.path)
        if not path.exists():
            raise NoInputError(f"{path}: its content is not here: get it with 'datalad get {path.name}'.")
        stem = path.name.split("_bold.")[0]
        found = self._derivatives(bold.entities["subject"], f"{stem}_desc-confounds_timeseries.tsv")
        confounds = found[0] if found else None
        events = path.with_name(f"{stem}_events.tsv")
        if not events.is_file():
            return RunFiles(label, path, confounds)
        film, onset = self._film(events)
        return RunFiles(label, path, confounds, film, onset)

    def _film(self, events: Path) -> tuple[Path | None, float]:
        """Film and its onset in seconds, where the events name one."""
        table = read_table(events, required=("onset", "duration"))
        if "stim_file" not in table:
            return None, 0.0
        if not pd.api.types.is_numeric_dtype(table["onset"]):
            raise DataError(f"{events}: column 'onset' holds values that are not numbers.")
        shown = table.dropna(subset=["stim_file", "onset"]).sort_values("onset")
        films = shown["stim_file"].astype(str).unique()
        if len(films) == 0:
            return None, 0.0
        if len(films) > 1:
            raise DataError(f"{events}: {len(films)} films in one run; one is expected: {', '.join(films[:3])}.")
        folder = self.root / "stimuli"
        # by name, not by what links lead to: films are often links into an annex or to shared storage
        name = os.path.normpath(films[0])
        if os.path.isabs(name) or name.startswith(os.pardir):
            raise DataError(f"{events}: stim_file {films[0]!r} leads out of {folder}.")
        return folder / name, float(shown["onset"].iloc[0])

    def _repetition_time(self, bold: Any, t_r: float) -> float:
        sidecars = self._layout.get_nearest(
            bold.path,
            extension=".json",
            suffix="bold",
            task=bold.entities["task"],
            all_=True,
            full_search=False,
            strict=False,
        )
        # the nearest sidecar comes first and wins
        times = (_read_json(Path(sidecar)).get("RepetitionTime") for sidecar in sidecars)
        found = next((time for time in times if time is not None), 0.0)
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found < 1e3:
            raise DataError(f"{bold.path}: the sidecar's RepetitionTime is {found!r}; seconds are expected.")
        if found and t_r and abs(found - t_r) > 1e-3:
            raise DataError(f"{bold.path}: the sidecar says a repetition time of {found} s, align.t_r says {t_r} s.")
        if not (found or t_r):
            raise DataError(f"{bold.path}: no RepetitionTime in a sidecar: set align.t_r (seconds).")
        return found or t_r

    def _derivatives(self, subject: str, pattern: str) -> list[Path]:
        return sorted(self.root.glob(f"derivatives/*/sub-{subject}/**/{pattern}"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoInputError(f"{path}: cannot be read ({error.strerror}); is its content here?") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object.")
    return content

"""The texts of a demo dataset: what BIDS wants to be said of it."""

from typing import Any

import pandas as pd

import neurocca
from neurocca.config import Config
from neurocca.demo import bold, responses
from neurocca.demo.plan import ANALYSIS, N_PERMUTATIONS, Plan
from neurocca.io.files import json_text, write_text
from neurocca.io.sample_film import CITATION

_README = """# neurocca demo

**Simulated data.** Nobody was scanned. {film}
The BOLD images were computed from the films in `stimuli/`: two planted components, one driven by the loudness of the
sound (temporal areas) and one by {pictures} (occipital areas), under noise, ongoing activity, drift and head motion.

* `derivatives/motion`: the simulated head motion, named as fMRIPrep names it.
* `derivatives/truth`: what was planted, as maps (percent signal change, and the correlations that loadings estimate)
  and time courses (standard deviations); and all that the areas do, ongoing activity with it.
* `code/neurocca.toml`: how the dataset is meant to be analysed.

Made by `neurocca.demo.make_dataset` with seed {seed}; the same version, film and seed make the same files again.
"""


def write_descriptions(plan: Plan, seed: int) -> None:
    """Write everything that describes the dataset and its two derivatives."""
    made_by = {
        "Name": "neurocca",
        "Version": neurocca.__version__,
        "Description": f"neurocca.demo.make_dataset, seed {seed}",
    }
    common = {"BIDSVersion": "1.10.0", "License": "CC0", "Authors": ["The neurocca developers"], "Simulated": True}
    subjects = [f"sub-{i:02d}" for i in range(1, plan.n_subjects + 1)]
    participants = pd.DataFrame({"participant_id": subjects}).to_csv(sep="\t", index=False, lineterminator="\n")
    # BIDS asks that the first generator's name be part of the derivative's folder name
    motion = {"Name": "motion", "Description": "Simulated head motion"}
    truth = {"Name": "truth", "Description": "Planted components of the simulation"}
    texts = {
        "dataset_description.json": {
            "Name": "neurocca demo (simulated BOLD)",
            "DatasetType": "raw",
            "GeneratedBy": [made_by],
            **common,
        },
        "task-movie_bold.json": _bold_json(plan),
        "task-movie_events.json": _events_json(plan),
        "derivatives/motion/dataset_description.json": _derivative("motion", [motion, made_by], common),
        "derivatives/truth/dataset_description.json": _derivative("truth", [truth, made_by], common),
        "derivatives/truth/task-movie_desc-truth_decomposition.json": _truth_json(plan),
    }
    for name, content in texts.items():
        write_text(plan.root / name, json_text(content))
    write_text(plan.root / "README.md", _README.format(seed=seed, film=plan.story.film, pictures=plan.story.pictures))
    write_text(plan.root / "participants.tsv", participants)
    write_text(plan.root / "derivatives/motion/README.md", "# Simulated head motion of the neurocca demo\n")
    write_text(plan.root / "derivatives/truth/README.md", "# Planted components of the neurocca demo\n")
    analysis = Config().with_values(
        {
            **plan.story.analysis,
            "features.rate": plan.story.rate,
            "align.hrf": responses.HRF,
            "inference.n_permutations": N_PERMUTATIONS,
        }
    )
    write_text(plan.root / ANALYSIS, analysis.to_toml())
    ignore = "*_components.*\n*_statmap.*\n*_mixing.*\n*_decomposition.json\n"
    write_text(plan.root / "derivatives/truth/.bidsignore", ignore)
    write_text(plan.root / "derivatives/motion/.bidsignore", "*_timeseries.*\n")


def _events_json(plan: Plan) -> dict[str, Any]:
    film = f"A stretch of {CITATION}" if plan.film else "A generated film with sound"
    return {
        "trial_type": {"LongName": "Kind of stimulus", "Description": "What was on screen", "Levels": {"movie": film}}
    }


def _truth_json(plan: Plan) -> dict[str, Any]:
    return {
        "Method": "Planted: response of the feature convolved with nilearn's Glover response, all runs stacked",
        "Components": dict(zip(bold.AREAS, ("loudness", plan.story.truth), strict=True)),
        "PlantedCorrelation": dict(zip(bold.AREAS, bold.planted_correlations().round(4).tolist(), strict=True)),
        "MapUnits": "percent signal change per standard deviation of the time course",
    }


def _bold_json(plan: Plan) -> dict[str, Any]:
    return {
        "TaskName": "movie",
        "RepetitionTime": plan.t_r,
        "TaskDescription": "Watching a film; the BOLD images are simulated",
        "Instructions": "None: nobody was scanned",
    }


def confounds_json(t_r: float) -> dict[str, Any]:
    """Sidecar of a run's head motion; ``t_r`` in seconds."""
    units = {name: "mm" if name.startswith("trans") else "rad" for name in bold.MOTION_NAMES}
    columns = {name: {"Description": "Simulated head motion", "Units": unit} for name, unit in units.items()}
    return {"SamplingFrequency": 1 / t_r, "StartTime": 0.0, **columns}


def _derivative(name: str, generated_by: list[dict[str, str]], common: dict[str, Any]) -> dict[str, Any]:
    return {
        "Name": f"neurocca demo: {name} (simulated)",
        "DatasetType": "derivative",
        "GeneratedBy": generated_by,
        **common,
    }


def events(plan: Plan, number: int) -> str:
    """Table of the one event of a run: the film, from the first volume on."""
    row = {"onset": [0.0], "duration": [plan.film_seconds], "trial_type": ["movie"], "stim_file": [film_name(number)]}
    return pd.DataFrame(row).to_csv(sep="\t", index=False, lineterminator="\n")


def film_name(number: int) -> str:
    """Name of a run's film in ``stimuli``."""
    return f"demo_run-{number}.mp4"

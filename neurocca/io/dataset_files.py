"""What stands once in an output folder: whose dataset it is, what its names mean, and what validators are to skip."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import neurocca
from neurocca.io.files import json_text, write_text

BIDS_VERSION = "1.10.1"

# what BIDS has no name for yet; 'figures' must stand without a slash for the validator to see it
BIDSIGNORE = """\
*.html
logs/
figures
*_components.*
*_mixing.*
*_timeseries.*
*_loadings.*
*_decomposition.json
*_statmap.*
*_permutations.*
*_recovery.*
*_peaks.*
*_moments.*
*_matches.*
"""

DESCRIPTIONS = """\
desc_id\tdescription
desc-cca\tcanonical components of film features and BOLD: BOLD side, tests
desc-ccaStimulus\tcanonical components of film features and BOLD: stimulus side
desc-ccaHeldOut\tcanonical components on runs that were left out of the fit
desc-ccaHeldOutStimulus\tstimulus side of canonical components on runs that were left out of the fit
desc-ccaFWE\tcanonical components, corrected for all columns of BOLD and all components
desc-ccaGroup\tcanonical components of participants, matched by their film side: means and tests over participants
desc-ccaShared\tcomponents of one fit of the film and all participants' BOLD
desc-ccaSharedOneMap\tcomponents of film and BOLD with the same weights for all participants, one of them left out
desc-ccaQuality\tquality of the cleaned BOLD, volume by volume
"""

DESCRIPTIONS_SIDECAR = {
    "Description": "What the labels of desc- stand for in the names of this dataset",
    "desc_id": {"Description": "Label as it stands in names"},
    "description": {"Description": "What it stands for"},
}

README = """\
# neurocca derivatives

Shared components of a film's features and the BOLD of a participant who watched it. Open `index.html`.

| file | content |
|---|---|
| `*_desc-cca_decomposition.json` | method, parameters, correlations, p-values, quality of the runs |
| `*_desc-cca_mixing.tsv` | BOLD-side variates, one row per kept volume (rows of the runs: `Runs` in the JSON) |
| `*_desc-ccaStimulus_timeseries.tsv` | stimulus-side variates, same rows |
| `*_desc-ccaHeldOut_mixing.tsv` | BOLD-side variates of each run by the fit that has not seen it |
| `*_desc-ccaHeldOutStimulus_timeseries.tsv` | stimulus-side variates of the same fits |
| `*_desc-cca_components.*` | loadings: correlation of each voxel, vertex or parcel with them |
| `*_stat-r_desc-ccaStimulus_statmap.*` | correlation of each voxel, vertex or parcel with the stimulus-side variates |
| `*_stat-p_desc-ccaFWE_statmap.*` | p of that correlation, corrected for all of these and all components |
| `*_desc-cca_peaks.tsv` | of loadings of voxels: where clusters are highest, in mm, with their size |
| `*_desc-ccaStimulus_moments.tsv` | when in the film stimulus-side variates are highest and lowest, in unseen runs |
| `*_desc-ccaStimulus_loadings.tsv` | correlation of each feature with the stimulus-side variates |
| `*_desc-cca_permutations.tsv` | in-sample statistic per permutation; row 0 is observed |
| `*_desc-ccaHeldOut_permutations.tsv` | mean held-out correlation per permutation; row 0 is observed |
| `*_desc-ccaQuality_timeseries.tsv` | motion, DVARS and a coarse carpet of the cleaned BOLD, one row per kept volume |
| `sub-*/figures/` | the figures of the reports |
| `task-*_desc-ccaGroup_decomposition.json` | the group level: participants, matched components, tests |
| `task-*_desc-ccaGroup_matches.tsv` | which component of each participant is which, with held-out r and p |
| `task-*_desc-ccaGroup_components.*` | mean loadings over participants |
| `task-*_stat-*_desc-ccaGroup*_statmap.*` | t and p of these means |
| `task-*_desc-ccaGroup_permutations.tsv` | intersubject correlation per permutation; row 0 is observed |
| `task-*_desc-ccaShared_*` | the fit of the film and all participants' BOLD together |
| `logs/*_config.toml` | complete configuration |
| `logs/*_finished.json` | what the results were made of, and their digests: they are not made again |
| `logs/<run id>/` | when what was done; why what failed did |
| `logs/CITATION.md`, `logs/CITATION.bib` | methods text for a paper, written from what was run, and what it cites |
"""


def write_dataset_files(folder: Path, decomposition: Mapping[str, Any]) -> None:
    """Write the files of a derivative dataset that do not depend on the participant.

    Parameters
    ----------
    folder : Path
    decomposition : mapping
        ``SourceDatasets`` and ``DatasetLinks`` are read, where they are there.
    """
    description: dict[str, Any] = {
        "Name": "neurocca: shared components of film features and BOLD",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": "CC0",
        "HowToAcknowledge": "logs/CITATION.md holds the methods as they were run, and what they cite.",
        "GeneratedBy": [{"Name": "neurocca", "Version": neurocca.__version__}],
    }
    for key in ("SourceDatasets", "DatasetLinks"):
        if decomposition.get(key):
            description[key] = decomposition[key]
    write_text(folder / "dataset_description.json", json_text(description))
    write_text(folder / ".bidsignore", BIDSIGNORE)
    write_text(folder / "descriptions.tsv", DESCRIPTIONS)
    write_text(folder / "descriptions.json", json_text(DESCRIPTIONS_SIDECAR))
    write_text(folder / "README.md", README)

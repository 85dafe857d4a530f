"""neurocca finds what a film and the brain that watched it have in common.

Public names are loaded on first use, so that ``import neurocca`` and ``neurocca --help`` stay fast.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "Design": "neurocca.design",
    "stack_runs": "neurocca.design",
    "split_runs": "neurocca.design",
    "FeatureSeries": "neurocca.design",
    "Config": "neurocca.config",
    "DeepCCA": "neurocca.cca.deep",
    "KernelCCA": "neurocca.cca.kernel",
    "LinearCCA": "neurocca.cca.linear",
    "LinearCCACV": "neurocca.cca.selection",
    "MultisetCCA": "neurocca.cca.multiset",
    "solve_cca": "neurocca.cca.solvers",
    "permutation_test": "neurocca.inference.permutation",
    "held_out_test": "neurocca.inference.held_out",
    "CircularShift": "neurocca.inference.schemes",
    "PhaseRandomize": "neurocca.inference.schemes",
    "BlockPermute": "neurocca.inference.schemes",
    "RowShuffle": "neurocca.inference.schemes",
    "SignFlip": "neurocca.inference.schemes",
    "Prewhiten": "neurocca.inference.prewhiten",
    "Nuisance": "neurocca.inference.nuisance",
    "InferenceWarning": "neurocca.inference.checks",
    "Checkpoint": "neurocca.io.checkpoint",
    "loading_test": "neurocca.inference.loadings",
    "loading_map_test": "neurocca.inference.loading_maps",
    "bootstrap_loadings": "neurocca.inference.bootstrap",
    "space_contributions": "neurocca.inference.contributions",
    "split_half": "neurocca.inference.split_half",
    "group_map_test": "neurocca.inference.group_maps",
    "intersubject_consistency": "neurocca.inference.subjects",
    "loading_consistency": "neurocca.inference.subjects",
    "leave_one_subject_out_test": "neurocca.inference.left_out_subject",
    "power": "neurocca.inference.power",
    "minutes_needed": "neurocca.inference.power",
    "run_participant": "neurocca.steps.results",
    "load_participant": "neurocca.steps.results",
    "save_model": "neurocca.io.models",
    "load_model": "neurocca.io.models",
}

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from neurocca.cca.deep import DeepCCA as DeepCCA
    from neurocca.cca.kernel import KernelCCA as KernelCCA
    from neurocca.cca.linear import LinearCCA as LinearCCA
    from neurocca.cca.multiset import MultisetCCA as MultisetCCA
    from neurocca.cca.selection import LinearCCACV as LinearCCACV
    from neurocca.cca.solvers import solve_cca as solve_cca
    from neurocca.config import Config as Config
    from neurocca.design import Design as Design
    from neurocca.design import FeatureSeries as FeatureSeries
    from neurocca.design import split_runs as split_runs
    from neurocca.design import stack_runs as stack_runs
    from neurocca.inference.bootstrap import bootstrap_loadings as bootstrap_loadings
    from neurocca.inference.checks import InferenceWarning as InferenceWarning
    from neurocca.inference.contributions import space_contributions as space_contributions
    from neurocca.inference.group_maps import group_map_test as group_map_test
    from neurocca.inference.held_out import held_out_test as held_out_test
    from neurocca.inference.left_out_subject import leave_one_subject_out_test as leave_one_subject_out_test
    from neurocca.inference.loading_maps import loading_map_test as loading_map_test
    from neurocca.inference.loadings import loading_test as loading_test
    from neurocca.inference.nuisance import Nuisance as Nuisance
    from neurocca.inference.permutation import permutation_test as permutation_test
    from neurocca.inference.power import minutes_needed as minutes_needed
    from neurocca.inference.power import power as power
    from neurocca.inference.prewhiten import Prewhiten as Prewhiten
    from neurocca.inference.schemes import BlockPermute as BlockPermute
    from neurocca.inference.schemes import CircularShift as CircularShift
    from neurocca.inference.schemes import PhaseRandomize as PhaseRandomize
    from neurocca.inference.schemes import RowShuffle as RowShuffle
    from neurocca.inference.schemes import SignFlip as SignFlip
    from neurocca.inference.split_half import split_half as split_half
    from neurocca.inference.subjects import intersubject_consistency as intersubject_consistency
    from neurocca.inference.subjects import loading_consistency as loading_consistency
    from neurocca.io.checkpoint import Checkpoint as Checkpoint
    from neurocca.io.models import load_model as load_model
    from neurocca.io.models import save_model as save_model
    from neurocca.steps.results import load_participant as load_participant
    from neurocca.steps.results import run_participant as run_participant


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'neurocca' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

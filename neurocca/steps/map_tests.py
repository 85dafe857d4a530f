"""Which voxels, vertices or parcels go with each component, corrected for looking at all of them."""

import warnings
from collections.abc import Mapping
from typing import Any

from numpy.random import SeedSequence

from neurocca.inference.checks import InferenceWarning
from neurocca.inference.fits import winner
from neurocca.inference.held_out import HeldOutResult
from neurocca.inference.held_out_maps import held_out_map_test
from neurocca.inference.loading_maps import LoadingMaps, loading_map_test
from neurocca.steps.assemble import Assembled

MAP_PERMUTATIONS = 1000
"""Permutations of maps at most: p-values need not be finer, and every one is a map of its own."""


def corrected_maps(
    assembled: Assembled, held: HeldOutResult, options: Mapping[str, Any], seed: SeedSequence
) -> LoadingMaps:
    """Test the cross-loadings of all columns of BOLD; of networks those with the film's variates of left-out runs.

    Parameters
    ----------
    assembled : Assembled
    held : HeldOutResult
        Of networks, with the variates of its permutations.
    options : mapping
        What the tests of an analysis share: runs, t_r, scheme, kept, n_permutations, n_jobs and max_memory.
    seed : SeedSequence
    """
    design, wide = assembled.design, assembled.wide
    columns = None if wide is None else wide.columns
    if held.null_variates is not None:
        shared = {name: options[name] for name in ("runs", "kept", "n_jobs")}
        return held_out_map_test(held, design.X, design.Y, columns=columns, **shared)
    n_permutations = min(options["n_permutations"], MAP_PERMUTATIONS)
    with warnings.catch_warnings():
        # the in-sample test, of the same arrangements of the same views, has warned of them
        warnings.simplefilter("ignore", InferenceWarning)
        return loading_map_test(
            winner(held.estimator), design.X, design.Y, columns=columns, n_components=len(held.mean),
            rng=seed, **{**options, "n_permutations": n_permutations},
        )  # fmt: skip

"""Which voxels, vertices or parcels go with each component, corrected for looking at all of them."""

import warnings
from collections.abc import Mapping
from typing import Any

from numpy.random import SeedSequence

from neurocca.inference.checks import InferenceWarning
from neurocca.inference.loading_maps import LoadingMaps, loading_map_test
from neurocca.steps.assemble import Assembled

MAP_PERMUTATIONS = 1000
"""Permutations of maps at most: p-values need not be finer, and every one is a map of its own."""


def corrected_maps(
    assembled: Assembled, cca: Any, n_components: int, options: Mapping[str, Any], seed: SeedSequence
) -> LoadingMaps:
    """Test the cross-loadings of all columns of BOLD.

    Parameters
    ----------
    assembled : Assembled
    cca : estimator with ``whitened(X, y)``, fitted on all runs
    n_components : int
    options : mapping
        What the tests of an analysis share: runs, t_r, scheme, kept, n_permutations, n_jobs and max_memory.
    seed : SeedSequence
    """
    design, wide = assembled.design, assembled.wide
    n_permutations = min(options["n_permutations"], MAP_PERMUTATIONS)
    with warnings.catch_warnings():
        # the in-sample test, of the same arrangements of the same views, has warned of them
        warnings.simplefilter("ignore", InferenceWarning)
        return loading_map_test(
            cca, design.X, design.Y, columns=None if wide is None else wide.columns, n_components=n_components,
            rng=seed, **{**options, "n_permutations": n_permutations},
        )  # fmt: skip

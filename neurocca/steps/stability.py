"""Whether halves of the runs show the same components."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import SeedSequence
from sklearn.base import clone

from neurocca.cca.kernel import KernelCCA
from neurocca.cca.linear import LinearCCA
from neurocca.cca.selection import LinearCCACV
from neurocca.inference.split_half import SplitHalf, split_half
from neurocca.steps.assemble import Assembled

N_SPLITS = 20
N_SPLITS_WIDE = 10
"""With as many coordinates as volumes a fit takes seconds."""


def stability(
    assembled: Assembled, cca: Any, options: Mapping[str, Any], seed: SeedSequence, notes: list[str]
) -> SplitHalf | None:
    """Agreement between halves of the runs; None, and a note, where a half cannot be fitted.

    Parameters
    ----------
    assembled : Assembled
    cca : estimator, fitted on all runs
    options : mapping
        What the tests of an analysis share: runs, t_r, scheme, kept and n_jobs.
    seed : SeedSequence
    notes : list of str
        Gets what is to be said.
    """
    design, fixed = assembled.design, cca
    if isinstance(cca, LinearCCACV):  # what was chosen on all runs: the components are compared, not the choice
        fixed = LinearCCA(cca.n_components, shrinkage=cca.shrinkage_, scale=cca.scale, y_columns=cca.y_columns)
    if isinstance(cca, KernelCCA) and cca.n_landmarks is not None:  # no more than the smallest half has volumes
        lengths = sorted(np.unique_counts(design.runs).counts)
        fixed = clone(cca).set_params(n_landmarks=min(cca.n_landmarks, int(sum(lengths[: len(lengths) // 2]))))
    known = {name: options[name] for name in ("runs", "t_r", "scheme", "kept", "n_jobs")}
    is_wide = assembled.wide is not None
    n_splits = N_SPLITS_WIDE if is_wide else N_SPLITS
    try:
        return split_half(fixed, design.X, design.Y, n_splits=n_splits, coordinates=is_wide, rng=seed, **known)
    except (ValueError, np.linalg.LinAlgError) as error:  # such as a feature that occurs in one run only
        notes.append(f"Stability was not estimated, as half of the runs cannot be fitted: {error}")
        return None

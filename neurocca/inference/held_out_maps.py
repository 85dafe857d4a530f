"""Which voxels go with a component of any estimator: a test of how they follow the film's variate in left-out runs.

`loading_map_test` moves whitened bases, which networks do not have. Here the models of every permutation are fitted
again, as `held_out_test` does anyway, and columns are correlated with variates of samples that the fits have not seen.
A column that has nothing to do with the film is as far from these whether or not others have, so the largest
correlation of permutations, in which none has, corrects for all of them (Nichols & Holmes 2002,
doi:10.1002/hbm.1058).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurocca.inference.censoring import prepared
from neurocca.inference.held_out import HeldOutResult
from neurocca.inference.loading_maps import Blocks, LoadingMaps, maps_and_maxima
from neurocca.inference.loading_null import unit_columns
from neurocca.inference.result import max_statistic_pvalues


def held_out_map_test(
    held: HeldOutResult,
    X: Any,
    y: Any,
    *,
    columns: Blocks | None = None,
    runs: ArrayLike,
    kept: ArrayLike | None = None,
    n_jobs: int = 1,
) -> LoadingMaps:
    """Test how the columns of y follow the film's variates in left-out samples, corrected by the maximum statistic.

    Parameters
    ----------
    held : HeldOutResult
        Of `held_out_test` with ``keep_variates``.
    X, y, runs, kept
        As that test took them.
    columns : callable, optional
        As in `loading_map_test`.
    n_jobs : int
        The result does not depend on it.

    Returns
    -------
    LoadingMaps
        Loadings are means over folds of the correlations in the left-out samples; ``null`` holds the largest absolute
        ones of each component in every permutation.

    Raises
    ------
    ValueError
        When the held-out test kept no variates.

    Examples
    --------
    >>> import numpy as np
    >>> from neurocca import LinearCCA
    >>> from neurocca.inference.held_out import held_out_test
    >>> rng = np.random.default_rng(0)
    >>> Z, runs = rng.standard_normal((300, 1)), np.repeat([1, 2, 3], 100)
    >>> X, Y = Z + rng.standard_normal((300, 3)), rng.standard_normal((300, 4))
    >>> Y[:, :2] += Z
    >>> held = held_out_test(LinearCCA(1), X, Y, runs=runs, n_permutations=99, keep_variates=True)
    >>> held_out_map_test(held, X, Y, runs=runs).pvalues[:, 0] <= 0.05
    array([ True,  True, False, False])
    """
    if held.left_out_variates is None or held.null_variates is None:
        raise ValueError("the held-out test kept no variates: held_out_test(…, keep_variates=True).")

    def left_out(block: NDArray) -> NDArray:
        rows = np.asarray(prepared(X, block, kept, runs)[0], dtype=float)
        found = np.zeros_like(rows)
        for test in held.tests:
            found[test] = unit_columns(rows[test])
        return found

    blocks = map(left_out, [np.asarray(y)] if columns is None else columns())
    loadings, maxima = maps_and_maxima(blocks, held.left_out_variates.T, held.null_variates, lambda rows: rows, n_jobs)
    # all components together are the null of each: which comes first is no matter
    pvalues = np.stack([max_statistic_pvalues(np.abs(component), maxima) for component in loadings.T], axis=1)
    return LoadingMaps(loadings, pvalues, maxima, held.scheme, held.is_exhaustive)

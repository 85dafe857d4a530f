"""What each feature space contributes to each component."""

from collections.abc import Mapping
from typing import Any

from neurocca.cca.selection import LinearCCACV
from neurocca.inference.contributions import Contributions, space_contributions
from neurocca.inference.held_out import HeldOutResult
from neurocca.steps.assemble import Assembled


def contributions(assembled: Assembled, held: HeldOutResult, options: Mapping[str, Any]) -> Contributions | None:
    """Contributions of the feature spaces; None where there is one only, or the estimator is not linear.

    Parameters
    ----------
    assembled : Assembled
    held : HeldOutResult
    options : mapping
        What the tests of an analysis share: runs and kept.
    """
    spaces: dict[str, list[int]] = {}
    for column, (space, _, _) in enumerate(assembled.columns):
        spaces.setdefault(space, []).append(column)
    if len(spaces) < 2 or not isinstance(held.estimator, LinearCCACV):
        return None
    design = assembled.design
    return space_contributions(held, design.X, design.Y, spaces, runs=options["runs"], kept=options["kept"])

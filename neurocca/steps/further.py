"""What an analysis says beyond its tests of components: of maps, of feature spaces, and of halves of the runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from neurocca.inference.contributions import Contributions
from neurocca.inference.fits import winner
from neurocca.inference.held_out import HeldOutResult
from neurocca.inference.loading_maps import LoadingMaps
from neurocca.inference.split_half import SplitHalf
from neurocca.steps.assemble import Assembled
from neurocca.steps.contributions import contributions
from neurocca.steps.map_tests import corrected_maps
from neurocca.steps.stability import stability

ALPHA = 0.05


@dataclass(frozen=True)
class Further:
    """Results beyond the tests of components.

    Parameters
    ----------
    maps : LoadingMaps
    is_left_out : bool
        Whether maps are of runs that the fits have not seen.
    spaces : Contributions or None
    halves : SplitHalf or None
    """

    maps: LoadingMaps
    is_left_out: bool
    spaces: Contributions | None
    halves: SplitHalf | None

    @classmethod
    def of(
        cls, assembled: Assembled, held: HeldOutResult, options: Mapping[str, Any], seed: SeedSequence, notes: list[str]
    ) -> "Further":
        """Of the fit to all runs and its held-out test; options are those that the tests share."""
        seeds = seed.spawn(2)
        return cls(
            maps=corrected_maps(assembled, held, options, seeds[0]),
            is_left_out=held.null_variates is not None,
            spaces=contributions(assembled, held, options),
            halves=stability(assembled, winner(held.estimator), options, seeds[1], notes),
        )

    def record(self, names: list[str]) -> dict[str, Any]:
        """What the record says, by its keys: Maps, Contributions, Stability; names are those of the components."""
        return {
            "Maps": self._of_maps(names),
            "Contributions": None if self.spaces is None else _of_spaces(self.spaces, names),
            "Stability": None if self.halves is None else _of_halves(self.halves, names),
        }

    def _of_maps(self, names: list[str]) -> dict[str, Any]:
        measure = "correlation of each column of BOLD with the stimulus-side variate"
        steps = ", step by step"
        if self.is_left_out:
            measure, steps = f"{measure} of fits that have not seen the run, mean over runs", ""
        threshold = self.maps.threshold(ALPHA)
        return {
            "Measure": measure,
            "LeftOut": self.is_left_out,
            "NumberOfPermutations": len(self.maps.null),
            "Correction": f"maximum statistic over columns of BOLD and components{steps}",
            "Alpha": ALPHA,
            "Threshold": _rounded(threshold) if np.isfinite(threshold) else None,
            "Significant": dict(zip(names, (self.maps.pvalues <= ALPHA).sum(axis=0).tolist(), strict=True)),
        }


def _of_spaces(found: Contributions, names: list[str]) -> dict[str, Any]:
    return {
        "Measure": "r|r|, mean over left-out runs",
        "Components": [
            {
                "Name": name,
                "All": _rounded(found.explained[i]),
                "Shared": _rounded(found.shared_by_any[i]),
                "Spaces": {space: _of_space(found, s, i) for s, space in enumerate(found.names)},
            }
            for i, name in enumerate(names)
        ],
    }


def _of_space(found: Contributions, s: int, i: int) -> dict[str, float]:
    return {
        "Alone": _rounded(found.explained_alone[s, i]),
        "Unique": _rounded(found.unique[s, i]),
        "UniqueStandardError": _rounded(found.unique_error[s, i]),
        "Shared": _rounded(found.shared[s, i]),
        "CorrelationAlone": _rounded(found.alone[s, :, i].mean()),
        "CorrelationWithout": _rounded(found.without[s, :, i].mean()),
    }


def _of_halves(found: SplitHalf, names: list[str]) -> dict[str, Any]:
    sides = {"Film": (found.x, found.x_chance), "BOLD": (found.y, found.y_chance)}
    return {
        "Measure": "congruence of loadings between halves of the runs",
        "NumberOfSplits": len(found.x),
        "NumberOfPossibleSplits": found.n_possible,
        "Components": [
            {
                "Name": name,
                **{side: _summary(values[:, i]) for side, (values, _) in sides.items()},
                **{f"{side}Chance": _summary(chance[:, i]) for side, (_, chance) in sides.items()},
            }
            for i, name in enumerate(names)
        ],
    }


def _summary(values: NDArray) -> dict[str, float]:
    """Mean, and the middle 95 % of splits."""
    low, high = np.quantile(values, (0.025, 0.975))
    return {"Mean": _rounded(values.mean()), "Low": _rounded(low), "High": _rounded(high)}


def _rounded(value: float) -> float:
    """Four decimals: more would carry the rounding noise of one machine into the record."""
    return round(float(value), 4) + 0.0

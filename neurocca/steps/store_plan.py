"""What a feature store will hold: series that are made now, and what is taken over from the store that is there."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurocca.errors import DataError, NoInputError, OutputError, UsageError
from neurocca.io.recording import run_key
from neurocca.io.store import FeatureStore, OtherFormatError, Series
from neurocca.steps.passes import Film
from neurocca.steps.provenance import changed_settings, difference, same_origin
from neurocca.steps.reduction import as_taken_from

log = logging.getLogger(__name__)

_OF_A_FILM = ("crop", "size")  # settings in which runs of one space may differ


class StorePlan:
    """Series by space and run, new and old.

    Parameters
    ----------
    output : Path
        A store, or where one will be.
    overwrite : bool
        Whether features of other films or settings may be replaced.
    forget : bool
        Whether runs that are not asked for may be lost where they were made otherwise than those that are.

    Raises
    ------
    OutputError
        When something that is no store is in its place.
    """

    def __init__(self, output: Path, overwrite: bool, *, forget: bool = False) -> None:
        self.output, self.overwrite, self.forget = output, overwrite, forget
        self.old = _old_provenance(output)
        self.series: dict[str, dict[str, Series]] = {}
        self.provenance: dict[str, dict[str, Any]] = {}
        self._wanted: set[tuple[str, str]] = set()
        self._missing: dict[tuple[str, str], dict[str, Any]] = {}

    def drop_other_films(self, films: Iterable[Film]) -> None:
        """Refuse, or forget, what the store has of the same runs from other films."""
        for film in films:
            for (space, run), there in list(self.old.items()):
                source = there.get("film")
                if run != film.run or source is None or source["sha256"] == film.sha256:
                    continue
                if not self.overwrite:
                    raise UsageError(
                        f"{self.output}: holds space {space!r} of run {run} from another film ({source['name']}); "
                        "--overwrite replaces everything of that run."
                    )
                del self.old[space, run]

    def want(self, space: str, run: str, origin: dict[str, Any]) -> bool:
        """Whether a space of a run, asked for from such an origin, has to be made.

        Raises
        ------
        UsageError
            When two sources give it, or the store holds it from elsewhere and must not be overwritten.
        """
        if (space, run) in self._wanted:
            raise UsageError(
                f"space {space!r} of run {run} was already read from another source: name files run-1, run-2, … or "
                "say --runs, and give every source once."
            )
        self._wanted.add((space, run))
        there = self._record(space, run, origin)
        if there is not None and same_origin(there, origin):
            log.info("%s: space %s of run %s is up to date", self.output, space, run)
            return False
        if there is not None and not self.overwrite:
            raise UsageError(
                f"{self.output}: holds space {space!r} of run {run} from {difference(there, origin)}; --overwrite "
                "replaces it."
            )
        self._missing[space, run] = origin
        return True

    def check_alike(self) -> None:
        """Refuse, or forget, runs that stay and were made otherwise than the new ones of the same space."""
        for (space, run), origin in self._missing.items():
            for other in self.kept().get(space, []):
                changed = changed_settings(self._record(space, other, origin) or {}, origin, ignore=_OF_A_FILM)
                if not changed:
                    continue
                if not self.forget:
                    fitted = "reduction" in changed and "reduction" in self.old[space, other].get("settings", {})
                    raise UsageError(
                        f"{self.output}: space {space!r} of run {other} was made otherwise than that of run {run} "
                        f"would be ({changed}): make all of its runs anew with --overwrite, or "
                        f"{'take its projection with --reduction-from, or write ' if fitted else ''}another store."
                    )
                del self.old[space, other]

    def add(self, space: str, run: str, series: Series, provenance: dict[str, Any]) -> None:
        """Take up a series."""
        self.series.setdefault(space, {})[run] = series
        self.provenance.setdefault(space, {})[run] = provenance

    def kept(self) -> dict[str, list[str]]:
        """Runs by space that stay as they are."""
        kept: dict[str, list[str]] = {}
        for space, run in self.old:
            if (space, run) not in self._missing:
                kept.setdefault(space, []).append(run)
        return kept

    def _record(self, space: str, run: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """What the store says of a run, its projection named as it would be where that is asked for."""
        there = self.old.get((space, run))
        if not there or "settings" not in there:
            return there
        return there | {"settings": as_taken_from(there["settings"], asked["settings"], self.output, space)}

    def described(self) -> list[str]:
        """One phrase per space that was made."""
        return [
            f"{space} ({len(next(iter(runs.values())).names)} features; run {', '.join(sorted(runs, key=run_key))})"
            for space, runs in sorted(self.series.items())
        ]


def _old_provenance(output: Path) -> dict[tuple[str, str], dict[str, Any]]:
    if not output.exists() and not output.is_symlink():
        return {}
    try:
        store = FeatureStore(output)
    except OtherFormatError as error:
        raise OutputError(
            f"output {output}: is {error.found}, which this version does not read; it is left as it is: delete it, or "
            "choose another name."
        ) from error
    except (DataError, NoInputError) as error:
        # a film, say, whose name was given by mistake
        raise OutputError(f"output {output}: exists and is no feature store; it is left as it is ({error})") from error
    with store:
        spaces = store.spaces
        return {(space, run): store.provenance(space, run) for space in spaces for run in store.runs(space)}

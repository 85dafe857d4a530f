"""The feature store: film features on their own time axis, in one HDF5 file.

Layout: ``/<space>/run-<label>/data`` (time, feature) and ``times`` (seconds since the film of the run began), with
the feature names in the group's attribute ``names``. The file's attribute ``provenance`` says in JSON what the
features were made from.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from neurocca.design import FeatureSeries
from neurocca.errors import DataError
from neurocca.io.files import staged
from neurocca.io.recording import run_key
from neurocca.io.timeseries import check_file

FORMAT = "neurocca feature store 1"


class FeatureStore:
    """Read features of one space and run at a time.

    Parameters
    ----------
    path : Path
        An HDF5 file written by ``write_store``.

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When the file is not a whole feature store.

    Examples
    --------
    >>> with FeatureStore(Path("features.h5")) as store:  # doctest: +SKIP
    ...     store.read("lowlevel", "1").data.shape
    """

    def __init__(self, path: Path) -> None:
        import h5py

        check_file(path)
        self.path = path
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise DataError(f"features {path}: not a readable HDF5 file ({path.stat().st_size} bytes).") from error
        if self._file.attrs.get("format") != FORMAT:
            self._file.close()
            raise DataError(f"features {path}: an HDF5 file, but not a {FORMAT}: make it with 'neurocca features'.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def spaces(self) -> list[str]:
        """Names of the feature spaces."""
        found = [name for name, group in self._file.items() if hasattr(group, "keys")]
        if not found:
            raise DataError(f"features {self.path}: holds no feature space.")
        return found

    @property
    def provenance(self) -> dict[str, Any]:
        """What the features were made from."""
        return json.loads(self._file.attrs["provenance"])

    def runs(self, space: str) -> list[str]:
        """Run labels of one space."""
        return sorted((name.removeprefix("run-") for name in self._file[space]), key=run_key)

    def read(self, space: str, run: str) -> FeatureSeries:
        """Features of one space and run.

        Raises
        ------
        DataError
            When the store's content is damaged or holds values that are not finite.
        """
        try:
            group = self._file[f"{space}/run-{run}"]
            data, times = group["data"][()], group["times"][()]
            series = FeatureSeries(data, times, tuple(map(str, json.loads(group.attrs["names"]))))
            if len(times) < 2 or not np.isfinite(times).all():
                raise ValueError(f"{len(times)} sample times, of which {int(np.isfinite(times).sum())} are finite.")
            bad = ~np.isfinite(data).all(axis=0)
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"features {self.path}: space {space!r}, run {run} is damaged: {error}") from error
        if bad.any():
            names = ", ".join(np.array(series.names)[bad])
            raise DataError(f"features {self.path}: space {space!r}, run {run} holds NaN or infinity in: {names}.")
        return series


def write_store(path: Path, spaces: Mapping[str, Mapping[str, FeatureSeries]], provenance: Mapping[str, Any]) -> None:
    """Write a feature store atomically; equal content gives equal bytes.

    Parameters
    ----------
    path : Path
    spaces : mapping of mapping of FeatureSeries
        Series by space and run label.
    provenance : mapping
        Anything JSON can hold.
    """
    import h5py

    with staged(path.parent) as folder, h5py.File(folder / path.name, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["provenance"] = json.dumps(provenance, sort_keys=True, ensure_ascii=False)
        for space, runs in sorted(spaces.items()):
            for run, series in runs.items():
                group = file.create_group(f"{space}/run-{run}")
                group.create_dataset("data", data=series.data, compression="gzip", shuffle=True)
                group.create_dataset("times", data=series.times, compression="gzip", shuffle=True)
                group.attrs["names"] = json.dumps(series.names, ensure_ascii=False)

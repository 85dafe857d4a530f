"""The feature store: film features on their own time axis, in one HDF5 file.

Layout: ``/<space>/run-<label>/data`` (time, feature), ``times`` (seconds since the film of the run began) and ``names``
(of the features, UTF-8); the group's attribute ``provenance`` says in JSON what they were made from. Where a space was
reduced, ``/<space>/reduction`` holds the fitted projection.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurocca.design import FeatureSeries
from neurocca.errors import DataError, NeuroccaError
from neurocca.io.files import one_line, staged
from neurocca.io.recording import run_key
from neurocca.io.timeseries import check_file
from neurocca.io.unfailing import UnfailingFile, write_file

FORMAT = "neurocca feature store 2"

_CHUNK_BYTES = 1 << 20  # of a chunk of HDF5: what is read at once where a part is asked for
_RUN = "run-"
_REDUCTION = "reduction"
_SOURCE = ("name", "sha256")
# what is read of a provenance, and has to be text in it
_RECORD = {"film": _SOURCE, "files": _SOURCE, "settings": (), "engine": ("device", "precision"), "weights": ("sha256",)}


@dataclass(frozen=True)
class BlockedSeries:
    """Features of one run that come block by block, for series that need not fit in memory.

    Parameters
    ----------
    blocks : callable
        Gives the rows from the first to the last, in arrays of shape (b, f).
    times : array, shape (t,)
        Start of each sample in seconds since the film of this run began.
    names : tuple of str, length f
    """

    blocks: Callable[[], Iterable[NDArray]]
    times: NDArray[np.floating]
    names: tuple[str, ...]


Series = FeatureSeries | BlockedSeries


class OtherFormatError(DataError):
    """An HDF5 file, but no feature store of this version; ``found`` says what it is."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(f"features {path}: {found}, but not a {FORMAT}: make it anew with 'neurocca features'.")
        self.found = found


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
        try:
            with self._reading():
                found = self._file.attrs.get("format")
                if found != FORMAT:
                    raise OtherFormatError(path, f"a {found}" if isinstance(found, str) else "an HDF5 file")
        except DataError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def spaces(self) -> list[str]:
        """Names of the feature spaces."""
        with self._reading():
            found = [name for name, group in self._file.items() if hasattr(group, "keys")]
        if not found:
            raise DataError(f"features {self.path}: holds no feature space.")
        return found

    def runs(self, space: str) -> list[str]:
        """Run labels of one space; none where there is no such space."""
        with self._reading(space):
            names = list(self._file.get(space, ()))
            return sorted((name.removeprefix(_RUN) for name in names if name.startswith(_RUN)), key=run_key)

    def provenance(self, space: str, run: str) -> dict[str, Any]:
        """What the features of one space and run were made from; empty where that was not written down."""
        with self._reading(space, run):
            return _checked_record(json.loads(self._file[f"{space}/{_RUN}{run}"].attrs.get("provenance", "{}")))

    def shape(self, space: str, run: str) -> tuple[int, int]:
        """Number of samples and of features."""
        with self._reading(space, run):
            n, f = self._file[f"{space}/{_RUN}{run}/data"].shape
            return n, f

    def times(self, space: str, run: str) -> NDArray[np.floating]:
        """Start of each sample in seconds since the film of the run began, shape (t,)."""
        with self._reading(space, run):
            return self._file[f"{space}/{_RUN}{run}/times"][()]

    def reduction(self, space: str) -> tuple[dict[str, NDArray], dict[str, Any]] | None:
        """Arrays and description of the projection that a space was reduced by; None where it was not."""
        with self._reading(space):
            group = self._file[space].get(_REDUCTION) if space in self._file else None
            if group is None:
                return None
            description = _mapping(json.loads(group.attrs["description"]), "projection")
            return {name: group[name][()] for name in group}, description

    def read(self, space: str, run: str) -> FeatureSeries:
        """Features of one space and run.

        Raises
        ------
        DataError
            When the store's content is damaged or holds values that are not finite.
        """
        with self._reading(space, run):
            group = self._file[f"{space}/{_RUN}{run}"]
            data, times = group["data"][()], group["times"][()]
            series = FeatureSeries(data, times, tuple(name.decode() for name in group["names"][()]))
            if len(times) < 2 or not np.isfinite(times).all():
                raise ValueError(f"{len(times)} sample times, of which {int(np.isfinite(times).sum())} are finite.")
            bad = ~np.isfinite(data).all(axis=0)
        if bad.any():
            names = ", ".join(np.array(series.names)[bad])
            raise DataError(f"features {self.path}: space {space!r}, run {run} holds NaN or infinity in: {names}.")
        return series

    def _reading(self, space: str = "", run: str = "") -> "_Reading":
        return _Reading(self.path, space, run)


class _Reading:
    """Whatever fails while something is read says where the damage is."""

    def __init__(self, path: Path, space: str = "", run: str = "") -> None:
        what = (f" space {space!r}" if space else "") + (f", run {run}" if run else "")
        self.complaint = f"features {path}:{what} is damaged"

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # what h5py raises depends on which bytes are wrong
        if isinstance(error, Exception) and not isinstance(error, NeuroccaError):
            raise DataError(f"{self.complaint}: {one_line(error)}") from error


def write_store(
    path: Path,
    spaces: Mapping[str, Mapping[str, Series]],
    provenance: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    reductions: Mapping[str, tuple[Mapping[str, NDArray], Mapping[str, Any]]] | None = None,
    keep: Mapping[str, Iterable[str]] | None = None,
) -> None:
    """Write a feature store atomically; equal content gives equal bytes.

    Parameters
    ----------
    path : Path
    spaces : mapping of mapping of FeatureSeries or BlockedSeries
        Series by space and run label.
    provenance : mapping of mapping, optional
        What they were made from, by space and run label: anything JSON can hold, where ``film`` and those of ``files``
        have a ``name`` and a ``sha256``.
    reductions : mapping, optional
        Arrays and description of the projection, by space that was reduced.
    keep : mapping, optional
        Run labels by space that are taken over from the store that is there and will be replaced.

    Raises
    ------
    OutputError
        When it cannot be written; the store that was there stays.
    DataError
        When what is to be kept cannot be read.
    """

    def write(target: UnfailingFile) -> None:
        import h5py

        with h5py.File(target, "w") as file:
            file.attrs["format"] = FORMAT
            _copy_kept(path, file, keep or {}, set(reductions or ()), target.check)
            for space, runs in sorted(spaces.items()):
                for run, series in runs.items():
                    group = file.create_group(f"{space}/{_RUN}{run}")
                    group.attrs["provenance"] = _json(((provenance or {}).get(space) or {}).get(run) or {})
                    _write_series(group, series, target.check)
            for space, (arrays, description) in sorted((reductions or {}).items()):
                group = file.create_group(f"{space}/{_REDUCTION}")
                group.attrs["description"] = _json(description)
                for name, array in sorted(arrays.items()):
                    group.create_dataset(name, data=array)

    with staged(path.parent) as folder:
        write_file(folder / path.name, write)


def _copy_kept(
    path: Path, file: Any, keep: Mapping[str, Iterable[str]], reduced: set[str], check: Callable[[], object]
) -> None:
    import h5py

    if not keep:
        return
    with _Reading(path):
        old = h5py.File(path, "r")
    with old:
        for space, runs in sorted(keep.items()):
            group = file.require_group(space)
            for run in runs:
                with _Reading(path, space, run):
                    old.copy(f"{space}/{_RUN}{run}", group, f"{_RUN}{run}")
                check()
            with _Reading(path, space):
                if _REDUCTION in old[space] and space not in reduced:
                    old.copy(f"{space}/{_REDUCTION}", group, _REDUCTION)


def _write_series(group: Any, series: Series, check: Callable[[], object]) -> None:
    shape = (len(series.times), len(series.names))
    packed = {"compression": "gzip", "shuffle": True}
    group.create_dataset("times", data=series.times, **packed)
    group.create_dataset("names", data=np.array([name.encode() for name in series.names]), **packed)
    if isinstance(series, FeatureSeries):
        group.create_dataset("data", data=series.data, **packed)
        return
    row, dataset = 0, None
    for block in series.blocks():
        check()
        if dataset is None:
            dataset = group.create_dataset("data", shape, block.dtype, chunks=_chunks(shape, block.dtype), **packed)
        if row + len(block) > shape[0]:
            raise ValueError(f"at least {row + len(block)} rows came for {shape[0]} sample times.")
        dataset[row : row + len(block)] = block
        row += len(block)
    if row < shape[0]:
        raise ValueError(f"{row} rows came for {shape[0]} sample times.")


def _chunks(shape: tuple[int, int], dtype: np.dtype) -> tuple[int, int]:
    """Whole rows where they fit."""
    columns = max(1, min(shape[1], _CHUNK_BYTES // dtype.itemsize))
    return max(1, min(shape[0], _CHUNK_BYTES // (columns * dtype.itemsize))), columns


def _json(content: Any) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False)


def _checked_record(record: Any) -> dict[str, Any]:
    """What a series was made from, when those who read it will find in it what they expect.

    Raises
    ------
    TypeError, KeyError
        When not; reported as damage.
    """
    for key, parts in _RECORD.items():
        found = _mapping(record, "provenance").get(key)
        for one in [] if found is None else found if key == "files" else [found]:
            content = _mapping(one, key)
            if not all(isinstance(content[part], str) for part in parts):
                raise TypeError(f"{key} is {_json(one)[:60]}, where text is expected for {', '.join(parts)}")
    return record


def _mapping(content: Any, what: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise TypeError(f"{what} is {_json(content)[:60]}, not a JSON object")
    return content

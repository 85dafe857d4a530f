"""The command on one participant of studyforrest: time, memory, and whether killing it changes a byte.

FOLDER holds `confoundsannotation`, `annotations` and `aggregate`, as published. Features are made once; then come, each
in a process of its own: the participant level (10,000 permutations, report included), the same with nothing to do, the
report alone, `--help`, and a run that is killed (`kill -9`) at random moments before it is let go on to its end. Its
files, but for logs, must be those of the run that nothing interrupted.

    python benchmarks/bench_command.py FOLDER --kills 10 --publish docs
"""

import argparse
import hashlib
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tables import publish

CONFIG = Path(__file__).parents[1] / "pipelines" / "studyforrest.toml"


def call(*arguments: str, folder: Path) -> float:
    """Seconds of one command."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "neurocca", *arguments]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def digests(output: Path) -> dict[str, str]:
    """Digests of all files but logs."""
    files = [path for path in output.rglob("*") if path.is_file() and path.name != "neurocca.log"]
    return {str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def kill_again_and_again(arguments: list[str], folder: Path, seconds: float, kills: int, seed: int) -> list[float]:
    """Start a command and kill it, each time after a random part of the seconds that it takes; the moments."""
    rng = random.Random(seed)
    moments = []
    while len(moments) < kills:
        moment = rng.uniform(0.5, seconds)
        command = [sys.executable, "-m", "neurocca", *arguments]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            moments.append(moment)
        else:  # it was done before: nothing would be left to interrupt
            for path in (folder / "out" / "logs").glob("*_finished.json"):
                path.unlink()
    return moments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n-permutations", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--publish", type=Path, metavar="DOCS")
    args = parser.parse_args()
    data = args.folder.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        whole, killed = Path(temporary) / "whole", Path(temporary) / "killed"
        for folder in (whole, killed):
            folder.mkdir()
        features = str(Path(temporary) / "features.h5")
        call("features", str(data / "confoundsannotation"), str(data / "annotations"), "-o", features, folder=whole)
        participant = [str(data / "aggregate"), "out", "participant", "--participant-label", "01"]
        participant += ["--features", features, "--config-file", str(CONFIG)]
        participant += ["--n-permutations", str(args.n_permutations)]
        seconds = {"participant": call(*participant, folder=whole)}
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        seconds["nothing to do"] = call(*participant, folder=whole)
        expected = digests(whole / "out")
        seconds["report"] = call("report", "out", folder=whole)
        seconds["--help"] = min(call("--help", folder=whole) for _ in range(3))
        moments = kill_again_and_again(participant, killed, seconds["participant"], args.kills, args.seed)
        call(*participant, folder=killed)
        found = digests(killed / "out")
    same = found == expected
    figures = {"seconds": seconds, "peak_mib": peak, "moments": moments, "files": len(expected), "same": same}
    lines = [
        f"| participant level, {args.n_permutations:,} permutations, report | "
        f"{seconds['participant']:.1f} s, {peak:.0f} MiB |",
        f"| the same again: nothing to do | {seconds['nothing to do']:.2f} s |",
        f"| `neurocca report` | {seconds['report']:.1f} s |",
        f"| `neurocca --help` | {seconds['--help']:.2f} s |",
        f"| killed at {len(moments)} moments, then let go on: files of the same bytes | "
        f"{sum(found.get(name) == digest for name, digest in expected.items())} of {len(expected)} |",
    ]
    print(*lines, sep="\n")
    if args.publish:
        rounded = figures | {"seconds": {name: round(s, 2) for name, s in seconds.items()}, "peak_mib": round(peak)}
        rounded["moments"] = [round(moment, 1) for moment in moments]
        publish("bench_command", ["| what | measured |", "|---|---|", *lines], rounded, args.publish)
    if not same:
        raise SystemExit("the files differ.")


if __name__ == "__main__":
    main()

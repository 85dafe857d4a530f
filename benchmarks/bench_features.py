"""From a film to network features: frames per second of neurocca and of the ways that people write by hand.

Every way runs in a process of its own, on the same seconds of the same film, in turn, several times; figures are
medians. Run it on an otherwise idle machine:

    python benchmarks/bench_features.py --publish docs
    python benchmarks/bench_features.py --gpu            # ResNet-50 and ViT-B on a CUDA card
    python benchmarks/bench_features.py --long           # memory of a store of eight runs
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

RATE, BATCH, SIZE, RESIZE = 4.0, 16, (224, 224), 256
LAYERS = ("blocks.2", "blocks.4", "blocks.6")
SECONDS = 120.0


def network(device: str = "cpu"):
    from neurocca.io.weights import load_network

    return load_network("efficientnet-lite0")


def normalised(frames: np.ndarray, preprocessing):
    import torch

    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float().div(255)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    return (x - mean) / std


def hooked(module) -> list:
    found: list = []
    for layer in LAYERS:
        module.get_submodule(layer).register_forward_hook(lambda m, i, out: found.append(out.mean((2, 3))))
    return found


def cropped(frame: np.ndarray) -> np.ndarray:
    """Short side to RESIZE, centre to SIZE, as most scripts do it."""
    from PIL import Image

    picture = Image.fromarray(frame)
    scale = RESIZE / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    left, top = (picture.width - SIZE[0]) // 2, (picture.height - SIZE[1]) // 2
    return np.asarray(picture.crop((left, top, left + SIZE[0], top + SIZE[1])))


def moviepy_frames(film: Path) -> Iterator[np.ndarray]:
    from moviepy import VideoFileClip

    with VideoFileClip(str(film), audio=False) as clip:
        yield from clip.iter_frames(fps=RATE)


def moviepy_get_frame(film: Path) -> Iterator[np.ndarray]:
    from moviepy import VideoFileClip

    with VideoFileClip(str(film), audio=False) as clip:
        for k in range(int(clip.duration * RATE)):
            yield clip.get_frame(k / RATE)


def decord_frames(film: Path) -> Iterator[np.ndarray]:
    from decord import VideoReader

    reader = VideoReader(str(film))
    fps = reader.get_avg_fps()
    for k in range(int(len(reader) / fps * RATE)):
        yield reader[int(k / RATE * fps)].asnumpy()


def by_hand(frames: Iterator[np.ndarray], batch: int) -> int:
    """The loop that everyone writes: frame by frame from the reader, eager network in single precision."""
    import torch

    net = network()
    found, waiting, n = hooked(net.module), [], 0
    with torch.no_grad():
        for frame in frames:
            waiting.append(cropped(frame))
            if len(waiting) == batch:
                net.module(normalised(np.stack(waiting), net.preprocessing))
                n, waiting = n + batch, []
        if waiting:
            net.module(normalised(np.stack(waiting), net.preprocessing))
            n += len(waiting)
    assert found
    return n


def decoded(film: Path, threads: int | None = None) -> Iterator[np.ndarray]:
    from neurocca.io.movie import iter_batches

    return iter_batches(film, RATE, BATCH, SIZE, fit="cover", resize=RESIZE, threads=threads)


def decode_only(film: Path, threads: int | None = None) -> int:
    return sum(len(batch) for batch in decoded(film, threads or os.cpu_count()))


def network_only(film: Path, threads: int | None = None) -> tuple[int, float]:
    """The network on frames that lie in memory."""
    from neurocca.features.cnn import FrameEncoder

    encoder = FrameEncoder(network(), LAYERS, batch_size=BATCH, threads=threads)
    batches = list(decoded(film))
    encoder.encode(batches[0])
    start = time.perf_counter()
    n = sum(len(next(iter(features.values()))) for features in encoder.stream(batches))
    return n, time.perf_counter() - start


def whole(film: Path, threads: int | None = None) -> tuple[int, float]:
    """Decoding and network together; the network is loaded before."""
    from neurocca.features.cnn import FrameEncoder

    encoder = FrameEncoder(network(), LAYERS, batch_size=BATCH, threads=threads)
    encoder.encode(np.zeros((BATCH, *SIZE[::-1], 3), np.uint8))
    start = time.perf_counter()
    n = sum(len(next(iter(features.values()))) for features in encoder.stream(decoded(film)))
    return n, time.perf_counter() - start


def command_line(film: Path) -> int:
    """`neurocca features` as a user runs it, from start to store."""
    from neurocca.cli import main
    from neurocca.io.store import FeatureStore

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "f.h5"
        options = ["--spaces", "cnn", "--layers", *LAYERS, "--rate", str(RATE), "--batch-size", str(BATCH)]
        assert main(["features", str(film), "-o", str(store), *options]) == 0
        with FeatureStore(store) as opened:
            return opened.shape(opened.spaces[0], "1")[0]


WAYS = {
    "MoviePy iter_frames, eager fp32 network, batches": lambda film: by_hand(moviepy_frames(film), BATCH),
    "MoviePy iter_frames, one frame per pass": lambda film: by_hand(moviepy_frames(film), 1),
    "MoviePy get_frame, eager fp32 network, batches": lambda film: by_hand(moviepy_get_frame(film), BATCH),
    "decord, eager fp32 network, batches": lambda film: by_hand(decord_frames(film), BATCH),
    "neurocca, decoding alone": decode_only,
    "neurocca, network alone": network_only,
    "neurocca, decoding alone, one thread": lambda film: decode_only(film, 1),
    "neurocca, network alone, one thread": lambda film: network_only(film, 1),
    "neurocca, decoding and network": whole,
    "neurocca features, from start to store": command_line,
}
NAIVE, WHOLE = next(iter(WAYS)), "neurocca, decoding and network"


def child(way: str, film: Path) -> None:
    """Run one way and print what it took; the start of Python and imports are not counted, but for the last way."""
    import torch  # noqa: F401

    start = time.perf_counter()
    done = WAYS[way](film)
    n, seconds = done if isinstance(done, tuple) else (done, time.perf_counter() - start)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"frames": n, "seconds": seconds, "mib": usage[0].ru_maxrss / 1024}))


def measure(film: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Medians of every way that can run here."""
    runs: dict[str, list[dict]] = {}
    for _ in range(repeats):
        for way in WAYS:
            if way.startswith("decord") and not _installed("decord"):
                continue
            command = [sys.executable, __file__, "--way", way, "--film", str(film)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{way}: failed: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                continue
            runs.setdefault(way, []).append(json.loads(done.stdout.splitlines()[-1]))
    return {
        way: {
            "frames_per_second": statistics.median(r["frames"] / r["seconds"] for r in found),
            "peak_mib": max(r["mib"] for r in found),
            "frames": found[0]["frames"],
        }
        for way, found in runs.items()
    }


def _installed(library: str) -> bool:
    from importlib.util import find_spec

    return find_spec(library) is not None


def table(figures: dict[str, dict[str, float]]) -> list[str]:
    """Lines of the table, in Markdown."""
    naive = figures[NAIVE]["frames_per_second"]
    lines = ["| way | frames/s | times the first | peak memory |", "|---|---|---|---|"]
    for way, row in figures.items():
        rate = row["frames_per_second"]
        lines.append(f"| {way} | {rate:.1f} | {rate / naive:.1f} | {row['peak_mib']:.0f} MiB |")
    return lines


def excerpt(film: Path, folder: Path, seconds: float) -> Path:
    """The first seconds of the film as a file."""
    from neurocca.io.sample_film import cut_sample_film

    target = folder / "film.mp4"
    cut_sample_film(film, 0.0, seconds, target)
    return target


def long_store(film: Path) -> dict[str, float]:
    """Eight runs of the studyforrest film's length, four layers: seconds and peak memory."""
    from neurocca.cli import main

    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for run in range(1, 9):  # 8 x 900 s at 4 samples per second are 28,800 frames
            runs.append(Path(folder) / f"film_run-{run}.mp4")
            looped(film, 900.0, runs[-1])
        start = time.perf_counter()
        options = ["--spaces", "cnn", "--layers", "blocks.0", *LAYERS, "--rate", "4"]
        assert main(["features", *map(str, runs), "-o", f"{folder}/f.h5", "-v", *options]) == 0
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"frames": 28_800, "seconds": seconds, "frames_per_second": 28_800 / seconds, "peak_mib": peak}


def looped(film: Path, seconds: float, target: Path) -> None:
    """The film over and over, without encoding it anew, to a length in seconds."""
    import imageio_ffmpeg

    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-stream_loop",
        "-1",
        "-i",
        str(film),
        "-t",
        f"{seconds}",
    ]
    subprocess.run([*command, "-c", "copy", "-an", str(target)], check=True)


def gpu() -> dict[str, dict[str, float]]:
    """Rates on a CUDA card: the forward pass alone at its best batch size, and the stream of frames around it."""
    import torch

    from neurocca.features.cnn import FrameEncoder
    from neurocca.io.sample_film import fetch_sample_film
    from neurocca.io.weights import load_network

    figures = {}
    for name, layers in (("torchvision:resnet50", ["layer4"]), ("timm:vit_base_patch16_224", ["blocks.11"])):
        net, best, at = load_network(name, "random"), 0.0, 0
        for batch in (64, 128, 256, 512):
            rate = _forward_rate(net, batch)
            best, at = max((best, at), (rate, batch))
        encoder = FrameEncoder(net, layers, device="cuda", batch_size=at)
        frames = [np.random.default_rng(0).integers(0, 256, (at, 224, 224, 3), dtype=np.uint8) for _ in range(40)]
        list(encoder.stream(frames[:4]))
        start = time.perf_counter()
        list(encoder.stream(frames))
        stream = 40 * at / (time.perf_counter() - start)
        start, n = time.perf_counter(), 0
        for features in encoder.stream(decoded(fetch_sample_film())):
            n += len(next(iter(features.values())))
        film = n / (time.perf_counter() - start)
        two_hours = 28_800 / stream
        figures[name] = {"forward": best, "batch": at, "stream": stream, "film": film, "two_hours_s": two_hours}
        print(name, torch.cuda.get_device_name(), {k: round(v, 2) for k, v in figures[name].items()}, flush=True)
        print(f"  stream / forward = {stream / best:.2f} (must be 0.70)")
    return figures


def _forward_rate(net, batch: int) -> float:
    import torch

    module = net.module.to("cuda", memory_format=torch.channels_last)
    x = torch.randn(batch, 3, 224, 224, device="cuda").to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
        for _ in range(5):
            module(x)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(20):
            module(x)
        torch.cuda.synchronize()
    module.to("cpu")
    return 20 * batch / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--film", type=Path, help="a film; Big Buck Bunny by default")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the film")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="put the table into FOLDER/benchmarks.md")
    args = parser.parse_args()
    if args.way:
        child(args.way, args.film)
        return
    if args.gpu:
        gpu()
        return
    from neurocca.io.sample_film import fetch_sample_film

    if args.long:
        print(json.dumps(long_store(fetch_sample_film()), indent=1))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(args.film or excerpt(fetch_sample_film(), Path(folder), args.seconds), args.repeats)
    lines = table(figures)
    print("\n".join(lines))
    for threads in ("", ", one thread"):
        rates = [figures[f"neurocca, {part} alone{threads}"]["frames_per_second"] for part in ("decoding", "network")]
        share = figures[WHOLE]["frames_per_second"] / min(rates)
        print(f"together / slower of the two alone{threads or ', all cores each'} = {share:.2f}")
    if args.publish:
        from tables import publish

        publish("bench_features", lines, figures, args.publish)


if __name__ == "__main__":
    main()

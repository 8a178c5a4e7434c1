"""How fast is the whole audit, against decoding alone and against the tools that people combine today?

    python benchmarks/audit_speed.py --images FACES --peers PEERS/bin/python --rounds 3

Writes `count` of the images as PNG files of 1024x1024, with Pillow, as generators do, and times, in turns, round after
round, each in a new process:
decode       the decoder alone (imagecodecs), on all cores, nothing checked: the bound for anything that looks at pixels
audit        python -m artifact_detection.audit without its cache: integrity, hashes, measures, duplicates, checks
cleanvision  CleanVision's issue checks (its own duplicates included), all cores
imagededup   imagededup's perceptual hashes and its duplicate search, all cores
Start-up and imports are not counted. `--peers` is a Python with requirements-bench.txt; without it, the peers are left
out. Rates are medians over the rounds; ratios are medians of the rounds' ratios, so that a busy machine hits both
sides. Before that, it times single-threaded decoding of the same pictures as PNG and as JPEG by every decoder that
the two Pythons have. Results: results/audit_speed.csv and results/decoders.csv.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
RESULTS = PROJECT / "benchmarks" / "results"
SIDE = 1024
sys.path.insert(0, str(PROJECT))


def run_decode(folder: Path) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda path: by_imagecodecs(path.read_bytes(), path.suffix), sorted(folder.iterdir())):
            pass


def run_audit(folder: Path) -> None:
    from artifact_detection.audit.__main__ import main

    main([str(folder), "--no-cache"])


def run_cleanvision(folder: Path) -> None:
    from cleanvision import Imagelab

    Imagelab(data_path=str(folder)).find_issues(verbose=False)


def run_imagededup(folder: Path) -> None:
    from imagededup.methods import PHash

    PHash(verbose=False).find_duplicates(image_dir=str(folder))


def decode_single(folder: Path) -> dict[str, list[float]]:
    """Milliseconds per image of each decoder that is installed, decoders in turns, one thread."""
    files = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    times = {name: [] for name in DECODERS}
    for path, data in files.items():
        for name, decode in DECODERS.items():
            try:
                start = time.perf_counter()
                decode(data, path.suffix)
                times[name].append(1000 * (time.perf_counter() - start))
            except ImportError:
                pass
    return {name: values for name, values in times.items() if values}


def by_pillow(data: bytes, _: str) -> None:
    import numpy as np
    from PIL import Image

    np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def by_opencv(data: bytes, _: str) -> None:
    import cv2
    import numpy as np

    cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def by_torchvision(data: bytes, _: str) -> None:
    import torch
    from torchvision.io import ImageReadMode, decode_image

    decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)


def by_imagecodecs(data: bytes, suffix: str) -> None:
    import imagecodecs

    imagecodecs.png_decode(data) if suffix == ".png" else imagecodecs.jpeg8_decode(data)


def by_simplejpeg(data: bytes, suffix: str) -> None:
    from simplejpeg import decode_jpeg

    if suffix == ".png":
        raise ImportError("it reads JPEG only")
    decode_jpeg(data, fastdct=False, fastupsample=False)


DECODERS = {
    "Pillow": by_pillow,
    "OpenCV": by_opencv,
    "torchvision": by_torchvision,
    "imagecodecs": by_imagecodecs,
    "simplejpeg": by_simplejpeg,
}
TOOLS = {"decode": run_decode, "audit": run_audit, "cleanvision": run_cleanvision, "imagededup": run_imagededup}
PEERS = ("cleanvision", "imagededup")


def work(name: str, folder: Path) -> None:
    """In the process that is timed: a first pass over one file imports everything, the second counts."""
    if name == "decoders":
        decode_single(folder)
        for decoder, values in decode_single(folder).items():
            print(decoder, statistics.median(values))
        return
    with tempfile.TemporaryDirectory() as small, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        for source in sorted(folder.iterdir())[:2]:
            (Path(small) / source.name).write_bytes(source.read_bytes())
        TOOLS[name](Path(small))
        start = time.perf_counter()
        TOOLS[name](folder)
        seconds = time.perf_counter() - start
    print("seconds", seconds)


def measure(python: str, name: str, folder: Path) -> dict[str, float]:
    command = [python, __file__, "--work", name, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {key: float(value) for key, value in (line.split() for line in done.stdout.splitlines())}


def write_images(sources: list[Path], folder: Path, suffix: str) -> None:
    import cv2
    from PIL import Image

    from artifact_detection.images.decoding import read_image

    folder.mkdir()
    for number, source in enumerate(sources):
        image = cv2.resize(read_image(source), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        label = int(number % 10 == 0)  # the checks need two classes
        Image.fromarray(image).save(folder / f"image_{number:05d}_{label}{suffix}", quality=95)


def compare_decoders(pythons: list[str], folders: dict[str, Path]) -> list[str]:
    lines = ["format,decoder,ms_per_image"]
    for format_, folder in folders.items():
        found = {}
        for python in pythons:
            for decoder, milliseconds in measure(python, "decoders", folder).items():
                found.setdefault(decoder, milliseconds)
        lines += [f"{format_},{decoder},{milliseconds:.1f}" for decoder, milliseconds in found.items()]
    return lines


def compare_tools(options: argparse.Namespace, folder: Path) -> list[str]:
    names = [name for name in TOOLS if options.peers or name not in PEERS]
    seconds = {name: [] for name in names}
    for round_ in range(options.rounds):
        for name in names if round_ < options.peer_rounds else ("decode", "audit"):
            python = options.peers if name in PEERS else sys.executable
            seconds[name].append(measure(python, name, folder)["seconds"])
            print(f"round {round_ + 1}: {name} {seconds[name][-1]:.1f} s", file=sys.stderr)
    if options.peers:
        seconds["cleanvision + imagededup"] = [
            sum(pair) for pair in zip(*(seconds[name] for name in PEERS), strict=True)
        ]
    lines = ["tool,images_per_second,audit_is_times_as_fast"]
    for name, values in seconds.items():
        ratio = statistics.median(own and other / own for other, own in zip(values, seconds["audit"], strict=False))
        lines.append(f"{name},{options.count / statistics.median(values):.1f},{ratio:.2f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, help="a folder with at least `count` images")
    parser.add_argument("--peers", help="a Python in which the peers are installed")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-rounds", type=int, default=3, help="rounds in which the slow peers take part")
    parser.add_argument("--work", choices=[*TOOLS, "decoders"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.folder)
        return
    sources = sorted(options.images.iterdir())[: options.count]
    with tempfile.TemporaryDirectory() as scratch:
        write_images(sources, Path(scratch) / "png", ".png")
        few = {"PNG": Path(scratch) / "few-png", "JPEG": Path(scratch) / "few-jpg"}
        for folder, suffix in zip(few.values(), (".png", ".jpg"), strict=True):
            write_images(sources[:40], folder, suffix)
        pythons = [sys.executable, *([options.peers] if options.peers else [])]
        tables = {
            "decoders": compare_decoders(pythons, few),
            "audit_speed": compare_tools(options, Path(scratch) / "png"),
        }
    RESULTS.mkdir(exist_ok=True)
    for name, lines in tables.items():
        (RESULTS / f"{name}.csv").write_text("\n".join(lines) + "\n")
        print("\n".join(lines))


if __name__ == "__main__":
    main()

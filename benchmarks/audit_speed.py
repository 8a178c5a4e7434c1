"""How fast is the whole audit, against decoding alone and against the tools that people combine today?

    python benchmarks/audit_speed.py --images FACES --peers PEERS/bin/python

Writes `count` of the images as PNG files of 1024x1024, with Pillow, as generators do, and times, in turns, round after
round, each in a new process:
decode       the decoder alone (imagecodecs), on all cores, nothing checked: the bound for anything that looks at pixels
audit        python -m artifact_detection.audit without its cache: integrity, hashes, measures, duplicates, checks
cleanvision  CleanVision's issue checks (its own duplicates included), all cores
imagededup   imagededup's perceptual hashes and its duplicate search, all cores
Start-up and imports are not counted. `--peers` is a Python with requirements-bench.txt; without it, the peers are left
out. Rates are medians over the rounds; ratios are medians of the rounds' ratios, so that a busy machine hits both
sides. Before that, it times single-threaded decoding of the same pictures as PNG and as JPEG by every decoder.
Results: results/audit_speed.csv and results/decoders.csv.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import torch
from peers import TOOLS as PEERS
from peers import print_seconds
from PIL import Image
from project import SIDE, write_lines
from simplejpeg import decode_jpeg
from torchvision.io import ImageReadMode, decode_image

from artifact_detection.audit.__main__ import main as audit
from artifact_detection.images.decoding import read_image
from artifact_detection.system.arguments import script_parser

DECODERS = {  # of PNG files
    "Pillow": lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
    "OpenCV": lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB),
    "torchvision": lambda data: decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB),
    "imagecodecs": imagecodecs.png_decode,
}
JPEG_DECODERS = DECODERS | {
    "imagecodecs": imagecodecs.jpeg8_decode,
    "simplejpeg": partial(decode_jpeg, fastdct=False, fastupsample=False),
}


def decode_all(folder: Path) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        deque(pool.map(lambda path: imagecodecs.png_decode(path.read_bytes()), sorted(folder.iterdir())), maxlen=0)


OURS = {"decode": decode_all, "audit": lambda folder: audit([str(folder), "--no-cache"])}


def write_images(sources: list[Path], folder: Path, suffix: str) -> None:
    folder.mkdir()
    for number, source in enumerate(sources):
        image = cv2.resize(read_image(source), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        label = int(number % 10 == 0)  # the checks need two classes
        Image.fromarray(image).save(folder / f"image_{number:05d}_{label}{suffix}", quality=95)


def compare_decoders(sources: list[Path], scratch: Path) -> list[str]:
    """Median milliseconds of each decoder, decoders in turns, one thread, after a first pass that does not count."""
    lines = ["format,decoder,ms_per_image"]
    for format_, suffix, decoders in (("PNG", ".png", DECODERS), ("JPEG", ".jpg", JPEG_DECODERS)):
        write_images(sources, scratch / format_, suffix)
        for _ in range(2):
            times = {name: [] for name in decoders}
            for data in [path.read_bytes() for path in sorted((scratch / format_).iterdir())]:
                for name, decode in decoders.items():
                    start = time.perf_counter()
                    decode(data)
                    times[name].append(1000 * (time.perf_counter() - start))
        lines += [f"{format_},{name},{statistics.median(values):.1f}" for name, values in times.items()]
    return lines


def compare_tools(options: argparse.Namespace, folder: Path) -> list[str]:
    seconds = {name: [] for name in (*OURS, *(PEERS if options.peers else ()))}
    for round_ in range(options.rounds):
        for name in seconds:
            ours = [sys.executable, __file__, "--work", name, "--images", str(folder)]
            theirs = [options.peers, str(Path(__file__).with_name("peers.py")), name, str(folder)]
            done = subprocess.run(ours if name in OURS else theirs, check=True, capture_output=True, text=True)
            seconds[name].append(float(done.stdout))
            print(f"round {round_ + 1}: {name} {seconds[name][-1]:.1f} s", file=sys.stderr)
    if options.peers:
        seconds[" + ".join(PEERS)] = [sum(pair) for pair in zip(*(seconds[name] for name in PEERS), strict=True)]
    lines = ["tool,images_per_second,audit_is_times_as_fast"]
    for name, values in seconds.items():
        ratio = statistics.median(other / own for other, own in zip(values, seconds["audit"], strict=True))
        lines.append(f"{name},{options.count / statistics.median(values):.1f},{ratio:.2f}")
    return lines


def main() -> None:
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--images", type=Path, required=True, help="a folder with at least `count` images")
    add("--peers", help="a Python in which the peers are installed")
    add("--count", type=int, default=500)
    add("--rounds", type=int, default=3)
    add("--work", choices=OURS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print_seconds(OURS[options.work], options.images)
        return
    sources = sorted(options.images.iterdir())[: options.count]
    with tempfile.TemporaryDirectory() as scratch:
        write_lines("decoders", compare_decoders(sources[:40], Path(scratch)))
        write_images(sources, Path(scratch) / "images", ".png")
        write_lines("audit_speed", compare_tools(options, Path(scratch) / "images"))


if __name__ == "__main__":
    main()

"""How much memory does the filter take, whatever the number of images and whatever their size?

    python benchmarks/filter_memory.py --count 100000 --width 96 --height 96 --arch mobilenet_v3_small --size 32
    python benchmarks/filter_memory.py --count 300 --width 8000 --height 6000 --processes 2

Writes a few images of these dimensions, gives them `count` names (hard links) and filters them in `processes`
processes. Memory is looked at five times a second: the peak of one process (resident set, libraries included), and the
peak of all together (proportional set size: a page that n processes share counts 1/n in each).
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch
from project import ROOT

from artifact_detection.detector.checkpoints import make_checkpoint
from artifact_detection.detector.weights import build_model
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.system.arguments import script_parser

DISTINCT = 100  # files; a file system allows some 65,000 names for one
MIB = 2**20


def write_images(folder: Path, count: int, width: int, height: int, suffix: str) -> None:
    """Flat images with a few coloured squares: quick to write, as large as any once they are decoded."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    firsts = []
    for number in range(count):
        path = folder / f"{number:07d}{suffix}"
        if number < min(DISTINCT, count) and (number == 0 or width * height < 1_000_000):
            colours = rng.integers(256, size=(4, 4, 3)).astype(np.uint8)
            cv2.imwrite(str(path), cv2.resize(colours, (width, height), interpolation=cv2.INTER_NEAREST))
            firsts.append(path)
        else:
            os.link(firsts[number % len(firsts)], path)


def write_model(path: Path, arch: str, size: int) -> None:
    torch.manual_seed(0)
    torch.save(make_checkpoint(build_model(arch, "none", Preprocessing(size))), path)


def watch(command: list[str]) -> tuple[float, float, float]:
    """Seconds, MiB of the largest process at its peak, MiB of all together at theirs. Raises if the command fails."""
    start, largest, together = time.perf_counter(), 0, 0
    with psutil.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            rss, pss = [0], 0
            for one in [process, *process.children(recursive=True)]:
                try:
                    memory = one.memory_full_info()
                except psutil.Error:  # it has just ended
                    continue
                rss.append(memory.rss)
                pss += memory.pss
            largest, together = max(largest, *rss), max(together, pss)
            time.sleep(0.2)
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return time.perf_counter() - start, largest / MIB, together / MIB


def main() -> None:
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--count", type=int, default=100_000)
    add("--width", type=int, default=96)
    add("--height", type=int, default=96)
    add("--suffix", default=".png", choices=(".png", ".jpg", ".webp", ".tif"))
    add("--arch", default="vgg19")
    add("--size", type=int, default=224)
    add("--processes", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images", arguments.count, arguments.width, arguments.height, arguments.suffix)
        write_model(folder / "model.pt", arguments.arch, arguments.size)
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={arguments.processes}"]
        command = [sys.executable, *(launch if arguments.processes > 1 else []), str(ROOT / "filter_images.py")]
        command += [str(folder / "images"), "--model", str(folder / "model.pt"), "--out", str(folder / "out")]
        seconds, largest, together = watch([*command, "--threshold", "0.5", "--device", "cpu"])
    what = f"{arguments.width}x{arguments.height} {arguments.suffix}, {arguments.arch} at {arguments.size} px"
    print("| images | | processes | s | MiB, largest process | MiB, all |\n| --- | --- | --- | --- | --- | --- |")
    print(f"| {arguments.count} | {what} | {arguments.processes} | {seconds:.0f} | {largest:.0f} | {together:.0f} |")


if __name__ == "__main__":
    main()

"""How fast, and in how much memory, does organize_dataset.py sort many small files?

    python benchmarks/organize_speed.py --modes link

Draws COUNT PNG files of 64x64 pixels, a tenth of them for test, and runs the script on them in some modes: organize,
organize again (everything is in place), undo. Each step is a process of its own; its start and imports count. Results:
results/organize_speed.csv, seconds and peak memory (RSS) per step.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from project import ROOT, write_lines

from artifact_detection.system.arguments import script_parser

SIDE, COUNT = 64, 20_000


def draw_files(folder: Path) -> None:
    """Smooth random pictures, no two alike, every tenth an artifact."""
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        split = folder / ("test" if number // 10 % 10 == 0 else "train")
        split.mkdir(parents=True, exist_ok=True)
        picture = cv2.resize(rng.integers(256, size=(8, 8, 3), dtype=np.uint8), (SIDE, SIDE))
        cv2.imwrite(str(split / f"image_{number:06d}_{int(number % 10 == 0)}.png"), picture)


def timed(arguments: list[str]) -> tuple[float, float, float]:
    """Seconds by the clock, of CPU, and MB, of organize_dataset.py. Raises CalledProcessError unless it ends with 0."""
    command = [sys.executable, str(ROOT / "organize_dataset.py"), *arguments]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument("--modes", nargs="+", default=["link", "copy", "move"])
    options = parser.parse_args()
    lines = ["mode,step,files,seconds,cpu_seconds,peak_rss_mb"]
    with tempfile.TemporaryDirectory() as scratch:
        source, output = Path(scratch) / "source", Path(scratch) / "output"
        draw_files(source)
        for mode in options.modes:
            arguments = ["--source", str(source), "--output", str(output), "--mode", mode]
            for step, more in {"organize": [], "again": [], "undo": ["--undo"]}.items():
                seconds, cpu, megabytes = timed([*arguments, *more])
                lines.append(f"{mode},{step},{COUNT},{seconds:.1f},{cpu:.1f},{megabytes:.0f}")
    write_lines("organize_speed", lines)


if __name__ == "__main__":
    main()

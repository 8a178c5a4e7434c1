"""What benchmarks share. Importing it puts the project on the path of a script run as `python benchmarks/NAME.py`."""

import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SIDE = 1024  # pixels of the PNG files that speed is measured on
sys.path.insert(0, str(ROOT))


def shuffled(folder: Path) -> list[Path]:
    """A folder's files, so that no generator is only among the first."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return random.Random(0).sample(files, len(files))


def write_lines(name: str, lines: list[str]) -> None:
    """A table, results/NAME.csv, and on the screen."""
    (RESULTS / f"{name}.csv").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))

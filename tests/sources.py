"""Small folders of images for the tests of organize_dataset.py."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

import organize_dataset
from artifact_detection.system.paths import RECORD, WORK

ROOT = Path(organize_dataset.__file__).parent


def draw(path, seed=0):
    """A tiny image; another seed gives other bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return path


def draw_source(folder, per_class=(4, 2)):
    """source/{train,test}: clean and artifact images, all different."""
    for split in ("train", "test"):
        for index in range(sum(per_class)):
            label = int(index >= per_class[0])
            seed = 2 * index + (split == "test")
            draw(folder / "source" / split / f"image_{index:05d}_{label}.png", seed)
    return folder / "source"


def tree(folder):
    """Every file below a folder with its bytes, but a record of ours: its key is random."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parts[-2:] != (WORK, RECORD))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def manifest(folder):
    with open(folder / "dataset" / "manifest.csv", encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def reasons(folder):
    return {Path(row["source"]).name: row["reason"] for row in manifest(folder) if row["reason"]}


def run(folder, *arguments):
    """Organize folder/source into folder/dataset in this process; return the exit code."""
    return organize_dataset.main(["--source", f"{folder / 'source'}", "--output", f"{folder / 'dataset'}", *arguments])

"""The dataset that the shipped detector is trained on: clean generated faces and freshly drawn portraits.

    python benchmarks/ready_dataset.py --faces FACES --out dataset-ready

FACES is a folder of clean generated faces (the published numbers: 1,217 SFHQ-T2I and SD3 portraits, MIT and CC0).
They are split as benchmarks/injection_transfer.py does, near-duplicates together: two thirds stand in OUT/train, clean,
for `--inject` to put artifacts in; the others in OUT/test, once as they are and once with an artifact. OUT/train also
gets portraits of another seed than test_data's, in several sizes.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
import project  # noqa: F401  puts the project on the path
from tqdm import tqdm

from artifact_detection.images.decoding import read_image
from artifact_detection.images.duplicates import duplicate_groups
from artifact_detection.images.measure import measure_files
from artifact_detection.injection import inject_random
from artifact_detection.injection.dataset import find_images
from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN
from artifact_detection.portraits.dataset import labelled_portrait, png_bytes
from artifact_detection.system.files import write_atomic
from artifact_detection.training.data import split_by_group

TEST_SHARE = 1 / 3
PORTRAITS, PORTRAIT_SEED, PORTRAIT_SIZES = 240, 1017, (192, 256, 384, 512)


def split_faces(folder: Path, seed: int = 0) -> tuple[list[Path], list[Path]]:
    """The faces to train on and those that no training and no choice may see."""
    paths, _ = find_images(folder)
    measured = measure_files(paths)
    usable = np.flatnonzero(measured.table["error"].to_numpy() == "")
    groups = duplicate_groups(measured.take(usable))
    parts = split_by_group(np.zeros(len(usable), int), groups, TEST_SHARE, seed)
    return tuple([paths[usable[row]] for row in rows] for rows in parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of clean generated faces")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    options = parser.parse_args()
    folders = {(s, label): options.out / s / CLASSES[label] for s in ("train", "test") for label in (CLEAN, ARTIFACT)}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    training, test = split_faces(options.faces)
    for split, paths in (("train", training), ("test", test)):
        for path in paths:
            shutil.copy2(path, folders[split, CLEAN] / path.name)
    for index in tqdm(range(PORTRAITS), "portraits", disable=None):
        size = PORTRAIT_SIZES[index % len(PORTRAIT_SIZES)]
        portrait = labelled_portrait(index, CLEAN, "train", PORTRAIT_SEED, size)
        write_atomic(folders["train", CLEAN] / f"portrait_{index:05d}.png", png_bytes(portrait))
    for row, path in enumerate(tqdm(test, "test artifacts", disable=None)):
        injected, _ = inject_random(read_image(path), np.random.default_rng((0, 2**41, row)))
        write_atomic(folders["test", ARTIFACT] / f"{path.stem}.png", png_bytes(injected))
    print(f"{options.out}: {len(training)} faces and {PORTRAITS} portraits to train on, {len(test)} faces to test on")
    return 0


if __name__ == "__main__":
    sys.exit(main())

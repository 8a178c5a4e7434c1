"""What does a training image cost before the network sees it, stage by stage?

    python benchmarks/training_stages.py --images FACES --count 64

Median CPU milliseconds of one thread an image, of what a run does once (read, decode, fit) and in every epoch: from the
cache, paint an artifact, augment by torchvision's transforms, by matrices on the CPU or as a batch by torch, collate.
A core prepares 1000 / (the sum of what a recipe uses) images a second.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from project import shuffled
from torch.utils.data import default_collate

from artifact_detection.images.augmentation import DRAWS, apply_cv2, apply_torch, draw
from artifact_detection.images.decoding import read_image
from artifact_detection.images.faces import find_face
from artifact_detection.images.transforms import Preprocessing, augmentation, to_tensor
from artifact_detection.injection import inject_random
from artifact_detection.system.arguments import script_parser

BATCH, SIZE = 32, 224


def measured(name: str, act: Callable, inputs: Sequence, images: int = 1) -> list:
    """Print the median milliseconds an image of `act` on each input; return what it gave."""
    results, times = [], []
    for one in inputs:
        start = time.thread_time()
        results.append(act(one))
        times.append((time.thread_time() - start) * 1e3 / images)
    print(f"| {name} | {statistics.median(times):.2f} |", flush=True)
    return results


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--count", type=int, default=64, help="images")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    paths, rng = shuffled(options.images)[: options.count], np.random.default_rng(0)
    print("| stage | ms an image |\n| --- | --- |")
    measured("read the file", Path.read_bytes, paths)
    images = measured("read and decode", read_image, paths)
    for how in ("antialias", "area"):
        small = measured(f"fit, {how}", Preprocessing(SIZE, how).fit, images)
    whole = [Preprocessing(2 * SIZE).fit(image) for image in images]
    faces = measured("find the face (once)", find_face, whole)
    pairs = list(zip(whole, faces, strict=True))
    measured("inject, face known", lambda pair: inject_random(pair[0], rng, face=pair[1]), pairs)
    tensors = measured("from the cache to a tensor", to_tensor, small)
    measured("augment, torchvision", augmentation("heavy"), tensors)
    measured("augment, matrices", lambda image: apply_cv2(image, draw("heavy", rng.random(DRAWS))), small)
    batches = [(tensors * BATCH)[start : start + BATCH] for start in range(0, len(tensors), BATCH)]
    stacked = measured("collate", default_collate, batches, BATCH)
    drawn = [np.stack(part) for part in zip(*(draw("heavy", rng.random(DRAWS)) for _ in range(BATCH)), strict=True)]
    matrices = [torch.tensor(part, dtype=torch.float32) for part in drawn]
    measured("augment, a batch by torch", lambda batch: apply_torch(batch, *matrices), stacked, BATCH)


if __name__ == "__main__":
    main()

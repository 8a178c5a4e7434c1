"""A dataset and a network so small that a training takes a second."""

from pathlib import Path

import numpy as np
from PIL import Image

from artifact_detection.labels import CLASSES
from artifact_detection.training import data
from tests.training.test_data import image_set

SIZE = 32
SMALL = ["--arch", "mobilenet_v3_small", "--weights", "none", "--image-size", str(SIZE), "--batch-size", "8"]
SMALL += ["--epochs", "2", "--precision", "fp32", "--workers", "0"]


def toy_images(count: int = 24) -> data.ImageSet:
    """Noise; every third image has a bright square and the label "artifacts"."""
    images = image_set([int(i % 3 == 0) for i in range(count)], SIZE)
    for row in np.flatnonzero(images.labels):
        images.pixels[row, 8:20, 8:20] = 250
    return images


def write_toys(folder: Path, training: int = 24, test: int = 12) -> Path:
    """A dataset of class folders."""
    images = toy_images(training + test)
    for index, label in enumerate(images.labels):
        path = folder / ("train" if index < training else "test") / CLASSES[label] / f"image {index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index]).save(path)
    return folder


def toy_arguments(folder: Path) -> list[str]:
    """What model_training.py needs to train on `write_toys(folder / "dataset")`."""
    places = {"--dataset": folder / "dataset", "--runs": folder / "runs", "--cache": folder / "cache"}
    return [*SMALL, *(str(part) for place in places.items() for part in place)]

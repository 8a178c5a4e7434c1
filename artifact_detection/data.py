"""From class folders to batches: file lists, grouped stratified splits, oversampling, the training loader.

The order keeps results honest: near-duplicates are grouped, then split, and only the training part is oversampled.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch.utils.data import DataLoader, Dataset, Sampler

from artifact_detection.audit import group_ids, near_duplicate_pairs
from artifact_detection.audit.store import THUMBNAIL
from artifact_detection.cache import cached_images
from artifact_detection.injection import SEVERITIES, inject_random
from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN, IMAGE_SUFFIXES
from artifact_detection.transforms import Preprocessing, augmentation, evaluation_transform, resize, to_tensor


class DatasetError(Exception):
    """A dataset that cannot be trained on; the message says what to do."""


def list_images(dataset: Path, split: str) -> pd.DataFrame:
    """The images of dataset/<split>/{no_artifacts,artifacts}/, sorted: columns path (relative to dataset), label.

    Raises DatasetError if the split is not there or holds no image.
    """
    rows = [
        {"path": path.relative_to(dataset).as_posix(), "label": label}
        for label, name in enumerate(CLASSES)
        for path in sorted((dataset / split / name).rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    ]
    if not rows:
        raise DatasetError(f"no images in {dataset / split}/{{{','.join(CLASSES)}}}: run organize_dataset.py first")
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class ImageSet:
    """Decoded images with what is known of them; `errors` names the files that could not be used.

    table: columns path (relative to root), label, row, one line an image. pixels: (N, H, W, 3) uint8, indexed by `row`.
    """

    root: Path
    table: pd.DataFrame
    pixels: np.ndarray
    errors: dict[str, str]

    @property
    def labels(self) -> np.ndarray:
        return self.table["label"].to_numpy()

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.pixels[self.table["row"].iat[index]]

    def take(self, rows: np.ndarray) -> "ImageSet":
        return ImageSet(self.root, self.table.iloc[rows].reset_index(drop=True), self.pixels, {})

    def fingerprint(self) -> str:
        """A hash of names, labels and sizes, to tell whether two runs saw the same data."""
        lines = (f"{row.path} {row.label} {(self.root / row.path).stat().st_size}" for row in self.table.itertuples())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def load_images(dataset: Path, split: str, size: int, cache: Path) -> ImageSet:
    """List, decode and resize the images of one split; unreadable ones are left out and named in `errors`."""
    table = list_images(dataset, split)
    cached = cached_images([dataset / path for path in table["path"]], size, cache)
    errors = {table["path"][row]: reason for row, reason in cached.errors.items()}
    usable = table.assign(row=np.arange(len(table))).drop(index=list(cached.errors)).reset_index(drop=True)
    if usable.empty:
        raise DatasetError(f"none of the {len(table)} images in {dataset / split} can be read")
    return ImageSet(dataset, usable, cached.images, errors)


def at_size(images: ImageSet, size: int, cache: Path) -> ImageSet:
    """The same images, decoded again and resized to (size, size)."""
    pixels = cached_images([images.root / path for path in images.table["path"]], size, cache).images
    return replace(images, table=images.table.assign(row=np.arange(len(images))), pixels=pixels)


def split_by_group(labels: np.ndarray, groups: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (training, validation): stratified by label, no group on both sides, about `share` to validation.

    labels, groups: (N,) integers. Raises DatasetError if a class has too few groups to stand on both sides.
    """
    smallest, name = min((len(np.unique(groups[labels == label])), CLASSES[label]) for label in np.unique(labels))
    if smallest < 2:
        raise DatasetError(f"only {smallest} distinct image of {name}: it cannot stand in training and in validation")
    folds = min(max(2, round(1 / share)), smallest)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return next(iter(splitter.split(labels, labels, groups)))


def split_training(images: ImageSet, share: float, seed: int, inject: float = 0.0) -> tuple[ImageSet, ImageSet]:
    """The training and the validation part of the training images.

    If no image is labelled "artifacts", half of the validation images get a synthetic one, always the same.
    Raises DatasetError if there is no artifact and none is to be injected.
    """
    if not (images.labels == ARTIFACT).any() and not inject:
        raise DatasetError("no training image is labelled artifacts: pass --inject 0.5 to train on synthetic ones")
    thumbnails = np.stack([_thumbnail(images[index]) for index in range(len(images))])
    groups = group_ids(len(images), near_duplicate_pairs(thumbnails))
    training, validation = (images.take(rows) for rows in split_by_group(images.labels, groups, share, seed))
    if not (validation.labels == ARTIFACT).any():
        validation = inject_half(validation, seed)
    return training, validation


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (THUMBNAIL, THUMBNAIL) uint8 grey, what near-duplicates are sought in."""
    return cv2.cvtColor(resize(image, THUMBNAIL), cv2.COLOR_RGB2GRAY)


def inject_half(images: ImageSet, seed: int) -> ImageSet:
    """The same images with a random synthetic artifact in every second one."""
    pixels = np.stack([images[index] for index in range(len(images))])
    for index in range(0, len(images), 2):
        pixels[index] = inject_random(pixels[index], np.random.default_rng((seed, index)))[0]
    labels = np.where(np.arange(len(images)) % 2, CLEAN, ARTIFACT)
    return ImageSet(images.root, images.table.assign(label=labels, row=np.arange(len(images))), pixels, {})


def oversample(labels: np.ndarray, mode: str, rng: np.random.Generator) -> np.ndarray:
    """Row numbers of one epoch in random order.

    "none": each row once. "random": each row once, and rows of the minority drawn again with replacement to 1:1.
    """
    rows = np.arange(len(labels))
    if mode == "random":
        clean, artifacts = rows[labels == CLEAN], rows[labels == ARTIFACT]
        minority, missing = min(clean, artifacts, key=len), abs(len(clean) - len(artifacts))
        if len(minority):
            rows = np.concatenate([rows, rng.choice(minority, missing)])
    elif mode != "none":
        raise ValueError(f"unknown oversampling {mode!r}: choose from {', '.join(OVERSAMPLING)}")
    return rng.permutation(rows)


OVERSAMPLING = ("random", "none")


class Sample(NamedTuple):
    """One training sample: the row of an image, the seed of its augmentation, whether it gets an artifact."""

    row: int
    seed: int
    inject: bool = False


class EpochBatches(Sampler[list[Sample]]):
    """Batches of samples for one epoch after another; the same for the same (seed, epoch), whatever came before.

    Every sample's random numbers come from its own seed, so neither the number of workers nor an interruption changes
    what the network sees. Set `epoch` before iterating. Batches differ by at most one sample; none is dropped.

    inject: probability that a clean image gets a synthetic artifact. Clean images then come twice, one right after
    the other, with antithetic draws u and 1 - u and the same augmentation: at 0.5 a batch holds each image with and
    without an artifact, so that only the artifact tells the labels apart. A network from scratch learns sooner so.
    """

    def __init__(self, labels: np.ndarray, batch_size: int, oversampling: str, seed: int, inject: float = 0.0):
        self.labels, self.batch_size, self.oversampling, self.seed = labels, batch_size, oversampling, seed
        self.inject, self.epoch = inject, 0
        self.total = len(self.samples())  # images in an epoch, repeats included; the same in every one

    def __len__(self) -> int:
        return -(-self.total // self.batch_size)

    def __iter__(self) -> Iterator[list[Sample]]:
        samples = self.samples()
        for part in np.array_split(np.arange(self.total), len(self)):
            yield [samples[index] for index in part]

    def samples(self) -> list[Sample]:
        """The epoch's samples in order, repeats included."""
        rng = np.random.default_rng((self.seed, self.epoch))
        samples = []
        for row in oversample(self.labels, self.oversampling, rng):
            draw, seed = rng.random(), int(rng.integers(2**31))
            twice = self.inject > 0 and self.labels[row] == CLEAN
            for u in (draw, 1 - draw) if twice else (1.0,):
                samples.append(Sample(int(row), seed, u < self.inject))
        return samples


class TrainingImages(Dataset):
    """Augmented training images: ((3, S, S) uint8, label float32) for a Sample.

    slightest: least severity of the injected artifacts.
    """

    def __init__(self, images: ImageSet, preset: str, preprocessing: Preprocessing, slightest: int = 1):
        self.images, self.labels, self.severities = images, images.labels, range(slightest, max(SEVERITIES) + 1)
        self.augment, self.size = augmentation(preset), preprocessing.size

    def __getitem__(self, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
        image, label = self.images[sample.row], self.labels[sample.row]
        if sample.inject:
            rng = np.random.default_rng(sample.seed)
            image, label = inject_random(image, rng, severities=self.severities)[0], ARTIFACT
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sample.seed)
            return self.augment(to_tensor(resize(image, self.size))), torch.tensor(float(label))


class EvaluationImages(Dataset):
    """The same images under the evaluation preset: (3, S, S) uint8 by row number."""

    def __init__(self, images: ImageSet, preprocessing: Preprocessing):
        self.images, self.preprocessing = images, preprocessing

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> torch.Tensor:
        return evaluation_transform(self.images[row], self.preprocessing)


def training_loader(dataset: TrainingImages, batches: EpochBatches, workers: int, pin: bool) -> DataLoader:
    """Batches ((B, 3, S, S) uint8, (B,) float32), prepared by `workers` processes beside the training.

    workers: -1 for one a spare core, at most 16.
    """
    if workers < 0:
        workers = min(16, max(1, (os.cpu_count() or 1) - 1))
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin,
        worker_init_fn=_one_thread,
    )


def evaluation_loader(dataset: EvaluationImages, batch_size: int, pin: bool = False) -> DataLoader:
    """Batches (B, 3, S, S) uint8 in order, the last partial one included."""
    return DataLoader(dataset, batch_size=batch_size, pin_memory=pin)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)

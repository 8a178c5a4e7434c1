"""From decoded images to batches: oversampling, painting and augmentation on the fly, loaders."""

import atexit
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from artifact_detection.detector.dense_head import STRIDE
from artifact_detection.images.augmentation import DRAWS, apply_cv2, draw, warp
from artifact_detection.images.transforms import Preprocessing, augmentation, to_tensor
from artifact_detection.labels import ARTIFACT, CLEAN, FAMILIES
from artifact_detection.training.data import DatasetError, ImageSet, left_to_fit
from artifact_detection.training.painting import Painting
from artifact_detection.training.shared_faces import SharedFaces

SHARED_MEMORY, SHARED_SHARE = Path("/dev/shm"), 0.5  # the share of what is free that batches may take
AHEAD = 2  # batches that each worker prepares in advance
LEAST_ROWS = 2  # of a process' part of a batch: batch norm cannot do with one image
OVERSAMPLING = ("random", "sqrt", "balanced", "none")
UNKNOWN = 255  # where an artifact may be, but nobody knows where
PLAIN = Painting()  # injection of any artifact, nothing else


def oversample(labels: np.ndarray, mode: str, rng: np.random.Generator) -> np.ndarray:
    """Row numbers of one epoch in random order, each row at least once.

    "none": each row once. "random": rows of the minority drawn again with replacement to 1:1. "balanced": the same,
    and in every batch too. "sqrt": the minority is repeated until the classes stand as the roots of their sizes did.
    """
    minority, majority = sorted((np.flatnonzero(labels == label) for label in (CLEAN, ARTIFACT)), key=len)
    if mode == "none" or not len(minority):
        return rng.permutation(len(labels))
    wanted = round(np.sqrt(len(minority) * len(majority))) if mode == "sqrt" else len(majority)
    minority = np.concatenate([minority, rng.choice(minority, wanted - len(minority))])
    if mode == "balanced":
        return np.stack([rng.permutation(minority), rng.permutation(majority)], axis=1).ravel()
    return rng.permutation(np.concatenate([minority, majority]))


class Sample(NamedTuple):
    """One training sample: the row of an image, the seed of its augmentation, whether it gets an artifact."""

    row: int
    seed: int
    inject: bool = False


class EpochBatches(Sampler[list[Sample]]):
    """Batches of samples for one epoch after another; the same for the same (seed, epoch), whatever came before.

    Set `epoch` before iterating, and `done` to leave out batches that were seen already. Batches differ by at most one
    sample; none is dropped.

    inject: probability that a clean image gets a synthetic artifact. Clean images then come twice, one right after
    the other, with antithetic draws u and 1 - u and the same augmentation.

    rank, world: with several processes each gets its part of every batch, in order.
    """

    def __init__(
        self, labels: np.ndarray, batch_size: int, oversampling: str, seed: int, inject: float = 0.0, rank: int = 0,
        world: int = 1,
    ):  # fmt: skip
        self.labels, self.batch_size, self.oversampling, self.seed = labels, batch_size, oversampling, seed
        self.inject, self.rank, self.world = inject, rank, world
        self.epoch = self.done = 0
        samples = self.samples()
        self.total = len(samples)  # images in an epoch, repeats included; the same in every one
        if self.total < LEAST_ROWS * world:
            raise DatasetError(f"{self.total} training images: too few for {world} processes that need two for a step")
        self.clean_share = sum(not s.inject and labels[s.row] == CLEAN for s in samples) / self.total

    def __len__(self) -> int:
        return min(-(-self.total // self.batch_size), self.total // (LEAST_ROWS * self.world))

    def __iter__(self) -> Iterator[list[Sample]]:
        samples = self.samples()
        for step in range(self.done, len(self)):
            start, stop = self.bounds(step)
            yield samples[start:stop]

    def batch(self, step: int) -> tuple[int, int]:
        """Where a batch starts and stops among the epoch's samples."""
        return _part(0, self.total, step, len(self))

    def bounds(self, step: int) -> tuple[int, int]:
        """Where this process' part of a batch starts and stops."""
        return _part(*self.batch(step), self.rank, self.world)

    def samples(self) -> list[Sample]:
        """The epoch's samples in order, repeats included."""
        rng = np.random.default_rng((self.seed, self.epoch))
        samples = []
        for row in oversample(self.labels, self.oversampling, rng):
            # A seed for each sample: then neither the number of workers nor an interruption changes what is seen.
            draw, seed = rng.random(), int(rng.integers(2**31))
            # At 0.5 a batch holds the image with and without an artifact, and only the artifact tells the labels apart:
            # a network from scratch learns sooner so.
            twice = self.inject > 0 and self.labels[row] == CLEAN
            for u in (draw, 1 - draw) if twice else (1.0,):
                samples.append(Sample(int(row), seed, u < self.inject))
        return samples


def _part(start: int, stop: int, index: int, parts: int) -> tuple[int, int]:
    """Part `index` of a range cut into `parts` that differ by at most one."""
    size, longer = divmod(stop - start, parts)
    first = start + index * size + min(index, longer)
    return first, first + size + (index < longer)


class TrainingImages(Dataset):
    """Augmented training images: ((3, *shape) uint8, label float32) for a Sample.

    painting: what is done to them first. unfitted: they are still to be fitted, see `ImageSet`; only into such an
    artifact is put.
    regions: a third item, (families, h, w) float32: the share of each cell of the dense head's map that an artifact
    of each family covers; -1 everywhere where that is not known. matrices: the preset is that of
    images.augmentation, as always with regions, not torchvision's. warp: off where somebody else augments, see
    `PaintedBatches`: the third item is then what is painted, (H, W) uint8 as by `inject_random`, UNKNOWN everywhere
    where that is not known, and a fourth is the seed of the augmentation.
    """

    def __init__(
        self, images: ImageSet, preset: str, preprocessing: Preprocessing, painting: Painting = PLAIN,
        unfitted: bool = False, regions: bool = False, matrices: bool = False, warp: bool = True,
    ):  # fmt: skip
        self.images, self.labels, self.preset, self.painting = images, images.labels, preset, painting
        self.unfitted, self.regions, self.matrices, self.warp = unfitted, regions, matrices or regions, warp
        self.preprocessing = left_to_fit(preprocessing) if unfitted else preprocessing
        self.augment = augmentation(preset)
        # Looking takes twice as long as painting. Where nothing is painted they would only fill the shared memory.
        self.faces = SharedFaces(len(images)) if unfitted or painting.benign or painting.vary else None

    def __getitem__(self, sample: Sample) -> tuple[torch.Tensor, ...]:
        image, label = self.images[sample.row], self.labels[sample.row]
        target, known = torch.tensor(float(sample.inject or label)), sample.inject or label == CLEAN
        needs_face = sample.inject or self.painting.benign or self.painting.vary
        face = self.faces.find(sample.row, image) if needs_face else None
        image, painted = self.painting.applied(image, face, sample.seed, sample.inject)
        if self.unfitted:
            painted = self.preprocessing.fit_mask(painted, image) if self.regions else painted
            image = self.preprocessing.fit(image)
        if not self.warp:
            painted = torch.from_numpy(painted if known else np.full_like(painted, UNKNOWN))
            return to_tensor(image), target, painted, sample.seed
        if not self.matrices:
            return self.augmented(sample, image), target
        image, painted = self.warped(sample, image, painted)
        if not self.regions:
            return image, target
        return image, target, cell_shares(painted) if known else torch.full_like(cell_shares(painted), -1)

    def augmented(self, sample: Sample, image: np.ndarray) -> torch.Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(sample.seed)  # torch.manual_seed would queue a call for every GPU too
            return torch.cat([self.augment(to_tensor(view)) for view in _views(image)], 2)

    def warped(self, sample: Sample, image: np.ndarray, painted: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """Image and painted regions under the same augmentation, each view with one of its own."""
        rng, images, masks = np.random.default_rng((sample.seed, 3)), [], []
        for view, mask in zip(_views(image), _views(painted), strict=True):
            drawn = draw(self.preset, rng.random(DRAWS))
            images.append(apply_cv2(view, drawn))
            masks.append(warp(mask, drawn.inverse, nearest=True))
        return to_tensor(np.hstack(images)), np.hstack(masks)


def _views(image: np.ndarray) -> list[np.ndarray]:
    """The squares that stand side by side."""
    return np.split(image, range(image.shape[0], image.shape[1], image.shape[0]), axis=1)


def cell_shares(painted: np.ndarray) -> torch.Tensor:
    """(H, W) uint8, see `inject_random` -> (families, H / 8, W / 8) float32: the share of each cell in each family."""
    size = tuple(-(-side // STRIDE) for side in painted.shape[::-1])
    planes = ((painted == 1 + number).astype(np.float32) for number in range(len(FAMILIES)))
    return torch.from_numpy(np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes]))


def training_loader(dataset: TrainingImages, batches: EpochBatches, workers: int, pin: bool) -> DataLoader:
    """Batches ((B, 3, *shape) uint8, (B,) float32), prepared by `workers` processes beside the training.

    workers: see `pick_workers`; fewer where the shared memory cannot hold their batches.
    """
    height, width = dataset.preprocessing.shape
    rows = batches.batch_size // batches.world + 1
    workers, ahead = fit_shared_memory(workers, rows * 4 * height * width)  # three channels and what is painted
    exiting = multiprocessing.RawValue("b", False)
    atexit.register(setattr, exiting, "value", True)
    loader = DataLoader(
        dataset, batch_sampler=batches, num_workers=workers, prefetch_factor=ahead, persistent_workers=workers > 0,
        pin_memory=pin, worker_init_fn=partial(_serve, exiting),
    )  # fmt: skip
    if workers:
        # They start now: beside a process that has grown in training, each page that it goes on writing to would first
        # be copied.
        batches.done = len(batches)  # nothing to prepare yet
        iter(loader)
        batches.done = 0
    return loader


def pick_workers(wanted: int, threads: int) -> int:
    """Processes that prepare batches; -1 for one a spare core of the `threads` of this process, from 1 to 16."""
    return min(16, max(1, threads - 1)) if wanted < 0 else wanted


def fit_shared_memory(workers: int, batch_bytes: int) -> tuple[int, int | None]:
    """So many workers, and batches ahead for each, as the shared memory that batches travel in holds: a container has
    64 MB of it unless it was started with more. Says so where that leaves fewer workers."""
    if not SHARED_MEMORY.is_dir():  # only Linux has it as a file system of a size
        return workers, AHEAD if workers else None
    room = int(shutil.disk_usage(SHARED_MEMORY).free * SHARED_SHARE // batch_bytes)
    if room < workers:
        print(f"{SHARED_MEMORY} is full with {room} batches: {room} of {workers} workers start", file=sys.stderr)
    workers = min(workers, room)
    return workers, min(AHEAD, room // workers) if workers else None


def _serve(exiting: multiprocessing.RawValue, _: int) -> None:
    """A worker uses one core, and leaves it to the main process what a signal means."""
    torch.set_num_threads(1)
    # A main process that is exiting ends the workers that are left by SIGTERM, and waits until they are gone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0) if exiting.value else None)

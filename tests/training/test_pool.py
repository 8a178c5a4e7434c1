"""Batches from images that lie on the device, here on the CPU in a GPU's place."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import ARTIFACT, CLEAN
from artifact_detection.training import pool
from artifact_detection.training.cache import StreamedImages
from artifact_detection.training.painting import Painting
from artifact_detection.training.sampling import EpochBatches, TrainingImages, training_loader
from tests.training.test_data import image_set

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("width", [32, 64], ids=["one view", "two views"])
def test_batches_are_those_of_the_workers(width, monkeypatch):
    monkeypatch.setattr(pool, "PART", 4)
    images = image_set([0, 1] * 5, 32)
    smooth = np.linspace(0, 200, 10 * 32 * width * 3).reshape(10, width, 32, 3).transpose(0, 2, 1, 3)
    images = replace(images, pixels=smooth.astype(np.uint8)).take(np.arange(10)[::-1].copy())
    preprocessing = Preprocessing(32, crop="both" if width == 64 else "full")
    batches = EpochBatches(images.labels, 4, "random", seed=0)
    workers = TrainingImages(images, "heavy", preprocessing, regions=True)
    for (pixels, labels), samples in zip(pool.PooledBatches(images, batches, "heavy", CPU), batches, strict=True):
        expected = torch.stack([workers[sample][0] for sample in samples])
        difference = (pixels.int() - expected).abs().float()
        assert difference.max() <= 6 and difference.mean() < 0.5 and pixels.dtype == torch.uint8
        assert labels.tolist() == [images.labels[sample.row] for sample in samples]


@pytest.mark.parametrize("size", [64, 60], ids=["whole cells", "cells cut at the border"])
@pytest.mark.parametrize("crop", ["full", "both"])
def test_painted_batches_are_those_of_the_workers(size, crop):
    images = image_set([CLEAN, ARTIFACT, CLEAN], 128)
    preprocessing = Preprocessing(size, crop=crop)
    batches = EpochBatches(images.labels, 5, "none", seed=0, inject=0.5)
    kinds = Painting(["noise_patch", "hand"])
    workers, painters = (
        TrainingImages(images, "heavy", preprocessing, kinds, unfitted=True, regions=True, warp=warp)
        for warp in (True, False)
    )
    loader = pool.PaintedBatches(training_loader(painters, batches, 1, pin=False), "heavy", CPU)
    ((pixels, labels, shares),), (samples,) = loader, batches
    assert len(loader) == 1 and 1 in labels and (shares > 0.5).any()
    for row, sample in enumerate(samples):
        image, label, expected = workers[sample]
        difference = (pixels[row].int() - image).abs().float()
        assert difference.max() <= 12 and difference.mean() < 1 and label == labels[row]
        assert (shares[row] - expected).abs().mean() < 0.01 and shares[row].shape == expected.shape
        assert (shares[row] == -1).all() == (sample.row == 1)


@pytest.mark.parametrize(
    "device, preset, free, streamed, expected",
    [
        (CUDA, "heavy", 100, False, True),
        (CPU, "heavy", 100, False, False),
        (CUDA, "trivial", 100, False, False),
        (CUDA, "heavy", 3, False, False),
        (CUDA, "heavy", 100, True, False),
    ],
    ids=["fits", "a CPU", "no matrices", "too large", "not kept decoded"],
)
def test_the_pool_is_taken_where_it_can_be(device, preset, free, streamed, expected, monkeypatch):
    images = image_set([0, 1] * 5, 32)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free * images[0].nbytes, 0))
    if streamed:
        images = replace(images, pixels=StreamedImages([], Preprocessing(32)))
    assert pool.fits(images, preset, device) == expected

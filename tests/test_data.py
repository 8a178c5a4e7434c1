import numpy as np
import pandas as pd
import pytest
import torch

from artifact_detection import data
from artifact_detection.data import (
    DatasetError,
    EpochBatches,
    ImageSet,
    Sample,
    TrainingImages,
    oversample,
    split_by_group,
)
from artifact_detection.labels import ARTIFACT, CLEAN
from artifact_detection.transforms import Preprocessing


def image_set(labels: list[int], size: int = 32) -> ImageSet:
    pixels = np.random.default_rng(0).integers(256, size=(len(labels), size, size, 3), dtype=np.uint8)
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(len(labels))], "label": labels})
    return ImageSet(None, table.assign(row=range(len(labels))), pixels, {})


def test_no_group_and_no_row_on_both_sides_and_classes_stratified():
    rng = np.random.default_rng(0)
    groups = rng.integers(150, size=400)
    labels = (rng.random(400) < 0.15).astype(int)
    training, validation = split_by_group(labels, groups, share=0.2, seed=3)
    assert sorted([*training, *validation]) == list(range(400))
    assert not set(groups[training]) & set(groups[validation])
    assert len(validation) == pytest.approx(80, abs=12)
    assert labels[validation].mean() == pytest.approx(labels.mean(), abs=0.05)


def test_split_follows_the_seed():
    labels, groups = np.tile([0, 0, 0, 1], 25), np.arange(100)
    first, again, other = (split_by_group(labels, groups, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_class_with_one_group_cannot_be_split():
    with pytest.raises(DatasetError, match="only 1 distinct image of artifacts"):
        split_by_group(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 3]), 0.2, 0)


def test_near_duplicates_never_stand_on_both_sides():
    images = image_set([0] * 20 + [1] * 10)
    images.pixels[10:20] = images.pixels[:10]  # row n and row n + 10 are copies
    training, validation = (
        set(part.table["row"][part.table["row"] < 20] % 10) for part in data.split_training(images, 0.3, seed=0)
    )
    assert training and validation and not training & validation


@pytest.mark.parametrize("labels", [[0] * 90 + [1] * 10, [0] * 10 + [1] * 90], ids=["few artifacts", "few clean"])
def test_random_oversampling_reaches_one_to_one_and_drops_nothing(labels):
    labels = np.array(labels)
    rows = oversample(labels, "random", np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [90, 90]
    assert set(rows) == set(range(100))


def test_no_oversampling_is_each_row_once():
    labels = np.array([0, 1, 0])
    assert sorted(oversample(labels, "none", np.random.default_rng(0))) == [0, 1, 2]


def test_oversampling_of_one_class_changes_nothing():
    assert sorted(oversample(np.zeros(4, int), "random", np.random.default_rng(0))) == [0, 1, 2, 3]


def test_batches_depend_on_seed_and_epoch_only_and_drop_nothing():
    batches = EpochBatches(np.array([0] * 30 + [1] * 3), batch_size=8, oversampling="random", seed=5)
    first = list(batches)
    batches.epoch = 1
    second = list(batches)
    batches.epoch = 0
    assert list(batches) == first != second
    assert len(first) == len(batches) == 8 and sum(map(len, first)) == 60
    assert {len(batch) for batch in first} <= {7, 8}  # none so small that batch norm fails


def test_sample_is_decided_by_its_seed_and_leaves_torch_alone():
    samples = TrainingImages(image_set([0, 1]), "heavy", Preprocessing(24))
    before = torch.get_rng_state()
    (first, label), (again, _), (other, _) = (samples[Sample(1, seed)] for seed in (7, 7, 8))
    assert first.shape == (3, 24, 24) and first.dtype == torch.uint8 and label == 1.0
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.9])
def test_clean_images_are_injected_with_the_given_probability(probability):
    batches = EpochBatches(np.array([CLEAN] * 500 + [ARTIFACT] * 20), 32, "none", seed=0, inject=probability)
    samples = batches.samples()
    clean = [sample for sample in samples if sample.row < 500]
    assert len(clean) == 1000 and sum(sample.inject for sample in clean) == pytest.approx(1000 * probability, abs=50)
    assert not any(sample.inject for sample in samples if sample.row >= 500)


def test_at_one_half_every_clean_image_comes_with_and_without_an_artifact():
    samples = EpochBatches(np.zeros(50, int), 8, "none", seed=0, inject=0.5).samples()
    pairs = list(zip(samples[::2], samples[1::2], strict=True))
    assert all(first.row == second.row and first.inject != second.inject for first, second in pairs)
    assert {first.inject for first, _ in pairs} == {True, False}


def test_injected_sample_differs_and_is_labelled():
    images = image_set([CLEAN, ARTIFACT], size=64)
    samples = TrainingImages(images, "none", Preprocessing(64))
    for inject, label in ((False, CLEAN), (True, ARTIFACT)):
        image, target = samples[Sample(0, 3, inject)]
        assert target == label
        assert np.array_equal(image.permute(1, 2, 0).numpy(), images[0]) != inject


def test_dataset_without_artifacts_needs_injection():
    images = image_set([CLEAN] * 20, size=64)
    with pytest.raises(DatasetError, match="--inject"):
        data.split_training(images, 0.2, 0)
    training, validation = data.split_training(images, 0.2, 0, inject=0.5)
    assert not training.labels.any() and validation.labels.mean() == 0.5
    again = data.split_training(images, 0.2, 0, inject=0.5)[1]
    assert np.array_equal(validation.pixels, again.pixels)


def test_missing_split_says_what_to_run(tmp_path):
    with pytest.raises(DatasetError, match="organize_dataset"):
        data.list_images(tmp_path, "train")

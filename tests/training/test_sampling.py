import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import chain
from multiprocessing import active_children
from textwrap import dedent
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from artifact_detection.images.faces import find_face
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import ARTIFACT, CLEAN
from artifact_detection.training import sampling, shared_faces
from artifact_detection.training.painting import Painting
from artifact_detection.training.sampling import (
    EpochBatches,
    Sample,
    TrainingImages,
    fit_shared_memory,
    oversample,
    pick_workers,
    training_loader,
)
from tests.toys import toy_images
from tests.training.test_data import image_set


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
    samples = TrainingImages(image_set([0, 1]), "heavy", Preprocessing(24), unfitted=True)
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
    samples = TrainingImages(images, "none", Preprocessing(64), unfitted=True)
    for inject, label in ((False, CLEAN), (True, ARTIFACT)):
        image, target = samples[Sample(0, 3, inject)]
        assert target == label
        assert np.array_equal(image.permute(1, 2, 0).numpy(), images[0]) != inject


def test_square_root_balancing_known_answer():
    labels = np.array([0] * 100 + [1] * 4)  # roots 10 : 2, so 100 : 20
    rows = oversample(labels, "sqrt", np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [100, 20] and set(rows) == set(range(104))


def test_balanced_oversampling_balances_every_batch():
    labels = np.array([0] * 90 + [1] * 10)
    batches = list(EpochBatches(labels, 8, "balanced", seed=0))
    artifacts = [sum(labels[sample.row] for sample in batch) for batch in batches]
    assert all(abs(2 * found - len(batch)) <= 1 for found, batch in zip(artifacts, batches, strict=True))
    assert sum(artifacts) == 90 and sum(map(len, batches)) == 180
    assert {sample.row for batch in batches for sample in batch} == set(range(100))


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_each_batch_without_loss(world):
    labels = np.array([0] * 50 + [1] * 7)
    alone = list(EpochBatches(labels, 9, "random", 1))
    parts = [list(EpochBatches(labels, 9, "random", 1, rank=rank, world=world)) for rank in range(world)]
    assert [list(chain(*batch)) for batch in zip(*parts, strict=True)] == alone


@pytest.mark.parametrize("count, size, sizes", [(3, 2, [3]), (5, 2, [3, 2]), (3, 32, [3]), (33, 32, [17, 16])])
def test_no_batch_is_too_small_for_batch_norm(count, size, sizes):
    assert [len(batch) for batch in EpochBatches(np.zeros(count, int), size, "none", 0)] == sizes


def test_done_batches_are_left_out():
    batches = EpochBatches(np.array([0] * 20), 8, "none", 0)
    everything = list(batches)
    batches.done = 2
    assert list(batches) == everything[2:]


def test_clean_share_counts_repeats_and_injections():
    labels = np.array([0] * 30 + [1] * 10)
    assert EpochBatches(labels, 8, "none", 0).clean_share == 0.75
    assert EpochBatches(labels, 8, "random", 0).clean_share == 0.5
    assert EpochBatches(labels, 8, "none", 0, inject=0.5).clean_share == 30 / 70


def test_both_views_are_augmented_each_on_its_own():
    preprocessing = Preprocessing(24, crop="both")
    images = image_set([0], 64)
    (pair, _) = TrainingImages(images, "heavy", preprocessing, unfitted=True)[Sample(0, 1)]
    assert pair.shape == (3, 24, 48)
    left, _ = TrainingImages(images, "heavy", Preprocessing(24), unfitted=True)[Sample(0, 1)]
    assert torch.equal(pair[:, :, :24], left)


def test_a_program_that_ends_with_a_loader_under_way_ends():
    code = """
        from artifact_detection.images.transforms import Preprocessing
        from artifact_detection.training.sampling import EpochBatches, TrainingImages, training_loader
        from tests.toys import toy_images
        images = toy_images()
        batches = EpochBatches(images.labels, 8, "none", seed=0)
        under_way = iter(training_loader(TrainingImages(images, "none", Preprocessing(32)), batches, 1, pin=False))
        print(len(next(under_way)))
    """
    ended = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.returncode) == ("2\n", 0), ended.stderr


def test_workers_start_before_there_is_work():
    images = toy_images()
    batches = EpochBatches(images.labels, 8, "none", seed=0)
    before = set(active_children())
    loader = training_loader(TrainingImages(images, "none", Preprocessing(32)), batches, 2, pin=False)
    started = set(active_children()) - before
    labels = [label for _, labels in loader for label in labels.tolist()]
    assert len(started) == 2 and started == set(active_children()) - before
    assert labels == [images.labels[sample.row] for sample in batches.samples()]


def region_samples(labels: list[int], preset: str = "none", crop: str = "full", **painting) -> TrainingImages:
    images, preprocessing = image_set(labels, 128), Preprocessing(64, crop=crop)
    return TrainingImages(images, preset, preprocessing, Painting(**painting), unfitted=True, regions=True)


def test_regions_say_where_and_of_which_family():
    samples = region_samples([CLEAN, ARTIFACT], kinds=["block_glitch"])
    image, target, shares = samples[Sample(0, 3, True)]
    clean, _, nothing = samples[Sample(0, 3, False)]
    changed = torch.nn.functional.max_pool2d((image != clean).any(0).float()[None], 8)[0] > 0  # (8, 8)
    assert shares.shape == (4, 8, 8) and target == 1 and not nothing.any()
    assert shares[:3].sum() == 0 and torch.equal(shares[3] > 0, changed)


def test_where_an_artifact_of_the_users_is_nobody_knows():
    _, target, shares = region_samples([CLEAN, ARTIFACT])[Sample(1, 3, False)]
    assert target == 1 and (shares == -1).all()


def test_masks_follow_the_augmentation():
    samples, inside = region_samples([CLEAN], preset="heavy", kinds=["mask_piece"], slightest=3), []
    for seed in range(6):
        image, _, shares = samples[Sample(0, seed, True)]
        clean, *_ = samples[Sample(0, seed, False)]
        changed = torch.nn.functional.max_pool2d((image.int() - clean).abs().amax(0).float()[None], 8)[0] > 30
        assert not changed[shares.sum(0) == 0].any()
        inside.append(changed[shares.sum(0) > 0.6])
    assert torch.cat(inside).float().mean() > 0.8


def test_each_view_has_its_own_map():
    _, _, shares = region_samples([CLEAN], crop="both")[Sample(0, 1, True)]
    assert shares.shape == (4, 8, 16)


def test_benign_edits_come_with_either_label_and_twins_share_what_degrades_them():
    samples = region_samples([CLEAN], benign=1.0)
    plain, edited = (each[Sample(0, 5, False)] for each in (region_samples([CLEAN]), samples))
    assert not torch.equal(plain[0], edited[0]) and edited[1] == 0 and not edited[2].any()
    degraded = region_samples([CLEAN], degrade=1.0, kinds=["logo"])
    twins = [degraded[Sample(0, seed, inject)] for seed in range(4) for inject in (True, False)]
    for (one, _, shares), (other, *_) in zip(twins[::2], twins[1::2], strict=True):
        untouched = torch.nn.functional.interpolate(shares.sum(0)[None, None], 64)[0, 0] == 0
        untouched = torch.nn.functional.max_pool2d(1 - untouched.float()[None], 17, 1, 8)[0] == 0
        assert (one.int() - other).abs().amax(0)[untouched].max() <= 6


@pytest.mark.parametrize("inject", [0.0, 0.5])
@pytest.mark.parametrize("done", [0, 1], ids=["whole epoch", "resumed"])
def test_neither_processes_nor_an_interruption_change_what_the_matrices_give(inject, done):
    images = image_set([CLEAN] * 6 + [ARTIFACT] * 3, 64)
    unfitted = TrainingImages(
        images, "heavy", Preprocessing(32), unfitted=inject > 0, regions=inject > 0, matrices=True
    )

    def seen(rank: int, world: int, done: int) -> list[list[torch.Tensor]]:
        batches = EpochBatches(images.labels, 6, "random", 1, inject, rank, world)
        batches.done = done
        return [[unfitted[sample][0] for sample in batch] for batch in batches]

    parts = zip(seen(0, 2, done), seen(1, 2, done), strict=True)
    for batch, shared in zip(seen(0, 1, 0)[done:], parts, strict=True):
        assert torch.equal(torch.stack(batch), torch.stack([*chain(*shared)]))


def test_matrices_without_regions_give_an_image_and_a_label():
    images = image_set([CLEAN, ARTIFACT], 64)
    drawn, plain = (TrainingImages(images, "heavy", Preprocessing(64), matrices=by) for by in (True, False))
    assert len(drawn[Sample(0, 3)]) == 2 and not torch.equal(drawn[Sample(0, 3)][0], plain[Sample(0, 3)][0])


def test_twins_are_varied_alike():
    plain, varied = (region_samples([CLEAN], kinds=["logo"], vary=share) for share in (0.0, 1.0))
    image, _, shares = varied[Sample(0, 5, True)]
    twin, *_ = varied[Sample(0, 5, False)]
    assert not torch.equal(twin, plain[Sample(0, 5, False)][0])
    assert shares.any() and torch.equal(
        *(each.masked_select(shares.sum(0) == 0) for each in map(_cells, (image, twin)))
    )


def _cells(image: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(image.float(), 8).sum(0)


def test_a_worker_that_is_not_forked_gets_the_path_of_the_cache(tmp_path):
    np.save(tmp_path / "entry.npy", toy_images().pixels)
    images = replace(toy_images(), pixels=np.load(tmp_path / "entry.npy", mmap_mode="r"))
    sent = pickle.dumps(TrainingImages(images, "none", Preprocessing(32)))
    assert len(sent) < images.pixels.nbytes / 8
    got = pickle.loads(sent)
    assert torch.equal(got[Sample(3, 0)][0], TrainingImages(images, "none", Preprocessing(32))[Sample(3, 0)][0])


def test_workers_follow_the_share_of_the_cores():
    assert [pick_workers(-1, threads) for threads in (1, 2, 9, 64)] == [1, 1, 8, 16] and pick_workers(3, 1) == 3


@pytest.mark.parametrize(
    "free, expected", [(1000, (4, 2)), (60, (4, 1)), (24, (2, 1)), (2, (0, None))], ids=["", "cap", "fewer", "none"]
)
def test_batches_fit_into_the_shared_memory_of_a_container(free, expected, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sampling, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free * 2**20))
    assert fit_shared_memory(4, 5 * 2**20) == expected
    assert ("workers start" in capsys.readouterr().err) == (expected[0] < 4)


def test_a_face_is_looked_for_once_by_all_workers_together(monkeypatch):
    images = image_set([CLEAN] * 8, size=64)
    samples = TrainingImages(images, "none", Preprocessing(32), unfitted=True)
    expected = [find_face(images[row]) for row in range(8)]
    list(training_loader(samples, EpochBatches(images.labels, 2, "none", seed=0, inject=0.5), 2, pin=False))
    monkeypatch.setattr(shared_faces, "find_face", None)
    assert [samples.faces.find(row, images[row]) for row in range(8)] == expected

import cv2
import numpy as np
import pandas as pd
import pytest

from artifact_detection.detector.checkpoints import CERTIFIES, CHOOSES
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.injection import KINDS
from artifact_detection.labels import ARTIFACT, CLEAN
from artifact_detection.portraits import draw_portrait
from artifact_detection.training import data
from artifact_detection.training.data import DatasetError, ImageSet, split_by_group


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


@pytest.mark.parametrize(("artifacts", "share", "held"), [(2, 0.2, (20, 1)), (4, 0.2, (20, 1)), (20, 0.4, (40, 8))])
def test_few_artifacts_do_not_change_the_share_of_validation(artifacts, share, held):
    labels = np.repeat([0, 1], [100, artifacts])
    training, validation = split_by_group(labels, np.arange(len(labels)), share, seed=0)
    assert np.bincount(labels[validation]).tolist() == list(held)
    assert sorted([*training, *validation]) == list(range(len(labels)))


def test_a_group_larger_than_a_fold_stays_in_training():
    labels, groups = np.repeat([0, 0, 1], [90, 5, 5]), np.concatenate([np.zeros(90, int), np.arange(1, 11)])
    for seed in range(5):
        training, validation = split_by_group(labels, groups, 0.2, seed)
        assert len(validation) < 20 < len(training)
        assert all(set(labels[part]) == {0, 1} for part in (training, validation))


def test_class_with_one_group_cannot_be_split():
    with pytest.raises(DatasetError, match="only 1 distinct image of artifacts"):
        split_by_group(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 3]), 0.2, 0)


def test_near_duplicates_never_stand_on_both_sides():
    images = image_set([0] * 20 + [1] * 10)
    images.pixels[10:20] = images.pixels[:10]  # row n and row n + 10 are copies
    training, validation = (set(rows[rows < 20] % 10) for rows in data.split_training(images, 0.3, seed=0))
    assert training and validation and not training & validation


def test_dataset_without_artifacts_needs_injection():
    images, preprocessing = image_set([CLEAN] * 20, size=64), Preprocessing(32)
    with pytest.raises(DatasetError, match="--inject"):
        data.split_training(images, 0.2, 0)
    _, rows = data.split_training(images, 0.2, 0, inject=0.5)
    first, again = (data.inject_half(images.take(rows), preprocessing, 0, tuple(KINDS)) for _ in range(2))
    assert first.labels.mean() == 0.5 and first.pixels.shape[1:] == (32, 32, 3)
    assert np.array_equal(first.pixels, again.pixels)
    for row, label in enumerate(first.labels):
        assert np.array_equal(first[row], preprocessing.fit(images[rows[row]])) == (label == CLEAN)


def test_dataset_without_clean_images_is_refused():
    with pytest.raises(DatasetError, match="clean ones are needed"):
        data.split_training(image_set([ARTIFACT] * 20), 0.2, 0)


def test_folds_hold_out_each_row_once_stratified_and_by_group():
    rng = np.random.default_rng(0)
    groups, labels = rng.integers(100, size=300), (rng.random(300) < 0.2).astype(int)
    folds = data.split_folds(labels, groups, 4, seed=1)
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(300))
    for rest, held_out in folds:
        assert len(rest) + len(held_out) == 300 and not set(groups[rest]) & set(groups[held_out])
        assert labels[held_out].mean() == pytest.approx(labels.mean(), abs=0.07)


def test_more_folds_than_distinct_artifacts_are_refused():
    with pytest.raises(DatasetError, match="of artifacts: too few for 3"):
        data.split_folds(np.array([0, 0, 0, 0, 1, 1]), np.arange(6), 3, 0)


def test_missing_split_says_what_to_run(tmp_path):
    with pytest.raises(DatasetError, match="organize_dataset"):
        data.list_images(tmp_path, "train")


@pytest.mark.parametrize(("crop", "width"), [("full", 512), ("full", 800), ("face", 512), ("both", 512), ("both", 800)])
def test_images_to_inject_into_are_as_sharp_as_those_that_are_scored(tmp_path, crop, width):
    rng, folder = np.random.default_rng(0), tmp_path / "train" / "no_artifacts"
    folder.mkdir(parents=True)
    for number in range(4):
        image = draw_portrait(rng, 512)[0].astype(float) + rng.normal(0, 12, (512, 512, 3))
        image = np.pad(image, ((0, 0), (width - 512, 0), (0, 0)), "edge")
        cv2.imwrite(str(folder / f"{number}.png"), image.clip(0, 255).astype(np.uint8)[..., ::-1])
    preprocessing = Preprocessing(64, crop=crop)
    scored = data.load_images(tmp_path, "train", preprocessing, None)
    larger = data.unfitted(scored, preprocessing, None)
    if crop != "face":
        assert larger[0].shape[1] / larger[0].shape[0] == pytest.approx(width / 512, abs=0.01)
    assert data.inject_half(larger, preprocessing, 0, tuple(KINDS))[0].shape == scored[0].shape
    fitted = [data.left_to_fit(preprocessing).fit(larger[row]) for row in range(4)]
    sharpness = [
        np.mean([cv2.Laplacian(image[..., 1], cv2.CV_64F).var() for image in images])
        for images in (fitted, [scored[row] for row in range(4)])
    ]
    assert sharpness[0] == pytest.approx(sharpness[1], rel=0.1)
    assert np.mean([np.abs(one.astype(int) - scored[row]).mean() for row, one in enumerate(fitted)]) < 12


def test_what_certifies_shares_no_group_with_what_chooses_and_repeats_none():
    groups = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 4))
    labels = (groups < 50).astype(int)
    parts = data.validation_parts(labels, groups, seed=0)
    choosing, certifying = groups[parts == CHOOSES], groups[parts == CERTIFIES]
    assert not set(choosing) & set(certifying)
    assert len(certifying) == len(set(certifying)) == 50 and len(choosing) == 200
    assert labels[parts == CERTIFIES].sum() == 25


def test_a_small_validation_set_chooses_only():
    labels = np.repeat([ARTIFACT, CLEAN], [39, 100])
    assert (data.validation_parts(labels, np.arange(139), 0) == CHOOSES).all()


def test_what_is_not_in_a_class_folder_is_named(tmp_path):
    train = tmp_path / "train"
    places = ("artifacts/a.png", "no_artifacts/deep/b.png", "Artifacts/c.png", "unsure/d.png", "e.png")
    left = ("artifacts/.ipynb_checkpoints/a-checkpoint.png", "artifacts/f.heic", "artifacts/notes.txt")
    for name in (*places, *left):
        (train / name).parent.mkdir(parents=True, exist_ok=True)
        (train / name).touch()
    (train / "artifacts" / "linked").symlink_to(train / "unsure")
    table, listing = data.list_images(tmp_path, "train")
    assert list(table["path"]) == ["train/no_artifacts/deep/b.png", "train/artifacts/a.png"]
    assert set(listing.missed) == {"Artifacts/c.png", "unsure/d.png", "e.png", "artifacts/f.heic", "artifacts/linked"}
    assert set(listing.others) == {left[0], left[2]}

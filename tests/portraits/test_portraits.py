"""Portraits: geometry, determinism, labels, the command, and the committed test_data without a shortcut."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from artifact_detection.images.decoding import read_image
from artifact_detection.images.faces import find_face
from artifact_detection.injection import KINDS
from artifact_detection.labels import compile_pattern, parse_label
from artifact_detection.portraits import dataset, draw_portrait, paint_portrait
from artifact_detection.portraits.__main__ import main
from artifact_detection.portraits.canvas import Canvas, bump, colour, convex, edge, normals, roll_off, smooth_max
from artifact_detection.portraits.finishes import kuwahara
from artifact_detection.portraits.head import Head
from artifact_detection.portraits.person import random_person
from artifact_detection.portraits.scenes import ANYTHING, FEW_HATS, SCENES

ROOT = Path(__file__).resolve().parents[2]
TEST_DATA = ROOT / "test_data"
MEGABYTE = 1_000_000


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _files(split: str) -> list[Path]:
    return sorted((TEST_DATA / split).iterdir())


def _labels(files: list[Path]) -> np.ndarray:
    pattern = compile_pattern()
    return np.array([parse_label(path.name, pattern) for path in files])


# --- shapes and light ---


@pytest.mark.parametrize(
    ("distance", "coverage"), [(-1.0, 1.0), (-0.25, 0.75), (0.0, 0.5), (0.5, 0.0)], ids=["in", "near", "on", "out"]
)
def test_edge_is_soft_over_its_width(distance, coverage):
    assert edge(np.array(distance), 1.0) == pytest.approx(coverage)


@pytest.mark.parametrize(("x", "y", "distance"), [(0.5, 0.5, -0.5), (0.5, 0.1, -0.1), (1.0, 0.5, 0.0), (1.5, 0.5, 0.5)])
def test_convex_is_a_signed_distance(x, y, distance):
    square = ((0, 0), (1, 0), (1, 1), (0, 1))
    assert convex(np.array([x]), np.array([y]), square)[0] == pytest.approx(distance)


def test_smooth_max_equals_max_away_from_the_corner():
    first, second = np.array([0.0, 1.0, 0.5]), np.array([1.0, 0.0, 0.5])
    assert smooth_max(first, second, 0.4) == pytest.approx([1.0, 1.0, 0.6])


def test_normals_of_a_slope_lean_away_from_it():
    slope = np.tile(np.arange(5, dtype=np.float32), (5, 1))  # rises by 1 a pixel to the right
    assert normals(slope, 1.0)[:, 2, 2] == pytest.approx(np.array([-1, 0, 1]) / np.sqrt(2))


def test_roll_off_keeps_the_dark_and_never_clips():
    light = np.array([0.0, 0.4, 0.7, 1.5, 50.0])
    assert roll_off(light)[:3] == pytest.approx(light[:3])
    assert np.all(np.diff(roll_off(light)) > 0) and roll_off(light).max() < 1


def test_paint_shows_the_colour_it_was_given():
    canvas = Canvas(8)
    canvas.paint(colour(200, 100, 50), np.ones((8, 8), np.float32))
    assert canvas.finished()[3, 3].tolist() == [200, 100, 50]


def test_kuwahara_keeps_an_edge_and_flattens_noise():
    step = np.zeros((3, 16, 16), np.float32)
    step[:, :, 8:] = 1
    assert kuwahara(step, 2) == pytest.approx(step, abs=1e-6)
    noisy = step + _rng().normal(0, 0.05, step.shape).astype(np.float32)
    assert kuwahara(noisy, 2)[:, :, :8].std() < 0.6 * noisy[:, :, :8].std()


def test_bump_is_one_in_the_middle():
    assert bump(np.array([0.0, 1.0]), np.array([0.0, 0.0]), 1.0, 2.0) == pytest.approx([1, np.exp(-0.5)])


# --- a portrait ---


def test_a_face_point_is_where_the_pixels_say():
    canvas = Canvas(192)
    for seed in range(5):
        head = Head(canvas, random_person(_rng(seed), FEW_HATS, ANYTHING))
        x, y = head.place(0.2, 0.4)
        row, column = int(y * 192), int(x * 192)
        assert head.whole.across[row, column] == pytest.approx(0.2, abs=0.04)
        assert head.whole.down[row, column] == pytest.approx(0.4, abs=0.04)


@pytest.mark.parametrize("size", [64, 192])
@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_gives_a_picture_with_a_face_in_it(scene, size):
    image, face = paint_portrait(SCENES[scene], _rng(3), size)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    assert image.std() > 15
    x0, y0, x1, y1 = face.box
    assert x0 < face.left_eye[0] < face.mouth[0] < face.right_eye[0] < x1
    assert y0 < face.left_eye[1] < face.mouth[1] < y1 and y1 - y0 > 0.25 * size


def test_the_same_state_gives_the_same_pixels_and_another_one_another_person():
    first, again, other = (draw_portrait(_rng(seed), 96) for seed in (1, 1, 2))
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]
    assert np.abs(first[0].astype(int) - other[0]).mean() > 10


def test_a_face_detector_takes_the_portraits_for_faces():
    """A Viola-Jones detector, trained on photographs, finds most faces, and where they were drawn."""
    drawn = [draw_portrait(_rng(seed)) for seed in range(30)]
    found = [(find_face(image), face) for image, face in drawn]
    seen = [(guess, face) for guess, face in found if guess.found]
    apart = [np.hypot(*(np.subtract(guess.centre, face.centre))) / face.size for guess, face in seen]
    assert len(seen) >= 20
    assert np.median(apart) < 0.2


# --- labels and the command ---


@pytest.mark.parametrize(("prevalence", "count"), [("0.2", 200), ("0.2", 480), ("3/20", 40), ("1", 7), ("0", 9)])
def test_prevalence_is_exact(prevalence, count):
    share = Fraction(prevalence)
    labels = [dataset.label_of(index, "test", 0, share) for index in range(count)]
    assert sum(labels) == share * count


def test_the_place_of_artifacts_is_not_a_fixed_step():
    places = [index for index in range(200) if dataset.label_of(index, "test", 0, Fraction(1, 5))]
    assert len({place % 5 for place in places}) == 5


def test_every_artifact_of_the_dataset_is_a_known_kind():
    assert {kind for group in dataset.ARTIFACTS for kind, _ in group} <= set(KINDS)


def test_both_classes_share_portrait_and_finish():
    """The same image with and without its artifact: outside the artifact not a pixel differs."""
    clean, damaged = (dataset.labelled_portrait(4, label, "train", 0, 192) for label in (0, 1))
    assert 0.002 < np.any(clean != damaged, axis=2).mean() < 0.7


def test_finish_lifts_black_lowers_white_and_rounds():
    ramp = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 64, 3))
    for seed in range(20):
        shown = dataset.finished(ramp, _rng(seed))
        assert any(not (shown % step).any() for step in dataset.LEVEL_STEPS)
        assert shown[:8].mean() <= 25 and shown[-8:].mean() >= 220
        assert np.abs(shown.astype(int) - ramp).mean() < 20


def test_splits_have_portraits_of_their_own():
    train, test = (dataset.labelled_portrait(0, 0, split, 0, 96) for split in dataset.SPLITS)
    assert np.abs(train.astype(int) - test).mean() > 5


def _written(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def test_two_runs_write_the_same_bytes_and_an_image_does_not_depend_on_the_count(tmp_path):
    flags = ["--seed", "5", "--size", "48", "--prevalence", "0.25"]
    for name, train in (("a", "6"), ("b", "6"), ("few", "3")):
        assert main(["--out", str(tmp_path / name), "--train", train, "--test", "4", *flags]) == 0
    first, again, few = (_written(tmp_path / name) for name in ("a", "b", "few"))
    assert len(first) == 10 and first == again
    assert few.items() < first.items()
    assert sum(name.endswith("_1.png") for name in first if name.startswith("test/")) == 1


def test_command_runs_from_another_folder_and_refuses_to_mix_datasets(tmp_path):
    def run(*flags):
        command = [sys.executable, "-m", "artifact_detection.portraits", "--out", "drawn", "--size", "32", *flags]
        return subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)

    done = run("--train", "2", "--test", "1")
    assert done.returncode == 0 and "2 images" in done.stdout and done.stderr == ""
    mixed = run("--train", "1", "--test", "1")
    assert mixed.returncode == 2 and "choose an empty folder" in mixed.stderr
    assert len(mixed.stderr.splitlines()) == 1 and len(_written(tmp_path)) == 3


@pytest.mark.parametrize("flags", [["--size", "8"], ["--prevalence", "1.5"], ["--train", "-1"], ["--seed", "x"]])
def test_wrong_usage_ends_with_2(tmp_path, flags):
    with pytest.raises(SystemExit) as stop:
        main(["--out", str(tmp_path), *flags])
    assert stop.value.code == 2


# --- the committed test_data ---


@pytest.mark.parametrize(("split", "count"), [("train", 480), ("test", 200)])
def test_committed_files_are_complete_and_named(split, count):
    files = _files(split)
    labels = _labels(files)
    assert [path.name for path in files] == [dataset.file_name(i, label) for i, label in enumerate(labels)]
    assert len(files) == count and labels.mean() == pytest.approx(0.2)


def test_committed_files_fit_into_20_megabytes():
    assert sum(path.stat().st_size for path in TEST_DATA.rglob("*") if path.is_file()) <= 20 * MEGABYTE


@pytest.mark.parametrize("split", dataset.SPLITS)
def test_committed_files_are_what_the_command_draws(split):
    """Exact on the machine that wrote them; elsewhere another CPU may round a pixel in a thousand otherwise."""
    files = _files(split)[:5]
    for index, (path, label) in enumerate(zip(files, _labels(files), strict=True)):
        drawn = dataset.labelled_portrait(index, label, split, 0, 192)
        assert (drawn == read_image(path)).all(axis=2).mean() > 0.999


def _shortcut_features(path: Path) -> list[float]:
    """File size, mean, mean and deviation of each channel, 64-bin histogram of the brightness."""
    image = read_image(path).astype(np.float64)
    histogram, _ = np.histogram(image.mean(axis=2), 64, (0, 256))
    colours = [*image.mean(axis=(0, 1)), *image.std(axis=(0, 1))]
    return [path.stat().st_size, image.mean(), *colours, *(histogram / image[..., 0].size)]


def test_no_shortcut_predicts_the_label():
    train, test = ((np.array([_shortcut_features(path) for path in files]), _labels(files))
                   for files in map(_files, dataset.SPLITS))  # fmt: skip
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(*train)
    assert roc_auc_score(test[1], model.predict_proba(test[0])[:, 1]) < 0.60


def test_no_committed_image_is_in_both_splits():
    """Coarse thumbnails, without their mean: the best match across the splits is far from the same picture."""
    train, test = (np.stack([_thumbnail(path) for path in _files(split)]) for split in dataset.SPLITS)
    assert (train @ test.T).max() < 0.985


def _thumbnail(path: Path) -> np.ndarray:
    """(3 * 24 * 24,) of unit length."""
    small = np.asarray(Image.fromarray(read_image(path)).resize((24, 24), Image.Resampling.BOX), np.float64)
    small -= small.mean(axis=(0, 1))
    return small.ravel() / np.linalg.norm(small)

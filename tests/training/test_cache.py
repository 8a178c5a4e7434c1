import errno
import os

import numpy as np
import pytest
from PIL import Image

from artifact_detection.images.transforms import CROPS, Preprocessing
from artifact_detection.system.locks import exclusive_lock
from artifact_detection.system.paths import RECORD, WORK
from artifact_detection.system.threads import in_threads
from artifact_detection.training.cache import cached_images

SIZE_16 = Preprocessing(16)


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / f"{value}.png" for value in (10, 20, 30)]
    for path, value in zip(paths, (10, 20, 30), strict=True):
        Image.new("RGB", (20, 30), (value,) * 3).save(path)
    return paths


def test_holds_the_resized_images_in_order(paths, tmp_path):
    cached = cached_images(paths, SIZE_16, tmp_path / "cache")
    assert cached.images.shape == (3, 16, 16, 3) and cached.images.dtype == np.uint8
    assert [int(image.mean()) for image in cached.images] == [10, 20, 30] and cached.errors == {}
    assert isinstance(cached.images, np.memmap)


def test_is_read_again_only_after_a_change(paths, tmp_path, monkeypatch):
    first = cached_images(paths, SIZE_16, tmp_path / "cache").images.copy()
    monkeypatch.setattr("artifact_detection.training.cache.read_image", None)  # decoding would fail now
    assert np.array_equal(cached_images(paths, SIZE_16, tmp_path / "cache").images, first)
    monkeypatch.undo()
    Image.new("RGB", (20, 30), (99, 99, 99)).save(paths[1])
    os.utime(paths[1], (1, 1))
    assert cached_images(paths, SIZE_16, tmp_path / "cache").images[1].mean() == 99


def test_size_is_part_of_the_key(paths, tmp_path):
    assert [cached_images(paths, Preprocessing(size), tmp_path / "cache").images.shape[1] for size in (8, 16)] == [
        8,
        16,
    ]


def test_interpolation_is_part_of_the_key(paths, tmp_path):
    for interpolation in ("area", "antialias"):
        cached_images(paths, Preprocessing(8, interpolation), tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2


def test_crop_is_part_of_the_key_and_both_is_two_squares_wide(paths, tmp_path):
    shapes = [cached_images(paths, Preprocessing(16, crop=crop), tmp_path / "cache").images.shape for crop in CROPS]
    assert shapes == [(3, 16, 16, 3), (3, 16, 16, 3), (3, 16, 32, 3)]
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 3


def test_without_a_cache_the_same_pixels_are_decoded_each_time(paths, tmp_path):
    paths[1].write_bytes(b"no image")
    kept, streamed = (cached_images(paths, SIZE_16, folder) for folder in (tmp_path / "cache", None))
    assert streamed.errors == kept.errors and len(streamed.images) == 3
    assert all(np.array_equal(streamed.images[row], kept.images[row]) for row in (0, 2))


def test_unreadable_file_is_named_and_the_others_are_there(paths, tmp_path):
    paths[1].write_bytes(b"no image")
    for _ in range(2):  # built, then read from the cache
        cached = cached_images(paths, SIZE_16, tmp_path / "cache")
        assert list(cached.errors) == [1] and cached.errors[1]
        assert [int(image.mean()) for image in cached.images] == [10, 0, 30]


def test_half_built_entry_is_never_used(paths, tmp_path, monkeypatch):
    def stop(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("artifact_detection.training.cache.read_image", stop)
    with pytest.raises(KeyboardInterrupt):
        cached_images(paths, SIZE_16, tmp_path / "cache")
    monkeypatch.undo()
    assert leftovers(tmp_path / "cache") == []
    assert cached_images(paths, SIZE_16, tmp_path / "cache").images.any()


def leftovers(folder):
    return [path.name for path in folder.rglob("*") if path.name not in (WORK, RECORD)]


def test_a_full_disk_is_said_before_a_pixel_is_written(paths, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left on device for 0 MB of decoded images: pass another --cache"):
        cached_images(paths, SIZE_16, tmp_path / "cache")
    assert leftovers(tmp_path / "cache") == []


def test_trainings_that_begin_at_one_moment_share_a_cache(paths, tmp_path):
    """Each removes what killed runs left, and nothing that another has just begun."""
    found = list(in_threads(lambda _: cached_images(paths, SIZE_16, tmp_path / "cache"), range(8)))
    assert all(np.array_equal(one.images, found[0].images) for one in found) and len(found) == 8
    assert leftovers(tmp_path / "cache") == [path.name for path in (tmp_path / "cache").glob("*.*") if path.is_file()]


def test_what_a_killed_run_left_goes_and_what_another_run_builds_stays(paths, tmp_path):
    cached_images(paths[:1], SIZE_16, tmp_path / "cache")
    work = tmp_path / "cache" / WORK
    for name in ("building-killed", "building-now", "mine"):
        (work / name).mkdir()
        (work / name / "half.npy").write_bytes(b"half")
    (tmp_path / "cache" / "building-mine").mkdir()
    with exclusive_lock(work / "building-now"):
        cached_images(paths, SIZE_16, tmp_path / "cache")
    assert {path.name for path in work.iterdir()} == {RECORD, "building-now", "mine"}
    assert (tmp_path / "cache" / "building-mine").exists()


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("kept", [0, 30])
def test_an_entry_that_was_cut_short_is_built_again(paths, tmp_path, suffix, kept):
    first = cached_images(paths, SIZE_16, tmp_path / "cache").images.copy()
    [entry] = (tmp_path / "cache").glob(f"*{suffix}")
    entry.write_bytes(entry.read_bytes()[: min(kept, 1 if suffix == ".json" else kept)])
    assert np.array_equal(cached_images(paths, SIZE_16, tmp_path / "cache").images, first)

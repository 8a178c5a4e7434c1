"""What is no artifact: shared degradations and benign edits."""

import numpy as np
import pytest

from artifact_detection.injection.benign import edit_benignly
from artifact_detection.injection.degradation import degrade, recompressed
from artifact_detection.portraits import draw_portrait


@pytest.fixture(scope="module")
def portrait():
    return draw_portrait(np.random.default_rng(3))


def test_twins_are_degraded_alike(portrait):
    image = portrait[0]
    twin = image.copy()
    twin[150:, 150:] = 0
    for seed in range(12):
        one, other = (degrade(each, np.random.default_rng(seed)).astype(int) for each in (image, twin))
        assert one.shape == image.shape and np.abs(one - other)[:120, :120].max() <= 3


def test_degradations_differ_from_one_another(portrait):
    results = {degrade(portrait[0], np.random.default_rng(seed)).tobytes() for seed in range(8)}
    assert len(results) >= 6


def test_jpeg_keeps_the_colours(portrait):
    assert np.abs(recompressed(portrait[0], 95).astype(int) - portrait[0]).mean() < 3


def test_benign_edits_are_slight_reproducible_and_leave_the_image_alone(portrait):
    image, face = portrait
    before, edits = image.copy(), []
    for seed in range(30):
        edit, again = (edit_benignly(image, np.random.default_rng(seed), face) for _ in range(2))
        assert np.array_equal(edit, again) and edit.shape == image.shape and edit.dtype == np.uint8
        edits.append(np.abs(edit.astype(int) - image).mean())
    assert np.array_equal(image, before)
    assert np.mean(np.array(edits) > 0) > 0.9 and max(edits) < 12

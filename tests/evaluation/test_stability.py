"""Re-encodings, and the count of verdicts that they flip."""

import numpy as np
import pandas as pd
import pytest

from artifact_detection.evaluation.stability import flip_table, rescore
from artifact_detection.images.reencoding import REENCODINGS

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", REENCODINGS)
def test_reencodings_change_pixels_and_stay_images(name):
    before = IMAGE.copy()
    result = REENCODINGS[name](IMAGE)
    assert result.dtype == np.uint8
    assert result.ndim == 3
    assert result.shape[2] == 3
    assert result.shape != IMAGE.shape or (result != IMAGE).any()
    assert (before == IMAGE).all()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("JPEG 50", (40, 60)),
        ("resize 0.5x", (20, 30)),
        ("resize 2x", (80, 120)),
        ("crop 90%", (36, 54)),
        ("blur 1 px", (40, 60)),
    ],
)
def test_sizes(name, shape):
    assert REENCODINGS[name](IMAGE).shape[:2] == shape


def test_crop_takes_the_middle():
    np.testing.assert_array_equal(REENCODINGS["crop 90%"](IMAGE), IMAGE[2:38, 3:57])


def test_lower_quality_changes_more():
    flat = np.full((64, 64, 3), 90, np.uint8)
    flat[20:40, 20:40] = (200, 40, 40)
    change = [np.abs(REENCODINGS[f"JPEG {q}"](flat).astype(int) - flat).mean() for q in (95, 75, 50)]
    assert change == sorted(change)
    assert change[0] < 3, "red and blue must not be swapped"


def test_flip_table():
    probabilities = pd.DataFrame(
        {"original": [0.9, 0.9, 0.1, 0.1], "a": [0.9, 0.4, 0.6, 0.1], "b": [0.9, 0.4, 0.1, 0.1]}
    )
    table = flip_table(probabilities, 0.5)
    assert table["value"].to_dict() == {"a": 0.5, "b": 0.25, "any": 0.5}
    assert table["to_artifacts"].to_dict() == {"a": 1, "b": 0, "any": 1}
    assert table["to_clean"].to_dict() == {"a": 1, "b": 1, "any": 1}
    assert table["shift"]["b"] == pytest.approx(-0.125)
    assert (table["low"] < table["value"]).all()


def test_rescore_scores_every_reencoding_of_every_image():
    table = rescore(lambda images: np.array([image.shape[0] / 100 for image in images]), [IMAGE, IMAGE[:20]])
    assert table["original"].tolist() == [0.4, 0.2]
    assert table["resize 2x"].tolist() == [0.8, 0.4]
    assert list(table.columns) == ["original", *REENCODINGS]

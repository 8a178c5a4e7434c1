"""Other proportions and colours of the same picture."""

import cv2
import numpy as np
import pytest

from artifact_detection.images.faces import face_from_box, find_face
from artifact_detection.injection.variation import vary
from artifact_detection.portraits import draw_portrait

FACE = face_from_box((60.0, 50.0, 140.0, 150.0))


@pytest.fixture(scope="module")
def portrait():
    return draw_portrait(np.random.default_rng(3))


@pytest.mark.parametrize("seed", range(5))
def test_the_face_is_followed(seed):
    image = np.zeros((200, 220, 3), np.uint8)
    for x, y in (FACE.left_eye, FACE.right_eye, FACE.mouth):
        cv2.circle(image, (round(x), round(y)), 4, (255, 255, 255), -1)
    varied, face = vary(image, FACE, np.random.default_rng(seed))
    assert varied.shape == image.shape and varied.dtype == np.uint8
    for x, y in (face.left_eye, face.right_eye, face.mouth):
        assert varied[round(y), round(x)].min() > 200


def test_it_is_wide_and_mild(portrait):
    image, face = portrait[0], find_face(portrait[0])
    varied, _ = vary(image, face, np.random.default_rng(0))
    assert 4 < cv2.absdiff(varied, image).mean() < 60
    assert (varied == vary(image, face, np.random.default_rng(0))[0]).all()

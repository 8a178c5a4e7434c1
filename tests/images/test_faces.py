"""faces.py: the detector on drawn portraits, whose eyes are known, and the guess where there is no face."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from artifact_detection.images.faces import Face, face_from_box, find_face, guess_face
from artifact_detection.portraits import draw_portrait


def distance(a, b) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


@pytest.fixture(scope="module")
def portraits():
    return [draw_portrait(np.random.default_rng(seed)) for seed in range(12)]


def test_most_portraits_faces_are_found_where_they_were_drawn(portraits):
    found = [find_face(image) for image, _ in portraits]
    hits = [
        max(distance(guess.left_eye, face.left_eye), distance(guess.right_eye, face.right_eye)) < 0.2 * face.size
        for guess, (_, face) in zip(found, portraits, strict=True)
    ]
    assert sum(face.found for face in found) >= 9
    assert sum(hits) >= 9


def test_the_left_eye_is_left_and_the_mouth_below(portraits):
    for image, _ in portraits:
        face = find_face(image)
        assert face.left_eye[0] < face.right_eye[0]
        assert face.mouth[1] > max(face.left_eye[1], face.right_eye[1])


@pytest.mark.parametrize("side", [64, 400, 1500])
def test_coordinates_are_pixels_of_the_image_that_was_given(portraits, side):
    image, face = portraits[0]
    resized = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    found, expected = find_face(resized), scaled(face, side / image.shape[0])
    assert distance(found.centre, expected.centre) < 0.25 * expected.size


@pytest.mark.parametrize("shape", [(1, 1), (64, 2048), (2048, 64), (300, 200)], ids=str)
@pytest.mark.parametrize("value", [0, 255])
def test_no_face_gives_a_guess_inside_the_image(shape, value):
    face = find_face(np.full((*shape, 3), value, np.uint8))
    assert not face.found
    assert face == guess_face(shape[1], shape[0])
    assert 0 <= face.centre[0] <= shape[1]
    assert 0 <= face.centre[1] <= shape[0]


def test_one_known_eye_is_mirrored_into_the_other():
    face = face_from_box((0, 0, 100, 100), ((28.0, 40.0), None))
    assert (face.left_eye, face.right_eye) == ((28.0, 40.0), (72.0, 40.0))


def test_the_mouth_lies_at_a_right_angle_to_tilted_eyes():
    face = face_from_box((0, 0, 100, 100), ((30.0, 30.0), (70.0, 50.0)))
    eyes, down = np.subtract(face.right_eye, face.left_eye), np.subtract(face.mouth, (50.0, 40.0))
    assert eyes @ down == pytest.approx(0, abs=1e-9)
    assert down[1] > 0


def scaled(face: Face, factor: float) -> Face:
    """The same face in an image that was resized by `factor`."""
    parts = (face.box, face.left_eye, face.right_eye, face.mouth)
    return Face(*(tuple(value * factor for value in part) for part in parts), found=face.found)


def test_the_size_is_the_mean_side_of_the_box():
    assert Face((0, 2, 10, 12), (3, 4), (7, 4), (5, 9)).size == 10


def test_threads_give_the_answers_of_one_thread(portraits):
    images = [image for image, _ in portraits] * 3
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(find_face, images)) == [find_face(image) for image in images]

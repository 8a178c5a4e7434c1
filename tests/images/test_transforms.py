import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from artifact_detection.images.faces import Face
from artifact_detection.images.transforms import (
    AUGMENTATIONS,
    Preprocessing,
    augmentation,
    evaluation_transform,
    face_square,
    resize,
    to_tensor,
)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(256, size=(40, 60, 3), dtype=np.uint8)


def test_evaluation_preset_is_deterministic_and_touches_no_random_state(image):
    before = torch.get_rng_state()
    first, second = (evaluation_transform(image, Preprocessing(32)) for _ in range(2))
    assert first.shape == (3, 32, 32) and first.dtype == torch.uint8 and torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("size", [10, 60, 90], ids=["smaller", "mixed", "larger"])
def test_resize_keeps_the_mean(image, size):
    assert resize(image, size).shape == (size, size, 3)
    assert resize(image, size).mean() == pytest.approx(image.mean(), abs=2)


def test_antialias_is_torchvisions_resize_and_belongs_to_the_checkpoint(image):
    preprocessing = Preprocessing(16, interpolation="antialias")
    image.flags.writeable = False  # as a memory map is
    expected = v2.functional.resize(to_tensor(image), [16, 16], antialias=True)
    difference = evaluation_transform(image, preprocessing).int() - expected
    assert difference.abs().max() <= 1
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing
    with pytest.raises(ValueError, match="unknown interpolation 'cubic'"):
        Preprocessing.from_dict(preprocessing.to_dict() | {"interpolation": "cubic"})


def test_resize_to_half_is_the_mean_of_four_pixels():
    image = np.array([[0, 100], [200, 100]], np.uint8)[:, :, None].repeat(3, 2)
    assert resize(image, 1).tolist() == [[[100, 100, 100]]]


@pytest.mark.parametrize("preset", AUGMENTATIONS)
def test_augmentation_keeps_shape_and_type_and_follows_the_seed(image, preset):
    tensor, augment = to_tensor(image), augmentation(preset)
    draws = []
    for seed in (1, 1, 2, 3):
        torch.manual_seed(seed)
        draws.append(augment(tensor))
    assert all(draw.shape == tensor.shape and draw.dtype == torch.uint8 for draw in draws)
    assert torch.equal(draws[0], draws[1])
    assert (preset == "none") == all(torch.equal(draws[0], draw) for draw in draws[2:])


@pytest.fixture
def portrait(monkeypatch):
    """100 x 80, the face a red box; the detector is told where, so that the geometry alone is tested."""
    image = np.zeros((100, 80, 3), np.uint8)
    image[30:50, 40:60] = (200, 0, 0)
    face = Face((40, 30, 60, 50), (45, 38), (55, 38), (50, 46))
    monkeypatch.setattr("artifact_detection.images.transforms.find_face", lambda _: face)
    return image


def test_face_crop_is_the_square_around_the_face_with_a_margin(portrait):
    assert face_square(portrait) == (33, 23, 67, 57)
    crop = Preprocessing(34, crop="face").fit(portrait)
    assert np.array_equal(crop, portrait[23:57, 33:67])


def test_both_views_stand_side_by_side(portrait):
    both = Preprocessing(20, crop="both").fit(portrait)
    assert np.array_equal(both[:, :20], resize(portrait, 20))
    assert np.array_equal(both[:, 20:], Preprocessing(20, crop="face").fit(portrait))


@pytest.mark.parametrize("crop", ["face", "both"])
def test_heat_map_of_a_crop_lands_on_the_face(portrait, crop):
    preprocessing = Preprocessing(40, crop=crop)
    heatmap = np.zeros(preprocessing.shape, np.float32)
    heatmap[20, -20] = 1  # the middle of the face
    whole = preprocessing.on_image(heatmap, preprocessing.view(portrait))
    assert whole.shape == (40, 40)
    row, column = np.unravel_index(whole.argmax(), whole.shape)
    assert abs(row - 40 * 0.4) <= 1 and abs(column - 40 * 50 / 80) <= 1


def test_a_view_that_is_known_is_not_searched_again(portrait, monkeypatch):
    preprocessing = Preprocessing(34, crop="both")
    view, fitted = preprocessing.view(portrait), preprocessing.fit(portrait)
    monkeypatch.setattr("artifact_detection.images.transforms.find_face", None)
    assert np.array_equal(preprocessing.fit(portrait, view), fitted)


def test_face_at_the_edge_is_cut_off_there():
    image = np.random.default_rng(0).integers(256, size=(60, 60, 3), dtype=np.uint8)
    left, top, right, bottom = face_square(image)  # a guess: noise has no face
    assert 0 <= left < right <= 60 and 0 <= top < bottom <= 60
    assert Preprocessing(16, crop="face").fit(image[:1, :1]).shape == (16, 16, 3)


def test_preprocessing_survives_a_checkpoint():
    settings = Preprocessing(96, mean=(0.1, 0.2, 0.3), crop="both")
    assert Preprocessing.from_dict(settings.to_dict()) == settings
    with pytest.raises(ValueError, match="cubic"):
        Preprocessing.from_dict(settings.to_dict() | {"interpolation": "cubic"})

import numpy as np
import pytest
import torch

from artifact_detection.transforms import (
    AUGMENTATIONS,
    Preprocessing,
    augmentation,
    evaluation_transform,
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


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="heavier"):
        augmentation("heavier")


def test_preprocessing_survives_a_checkpoint():
    settings = Preprocessing(96, mean=(0.1, 0.2, 0.3))
    assert Preprocessing.from_dict(settings.to_dict()) == settings
    with pytest.raises(ValueError, match="cubic"):
        Preprocessing.from_dict(settings.to_dict() | {"interpolation": "cubic"})

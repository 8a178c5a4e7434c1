"""images/augmentation: one definition, two executors, and torchvision's geometry."""

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from artifact_detection.images.augmentation import DRAWS, PRESETS, apply_cv2, apply_torch, draw, warp
from artifact_detection.images.transforms import to_tensor


@pytest.fixture
def image():
    small = np.random.default_rng(0).integers(256, size=(12, 12, 3), dtype=np.uint8)
    return cv2.resize(small, (96, 96), interpolation=cv2.INTER_CUBIC)


def by_torch(image, augmentation):
    values = (torch.tensor(np.array([part]), dtype=torch.float32) for part in augmentation)
    return apply_torch(to_tensor(image)[None], *values)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", range(8))
def test_both_executors_give_the_same_pixels(image, preset, seed):
    augmentation = draw(preset, np.random.default_rng(seed).random(DRAWS))
    difference = np.abs(by_torch(image, augmentation).astype(int) - apply_cv2(image, augmentation))
    assert difference.max() <= 6 and difference.mean() <= 0.3


@pytest.mark.parametrize("seed", range(4))
def test_geometry_is_that_of_torchvision(image, seed):
    u = np.random.default_rng(seed).random(DRAWS)
    u[0] = 0.9  # no flip
    turn, shear, zoom, *shift = 2 * u[1:6] - 1
    expected = v2.functional.affine(
        to_tensor(image), 20 * turn, [0.1 * 96 * share for share in shift], 1 + 0.15 * zoom, [8 * shear, 0.0],
        interpolation=v2.InterpolationMode.BILINEAR,
    )  # fmt: skip
    inside = warp(np.full((96, 96), 255, np.uint8), draw("heavy", u).inverse) == 255
    difference = np.abs(expected.permute(1, 2, 0).numpy().astype(int) - warp(image, draw("heavy", u).inverse))
    assert inside.mean() > 0.5 and difference[inside].mean() < 1


def test_colours_are_those_of_torchvision(image):
    u = np.full(DRAWS, 0.5)
    u[[6, 7, 8]] = 0.8, 0.1, 0.3
    brightness, contrast, saturation = 1 + np.array([0.3, 0.3, 0.2]) * (2 * u[6:9] - 1)
    image = image // 2 + 30  # so that nothing is clipped on the way
    expected = v2.functional.adjust_saturation(
        v2.functional.adjust_brightness(to_tensor(image), brightness), saturation
    )
    expected = v2.functional.adjust_contrast(expected, contrast).permute(1, 2, 0).numpy()
    u[0] = 0.9
    assert np.abs(expected.astype(int) - apply_cv2(image, draw("heavy", u))).max() <= 3


def test_nothing_changes_without_a_preset_and_a_flip_mirrors(image):
    u = np.random.default_rng(0).random(DRAWS)
    assert np.array_equal(apply_cv2(image, draw("none", u)), image)
    u[0] = 0.1
    assert np.array_equal(warp(image, draw("light", u).inverse), image[:, ::-1])


def test_hue_turns_colours_and_leaves_greys():
    u = np.full(DRAWS, 0.5)
    u[0], u[9] = 0.9, 1.0
    picture = np.full((4, 4, 3), (200, 60, 60), np.uint8)
    turned = [
        cv2.cvtColor(p, cv2.COLOR_RGB2HSV)[0, 0, 0].astype(int) for p in (picture, apply_cv2(picture, draw("heavy", u)))
    ]
    assert 1 <= (turned[0] - turned[1]) % 180 <= 8 or 1 <= (turned[1] - turned[0]) % 180 <= 8
    grey = np.full((4, 4, 3), 99, np.uint8)
    assert np.abs(apply_cv2(grey, draw("heavy", u)).astype(int) - 99).max() <= 1

"""Heat maps against their definition and by finite differences; the pointing game on known answers."""

import numpy as np
import pytest
import torch
from torch import nn

from artifact_detection.detector.heatmaps import _forward, explain, heatmaps
from artifact_detection.detector.models import ARCHS
from artifact_detection.detector.weights import build_model
from artifact_detection.evaluation import pointing
from artifact_detection.evaluation.pointing import is_hit, pointing_game
from artifact_detection.images.transforms import Preprocessing

SIZE = 64


class RedDetector(nn.Module):
    """Pools the red channel by maximum over 4x4 blocks: the heat map must be where red is."""

    preprocessing = Preprocessing(SIZE)

    def __init__(self):
        super().__init__()
        red = nn.Conv2d(3, 1, 1)
        nn.init.constant_(red.weight, 0)
        nn.init.constant_(red.bias, 0)
        red.weight.data[0, 0] = 1 / 255
        self.trunk = nn.Sequential(red, nn.MaxPool2d(4))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(0))

    def forward(self, images):
        return self.head(self.trunk(images.float()))


def red_square(row: int, column: int, side: int = 8) -> np.ndarray:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[row : row + side, column : column + side, 0] = 255
    return image


def as_batch(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


FAMILIES = {
    "vgg": "vgg19", "resnet": "resnet18", "efficientnet": "efficientnet_b0", "mobilenet": "mobilenet_v3_small",
    "convnext": "convnext_tiny",
}  # fmt: skip


def test_every_architecture_is_of_a_tested_family():
    assert {arch for arch in ARCHS if not arch.startswith(tuple(FAMILIES))} == set()


@pytest.mark.parametrize("arch", FAMILIES.values())
def test_every_family_has_heat_maps(arch):
    torch.manual_seed(0)
    model = build_model(arch, "none", Preprocessing(SIZE))
    images = torch.randint(0, 256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    maps, logits = heatmaps(model, images)
    assert maps.shape == (2, SIZE, SIZE)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() <= 1
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(images).numpy(), atol=1e-5)
    assert not any(parameter.grad is not None for parameter in model.parameters())
    assert not model.trunk[-1]._forward_hooks


@pytest.mark.parametrize(
    ("arch", "size", "cells"),
    [
        pytest.param("resnet18", 224, 14, id="third stage of four"),
        pytest.param("mobilenet_v3_small", 224, 14, id="stride 16"),
        pytest.param("mobilenet_v3_small", 64, 16, id="small images, stride 4"),
        pytest.param("mobilenet_v3_small", 16, 8, id="too small for any: the first layer"),
    ],
)
def test_the_deepest_map_that_is_fine_enough_is_explained(arch, size, cells):
    model = build_model(arch, "none", Preprocessing(size)).eval()
    activations, _ = _forward(model, torch.zeros(1, 3, size, size, dtype=torch.uint8))
    assert activations.shape[-2:] == (cells, cells)


def test_heat_is_where_the_evidence_is():
    maps, logits = heatmaps(RedDetector(), as_batch(red_square(8, 40), np.zeros((SIZE, SIZE, 3), np.uint8)))
    row, column = np.unravel_index(maps[0].argmax(), maps[0].shape)
    assert 8 <= row < 16
    assert 40 <= column < 48
    assert maps[0, 32:].max() == 0
    assert maps[1].max() == 0, "an image without evidence has an empty map"
    assert logits[0] == pytest.approx(4 / 256)  # 4 of 256 blocks hold red


def test_contributions_sum_to_the_logit_of_a_linear_head():
    """Draelos and Carin, arXiv 2011.08891."""
    model, images = RedDetector(), as_batch(red_square(0, 0, 20))
    activations, logits = _forward(model, images)
    gradients = torch.autograd.grad(logits.sum(), activations)[0]
    assert (gradients * activations).sum().item() == pytest.approx(logits.item())


def test_explain_takes_images_of_any_size_in_batches(monkeypatch):
    monkeypatch.setattr(f"{heatmaps.__module__}.BATCH", 2)
    images = [np.kron(red_square(8, 40), np.ones((k, k, 1), np.uint8)) for k in (1, 2, 3)]
    maps = explain(RedDetector(), images)
    np.testing.assert_allclose(maps, maps[:1].repeat(3, 0), atol=1e-6)
    assert explain(RedDetector(), []).shape == (0, SIZE, SIZE)


def test_a_dense_head_explains_itself():
    torch.manual_seed(0)
    model = build_model("mobilenet_v3_small", "none", Preprocessing(SIZE), regions=True).eval()
    images = torch.randint(0, 256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    maps, logits = heatmaps(model, images)
    with torch.no_grad():
        expected, cells = model.evidence(images)
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-6)
    np.testing.assert_allclose(maps.reshape(2, 8, 8, 8, 8).mean((2, 4)), cells[:, 0].sigmoid(), atol=0.1)


def test_gradient_mode_and_hooks_are_restored_after_an_error():
    model = RedDetector()
    with pytest.raises(RuntimeError):
        heatmaps(model, torch.zeros(1, 5, SIZE, SIZE))
    assert torch.is_grad_enabled()
    assert not model.trunk[0]._forward_hooks


@pytest.mark.parametrize(
    ("point", "hit"),
    [
        pytest.param((12, 12), True, id="inside"),
        pytest.param((12, 22), True, id="3 px outside"),
        pytest.param((12, 23), False, id="4 px outside"),
        pytest.param((22, 22), False, id="diagonal, 4.2 px"),
    ],
)
def test_is_hit(point, hit):
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    assert is_hit(point, mask, margin=3) is hit


def test_nothing_hits_an_empty_mask():
    assert not is_hit((0, 0), np.zeros((5, 5), bool), margin=100)


def test_pointing_game(monkeypatch):
    """A detector of red finds red squares in a corner, and not green ones in the centre."""

    def paint(image, kind, severity, rng):
        place = {"corner": slice(2, 10), "centre": slice(28, 36)}[kind]
        result, mask = image.copy(), np.zeros(image.shape[:2], bool)
        result[place, place, 0 if kind == "corner" else 1] = 255
        mask[place, place] = True
        return result, mask

    monkeypatch.setattr(pointing, "inject", paint)
    table = pointing_game(RedDetector(), [np.zeros((SIZE, SIZE, 3), np.uint8)] * 3, ["corner", "centre"])
    assert table.index.tolist() == ["corner", "centre", "all"]
    assert table["value"].tolist() == [1, 0, 0.5]
    assert table["centre"].tolist() == [0, 1, 0.5]
    assert table["n"].tolist() == [3, 3, 6]
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()

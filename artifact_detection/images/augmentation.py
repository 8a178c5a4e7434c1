"""Random geometry and colour, drawn once and applied by OpenCV to an image or by torch to a batch, wherever it lies.

The presets are those of `transforms`. Colour is one matrix and a contrast factor, in a fixed order (brightness,
saturation, hue, contrast), where torchvision's jitter changes the order: another augmentation of the same strength.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.nn import functional as F

GREY = np.array([0.299, 0.587, 0.114])  # luma of RGB (ITU-R BT.601)
TO_YIQ = np.array([GREY, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])  # hue is an angle in its last two rows
FROM_YIQ = np.linalg.inv(TO_YIQ)
DRAWS = 10  # uniform numbers that a sample's augmentation takes


class Augmentation(NamedTuple):
    """What is done to an image; float64, with leading axes where it is drawn for several.

    inverse (2, 3): where each pixel of the result comes from, (x, y, 1) -> (x, y), in units of half the image's sides
    from its centre. What lies outside is black. colour (3, 3), contrast (): a pixel p becomes contrast * colour @ p
    + (1 - contrast) * the grey of the image's mean colour.
    """

    inverse: np.ndarray
    colour: np.ndarray
    contrast: np.ndarray


@dataclass(frozen=True)
class Preset:
    """Largest changes: degrees, shares of the side and the size, degrees; then factors 1 ± x, a share of the circle."""

    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    flip: bool = True


PRESETS = {
    "none": Preset(flip=False),
    "light": Preset(brightness=0.1, contrast=0.1),
    "heavy": Preset(20, 0.1, 0.15, 8, brightness=0.3, contrast=0.3, saturation=0.2, hue=0.02),
}


def draw(preset: str, u: np.ndarray) -> Augmentation:
    """The augmentations that uniform numbers in [0, 1), (..., DRAWS), stand for, with the same leading axes.

    Raises KeyError for an unknown preset.
    """
    p, signed = PRESETS[preset], np.moveaxis(2 * np.asarray(u, float) - 1, -1, 0)
    flip = np.where(p.flip & (signed[0] < 0), -1.0, 1.0)
    angle, tan = np.radians(p.rotation * signed[1]), np.tan(np.radians(p.shear * signed[2]))
    c, s, scale = np.cos(angle), np.sin(angle), 1 + p.zoom * signed[3]
    # as torchvision's affine: turn, shear along x, zoom, then shift; the flip comes first
    turned = _matrix([[c, -s], [s, c]]) @ _matrix([[flip, -tan], [0, 1]])
    back = np.linalg.inv(turned) / scale[..., None, None]
    shift = np.moveaxis(2 * p.shift * signed[4:6], 0, -1)[..., None]
    brightness, contrast, saturation = (
        1 + size * part for size, part in zip((p.brightness, p.contrast, p.saturation), signed[6:9], strict=True)
    )
    colour = brightness[..., None, None] * _hue(p.hue * signed[9]) @ _saturation(saturation)
    return Augmentation(np.concatenate([back, -back @ shift], -1), colour, contrast)


def _matrix(rows: list[list]) -> np.ndarray:
    """(..., n, m) of n rows of m numbers or arrays."""
    values = np.broadcast_arrays(*(value for row in rows for value in row))
    return np.stack(values, -1).reshape(*values[0].shape, len(rows), -1)


def _saturation(factor: np.ndarray) -> np.ndarray:
    factor = factor[..., None, None]
    return factor * np.eye(3) + (1 - factor) * np.tile(GREY, (3, 1))


def _hue(share: np.ndarray) -> np.ndarray:
    """(..., 3, 3): hue turned by a share of the circle, about the axis of greys."""
    c, s = np.cos(2 * np.pi * share), np.sin(2 * np.pi * share)
    return FROM_YIQ @ _matrix([[1, 0, 0], [0, c, -s], [0, s, c]]) @ TO_YIQ


def warp(image: np.ndarray, inverse: np.ndarray, nearest: bool = False) -> np.ndarray:
    """The geometry alone, of (H, W) or (H, W, C); nearest: for a mask, whose values must not mix."""
    height, width = image.shape[:2]
    half, centre = np.array([width, height]) / 2, (np.array([width, height]) - 1) / 2
    matrix = inverse[:, :2] * half[:, None] / half
    shift = half * inverse[:, 2] + centre - matrix @ centre
    flags = (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, np.column_stack([matrix, shift]), (width, height), flags=flags)


def apply_cv2(image: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    """(H, W, 3) uint8 -> the same, augmented."""
    image = warp(image, augmentation.inverse)
    matrix = augmentation.contrast * augmentation.colour
    grey = GREY @ augmentation.colour @ cv2.mean(image)[:3]
    full = np.column_stack([matrix, np.full(3, (1 - augmentation.contrast) * grey)])
    return cv2.transform(image, full)


def apply_torch(
    images: torch.Tensor, inverse: torch.Tensor, colour: torch.Tensor, contrast: torch.Tensor
) -> torch.Tensor:
    """(B, 3, H, W) uint8 with (B, 2, 3), (B, 3, 3), (B,) float32, all on one device -> the same images augmented."""
    grid = F.affine_grid(inverse, list(images.shape), align_corners=False)
    warped = F.grid_sample(images.float(), grid, align_corners=False).flatten(2)  # (B, 3, H * W)
    mean = (colour @ warped.mean(2, keepdim=True)).unbind(1)
    grey = sum(share * channel for share, channel in zip(GREY.tolist(), mean, strict=True))  # (B, 1)
    shift = (1 - contrast)[:, None, None] * grey[..., None]  # (B, 1, 1)
    changed = torch.baddbmm(shift, contrast[:, None, None] * colour, warped)
    return changed.round().clamp(0, 255).to(torch.uint8).view_as(images)


def warp_torch(masks: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """The geometry alone, of (B, H, W) uint8 with (B, 2, 3) float32 on one device; the nearest value, 0 outside."""
    planes = masks[:, None].float()
    grid = F.affine_grid(inverse, list(planes.shape), align_corners=False)
    return F.grid_sample(planes, grid, mode="nearest", align_corners=False)[:, 0].to(torch.uint8)

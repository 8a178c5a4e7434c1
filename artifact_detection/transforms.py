"""Preprocessing and augmentation: one preset for evaluation, a few for training, defined once.

Images travel as uint8 until the model normalises them (`models.Detector`), so a batch costs a quarter of its
float size on the way to the GPU and nobody can normalise twice.
"""

from dataclasses import asdict, dataclass

import cv2
import numpy as np
import torch
from torchvision.transforms import v2

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """What happens to every image before the network; stored in the checkpoint.

    size: pixels of the square the whole image is resized to (the aspect ratio is not kept, nothing is cut off);
    interpolation: "area" = mean of the covered pixels when shrinking, bilinear when enlarging;
    mean, std: of RGB in [0, 1].
    """

    size: int = 224
    interpolation: str = "area"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def to_dict(self) -> dict:
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: dict) -> "Preprocessing":
        if values["interpolation"] != "area":
            raise ValueError(f"unknown interpolation {values['interpolation']!r}")
        return cls(values["size"], "area", tuple(values["mean"]), tuple(values["std"]))


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resize (H, W, 3) uint8 to (size, size, 3) uint8 without aliasing."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    shrinking = height > size or width > size
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=interpolation)


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 array -> (3, H, W) uint8 tensor that owns its memory."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def evaluation_transform(image: np.ndarray, preprocessing: Preprocessing) -> torch.Tensor:
    """The evaluation preset: (H, W, 3) uint8 -> (3, size, size) uint8; deterministic."""
    return to_tensor(resize(image, preprocessing.size))


def augmentation(preset: str) -> v2.Transform:
    """The training presets, for (3, H, W) uint8 tensors; random numbers come from torch's global generator.

    No preset cuts out, mixes or posterises images: an erased patch would itself be an artifact with a clean label.
    Raises ValueError for an unknown preset.
    """
    if preset not in AUGMENTATIONS:
        raise ValueError(f"unknown augmentation {preset!r}: choose from {', '.join(AUGMENTATIONS)}")
    return v2.Compose(AUGMENTATIONS[preset])


def _affine(degrees: float, translate: float, scale: float, shear: float) -> v2.RandomAffine:
    return v2.RandomAffine(
        degrees=degrees,
        translate=(translate, translate),
        scale=(1 - scale, 1 + scale),
        shear=shear,
        interpolation=v2.InterpolationMode.BILINEAR,
    )


AUGMENTATIONS = {
    "none": [v2.Identity()],
    "light": [v2.RandomHorizontalFlip(), v2.ColorJitter(brightness=0.1, contrast=0.1)],
    "heavy": [
        v2.RandomHorizontalFlip(),
        _affine(degrees=20, translate=0.1, scale=0.15, shear=8),  # rotation, shift, zoom and shear in one resampling
        v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.2, hue=0.02),
    ],
}

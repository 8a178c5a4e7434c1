"""What happens to pictures on their way: blur, scaling, noise, JPEG. Labelled clean, for it is no generator's fault.

After self-blended images (Shiohara & Yamasaki, CVPR 2022), whose two twins share what a codec leaves: then only the
artifact tells them apart, not how it was put in.
"""

import cv2
import numpy as np

from artifact_detection.images.reencoding import jpeg as recompressed

QUALITY, SCALE = (40, 98), (0.3, 0.9)  # of JPEG; of the size that is gone through
INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 -> the same size. Equal states of `rng` do equal things to both twins of a pair."""
    blur, scale, noise, jpeg = rng.random(4)
    sigma, factor, level, quality = rng.random(4)
    choice, grain = rng.integers(len(INTERPOLATIONS)), int(rng.integers(2**31))
    if blur < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), 0.3 + 1.2 * sigma * image.shape[0] / 512)
    if scale < 0.4:
        image = rescaled(image, SCALE[0] + (SCALE[1] - SCALE[0]) * factor, INTERPOLATIONS[choice])
    if noise < 0.3:
        image = grainy(image, 1 + 7 * level, np.random.default_rng(grain))
    return recompressed(image, round(QUALITY[0] + (QUALITY[1] - QUALITY[0]) * quality)) if jpeg < 0.8 else image


def rescaled(image: np.ndarray, factor: float, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Shrunk by a factor below 1 and enlarged again."""
    height, width = image.shape[:2]
    size = max(8, round(factor * width)), max(8, round(factor * height))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=interpolation)


def grainy(image: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """With normal noise of a standard deviation in levels of 255, the same in all channels."""
    noise = rng.standard_normal(image.shape[:2], dtype=np.float32) * np.float32(level)
    return np.clip(image + noise[..., None], 0, 255).astype(np.uint8)

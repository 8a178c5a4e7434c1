"""What happens to image files on their way: recompression, resizing, cropping, blur."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 3) uint8 through JPEG at `quality`, with OpenCV's chroma subsampling (4:2:0)."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def rescale(image: np.ndarray, factor: float) -> np.ndarray:
    """Resized by `factor` and left at that size."""
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=interpolation)


def crop(image: np.ndarray, share: float) -> np.ndarray:
    """The middle of the image, `share` of its width and height."""
    height, width = image.shape[:2]
    top, left = (round(side * (1 - share) / 2) for side in (height, width))
    return image[top : height - top, left : width - left]


REENCODINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **{f"JPEG {quality}": partial(jpeg, quality=quality) for quality in (95, 85, 75, 60, 50)},
    **{f"resize {factor}x": partial(rescale, factor=factor) for factor in (0.5, 0.75, 1.5, 2)},
    **{f"crop {share:.0%}": partial(crop, share=share) for share in (0.95, 0.9)},
    **{f"blur {sigma} px": partial(cv2.GaussianBlur, ksize=(0, 0), sigmaX=sigma) for sigma in (0.5, 1)},
}

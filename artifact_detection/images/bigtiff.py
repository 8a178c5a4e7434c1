"""Big-endian BigTIFF: Pillow takes it for a classic TIFF, because it looks for the version in the wrong byte.

With the two bytes of the version swapped it reads the header as it should; the pixels are imagecodecs' to decode.
"""

import cv2
import numpy as np
from imagecodecs import tiff_decode
from PIL import Image, TiffImagePlugin

SIGNATURE, SWAPPED = b"MM\0+", b"MM+\0"
PHOTOMETRIC, BLACK_IS_ZERO, RGB = 262, 1, 2
TiffImagePlugin.PREFIXES.append(SWAPPED)


def is_big_endian(data: bytes) -> bool:
    return data.startswith(SIGNATURE)


def for_pillow(data: bytes) -> bytes:
    """The file as Pillow can read its header."""
    return SWAPPED + data[len(SIGNATURE) :] if is_big_endian(data) else data


def decode(image: Image.Image, data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a file whose header `image` is. Raises ValueError for unusual samples."""
    pixels = np.asarray(tiff_decode(data))
    is_known = pixels.shape[:2] == image.size[::-1] and pixels.shape[2:] in ((), (3,), (4,))
    if not is_known or image.tag_v2.get(PHOTOMETRIC) not in (BLACK_IS_ZERO, RGB) or pixels.dtype not in ("u1", "u2"):
        raise ValueError("a big-endian BigTIFF that is neither grey nor RGB of 8 or 16 bits: save it as PNG")
    pixels = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., :3])

"""More faces than there are: the same picture in other proportions and other colours. Labelled as before.

A network that sees each face with and without an artifact learns a thousand faces by heart and what is new in them,
in place of what is wrong. Here no face comes twice: a smooth displacement, too wide to look like an artifact (as in
Simard et al., "Best practices for convolutional neural networks", 2003), and a tone curve for each channel.
"""

import cv2
import numpy as np

from artifact_detection.images.faces import Face

POINTS, REACH = 4, 0.02  # of the grid that moves, a side; standard deviation of its moves, as a share of the side
CURVE, TINT = 0.2, 0.06  # standard deviation of the logarithm of gamma: of all channels together, of each apart


def vary(image: np.ndarray, face: Face, rng: np.random.Generator) -> tuple[np.ndarray, Face]:
    """(H, W, 3) uint8 and its face -> the same size, and where the face is now."""
    height, width = image.shape[:2]
    grid = rng.normal(0, REACH, (POINTS, POINTS, 2)).astype(np.float32)
    moves = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32([width, height])
    source = moves + np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))
    moved = cv2.remap(image, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    gammas = np.exp(rng.normal(0, CURVE) + rng.normal(0, TINT, 3))
    curves = 255 * (np.arange(256)[:, None] / 255) ** gammas  # (256, 3)
    return cv2.LUT(moved, curves.round().astype(np.uint8)[:, None]), _followed(face, moves)


def _followed(face: Face, moves: np.ndarray) -> Face:
    """A face after each pixel was taken from `moves` (H, W, 2) further on."""

    def followed(x: float, y: float) -> tuple[float, float]:
        row, column = np.clip((y, x), 0, np.array(moves.shape[:2]) - 1).astype(int)
        return x - float(moves[row, column, 0]), y - float(moves[row, column, 1])

    box = (*followed(*face.box[:2]), *followed(*face.box[2:]))
    return Face(box, *map(lambda point: followed(*point), (face.left_eye, face.right_eye, face.mouth)), face.found)

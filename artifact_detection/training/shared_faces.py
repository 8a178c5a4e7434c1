"""Where the faces of the training images are, found once by whichever loader process needs one first."""

import math

import numpy as np
import torch

from artifact_detection.images.faces import Face, find_face

NUMBERS = 11  # of a face: box, eyes, mouth, found


class SharedFaces:
    """Faces of `count` images in memory that forked and spawned processes share; 88 bytes an image.

    Two processes that look at the same image at the same time find the same, so nobody has to wait.
    """

    def __init__(self, count: int):
        self.table = torch.full((count, NUMBERS), math.nan, dtype=torch.float64).share_memory_()

    def find(self, row: int, image: np.ndarray) -> Face:
        """The face of image `row`, (H, W, 3) uint8, see `find_face`."""
        if self.table[row].isnan().any():
            face = find_face(image)
            numbers = [*face.box, *face.left_eye, *face.right_eye, *face.mouth, face.found]
            self.table[row] = torch.tensor(numbers, dtype=torch.float64)
        x0, y0, x1, y1, *points, found = self.table[row].tolist()
        left_eye, right_eye, mouth = zip(points[::2], points[1::2], strict=True)
        return Face((x0, y0, x1, y1), left_eye, right_eye, mouth, bool(found))

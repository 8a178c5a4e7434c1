"""Where the face is: a box, both eyes and the mouth, in pixels of the image that was given.

The detectors are the Haar cascades (Viola & Jones 2001; Lienhart & Maydt 2002) that ship inside OpenCV 4: no
download, no GPU, a few milliseconds on one core. They look for a frontal face first, then for a weaker or a
profile one; where nothing is found the answer is a centred guess with `found=False`, never an error.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SEARCH_SIDE = 112  # the longer side of the copy that is searched, pixels
EYE_CROP = 96  # the width to which a face is scaled before eyes are sought in it, pixels
GUESS = (0.5, 0.42, 0.44)  # centre x, centre y of a portrait's face, its side over the shorter image side
LEFT_EYE, RIGHT_EYE, MOUTH = (0.31, 0.39), (0.69, 0.39), (0.5, 0.82)  # typical places inside a cascade's box

_of_this_thread = threading.local()

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Face:
    """One face in pixel coordinates (x to the right, y down), as floats; points may lie outside the image.

    `box` is (x0, y0, x1, y1), from brow to chin. `left_eye` is the one with the smaller x (the viewer's left).
    `found` is False where no detector saw a face and all of it is a guess.
    """

    box: Box
    left_eye: Point
    right_eye: Point
    mouth: Point
    found: bool = True

    @property
    def size(self) -> float:
        """The geometric mean of the box's sides, pixels."""
        return float(np.sqrt((self.box[2] - self.box[0]) * (self.box[3] - self.box[1])))

    @property
    def centre(self) -> Point:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


def find_face(image: np.ndarray) -> Face:
    """The most prominent face of an RGB image, (H, W, 3) uint8 of any size; a centred guess if none is seen."""
    height, width = image.shape[:2]
    scale = SEARCH_SIDE / max(height, width)
    small = cv2.resize(image, _size(width * scale, height * scale), interpolation=cv2.INTER_AREA)
    box = _search(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
    if box is None:
        return guess_face(width, height)
    x0, y0, x1, y1 = (value / scale for value in box)
    eyes = _find_eyes(image, (x0, y0, x1, y1))
    return face_from_box((x0, y0, x1, y1), eyes)


def guess_face(width: int, height: int) -> Face:
    """Where the face of a portrait of this size usually is; `found` is False."""
    x, y, side = GUESS[0] * width, GUESS[1] * height, GUESS[2] * min(width, height)
    return face_from_box((x - side / 2, y - side / 2, x + side / 2, y + side / 2), found=False)


def face_from_box(box: Box, eyes: tuple[Point | None, Point | None] = (None, None), found: bool = True) -> Face:
    """A face with the typical places of eyes and mouth inside `box`; eyes that are known (x, y) are kept.

    One known eye mirrors into the other; the mouth is set at a right angle below the middle of the eyes.
    """
    left, right = eyes
    middle = (box[0] + box[2]) / 2
    if left is None and right is None:
        left, right = _inside(box, LEFT_EYE), _inside(box, RIGHT_EYE)
    elif left is None:
        left = (2 * middle - right[0], right[1])
    elif right is None:
        right = (2 * middle - left[0], left[1])
    drop = (MOUTH[1] - LEFT_EYE[1]) * (box[3] - box[1])
    angle = np.arctan2(right[1] - left[1], right[0] - left[0])
    centre = ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2)
    mouth = (float(centre[0] - drop * np.sin(angle)), float(centre[1] + drop * np.cos(angle)))
    return Face(box, left, right, mouth, found)


def _inside(box: Box, place: Point) -> Point:
    x0, y0, x1, y1 = box
    return x0 + place[0] * (x1 - x0), y0 + place[1] * (y1 - y0)


def _size(width: float, height: float) -> tuple[int, int]:
    return max(1, round(width)), max(1, round(height))


def _cascade(name: str) -> cv2.CascadeClassifier:
    """A detector of OpenCV's, read once a thread: one that two threads use at a time gives wrong answers."""
    loaded = _of_this_thread.__dict__
    if name not in loaded:
        loaded[name] = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / f"haarcascade_{name}.xml"))
    return loaded[name]


def _search(gray: np.ndarray) -> Box | None:
    """The best face box in a small grey image, pixels of that image, or None."""
    frontal, profile = _cascade("frontalface_alt2"), _cascade("profileface")
    attempts = (
        lambda: frontal.detectMultiScale(gray, 1.2, 2, minSize=(20, 20)),
        lambda: frontal.detectMultiScale(gray, 1.1, 1, minSize=(20, 20)),
        lambda: profile.detectMultiScale(gray, 1.2, 2, minSize=(24, 24)),
        lambda: [
            (gray.shape[1] - x - w, y, w, h)
            for x, y, w, h in profile.detectMultiScale(gray[:, ::-1].copy(), 1.2, 2, minSize=(24, 24))
        ],
    )
    for attempt in attempts:
        boxes = attempt()
        if len(boxes):
            return _most_prominent(np.asarray(boxes, float), *gray.shape[::-1])
    return None


def _most_prominent(boxes: np.ndarray, width: int, height: int) -> Box:
    """The largest of (N, 4) boxes x, y, w, h, where a place far from a portrait's usual one counts as smaller."""
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    offset = (centre - np.array(GUESS[:2]) * (width, height)) / max(width, height)
    x, y, w, h = boxes[np.argmax(boxes[:, 2] * np.exp(-2 * np.linalg.norm(offset, axis=1)))]
    return float(x), float(y), float(x + w), float(y + h)


def _find_eyes(image: np.ndarray, box: Box) -> tuple[Point | None, Point | None]:
    """The (left, right) eye inside a face box where the eye cascade sees one, in image pixels."""
    x0, y0 = max(0, int(box[0])), max(0, int(box[1] + 0.15 * (box[3] - box[1])))
    x1, y1 = int(box[2]), int(box[1] + 0.6 * (box[3] - box[1]))
    crop = image[y0:y1, x0:x1]
    if min(crop.shape[:2]) < 8:
        return None, None
    scale = EYE_CROP / crop.shape[1]
    size = _size(EYE_CROP, crop.shape[0] * scale)
    gray = cv2.cvtColor(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    found = _cascade("eye_tree_eyeglasses").detectMultiScale(gray, 1.2, 1, minSize=(18, 18), maxSize=(44, 44))
    points = [(x + w / 2, y + h / 2) for x, y, w, h in found]
    eyes = [
        _nearest(points, _inside((0, -0.15 / 0.45 * size[1], EYE_CROP, 0.85 / 0.45 * size[1]), place))
        for place in (LEFT_EYE, RIGHT_EYE)
    ]
    return tuple(None if p is None else (float(p[0] / scale + x0), float(p[1] / scale + y0)) for p in eyes)


def _nearest(points: list[Point], place: Point) -> Point | None:
    """The point nearest to `place`, if it is near enough to be that eye."""
    near = [p for p in points if np.hypot(p[0] - place[0], p[1] - place[1]) < 0.14 * EYE_CROP]
    return min(near, key=lambda p: np.hypot(p[0] - place[0], p[1] - place[1]), default=None)

"""From a dense head's maps to regions: where an artifact is, of which family, and how sure that is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from artifact_detection.images.transforms import Preprocessing, View
from artifact_detection.labels import FAMILIES

CANVAS = 160  # side of the square on which outlines are drawn: finer than the cells of the maps
FAINT = 0.15  # an image whose highest cell is below has no region
RELATIVE = 0.5  # a region is what reaches this share of the image's highest cell, as maps are cut in the CAM literature
LEAST_AREA = 8.0  # of the canvas' pixels, of which a cell has about 30
MOST = 8  # regions of one image
SMOOTH = 0.7  # pixels of the canvas that an outline may be simplified by

Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Region:
    """family: one of FAMILIES; score: the highest P(artifact) in it; outline: (x, y) in pixels of the image."""

    family: str
    score: float
    outline: tuple[Point, ...]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom: x0 <= x < x1, y0 <= y < y1."""
        xs, ys = zip(*self.outline, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def find_regions(maps: np.ndarray, preprocessing: Preprocessing, view: View, width: int, height: int) -> list[Region]:
    """The regions of one image, the surest first.

    maps: (1 + families, h, w) probabilities of what the network saw, see `Detector.evidence`; view: what it was of the
    image, see `Preprocessing.view`; width, height: of the image, in pixels.
    """
    if maps[0].max() < FAINT:
        return []
    views = preprocessing.shape[1] // preprocessing.shape[0]
    fine = cv2.resize(np.ascontiguousarray(maps.transpose(1, 2, 0)), (views * CANVAS, CANVAS))
    canvas = preprocessing.on_image(fine, view)  # (CANVAS, CANVAS, 1 + families)
    covered = canvas[..., 0] >= RELATIVE * canvas[..., 0].max()
    contours, _ = cv2.findContours(covered.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    contours = (contour for contour in contours if cv2.contourArea(contour) >= LEAST_AREA)
    regions = [_region(contour, canvas, width, height) for contour in contours]
    return sorted(regions, key=lambda region: -region.score)[:MOST]


def _region(contour: np.ndarray, canvas: np.ndarray, width: int, height: int) -> Region:
    left, top, columns, rows = cv2.boundingRect(contour)
    inside = np.zeros((rows, columns), np.uint8)
    cv2.drawContours(inside, [contour], -1, 1, cv2.FILLED, offset=(-left, -top))
    values = canvas[top : top + rows, left : left + columns][inside > 0]  # (pixels, 1 + families)
    outline = cv2.approxPolyDP(contour, SMOOTH, closed=True)[:, 0]
    # From the first to the last pixel of the canvas is from edge to edge of the image: what touches an edge reaches it.
    outline = (outline * np.array([width, height]) / (CANVAS - 1)).round().astype(int)
    family = FAMILIES[int(values[:, 1:].mean(0).argmax())]
    return Region(family, round(float(values[:, 0].max()), 3), tuple(map(tuple, outline.tolist())))


def coarse_map(maps: np.ndarray, preprocessing: Preprocessing, view: View, side: int) -> np.ndarray:
    """Maps as in `find_regions` -> P(artifact) on the whole image, (side, side) float32."""
    return cv2.resize(preprocessing.on_image(maps[0], view), (side, side), interpolation=cv2.INTER_AREA)


def draw_regions(regions: Sequence[Region], width: int, height: int) -> np.ndarray:
    """(height, width) uint8: 0 outside, else 1 + the number in FAMILIES; of two on one another the surer one's."""
    painted = np.zeros((height, width), np.uint8)
    for region in sorted(regions, key=lambda region: region.score):
        cv2.fillPoly(painted, [np.array(region.outline, np.int32)], 1 + FAMILIES.index(region.family))
    return painted


def to_text(regions: Sequence[Region]) -> str:
    """Regions in one short line, for `from_text`."""
    rows = [[FAMILIES.index(one.family), one.score, [v for xy in one.outline for v in xy]] for one in regions]
    return json.dumps(rows, separators=(",", ":"))


def from_text(text: str) -> list[Region]:
    """What `to_text` wrote; nothing for an empty text."""
    rows = json.loads(text or "[]")
    return [Region(FAMILIES[family], score, tuple(zip(xy[::2], xy[1::2], strict=True))) for family, score, xy in rows]

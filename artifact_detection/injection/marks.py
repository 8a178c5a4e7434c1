"""Marks of agencies that sell pictures: faint crossed lines with a name on them, or a band with a name and a number."""

import numpy as np

from artifact_detection.injection.lettering import line, stamp
from artifact_detection.injection.scene import Scene
from artifact_detection.injection.shapes import fill, rectangle, stroke


def stock_mark(scene: Scene) -> None:
    """A mark in the style of stock pictures: lines from corner to corner, or a lattice, or a band, and lettering."""
    scene.pick((_cross, _lattice, _band))(scene, min(scene.width, scene.height))


def _stamped(scene: Scene, stencil: np.ndarray, place: tuple[float, float], height: float, angle: float) -> None:
    stamp(stencil, line(scene, height, 0.3)[:, : max(24, int(0.8 * scene.width))], place, angle)


def _cross(scene: Scene, side: float) -> None:
    stencil, centre = scene.stencil(), np.array(scene.inside(scene.face.centre))
    for angle in np.array([1, -1]) * scene.uniform(0.5, 0.9):
        reach = np.array([np.cos(angle), np.sin(angle)]) * 1.5 * max(scene.width, scene.height)
        stroke(stencil, np.array([centre - reach, centre + reach]), side * scene.uniform(0.004, 0.012))
    _stamped(scene, stencil, tuple(centre), scene.level(0.08, 0.14) * side, 0.0)
    _faint(scene, stencil)


def _lattice(scene: Scene, side: float) -> None:
    stencil, gap = scene.stencil(), scene.uniform(0.25, 0.45) * side
    reach, tilt = scene.width + scene.height, scene.uniform(0.6, 1.4)
    for start in np.arange(-reach, reach, gap):
        for slope in (tilt, -tilt):
            ends = np.array([(start, 0), (start + slope * scene.height, scene.height)])
            stroke(stencil, ends if slope > 0 else ends - (slope * scene.height, 0), max(1, 0.005 * side))
    for _ in range(scene.count(2, 4)):
        _stamped(scene, stencil, scene.anywhere(), scene.level(0.05, 0.09) * side, -np.arctan(1 / tilt))
    _faint(scene, stencil)


def _band(scene: Scene, side: float) -> None:
    height = scene.level(0.09, 0.14) * side
    y = scene.pick((scene.height - height / 2, scene.inside(scene.face.centre)[1], 0.6 * scene.height))
    box, letters = scene.stencil(), scene.stencil()
    fill(box, rectangle((scene.width / 2, y), scene.width / 2, height / 2))
    dark = scene.chance(0.6)
    scene.blend(box, np.full(3, 20.0 if dark else 235.0), scene.level(0.4, 0.85, 0.1))
    for x in (0.27, 0.75):
        stamp(letters, line(scene, 0.5 * height, 0.2)[:, : int(0.45 * scene.width) + 8], (x * scene.width, y))
    scene.blend(letters, np.full(3, 235.0 if dark else 20.0), 0.9)


def _faint(scene: Scene, stencil: np.ndarray) -> None:
    colour = np.full(3, scene.pick((255.0, 255.0, 0.0)))
    scene.blend(stencil, scene.against(colour, scene.face.centre, scene.unit / 2, 110), scene.level(0.3, 0.55))


KINDS = {"stock_mark": stock_mark}

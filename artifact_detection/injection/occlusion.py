"""Occlusions: something stands in front of the face: a hand, fingers, a thing, a piece of a mask."""

import numpy as np

from artifact_detection.injection.objects import put, thing
from artifact_detection.injection.scene import Paint, Scene, Window
from artifact_detection.injection.shapes import (
    any_surface,
    blob,
    curve,
    fill,
    mottled,
    shard,
    solid,
    star,
    stroke,
    turned,
)

# A hand in its own unit (palm width 1), wrist at the origin, fingers towards -y: root x, root y, length, width, splay
FINGERS = (
    (-0.40, -0.95, 0.75, 0.21, -0.22), (-0.14, -1.05, 0.95, 0.23, -0.07),
    (0.13, -1.05, 0.88, 0.23, 0.06), (0.38, -0.95, 0.68, 0.20, 0.22),
)  # fmt: skip
THUMB = (0.45, -0.40, 0.62, 0.25, 0.85)
PALM = np.array((
    (-0.32, 0.5), (-0.36, 0), (-0.52, -0.5), (-0.5, -0.98), (0, -1.1), (0.48, -0.98), (0.52, -0.5), (0.36, 0),
    (0.32, 0.5),
))  # fmt: skip


def hand(scene: Scene) -> None:
    """A hand in the face's own skin tone over part of the face: sometimes with too few or too many fingers."""
    size = scene.level(0.32, 0.55) * scene.unit
    angle = scene.uniform(0, 2 * np.pi) if scene.chance(0.3) else scene.uniform(-1.2, 1.2)
    tips = np.array(scene.on_face(0.8))
    wrist = tips + size * scene.uniform(0.9, 1.4) * np.array([-np.sin(angle), np.cos(angle)])
    skin, light = _skin(scene), scene.light + scene.rng.normal(0, 0.4)
    mirror = np.array((scene.pick((-1, 1)), 1))

    def placed(points) -> np.ndarray:
        return turned(np.array(points, float) * mirror, angle, tuple(wrist), size)

    palm = scene.stencil()
    fill(palm, placed(PALM + scene.rng.normal(0, 0.03, PALM.shape)))
    scene.shadow(palm)
    curl, drawn = scene.uniform(0.6, 1.1), _Fingers(scene, skin, light)
    for x, y, length, width, splay in _hand_fingers(scene):
        towards = angle + mirror[0] * splay * scene.uniform(0.3, 1.6)
        reach = length * size * curl * scene.uniform(0.85, 1.1)
        drawn.paint(placed([(x, y)])[0], towards, reach, width * size)
    drawn.paint_details()
    scene.blend(palm, solid(scene, palm, skin, light, 0.5), soft=scene.softness * 1.3)
    _knuckles(scene, placed, size)
    if scene.chance(0.5):
        cuff = scene.stencil()
        fill(cuff, placed([(-0.45, 0.15), (0.45, 0.15), (0.6, 2.2), (-0.6, 2.2)]))
        scene.blend(cuff, solid(scene, cuff, any_surface(scene), light, 0.6))


def _hand_fingers(scene: Scene) -> list[tuple]:
    """Four fingers and a thumb; in half of the hands one more or one less."""
    fingers, count = [*FINGERS, THUMB], scene.rng.random()
    if count < 0.3:
        fingers.insert(2, (0.0, -1.0, scene.uniform(0.5, 1), 0.2, scene.uniform(-0.5, 0.5)))
    elif count < 0.5:
        fingers.pop(int(scene.rng.integers(len(fingers))))
    return fingers


def _knuckles(scene: Scene, placed, size: float) -> None:
    """Knuckles and tendons on the back of a hand, faint."""
    lines, bumps = scene.stencil(), scene.stencil()
    for x, y, *_ in FINGERS:
        stroke(lines, placed([(x, y + 0.1), (0.5 * x, y + 0.75)]), max(1, 0.035 * size))
        fill(bumps, turned(blob(scene, (0, 0), 0.1 * size, 0.2), 0, tuple(placed([(x, y + 0.02)])[0])))
    scene.blend(lines, scene.skin * 0.6, 0.3, soft=0.03 * size)
    scene.blend(bumps, np.clip(scene.skin * (1.15, 1.05, 1.05), 0, 255), 0.35, soft=0.04 * size)


def fingers(scene: Scene) -> None:
    """One to five fingers without a hand, reaching over the face from its edge or growing out of it."""
    skin, light = _skin(scene), scene.light + scene.rng.normal(0, 0.4)
    length = scene.level(0.45, 0.8) * scene.unit
    width = length * scene.uniform(0.15, 0.24)
    angle = scene.uniform(0, 2 * np.pi)
    direction, across = np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
    count, gap = scene.count(1.5, 4), width * scene.uniform(0.9, 1.3)
    tips, drawn = np.array(scene.on_face(0.7)), _Fingers(scene, skin, light)
    for i in range(count):
        reach = length * scene.uniform(0.8, 1.1)
        root = tips - direction * length + across * gap * (i - (count - 1) / 2)
        drawn.paint(root, angle + scene.rng.normal(0, 0.12), reach, width)
    drawn.paint_details()


class _Fingers:
    """Fingers of one skin under one light; their nails and creases are painted at once when all are there."""

    def __init__(self, scene: Scene, skin: Paint, light: float):
        self.scene, self.skin, self.light = scene, skin, light
        self.nails, self.creases = scene.stencil(), scene.stencil()

    def paint(self, root: np.ndarray, angle: float, length: float, width: float) -> None:
        """One bent finger from its root; `angle` 0 points up."""
        scene, stencil, steps = self.scene, self.scene.stencil(), np.linspace(0, 1, 14)
        bend = angle + scene.rng.normal(0, 0.25) * steps**1.5
        moves = np.stack([np.sin(bend), -np.cos(bend)], axis=1) * length / len(steps)
        points = root + np.cumsum(moves, axis=0)
        girth = np.interp(steps, [0, 0.3, 0.4, 0.6, 0.68, 0.9, 1], [1.05, 0.95, 1, 0.92, 0.95, 0.85, 0.75])
        stroke(stencil, points, width * girth)
        scene.shadow(stencil, 0.45)
        scene.blend(stencil, solid(scene, stencil, self.skin, self.light, 0.6), soft=scene.softness * 1.2)
        if width >= 5:
            self._add_details(points, bend, width)

    def _add_details(self, points: np.ndarray, bend: np.ndarray, width: float) -> None:
        """Note the nail and the joints of a finger along `points` (N, 2), turned by `bend` (N,) radians."""
        oval = blob(self.scene, (0, 0), 1, 0.1) * (0.26 * width, 0.36 * width)
        fill(self.nails, turned(oval, bend[-1], tuple(points[-1])))
        for joint in (5, 9):
            side = np.array([np.cos(bend[joint]), np.sin(bend[joint])]) * width * 0.3
            along = np.array([np.sin(bend[joint]), -np.cos(bend[joint])]) * width
            for offset in (-0.08, 0, 0.07):
                at = points[joint] + along * offset
                stroke(self.creases, curve(self.scene, at - side, at + side, 0.1, 8), max(1, 0.03 * width))

    def paint_details(self) -> None:
        scene = self.scene
        scene.blend(self.creases, scene.skin * 0.45, 0.35)
        if scene.chance(0.7):
            colour = scene.skin * 1.15 + (15, 5, 8) if scene.chance(0.7) else scene.colour()
            scene.blend(self.nails, solid(scene, self.nails, np.clip(colour, 0, 250), self.light, 0.5), 0.8)


def _skin(scene: Scene) -> Paint:
    """Skin as the face's, a little lighter, darker or redder; on a black picture a dim common tone."""
    tone = scene.skin * scene.uniform(0.9, 1.2) + scene.uniform(0, 8) * np.array([1, -0.3, -0.3])
    if tone.max() < 40:
        tone = np.array([150.0, 110.0, 90.0]) * scene.exposure
    base = mottled(scene, np.clip(tone, 0, 245), 0.08, 5)

    def paint(window: Window) -> np.ndarray:
        return base(window) + scene.skin_texture(window[3], window[2])

    return paint


def mask_piece(scene: Scene) -> None:
    """A piece of a mask, helmet or plaster on part of the face, with straps, cracks, holes or ornaments."""
    x0, y0, x1, y1 = scene.face.box
    stencil = scene.stencil()
    cut = np.array([scene.uniform(0.25, 0.6) * (x1 - x0), scene.uniform(0.25, 0.5) * (y1 - y0)])
    cut *= scene.level(0.6, 1.15, 0.1)
    centre = np.array(scene.on_face(0.7))
    corner_count = int(scene.rng.integers(6, 14))
    shield = np.array([(-1, -1), (1, -1), (0.8, 0.3), (0, 1), (-0.8, 0.3)]) * cut
    outline = scene.pick((
        lambda: blob(scene, tuple(centre), float(cut.mean()), 0.4, scene.uniform(0.5, 2)),
        lambda: shard(scene, tuple(centre), float(cut.max()), corner_count),
        lambda: turned(shield, scene.uniform(-0.5, 0.5), tuple(centre)),
        lambda: turned(star(int(scene.rng.integers(5, 12)), 0.7) * cut, scene.uniform(0, 6), tuple(centre)),
    ))()  # fmt: skip
    fill(stencil, outline)
    for eye in (scene.face.left_eye, scene.face.right_eye):
        if scene.chance(0.5):
            fill(stencil, blob(scene, eye, 0.1 * scene.unit, 0.2, 1.6), 0)
    if not stencil.any():
        fill(stencil, blob(scene, tuple(centre), 0.3 * scene.unit))
    put(scene, stencil, depth=scene.uniform(0.3, 0.8))
    if scene.chance(0.5):
        for _ in range(scene.count(1, 4)):
            mark = scene.stencil()
            stroke(mark, curve(scene, scene.pick(outline), scene.pick(outline), 0.2), 0.02 * scene.unit)
            scene.blend(np.minimum(mark, stencil), scene.colour(), 0.7)


KINDS = {"hand": hand, "fingers": fingers, "object": thing, "mask_piece": mask_piece}

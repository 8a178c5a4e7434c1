"""Occlusions: something stands in front of the face: a hand, fingers, a thing, a piece of a mask."""

import numpy as np

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
PALM = np.array(
    [
        (-0.32, 0.5),
        (-0.36, 0),
        (-0.52, -0.5),
        (-0.5, -0.98),
        (0, -1.1),
        (0.48, -0.98),
        (0.52, -0.5),
        (0.36, 0),
        (0.32, 0.5),
    ]
)


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
    curl = scene.uniform(0.6, 1.1)
    for x, y, length, width, splay in _hand_fingers(scene):
        towards = angle + mirror[0] * splay * scene.uniform(0.3, 1.6)
        reach = length * size * curl * scene.uniform(0.85, 1.1)
        _finger(scene, placed([(x, y)])[0], towards, reach, width * size, skin, light)
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
    tips = np.array(scene.on_face(0.7))
    for i in range(count):
        reach = length * scene.uniform(0.8, 1.1)
        root = tips - direction * length + across * gap * (i - (count - 1) / 2)
        _finger(scene, root, angle + scene.rng.normal(0, 0.12), reach, width, skin, light)


def _finger(
    scene: Scene, root: np.ndarray, angle: float, length: float, width: float, skin: Paint, light: float
) -> None:
    """One bent finger from its root, with a nail and creases at two joints; `angle` 0 points up."""
    steps = np.linspace(0, 1, 14)
    bend = angle + scene.rng.normal(0, 0.25) * steps**1.5
    moves = np.stack([np.sin(bend), -np.cos(bend)], axis=1) * length / len(steps)
    points = root + np.cumsum(moves, axis=0)
    stencil = scene.stencil()
    stroke(
        stencil,
        points,
        width * np.interp(steps, [0, 0.3, 0.4, 0.6, 0.68, 0.9, 1], [1.05, 0.95, 1, 0.92, 0.95, 0.85, 0.75]),
    )
    scene.shadow(stencil, 0.45)
    scene.blend(stencil, solid(scene, stencil, skin, light, 0.6), soft=scene.softness * 1.2)
    if width < 5:
        return
    _creases(scene, points, bend, width)
    if scene.chance(0.7):
        nail = scene.stencil()
        oval = blob(scene, (0, 0), 1, 0.1) * (0.26 * width, 0.36 * width)
        fill(nail, turned(oval, bend[-1], tuple(points[-1])))
        colour = scene.skin * 1.15 + (15, 5, 8) if scene.chance(0.7) else scene.colour()
        scene.blend(nail, solid(scene, nail, np.clip(colour, 0, 250), light, 0.5), 0.8)


def _creases(scene: Scene, points: np.ndarray, bend: np.ndarray, width: float) -> None:
    """Dark fine lines across a finger's two joints."""
    creases = scene.stencil()
    for joint in (5, 9):
        side = np.array([np.cos(bend[joint]), np.sin(bend[joint])]) * width * 0.3
        along = np.array([np.sin(bend[joint]), -np.cos(bend[joint])]) * width
        for offset in (-0.08, 0, 0.07):
            at = points[joint] + along * offset
            stroke(creases, curve(scene, at - side, at + side, 0.1, 8), max(1, 0.03 * width))
    scene.blend(creases, scene.skin * 0.45, 0.35)


def _skin(scene: Scene) -> Paint:
    """Skin as the face's, a little lighter, darker or redder; on a black picture a dim common tone."""
    tone = scene.skin * scene.uniform(0.9, 1.2) + scene.uniform(0, 8) * np.array([1, -0.3, -0.3])
    if tone.max() < 40:
        tone = np.array([150.0, 110.0, 90.0]) * scene.exposure
    base = mottled(scene, np.clip(tone, 0, 245), 0.08, 5)

    def paint(window: Window) -> np.ndarray:
        return base(window) + scene.skin_texture(window[3], window[2])

    return paint


def thing(scene: Scene) -> None:
    """An object across the face: bar, card, ball, leaf, ring, cup, cord, syringe, flower, cloth."""
    shape = scene.pick((_bar, _card, _ball, _leaf, _ring, _cup, _cord, _syringe, _flower, _cloth))
    shape(scene, np.array(scene.on_face(0.6)), scene.level(0.4, 0.85) * scene.unit)


def _put(scene: Scene, stencil: np.ndarray, colour: np.ndarray | None = None, depth: float = 0.5) -> None:
    """Lay a solid thing into the picture, with its shadow."""
    if scene.chance(0.7):
        scene.shadow(stencil, scene.uniform(0.2, 0.6))
    if colour is None:
        colour = scene.against(scene.colour(), scene.face.centre, 0.3 * scene.unit, 40)
    scene.blend(stencil, solid(scene, stencil, any_surface(scene, colour), depth=depth))


def _line(scene: Scene, centre: np.ndarray, length: float) -> tuple[np.ndarray, np.ndarray]:
    angle = scene.uniform(0, np.pi)
    half = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    return centre - half, centre + half


def _bar(scene: Scene, centre: np.ndarray, size: float) -> None:
    stencil = scene.stencil()
    a, b = _line(scene, centre, size * scene.uniform(1.3, 3))
    stroke(stencil, np.array([a, b]), size * scene.uniform(0.08, 0.25))
    _put(scene, stencil, depth=0.7)


def _cord(scene: Scene, centre: np.ndarray, size: float) -> None:
    for _ in range(scene.count(1, 3)):
        stencil = scene.stencil()
        a, b = _line(scene, centre, size * scene.uniform(1.3, 2.5))
        stroke(stencil, curve(scene, a, b, 0.5, 40), size * scene.uniform(0.05, 0.1))
        _put(scene, stencil, depth=0.7)


def _card(scene: Scene, centre: np.ndarray, size: float) -> None:
    corners = np.array([(-0.5, -0.35), (0.5, -0.35), (0.5, 0.35), (-0.5, 0.35)])
    corners = corners * (1, scene.uniform(0.7, 1.7)) + scene.rng.normal(0, 0.04, (4, 2))
    outer, inner, angle = scene.stencil(), scene.stencil(), scene.uniform(0, np.pi)
    fill(outer, turned(corners, angle, tuple(centre), size))
    _put(scene, outer, depth=0.15)
    if scene.chance(0.6):
        fill(inner, turned(corners * scene.uniform(0.6, 0.85), angle, tuple(centre), size))
        scene.blend(inner, any_surface(scene), scene.uniform(0.6, 1))


def _ball(scene: Scene, centre: np.ndarray, size: float) -> None:
    stencil = scene.stencil()
    fill(stencil, blob(scene, tuple(centre), 0.45 * size, scene.uniform(0, 0.3), scene.uniform(0.7, 1.4)))
    _put(scene, stencil, depth=0.8)


def _leaf(scene: Scene, centre: np.ndarray, size: float) -> None:
    t = np.linspace(0, np.pi, 24)
    side = np.stack([np.linspace(-1, 1, 24), scene.uniform(0.2, 0.45) * np.sin(t) ** scene.uniform(0.7, 1.5)], axis=1)
    for _ in range(scene.count(1, 3)):
        stencil, angle = scene.stencil(), scene.uniform(0, 2 * np.pi)
        place = tuple(centre + scene.rng.normal(0, 0.15, 2) * size)
        fill(stencil, turned(np.vstack([side, side[::-1] * (1, -1)]), angle, place, 0.5 * size))
        _put(scene, stencil, depth=0.4)
        vein = scene.stencil()
        stroke(vein, turned(np.array([(-0.95, 0.0), (0.95, 0.0)]), angle, place, 0.5 * size), 0.02 * size)
        scene.blend(vein, scene.colour(), 0.6)


def _ring(scene: Scene, centre: np.ndarray, size: float) -> None:
    stencil = scene.stencil()
    ring = blob(scene, tuple(centre), 0.42 * size, scene.uniform(0, 0.2), scene.uniform(0.5, 1.6))
    stroke(stencil, np.vstack([ring, ring[:1]]), size * scene.uniform(0.06, 0.16))
    _put(scene, stencil, depth=0.7)


def _cup(scene: Scene, centre: np.ndarray, size: float) -> None:
    stencil, angle = scene.stencil(), scene.uniform(-0.6, 0.6)
    body = np.array([(-0.35, -0.45), (0.35, -0.45), (0.25, 0.45), (-0.25, 0.45)])
    fill(stencil, turned(body, angle, tuple(centre), size))
    handle = np.array([(0.3, -0.25), (0.55, -0.2), (0.55, 0.15), (0.28, 0.25)]) * (scene.pick((-1, 1)), 1)
    stroke(stencil, turned(handle, angle, tuple(centre), size), 0.08 * size)
    _put(scene, stencil, depth=0.6)


def _syringe(scene: Scene, centre: np.ndarray, size: float) -> None:
    angle, length = scene.uniform(0, 2 * np.pi), 1.3 * size

    def part(points: list, width: float, colour: np.ndarray, opacity: float) -> None:
        stencil = scene.stencil()
        stroke(stencil, turned(np.array(points, float), angle, tuple(centre), length), max(1, width * length))
        scene.blend(stencil, solid(scene, stencil, colour, depth=0.6), opacity)

    metal, tint = np.full(3, 200.0) * scene.exposure, scene.colour()
    part([(-0.75, 0), (-0.3, 0)], 0.012, metal * 0.8, 0.95)
    part([(-0.3, 0), (0.35, 0)], 0.13, metal, scene.uniform(0.5, 0.9))
    part([(-0.25, 0), (scene.uniform(-0.1, 0.2), 0)], 0.09, tint, 0.8)
    part([(0.35, 0), (0.65, 0)], 0.04, metal, 0.95)
    part([(0.35, -0.12), (0.35, 0.12)], 0.03, metal, 0.95)
    part([(0.65, -0.08), (0.65, 0.08)], 0.03, metal, 0.95)


def _flower(scene: Scene, centre: np.ndarray, size: float) -> None:
    petals, colour = int(scene.rng.integers(4, 9)), scene.against(scene.colour(), tuple(centre), size / 3, 40)
    for angle in np.arange(petals) * 2 * np.pi / petals + scene.uniform(0, 1):
        stencil = scene.stencil()
        place = centre + 0.25 * size * np.array([np.cos(angle), np.sin(angle)])
        oval = blob(scene, (0, 0), 1, 0.1) * (0.2 * size, 0.11 * size)
        fill(stencil, turned(oval, angle, tuple(place)))
        _put(scene, stencil, np.clip(colour * scene.uniform(0.85, 1.15), 0, 255))
    heart = scene.stencil()
    fill(heart, blob(scene, tuple(centre), 0.12 * size, 0.1))
    _put(scene, heart, scene.colour())


def _cloth(scene: Scene, centre: np.ndarray, size: float) -> None:
    stencil = scene.stencil()
    a, b = _line(scene, centre, size * scene.uniform(1.5, 3))
    middle, width = curve(scene, a, b, 0.25, 30), size * scene.uniform(0.15, 0.4)
    edges = scene.rng.normal(0, 0.06, (2, 30)).cumsum(axis=1) * width
    across = np.array([-(b - a)[1], (b - a)[0]]) / max(np.linalg.norm(b - a), 1)
    upper = middle + across * (width / 2 + edges[0][:, None])
    lower = middle - across * (width / 2 + edges[1][:, None])
    fill(stencil, np.vstack([upper, lower[::-1]]))
    _put(scene, stencil, depth=0.4)


def mask_piece(scene: Scene) -> None:
    """A piece of a mask, helmet or plaster on part of the face, with straps, cracks, holes or ornaments."""
    x0, y0, x1, y1 = scene.face.box
    stencil = scene.stencil()
    cut = np.array([scene.uniform(0.25, 0.6) * (x1 - x0), scene.uniform(0.25, 0.5) * (y1 - y0)])
    cut *= scene.level(0.6, 1.15, 0.1)
    centre = np.array(scene.on_face(0.7))
    corner_count = int(scene.rng.integers(6, 14))
    outline = scene.pick(
        (
            lambda: blob(scene, tuple(centre), float(cut.mean()), 0.4, scene.uniform(0.5, 2)),
            lambda: shard(scene, tuple(centre), float(cut.max()), corner_count),
            lambda: turned(
                np.array([(-1, -1), (1, -1), (0.8, 0.3), (0, 1), (-0.8, 0.3)]) * cut,
                scene.uniform(-0.5, 0.5),
                tuple(centre),
            ),
            lambda: turned(star(int(scene.rng.integers(5, 12)), 0.7) * cut, scene.uniform(0, 6), tuple(centre)),
        )
    )()
    fill(stencil, outline)
    for eye in (scene.face.left_eye, scene.face.right_eye):
        if scene.chance(0.5):
            fill(stencil, blob(scene, eye, 0.1 * scene.unit, 0.2, 1.6), 0)
    if not stencil.any():
        fill(stencil, blob(scene, tuple(centre), 0.3 * scene.unit))
    _put(scene, stencil, depth=scene.uniform(0.3, 0.8))
    if scene.chance(0.5):
        for _ in range(scene.count(1, 4)):
            mark = scene.stencil()
            stroke(mark, curve(scene, scene.pick(outline), scene.pick(outline), 0.2), 0.02 * scene.unit)
            scene.blend(np.minimum(mark, stencil), scene.colour(), 0.7)


KINDS = {"hand": hand, "fingers": fingers, "object": thing, "mask_piece": mask_piece}

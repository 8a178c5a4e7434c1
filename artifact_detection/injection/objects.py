"""Objects that stand in front of a face: bar, cord, card, ball, leaf, ring, cup, syringe, flower, cloth."""

import numpy as np

from artifact_detection.injection.scene import Scene
from artifact_detection.injection.shapes import any_surface, blob, curve, fill, solid, stroke, turned


def thing(scene: Scene) -> None:
    """An object across the face: bar, card, ball, leaf, ring, cup, cord, syringe, flower, cloth."""
    shape = scene.pick((_bar, _card, _ball, _leaf, _ring, _cup, _cord, _syringe, _flower, _cloth))
    shape(scene, np.array(scene.on_face(0.6)), scene.level(0.4, 0.85) * scene.unit)


def put(scene: Scene, stencil: np.ndarray, colour: np.ndarray | None = None, depth: float = 0.5) -> None:
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
    put(scene, stencil, depth=0.7)


def _cord(scene: Scene, centre: np.ndarray, size: float) -> None:
    for _ in range(scene.count(1, 3)):
        stencil = scene.stencil()
        a, b = _line(scene, centre, size * scene.uniform(1.3, 2.5))
        stroke(stencil, curve(scene, a, b, 0.5, 40), size * scene.uniform(0.05, 0.1))
        put(scene, stencil, depth=0.7)


def _card(scene: Scene, centre: np.ndarray, size: float) -> None:
    corners = np.array([(-0.5, -0.35), (0.5, -0.35), (0.5, 0.35), (-0.5, 0.35)])
    corners = corners * (1, scene.uniform(0.7, 1.7)) + scene.rng.normal(0, 0.04, (4, 2))
    outer, inner, angle = scene.stencil(), scene.stencil(), scene.uniform(0, np.pi)
    fill(outer, turned(corners, angle, tuple(centre), size))
    put(scene, outer, depth=0.15)
    if scene.chance(0.6):
        fill(inner, turned(corners * scene.uniform(0.6, 0.85), angle, tuple(centre), size))
        scene.blend(inner, any_surface(scene), scene.uniform(0.6, 1))


def _ball(scene: Scene, centre: np.ndarray, size: float) -> None:
    stencil = scene.stencil()
    fill(stencil, blob(scene, tuple(centre), 0.45 * size, scene.uniform(0, 0.3), scene.uniform(0.7, 1.4)))
    put(scene, stencil, depth=0.8)


def _leaf(scene: Scene, centre: np.ndarray, size: float) -> None:
    t = np.linspace(0, np.pi, 24)
    side = np.stack([np.linspace(-1, 1, 24), scene.uniform(0.2, 0.45) * np.sin(t) ** scene.uniform(0.7, 1.5)], axis=1)
    for _ in range(scene.count(1, 3)):
        stencil, angle = scene.stencil(), scene.uniform(0, 2 * np.pi)
        place = tuple(centre + scene.rng.normal(0, 0.15, 2) * size)
        fill(stencil, turned(np.vstack([side, side[::-1] * (1, -1)]), angle, place, 0.5 * size))
        put(scene, stencil, depth=0.4)
        vein = scene.stencil()
        stroke(vein, turned(np.array([(-0.95, 0.0), (0.95, 0.0)]), angle, place, 0.5 * size), 0.02 * size)
        scene.blend(vein, scene.colour(), 0.6)


def _ring(scene: Scene, centre: np.ndarray, size: float) -> None:
    stencil = scene.stencil()
    ring = blob(scene, tuple(centre), 0.42 * size, scene.uniform(0, 0.2), scene.uniform(0.5, 1.6))
    stroke(stencil, np.vstack([ring, ring[:1]]), size * scene.uniform(0.06, 0.16))
    put(scene, stencil, depth=0.7)


def _cup(scene: Scene, centre: np.ndarray, size: float) -> None:
    stencil, angle = scene.stencil(), scene.uniform(-0.6, 0.6)
    body = np.array([(-0.35, -0.45), (0.35, -0.45), (0.25, 0.45), (-0.25, 0.45)])
    fill(stencil, turned(body, angle, tuple(centre), size))
    handle = np.array([(0.3, -0.25), (0.55, -0.2), (0.55, 0.15), (0.28, 0.25)]) * (scene.pick((-1, 1)), 1)
    stroke(stencil, turned(handle, angle, tuple(centre), size), 0.08 * size)
    put(scene, stencil, depth=0.6)


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
        put(scene, stencil, np.clip(colour * scene.uniform(0.85, 1.15), 0, 255))
    heart = scene.stencil()
    fill(heart, blob(scene, tuple(centre), 0.12 * size, 0.1))
    put(scene, heart, scene.colour())


def _cloth(scene: Scene, centre: np.ndarray, size: float) -> None:
    stencil = scene.stencil()
    a, b = _line(scene, centre, size * scene.uniform(1.5, 3))
    middle, width = curve(scene, a, b, 0.25, 30), size * scene.uniform(0.15, 0.4)
    edges = scene.rng.normal(0, 0.06, (2, 30)).cumsum(axis=1) * width
    across = np.array([-(b - a)[1], (b - a)[0]]) / max(np.linalg.norm(b - a), 1)
    upper = middle + across * (width / 2 + edges[0][:, None])
    lower = middle - across * (width / 2 + edges[1][:, None])
    fill(stencil, np.vstack([upper, lower[::-1]]))
    put(scene, stencil, depth=0.4)

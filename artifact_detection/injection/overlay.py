"""Overlays: what lies on the picture and not in it: lettering, marks, strokes, crumbs, paint."""

import cv2
import numpy as np

from artifact_detection.injection.lettering import handwriting, line, ruin, stamp
from artifact_detection.injection.scene import Scene
from artifact_detection.injection.shapes import (
    any_surface,
    blob,
    borrowed,
    curve,
    fill,
    mottled,
    rectangle,
    shard,
    solid,
    star,
    stroke,
    turned,
)


def text(scene: Scene) -> None:
    """One to four lines of lettering across the picture, plain or on a box, outlined, glowing or with a shadow."""
    height = scene.level(0.05, 0.12) * scene.uniform(0.85, 1.5) * min(scene.width, scene.height)
    lines = [line(scene, height) for _ in range(scene.count(1, 2.5))]
    x, y = _text_place(scene, height)
    angle = scene.uniform(-0.35, 0.35) if scene.chance(0.3) else scene.uniform(-0.03, 0.03)
    letters = scene.stencil()
    down = np.array([-np.sin(angle), np.cos(angle)]) * 1.5 * height
    for i, mask in enumerate(lines):
        mask = mask[:, : int(1.5 * max(scene.width, 16))]
        stamp(letters, mask, tuple(np.array([x, y]) + down * (i - (len(lines) - 1) / 2)), angle)
    colour = scene.against(scene.colour(), (x, y), 2 * height, 90)
    colour = scene.pick((_plain, _plain, _box, _outline, _glow, _cast))(scene, letters, height, colour)
    paint = any_surface(scene, colour) if scene.chance(0.25) else colour
    scene.blend(letters, paint, scene.level(0.75, 0.95, 0.05))


def _plain(scene: Scene, letters: np.ndarray, height: float, colour: np.ndarray) -> np.ndarray:
    """Nothing under the letters. This and the next four prepare the ground and return the letters' colour."""
    return colour


def _cast(scene: Scene, letters: np.ndarray, height: float, colour: np.ndarray) -> np.ndarray:
    """A shadow under the letters."""
    scene.shadow(letters, 0.6)
    return colour


def _outline(scene: Scene, letters: np.ndarray, height: float, colour: np.ndarray) -> np.ndarray:
    """A rim around the letters, light around dark and dark around light."""
    side = 2 * max(1, round(height * scene.uniform(0.03, 0.09))) + 1
    rim = cv2.dilate(letters, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    scene.blend(rim, np.full(3, 15.0 if colour.mean() > 120 else 240.0), 0.9)
    return colour


def _glow(scene: Scene, letters: np.ndarray, height: float, colour: np.ndarray) -> np.ndarray:
    """Light around the letters, as a neon sign's."""
    scene.blend(cv2.dilate(letters, None, iterations=2), colour, 0.8, "screen", soft=height * scene.uniform(0.15, 0.4))
    return np.clip(colour + 90, 0, 255)


def _text_place(scene: Scene, height: float) -> tuple[float, float]:
    """The middle of a text block: on the face, at the lower or upper edge, or anywhere."""
    place = scene.rng.random()
    if place < 0.45:
        return scene.on_face(1.2)
    y = scene.uniform(*((0.8, 0.95) if place < 0.7 else (0.05, 0.2) if place < 0.8 else (0.1, 0.9)))
    return scene.inside((scene.uniform(0.25, 0.75) * scene.width, y * scene.height), height)


def _box(scene: Scene, letters: np.ndarray, height: float, colour: np.ndarray) -> np.ndarray:
    """A box under the letters, which then stand out from it."""
    x, y, w, h = cv2.boundingRect(letters)
    if not w:
        return colour
    pad, stencil = scene.uniform(0.15, 0.6) * height, scene.stencil()
    fill(stencil, rectangle((x + (w - 1) / 2, y + (h - 1) / 2), (w - 1) / 2 + pad, (h - 1) / 2 + pad))
    ground = scene.colour()
    scene.blend(stencil, ground, scene.uniform(0.5, 1))
    return colour if np.abs(colour - ground).max() > 80 else (ground + 128) % 256


def watermark(scene: Scene) -> None:
    """Half-transparent lettering: once and large, or tiled over the picture."""
    stencil, side = scene.stencil(), min(scene.width, scene.height)
    angle = scene.pick((0.0, scene.uniform(-0.8, 0.8)))
    if scene.chance(0.5):
        mask = line(scene, scene.level(0.12, 0.2) * side, ruined=0.15)
        stamp(stencil, mask, scene.on_face(0.8), angle)
    else:
        mask = line(scene, scene.level(0.05, 0.09) * side, ruined=0.15)[:, : max(24, scene.width)]
        step = np.array([mask.shape[1] * scene.uniform(1.1, 1.6), mask.shape[0] * scene.uniform(1.8, 4)])
        step = np.maximum(step, side / 12)
        for y in np.arange(scene.uniform(0, 1) * step[1], scene.height, step[1]):
            for x in np.arange(scene.uniform(0, 1) * step[0], scene.width + step[0] / 2, step[0]):
                stamp(stencil, mask, (x, y), angle)
    colour = np.full(3, scene.pick((255.0, 255.0, 0.0, 128.0))) if scene.chance(0.7) else scene.colour()
    scene.blend(stencil, scene.against(colour, scene.face.centre, scene.unit / 2, 110), scene.level(0.3, 0.6))


def signature(scene: Scene) -> None:
    """A hand-written name or scribble in a corner or across the face."""
    height = scene.level(0.09, 0.18) * min(scene.width, scene.height)
    stencil = scene.stencil()
    mask = handwriting(scene, height)
    if scene.chance(0.6):
        x = scene.pick((scene.uniform(0.15, 0.35), scene.uniform(0.65, 0.85))) * scene.width
        y = scene.pick((scene.uniform(0.08, 0.2), scene.uniform(0.8, 0.92))) * scene.height
    else:
        x, y = scene.on_face()
    stamp(stencil, mask, (x, y), scene.uniform(-0.5, 0.3))
    colour = scene.against(scene.colour(), (x, y), 2 * height, 110)
    scene.blend(stencil, colour, scene.level(0.8, 0.95, 0.05))


def logo(scene: Scene) -> None:
    """A badge: disc, ring, shield, star or square with a mark or letters inside."""
    radius = scene.level(0.09, 0.2) * min(scene.width, scene.height)
    centre = scene.on_face(1.3) if scene.chance(0.5) else scene.inside(scene.anywhere(), radius)
    outer, inner = scene.stencil(), scene.stencil()
    angle = scene.uniform(-0.3, 0.3)
    outline = _badge(scene)
    fill(outer, turned(outline, angle, centre, radius))
    ground = scene.against(scene.colour(), centre, radius)
    if scene.chance(0.5):
        stamp(inner, line(scene, 0.5 * radius, 0.3)[:, : int(1.7 * radius)], centre, angle)
    else:
        fill(inner, turned(_badge(scene), scene.uniform(0, 6), centre, scene.uniform(0.4, 0.75) * radius))
    opacity = scene.level(0.7, 0.95, 0.05)
    scene.blend(outer, ground, opacity)
    if scene.chance(0.4):
        rim = scene.stencil()
        ring = turned(outline, angle, centre, 0.88 * radius)
        stroke(rim, np.vstack([ring, ring[:1]]), 0.06 * radius)
        scene.blend(rim, scene.colour(), opacity)
    scene.blend(inner, (ground + 128) % 256 if scene.chance(0.5) else scene.colour(), opacity)


def _badge(scene: Scene) -> np.ndarray:
    round_ = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    disc = np.stack([np.cos(round_), np.sin(round_)], axis=1)
    shield = np.array([(-0.8, -0.9), (0, -1), (0.8, -0.9), (0.8, 0.1), (0.4, 0.7), (0, 1), (-0.4, 0.7), (-0.8, 0.1)])
    square = rectangle((0, 0), 0.9, 0.9)
    spikes = star(int(scene.rng.integers(4, 9)), scene.uniform(0.35, 0.75))
    return scene.pick((disc, disc * (1, 0.6), shield, square, square * (1, 0.6), spikes))


def strokes(scene: Scene) -> None:
    """Stray brush strokes, scratches, loose hairs or wires."""
    for _ in range(scene.count(3, 9)):
        stencil = scene.stencil()
        start = np.array(scene.on_face(1.5))
        end = start + scene.rng.normal(0, 0.5, 2) * scene.unit
        points = curve(scene, start, end, scene.uniform(0.1, 0.9), 32)
        width = scene.unit * scene.level(0.02, 0.045, 0.6)
        taper = np.sin(np.linspace(0.15, np.pi - 0.05, len(points))) if scene.chance(0.6) else 1.0
        stroke(stencil, points, np.maximum(width * taper, 1))
        if scene.chance(0.3):
            stencil = ruin(scene, stencil, 0.01 * scene.unit)
        colour = scene.against(scene.colour(), tuple(points[16]), 0.1 * scene.unit)
        paint = solid(scene, stencil, colour) if width > 4 and scene.chance(0.5) else colour
        scene.blend(stencil, paint, scene.level(0.75, 0.95, 0.1))


def fragments(scene: Scene) -> None:
    """Crumbs, shards and torn pieces around and on the face, plain or cut out of the picture itself."""
    centre, spread = scene.on_face(1.0), scene.uniform(0.25, 0.8) * scene.unit
    cast = scene.chance(0.5)
    own_colour = scene.colour()
    for _ in range(scene.count(5, 18)):
        place = scene.inside(tuple(np.array(centre) + scene.rng.normal(0, 0.5, 2) * spread))
        radius = scene.unit * scene.level(0.05, 0.075, 0.5)
        stencil = scene.stencil()
        if scene.chance(0.6):
            fill(stencil, shard(scene, place, radius, int(scene.rng.integers(3, 7))))
        else:
            fill(stencil, blob(scene, place, radius, 0.9, scene.uniform(0.3, 3)))
        if cast:
            scene.shadow(stencil, 0.35)
        colour = scene.against(own_colour if scene.chance(0.6) else scene.colour(), place, radius, 50)
        paint = borrowed(scene) if scene.chance(0.35) else mottled(scene, colour, 0.2)
        scene.blend(stencil, solid(scene, stencil, paint) if scene.chance(0.5) else paint)


def face_paint(scene: Scene) -> None:
    """Paint on the skin: stripes, spots, blotches, splashes or signs that follow the face's light."""
    marks = scene.pick((_stripes, _spots, _blotches, _signs))
    stencil = marks(scene)
    if scene.chance(0.6):  # worn paint: uneven cover
        x, y, bw, bh = cv2.boundingRect(stencil)
        wear = scene.smooth_noise(max(bh, 1), max(bw, 1), scene.uniform(6, 25)) + scene.uniform(0.5, 1)
        stencil[y : y + bh, x : x + bw] = stencil[y : y + bh, x : x + bw] * np.clip(wear, 0.15, 1)[:bh, :bw]
    colour = scene.against(scene.colour(), scene.face.centre, 0.3 * scene.unit, 95)
    mode = "multiply" if scene.skin.mean() > 120 and colour.mean() < 150 and scene.chance(0.4) else "normal"
    soft = scene.softness * scene.uniform(1, 2.5)
    scene.blend(stencil, colour, scene.level(0.75, 0.92, 0.08), mode, soft)


def _stripes(scene: Scene) -> np.ndarray:
    stencil, angle = scene.stencil(), scene.uniform(-0.6, 0.6) + scene.pick((0.0, np.pi / 2))
    start = np.array(scene.on_face(0.6))
    along = np.array([np.cos(angle), np.sin(angle)]) * scene.level(0.35, 0.75) * scene.unit
    across = np.array([-np.sin(angle), np.cos(angle)]) * scene.uniform(0.09, 0.16) * scene.unit
    for i in range(scene.count(2, 4)):
        a = start + across * i - along / 2 + scene.rng.normal(0, 0.02, 2) * scene.unit
        stroke(stencil, curve(scene, a, a + along, 0.1), scene.unit * scene.level(0.03, 0.06, 0.3))
    return stencil


def _spots(scene: Scene) -> np.ndarray:
    stencil = scene.stencil()
    for _ in range(scene.count(8, 30)):
        fill(stencil, blob(scene, scene.on_face(0.9), scene.unit * scene.level(0.03, 0.042, 0.5), 0.3))
    return stencil


def _blotches(scene: Scene) -> np.ndarray:
    stencil = scene.stencil()
    for _ in range(scene.count(1, 3)):
        outline = blob(scene, scene.on_face(0.7), scene.unit * scene.level(0.1, 0.18), 0.8, scene.uniform(0.4, 2))
        fill(stencil, outline)
    return stencil


def _signs(scene: Scene) -> np.ndarray:
    stencil = scene.stencil()
    for _ in range(scene.count(1, 3)):
        shape = star(int(scene.rng.integers(3, 9)), scene.uniform(0.2, 0.8))
        ring = turned(shape, scene.uniform(0, 6), scene.on_face(0.7), scene.unit * scene.level(0.08, 0.16))
        if scene.chance(0.5):
            fill(stencil, ring)
        else:
            stroke(stencil, np.vstack([ring, ring[:1]]), 0.025 * scene.unit)
    return stencil


PAINTERS = (text, watermark, signature, logo, strokes, fragments, face_paint)
KINDS = {paint.__name__: paint for paint in PAINTERS}

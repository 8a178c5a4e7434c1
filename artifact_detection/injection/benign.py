"""Edits that are no artifacts, so that neither the trace of an edit nor lettering far behind a face speaks for one.

A soft-edged patch of blur, JPEG, noise, light or sharpness; the picture blended with a copy of itself that is moved,
scaled or recoloured a little (an "invisible" self-blend); lettering out of focus on the background, as signs are.
"""

import cv2
import numpy as np

from artifact_detection.images.faces import Face, find_face
from artifact_detection.injection.degradation import grainy, recompressed, rescaled
from artifact_detection.injection.lettering import line, stamp
from artifact_detection.injection.scene import Scene, blurred
from artifact_detection.injection.shapes import blob, fill


def edit_benignly(
    image: np.ndarray, rng: np.random.Generator, face: Face | None = None, edit: str | None = None
) -> np.ndarray:
    """(H, W, 3) uint8 -> a copy with one benign edit, a random one or that of EDITS; all is drawn from `rng`."""
    scene = Scene(image, face or find_face(image), int(rng.integers(1, 4)), rng)
    EDITS[edit or scene.pick(("patch", "patch", "self_blend", "self_blend", "sign"))](scene)
    return scene.canvas


def _area(scene: Scene) -> np.ndarray:
    """A random place, mostly on the face: alpha (H, W, 1) float32 with an edge between hard and very soft."""
    centre = scene.on_face(1.2) if scene.chance(0.7) else scene.anywhere()
    radius = scene.uniform(0.15, 0.7) * scene.unit
    stencil = scene.stencil()
    fill(stencil, blob(scene, centre, radius, scene.uniform(0.1, 0.8), scene.uniform(0.5, 2)))
    alpha = blurred(stencil, scene.softness + scene.uniform(0.02, 0.5) * radius)
    return (alpha.astype(np.float32) / 255)[..., None]


def _mix(scene: Scene, layer: np.ndarray) -> None:
    alpha = _area(scene) * scene.uniform(0.6, 1)
    scene.canvas[:] = np.rint(scene.canvas + alpha * (layer.astype(np.float32) - scene.canvas))


def _patch(scene: Scene) -> None:
    image = scene.image
    change = scene.pick((
        lambda: blurred(image, scene.uniform(0.6, 2.5) * image.shape[0] / 512 + 0.3),
        lambda: recompressed(image, int(scene.rng.integers(30, 90))),
        lambda: rescaled(image, scene.uniform(0.35, 0.9)),
        lambda: grainy(image, scene.uniform(2, 10), scene.rng),
        lambda: np.clip(image * scene.uniform(0.8, 1.25) + scene.uniform(-8, 8), 0, 255),
        lambda: np.clip(image + scene.uniform(0.4, 1.2) * (image - blurred(image.astype(np.float32), 1.5)), 0, 255),
    ))  # fmt: skip
    _mix(scene, change())


def _self_blend(scene: Scene) -> None:
    """The face over itself, off by a few pixels at most: the features still fit together."""
    angle, scale = np.radians(scene.uniform(-1, 1)), scene.uniform(0.98, 1.02)
    (x, y), shift = scene.face.centre, scene.rng.uniform(-0.012, 0.012, 2) * scene.unit
    matrix = cv2.getRotationMatrix2D((x, y), np.degrees(angle), scale)
    matrix[:, 2] += shift
    copy = cv2.warpAffine(scene.image, matrix, (scene.width, scene.height), borderMode=cv2.BORDER_REFLECT)
    tint = scene.rng.uniform(0.95, 1.05, 3) * scene.uniform(0.92, 1.08)
    copy = np.clip(copy * tint + scene.uniform(-5, 5), 0, 255)
    if scene.chance(0.4):
        copy = blurred(copy.astype(np.float32), scene.uniform(0.3, 1.2))
    _mix(scene, copy)


def _sign(scene: Scene) -> None:
    """Lettering that is no word, out of focus or glowing, in an upper corner beside the head."""
    left, _, right, _ = scene.face.box
    room = {"left": left - 0.3 * scene.unit, "right": scene.width - right - 0.3 * scene.unit}
    side = max(room, key=room.get)
    if room[side] < 0.12 * scene.width:
        return _patch(scene)
    height = scene.uniform(0.03, 0.09) * scene.height
    mask = line(scene, height, ruined=0.8)[:, : max(8, int(0.9 * room[side]))]
    x = room[side] / 2 if side == "left" else scene.width - room[side] / 2
    stencil = scene.stencil()
    stamp(stencil, mask, (x, scene.uniform(0.06, 0.6) * scene.height), scene.uniform(-0.15, 0.15))
    mode = scene.pick(("screen", "multiply", "normal"))
    soft = scene.softness + height * scene.uniform(0.06, 0.2)
    return scene.blend(stencil, scene.colour(), scene.uniform(0.4, 0.9), mode, soft)


EDITS = {"patch": _patch, "self_blend": _self_blend, "sign": _sign}

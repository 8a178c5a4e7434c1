"""Anatomy confused with itself or with what is beside it: features that fuse, faces out of place, parts left out."""

import cv2
import numpy as np

from artifact_detection.injection.anatomy import FEATURES, _feature, graft
from artifact_detection.injection.scene import Scene, blurred
from artifact_detection.injection.shapes import blob, fill

HOLE_SIDE = 64  # pixels at which a hole is inpainted: its filling is smooth anyway


def fusion(scene: Scene) -> None:
    """Two features that run into each other, or hair, clothes or background that grow into the face."""
    for _ in range(scene.count(1, 1.8)):
        if scene.chance(0.55):
            _fuse_features(scene)
        else:
            _fuse_surroundings(scene)


def _fuse_features(scene: Scene) -> None:
    first, second = scene.rng.choice(["eye", "eye", "mouth", "nose", "brow", "ear"], 2)
    centre, half = _feature(scene, first)
    other, other_half = _feature(scene, second)
    towards = scene.rng.normal(0, 1, 2)
    target = other + towards / max(np.linalg.norm(towards), 1e-6) * scene.uniform(0.5, 0.9) * other_half
    scale = scene.level(0.9, 1.35)
    graft(scene, centre, half, target, scale, scene.rng.normal(0, 0.4), scene.chance(0.5), scene.uniform(0.6, 1))


def _fuse_surroundings(scene: Scene) -> None:
    angle = scene.uniform(0, 2 * np.pi)
    away = np.array([np.cos(angle), np.sin(angle)]) * scene.uniform(0.65, 1.1) * scene.unit
    source = np.array(scene.inside(tuple(np.array(scene.face.centre) + away)))
    half = np.array([0.18, 0.14]) * scene.unit * scene.uniform(0.7, 1.4)
    target, turn = np.array(scene.on_face(0.8)), scene.uniform(0, 2 * np.pi)
    graft(scene, source, half, target, scene.level(0.8, 1.3), turn, scene.chance(0.5), scene.uniform(0, 0.5))


def extra_face(scene: Scene) -> None:
    """One to three small copies of the face, or of its middle, on it, in the hair, on the neck or beside the head."""
    for _ in range(scene.count(1, 2.2)):
        half = np.array([0.36, 0.46]) * scene.unit * scene.pick((1, 1, 0.7))
        scale, spread = scene.level(0.3, 0.5), scene.pick((0.9, 1.8))
        centre, target = np.array(scene.inside(scene.face.centre)), np.array(scene.on_face(spread))
        graft(scene, centre, half, target, scale, scene.rng.normal(0, 0.4), scene.chance(0.5), scene.uniform(0.2, 0.9))


def omission(scene: Scene) -> None:
    """A part left out: a hole at the rim of the face or through a feature, closed from all around it."""
    for _ in range(scene.count(1, 2)):
        if scene.chance(0.6):
            angle, (x0, y0, x1, y1) = scene.uniform(0, 2 * np.pi), scene.face.box
            rim = np.array([np.cos(angle) * (x1 - x0), np.sin(angle) * (y1 - y0)])
            place = np.array(scene.face.centre) + 0.55 * rim
        else:
            place, _ = _feature(scene, scene.pick(tuple(FEATURES)))
        _close_hole(scene, np.array(scene.inside(tuple(place))), scene.level(0.2, 0.32) * scene.unit)


def _close_hole(scene: Scene, centre: np.ndarray, radius: float) -> None:
    stencil = scene.stencil()
    fill(stencil, blob(scene, tuple(centre), radius, scene.uniform(0.2, 0.7), scene.uniform(0.5, 2)))
    x, y, w, h = window = scene.window(tuple(centre), 2.2 * radius, 2.2 * radius)
    region, alpha = scene.view(window), blurred(stencil[y : y + h, x : x + w], scene.uniform(0.03, 0.15) * radius)
    scale = min(1.0, HOLE_SIDE / max(w, h))
    small = cv2.resize(region, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    hole = (cv2.resize(alpha, small.shape[1::-1], interpolation=cv2.INTER_AREA) > 4).astype(np.uint8)
    method = scene.pick((cv2.INPAINT_TELEA, cv2.INPAINT_NS))
    filled = cv2.resize(cv2.inpaint(small, hole, 3, method), (w, h), interpolation=cv2.INTER_CUBIC)
    filled = np.clip(filled + scene.noise(h, w), 0, 255)
    region[:] = np.rint(region + (alpha.astype(np.float32) / 255)[..., None] * (filled - region))


KINDS = {"fusion": fusion, "extra_face": extra_face, "omission": omission}

"""Puts a known artifact of a known kind, severity and place into any clean image.

    image, mask = inject(image, "hand", severity=2, rng=np.random.default_rng(0))

`python -m artifact_detection.injection --help` writes labelled sets and contact sheets with it.
"""

from collections.abc import Sequence
from difflib import get_close_matches

import cv2
import numpy as np

from artifact_detection.images.faces import Face, find_face
from artifact_detection.injection import anatomy, fusion, generation, marks, occlusion, overlay
from artifact_detection.injection.scene import Scene
from artifact_detection.labels import FAMILIES

_FAMILY_PAINTERS = {
    "overlay": overlay.KINDS | marks.KINDS,
    "occlusion": occlusion.KINDS,
    "anatomy": anatomy.KINDS | fusion.KINDS,
    "generation": generation.KINDS,
}
KINDS = {kind: family for family in FAMILIES for kind in _FAMILY_PAINTERS[family]}
SEVERITIES = (1, 2, 3)
EVENLY = ("families", "kinds")

_PAINTERS = {kind: paint for painters in _FAMILY_PAINTERS.values() for kind, paint in painters.items()}
_SECOND = 0.15  # share of images that `inject_random` gives a second artifact
_ROUNDING = 2  # smaller changes (levels of 255) are rounding: they are undone and stay out of the mask
_VISIBLE_STEP = 24  # a pixel that changes by so many levels in a channel is seen
_VISIBLE_SHARE = 0.001  # … and so many such pixels, as a share of the face's area, are an artifact that is seen


def inject(
    image: np.ndarray, kind: str, severity: int, rng: np.random.Generator, face: Face | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Paint one artifact into a copy of an image.

    image: (H, W, 3) uint8 RGB of any size; never changed. kind: a key of KINDS. severity: 1 (slight), 2, 3 (gross).
    rng: decides everything else; the same state gives the same bytes. face: where the face is, if it is known
    (default: `find_face(image)`).
    Returns the new image (H, W, 3) uint8 and its mask (H, W) bool, True exactly where a pixel differs from `image`.
    Raises ValueError for an unknown kind or severity and for anything that is no RGB image.
    """
    _check(image, kind, severity)
    face = face or find_face(image)
    for attempt in range(6):
        source = image if attempt < 3 else _with_sketch(image, face, rng)
        scene = Scene(source, face, severity, rng)
        _PAINTERS[kind](scene)
        result, mask, visible = _difference(image, scene)
        if visible:
            break
    return result, mask


def inject_random(
    image: np.ndarray, rng: np.random.Generator, kinds: Sequence[str] = tuple(KINDS),
    severities: Sequence[int] = SEVERITIES, face: Face | None = None, evenly: str = "families",
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """One random artifact, now and then two, for training: a family is drawn, then a kind of it, then a severity.

    evenly: what is as likely as the next, one of EVENLY: each family, or each kind.

    Arguments as `inject`'s; all randomness is drawn from `rng`. Returns the new image and its regions (H, W) uint8:
    0 where it is as before, else 1 + the number in FAMILIES of what changed it last.
    """
    face = face or find_face(image)
    regions = np.zeros(image.shape[:2], np.uint8)
    families = [[kind for kind in kinds if KINDS[kind] == family] for family in FAMILIES]
    families = [members for members in families if members] if evenly == "families" else [list(kinds)]
    for _ in range(2 if rng.random() < _SECOND else 1):
        members = families[rng.integers(len(families))]
        kind, severity = members[rng.integers(len(members))], severities[rng.integers(len(severities))]
        image, changed = inject(image, kind, severity, rng, face)
        regions[changed] = 1 + FAMILIES.index(KINDS[kind])
    return image, regions


def _check(image: np.ndarray, kind: str, severity: int) -> None:
    if kind not in KINDS:
        near = get_close_matches(kind, KINDS, n=1, cutoff=0)
        raise ValueError(f"unknown artifact kind {kind!r}; the nearest known one is {near[0]!r}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity is 1, 2 or 3, not {severity!r}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"an RGB image (H, W, 3) uint8 is needed, not {image.shape} {image.dtype}")


def _difference(image: np.ndarray, scene: Scene) -> tuple[np.ndarray, np.ndarray, bool]:
    """The painted image without rounding noise, where it differs from `image`, and whether one can see it."""
    red, green, blue = cv2.split(cv2.absdiff(image, scene.canvas))
    change = cv2.max(cv2.max(red, green), blue)
    mask = cv2.compare(change, _ROUNDING, cv2.CMP_GT)
    seen = cv2.countNonZero(cv2.compare(change, _VISIBLE_STEP, cv2.CMP_GE))
    result = cv2.copyTo(scene.canvas, mask, image.copy())
    return result, mask > 0, seen >= max(6, _VISIBLE_SHARE * scene.unit**2)


def _with_sketch(image: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    """The image with features drawn where the face should be: a flat picture has none that could be distorted."""
    scene = Scene(image, face, 3, rng)
    tone = scene.against(np.array([190.0, 150.0, 130.0]), face.centre, scene.unit / 2, 60)
    for place, width in ((face.left_eye, 0.3), (face.right_eye, 0.3), (face.mouth, 0.4)):
        stencil = scene.stencil()
        x, y = scene.inside(place)
        size = max(2, round(width * scene.unit / 2)), max(1, round(0.4 * width * scene.unit / 2))
        cv2.ellipse(stencil, (round(x), round(y)), size, 0, 0, 360, 255, max(1, round(0.05 * scene.unit)), cv2.LINE_AA)
        cv2.circle(stencil, (round(x), round(y)), max(1, size[1] // 2), 255, -1, cv2.LINE_AA)
        scene.blend(stencil, tone)
    return scene.canvas

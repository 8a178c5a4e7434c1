"""Anatomy gone wrong: features doubled, lost, moved, unequal; tissue swirled, pinched, stretched, molten."""

import cv2
import numpy as np

from artifact_detection.injection.scene import Point, Scene, Window, blurred
from artifact_detection.injection.shapes import blob, fill

# name -> half width, half height of the feature in units of the face
FEATURES = {"eye": (0.17, 0.10), "mouth": (0.22, 0.12), "nose": (0.14, 0.16), "ear": (0.11, 0.17), "brow": (0.18, 0.07)}


def _feature(scene: Scene, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The centre (2,) of a feature, and its half extent (2,), pixels."""
    face = scene.face
    eyes = np.array([face.left_eye, face.right_eye])
    eye = scene.pick(eyes)
    centre = {
        "eye": eye,
        "mouth": np.array(face.mouth),
        "nose": 0.4 * eyes.mean(axis=0) + 0.6 * np.array(face.mouth),
        "ear": np.array([scene.pick((face.box[0], face.box[2])), (eyes[:, 1].mean() + face.mouth[1]) / 2]),
        "brow": eye - (0, 0.13 * scene.unit),
    }[name]
    return np.array(scene.inside(tuple(centre))), np.array(FEATURES[name]) * scene.unit


def graft(
    scene: Scene, source: np.ndarray, half: np.ndarray, target: np.ndarray,
    scale: float = 1.0, angle: float = 0.0, flip: bool = False, match: float = 0.8,
) -> None:  # fmt: skip
    """Copy an ellipse of the original image to another place, scaled, turned and blended in.

    `match` 0…1: how far the copy's low-frequency colour follows what was there (a cheap Poisson blend).
    """
    window = x, y, w, h = scene.window(tuple(target), *(1.5 * scale * half.max() * np.ones(2)))
    c, s = np.cos(angle) / scale, np.sin(angle) / scale
    mirror = -1 if flip else 1
    back = np.float32([[mirror * c, mirror * s, 0], [-s, c, 0]])  # target -> source
    back[:, 2] = source - back[:, :2] @ (target - (x, y))
    flags = (cv2.INTER_CUBIC if scale > 0.75 else cv2.INTER_AREA) | cv2.WARP_INVERSE_MAP
    copy = cv2.warpAffine(scene.image, back, (w, h), flags=flags, borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    alpha = _oval(scene, window, target, half * scale, angle)
    under = scene.view(window).astype(np.float32)
    sigma = scale * float(half.max()) + 0.5
    copy += match * (blurred(under, sigma) - blurred(copy, sigma))
    under += alpha * (np.clip(copy, 0, 255) - under)
    scene.view(window)[:] = np.rint(under)


def _oval(scene: Scene, window: Window, centre: np.ndarray, half: np.ndarray, angle: float = 0.0) -> np.ndarray:
    """A soft, slightly uneven ellipse of alpha (h, w, 1) float32 in a window."""
    x, y, w, h = window
    dx, dy = np.meshgrid(np.arange(w) + x - centre[0], np.arange(h) + y - centre[1])
    c, s = np.cos(angle), np.sin(angle)
    radius = np.hypot((c * dx + s * dy) / max(half[0], 1), (c * dy - s * dx) / max(half[1], 1))
    radius = radius + 0.08 * scene.smooth_noise(h, w, 5)
    edge = scene.uniform(0.12, 0.4)
    return np.clip((1.15 - radius) / edge, 0, 1)[..., None].astype(np.float32)


def erase(scene: Scene, centre: np.ndarray, half: np.ndarray) -> None:
    """Fill an ellipse from its surroundings: smooth colour inpainted at low resolution, plus the cheek's texture."""
    window = scene.window(tuple(centre), *(1.9 * half))
    w, h = window[2:]
    region = scene.view(window)
    alpha = _oval(scene, window, centre, half)
    small = (max(4, min(40, w)), max(4, min(40, h)))
    hole = (cv2.resize(alpha[..., 0], small, interpolation=cv2.INTER_AREA) > 0.02).astype(np.uint8)
    patch = cv2.inpaint(cv2.resize(region, small, interpolation=cv2.INTER_AREA), hole, 3, cv2.INPAINT_TELEA)
    smooth = cv2.resize(patch, (w, h), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    smooth = blurred(smooth, max(w, h) / scene.uniform(12, 30)) + scene.skin_texture(h, w)
    filled = region + alpha * (np.clip(smooth, 0, 255) - region)
    region[:] = np.rint(filled)


def duplicate(scene: Scene) -> None:
    """A feature twice or more: an eye on the forehead or cheek, a second mouth, nose, ear or brow."""
    name = scene.pick(("eye", "eye", "eye", "mouth", "mouth", "nose", "ear", "brow"))
    for _ in range(scene.count(1.2, 2.8)):
        centre, half = _feature(scene, name)
        for _ in range(8):  # until a place turns up that is far enough from the feature itself
            target = np.array(scene.on_face(0.95))
            if np.linalg.norm(target - centre) > 0.8 * half.max():
                break
        scale, angle = scene.level(1.0, 1.4), scene.rng.normal(0, 0.35)
        graft(scene, centre, half, target, scale, angle, flip=scene.chance(0.5), match=scene.uniform(0.3, 0.95))


def missing(scene: Scene) -> None:
    """One to three features inpainted away."""
    names = ["eye", "mouth", "nose"] + ["eye", "brow"] * scene.chance(0.4)
    scene.rng.shuffle(names)
    for name in names[: scene.count(1.2, 2.8)]:
        centre, half = _feature(scene, name)
        erase(scene, centre, half * scene.level(1.05, 1.35, 0.1))


def misplaced(scene: Scene) -> None:
    """A feature taken away and set down elsewhere, larger, smaller, turned or upside down."""
    for _ in range(scene.count(1, 1.8)):
        name = scene.pick(("eye", "eye", "mouth", "nose"))
        centre, half = _feature(scene, name)
        shift = scene.level(0.2, 0.4) * scene.unit
        angle = scene.uniform(0, 2 * np.pi)
        target = np.array(scene.inside(tuple(centre + shift * np.array([np.cos(angle), np.sin(angle)]))))
        scale = scene.pick((1 / scene.level(1.1, 1.4), scene.level(1.1, 1.7), scene.level(1.1, 1.7)))
        turn = np.pi if scene.chance(0.15) else scene.rng.normal(0, 0.15 + 0.15 * scene.severity)
        erase(scene, centre, half)
        graft(scene, centre, half, target, scale, turn, scene.chance(0.3), scene.uniform(0.6, 1))


def uneven_eyes(scene: Scene) -> None:
    """Eyes that do not match: one rescaled, turned, shifted, recoloured or with a broken iris."""
    eyes = [np.array(scene.inside(p)) for p in (scene.face.left_eye, scene.face.right_eye)]
    half = np.array(FEATURES["eye"]) * scene.unit
    which = int(scene.rng.integers(2))
    eye, shift = eyes[which], scene.rng.normal(0, 1, 2)
    shift *= scene.level(0.03, 0.09) * scene.unit / max(np.linalg.norm(shift), 1e-6)
    scale = scene.pick((1 / scene.level(1.35, 1.9, 0.1), scene.level(1.4, 2.0, 0.1), scene.level(1.4, 2.0, 0.1)))
    if scale < 1:
        erase(scene, eye, half)
    graft(scene, eye, half, eye + shift, scale, scene.rng.normal(0, 0.12 * scene.severity), match=0.6)
    if scene.chance(0.6):
        _odd_iris(scene, eyes[which] + shift, scale)
    if scene.chance(0.3):
        _odd_iris(scene, eyes[1 - which], 1.0)


def _odd_iris(scene: Scene, centre: np.ndarray, scale: float) -> None:
    """A discoloured, shapeless or doubled iris."""
    radius = scene.level(0.045, 0.075) * scene.unit * max(scale, 0.8)
    for _ in range(scene.count(1, 1.6)):
        place = tuple(centre + scene.rng.normal(0, 0.35, 2) * radius)
        iris, pupil = (1, scene.colour()), (scene.uniform(0.3, 0.6), np.full(3, scene.pick((5.0, 15.0, 240.0))))
        for size, colour in (iris, pupil):
            stencil = scene.stencil()
            fill(stencil, blob(scene, place, radius * size, 0.35, scene.uniform(0.6, 1.6)))
            scene.blend(stencil, colour, 0.85)


# --- warps --------------------------------------------------------------------------------------------------------


def _warp(scene: Scene, centre: Point, radius: float, field) -> None:
    """Displace a disc of the canvas. `field(dx, dy, falloff)` gives where each pixel is read, relative to it."""
    window = x, y, w, h = scene.window(centre, 1.05 * radius, 1.05 * radius)
    columns, rows = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    dx, dy = (columns + x - centre[0]) / radius, (rows + y - centre[1]) / radius
    falloff = np.clip(1 - dx * dx - dy * dy, 0, 1) ** 1.2
    move_x, move_y = field(dx, dy, falloff)
    source = scene.view(window).copy()
    scene.view(window)[:] = cv2.remap(
        source, columns + np.float32(radius) * move_x.astype(np.float32),
        rows + np.float32(radius) * move_y.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT,
    )  # fmt: skip


def swirl(scene: Scene) -> None:
    """Tissue turned around one to three places on the face."""
    for _ in range(scene.count(1, 2)):
        turn = scene.level(1.2, 3.2) * scene.pick((-1, 1))

        def field(dx, dy, falloff, turn=turn):
            c, s = np.cos(turn * falloff), np.sin(turn * falloff)
            return c * dx - s * dy - dx, s * dx + c * dy - dy

        _warp(scene, _feature_place(scene), scene.level(0.25, 0.45) * scene.unit, field)


def pinch(scene: Scene) -> None:
    """Tissue drawn together or blown up around one or two places."""
    for _ in range(scene.count(1, 2)):
        strength = scene.level(0.55, 0.9, 0.1) if scene.chance(0.6) else -scene.level(0.8, 1.8)  # blow up, or shrink

        def field(dx, dy, falloff, strength=strength):
            return -strength * falloff * dx, -strength * falloff * dy

        _warp(scene, _feature_place(scene), scene.level(0.3, 0.5) * scene.unit, field)


def stretch(scene: Scene) -> None:
    """The face pulled along one direction, or displaced in waves."""
    for _ in range(scene.count(1, 2)):
        angle, amount = scene.uniform(0, 2 * np.pi), scene.level(0.22, 0.5)
        waves = scene.chance(0.4) * scene.uniform(2, 5)
        ux, uy = np.cos(angle), np.sin(angle)

        def field(dx, dy, falloff, amount=amount, waves=waves, ux=ux, uy=uy):
            along = np.sin(np.pi * waves * (uy * dx - ux * dy)) if waves else 1.0
            move = amount * falloff * along
            return move * ux, move * uy

        _warp(scene, _feature_place(scene), scene.level(0.4, 0.65) * scene.unit, field)


def melt(scene: Scene) -> None:
    """Tissue that runs down in drips or is smeared along one direction."""
    for _ in range(scene.count(1, 1.8)):
        radius = scene.level(0.35, 0.6) * scene.unit
        if scene.chance(0.6):
            _drip(scene, radius)
        else:
            _smear(scene, radius)


def _drip(scene: Scene, radius: float) -> None:
    amount, cells = scene.level(0.3, 0.7), scene.uniform(4, 12)

    def field(dx, dy, falloff):
        h, w = dx.shape
        columns = np.abs(scene.smooth_noise(2, w, cells)[:1]) * 1.4
        return 0.1 * amount * falloff * scene.smooth_noise(h, w, 6), -amount * falloff * columns

    _warp(scene, _feature_place(scene), radius, field)


def _smear(scene: Scene, radius: float) -> None:
    centre = np.array(_feature_place(scene))
    window = scene.window(tuple(centre), radius, radius)
    region = scene.view(window)
    angle, length = scene.uniform(0, np.pi), max(3, int(scene.level(0.35, 0.8) * radius))
    scale = min(1.0, 24 / length)  # a long streak is cheaper at low resolution and looks the same
    small = cv2.resize(region, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    side = max(3, int(length * scale)) | 1
    kernel = np.zeros((side, side), np.float32)
    reach = np.array([np.cos(angle), np.sin(angle)]) * side / 2
    a, b = np.rint(side // 2 - reach).astype(int), np.rint(side // 2 + reach).astype(int)
    cv2.line(kernel, a.tolist(), b.tolist(), 1.0)
    blurred = cv2.filter2D(small, cv2.CV_32F, kernel / kernel.sum())
    blurred = cv2.resize(blurred, region.shape[1::-1], interpolation=cv2.INTER_LINEAR) + scene.noise(*region.shape[:2])
    alpha = _oval(scene, window, centre, np.full(2, 0.75 * radius))
    region[:] = np.rint(np.clip(region + alpha * (blurred - region), 0, 255))


def _feature_place(scene: Scene) -> Point:
    """A random feature of the face, or now and then a place beside one: where a warp is seen."""
    centre, half = _feature(scene, scene.pick(("eye", "eye", "mouth", "nose")))
    return scene.inside(tuple(centre + scene.rng.normal(0, 0.35, 2) * half))


PAINTERS = (duplicate, missing, misplaced, uneven_eyes, swirl, pinch, stretch, melt)
KINDS = {paint.__name__: paint for paint in PAINTERS}

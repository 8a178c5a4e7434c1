"""Outlines, strokes and surfaces: what overlays and occlusions are made of. Points are (N, 2) float, x and y."""

import cv2
import numpy as np

from artifact_detection.injection.scene import Paint, Point, Scene, Window, blurred

_SHIFT = 4  # OpenCV's sub-pixel bits


def fill(stencil: np.ndarray, points: np.ndarray, value: int = 255) -> None:
    """Fill a polygon, anti-aliased, in a stencil (H, W) uint8."""
    cv2.fillPoly(stencil, [_fixed(points)], value, cv2.LINE_AA, _SHIFT)


def stroke(stencil: np.ndarray, points: np.ndarray, widths: float | np.ndarray) -> None:
    """Draw a line through points; `widths` in pixels, one or one a point."""
    widths = np.broadcast_to(np.asarray(widths, float), len(points))
    if np.ptp(widths) < 1:
        thickness = max(1, round(float(widths[0])))
        cv2.polylines(stencil, [_fixed(points)], False, 255, thickness, cv2.LINE_AA, _SHIFT)
        return
    for a, b, width in zip(_fixed(points)[:-1], _fixed(points)[1:], widths, strict=False):
        cv2.line(stencil, a.tolist(), b.tolist(), 255, max(1, round(float(width))), cv2.LINE_AA, _SHIFT)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(np.asarray(points, float) * (1 << _SHIFT)).astype(np.int32)


def turned(points: np.ndarray, angle: float, centre: Point, scale: float = 1.0) -> np.ndarray:
    """Points around the origin, scaled, turned by `angle` (radians, clockwise on screen) and moved to `centre`."""
    c, s = np.cos(angle), np.sin(angle)
    return scale * np.asarray(points, float) @ np.array([[c, s], [-s, c]]) + centre


def curve(scene: Scene, start: Point, end: Point, bend: float = 0.3, count: int = 24) -> np.ndarray:
    """A random cubic Bézier curve between two points; `bend` is how far it strays, relative to its length."""
    start, end = np.array(start, float), np.array(end, float)
    length = np.linalg.norm(end - start)
    controls = [start + (end - start) * t + scene.rng.uniform(-bend, bend, 2) * length for t in (1 / 3, 2 / 3)]
    t = np.linspace(0, 1, count)[:, None]
    return (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * controls[0] + 3 * (1 - t) * t**2 * controls[1] + t**3 * end


def blob(scene: Scene, centre: Point, radius: float, rough: float = 0.3, aspect: float = 1.0) -> np.ndarray:
    """A closed outline around `centre`: smooth and round at `rough` 0, lobed or ragged near 1."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    waves = sum(scene.uniform(-1, 1) / k**0.7 * np.sin(k * angle + scene.uniform(0, 2 * np.pi)) for k in range(2, 8))
    r = radius * np.clip(1 + 0.5 * rough * waves, 0.15, 2)
    points = np.stack([r * np.cos(angle) * aspect**0.5, r * np.sin(angle) / aspect**0.5], axis=1)
    return turned(points, scene.uniform(0, 2 * np.pi), centre)


def shard(scene: Scene, centre: Point, radius: float, corners: int) -> np.ndarray:
    """A polygon with random corners around `centre`."""
    angle = np.sort(scene.rng.uniform(0, 2 * np.pi, corners))
    r = radius * scene.rng.uniform(0.35, 1.2, corners)
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1) + centre


def rectangle(centre: Point, half_width: float, half_height: float) -> np.ndarray:
    """Its corners, (4, 2)."""
    return np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (half_width, half_height) + centre


def star(points: int, inner: float) -> np.ndarray:
    """A star of radius 1 around the origin; `inner` is the radius of its notches."""
    angle = np.arange(2 * points) * np.pi / points - np.pi / 2
    r = np.where(np.arange(2 * points) % 2, inner, 1.0)
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)


# --- surfaces -----------------------------------------------------------------------------------------------------


def relief(stencil: np.ndarray, window: Window, light: float, depth: float = 0.45) -> np.ndarray:
    """Shading of a rounded body with a stencil's outline, (h, w, 1) float32 around 1, lit from angle `light`.

    The body's height is the root of the distance to its edge, and the shading Lambert's cosine of its slope.
    """
    x, y, w, h = window
    distance = cv2.distanceTransform((stencil[y : y + h, x : x + w] > 127).astype(np.uint8), cv2.DIST_L2, 3)
    radius = max(float(distance.max()), 1.0)
    body = np.sqrt(np.clip(distance / radius, 0, 1)) * radius
    body = blurred(body, max(0.6, 0.12 * radius))
    slope_x = cv2.Sobel(body, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(body, cv2.CV_32F, 0, 1, scale=1 / 8)
    lit = (slope_x * np.cos(light) + slope_y * np.sin(light) + 1.2) / np.sqrt(slope_x**2 + slope_y**2 + 1) / 1.2
    return (1 + depth * (lit - 1))[..., None].astype(np.float32)


def solid(scene: Scene, stencil: np.ndarray, base: Paint, light: float | None = None, depth: float = 0.45) -> Paint:
    """A paint that gives `base` the shading of a rounded body with the stencil's outline."""
    light = scene.light + scene.rng.normal(0, 0.4) if light is None else light

    def paint(window: Window) -> np.ndarray:
        return surface(base, window) * relief(stencil, window, light, depth)

    return paint


def surface(base: Paint, window: Window) -> np.ndarray:
    """A paint's pixels in a window, (h, w, 3) float32."""
    return base(window) if callable(base) else np.broadcast_to(np.float32(base), (window[3], window[2], 3))


def gradient(scene: Scene, first: np.ndarray, second: np.ndarray) -> Paint:
    """A paint that runs from one colour to another in a random direction across each window."""
    angle = scene.uniform(0, 2 * np.pi)

    def paint(window: Window) -> np.ndarray:
        _, _, w, h = window
        ramp = np.add.outer(np.linspace(-1, 1, h) * np.sin(angle), np.linspace(-1, 1, w) * np.cos(angle))
        ramp = np.clip(ramp / 2 + 0.5, 0, 1)[..., None].astype(np.float32)
        return np.float32(first) * (1 - ramp) + np.float32(second) * ramp

    return paint


def mottled(scene: Scene, colour: np.ndarray, amount: float = 0.15, cells: float = 6) -> Paint:
    """A paint of one colour with soft uneven spots, `amount` of its brightness strong."""

    def paint(window: Window) -> np.ndarray:
        _, _, w, h = window
        field = scene.smooth_noise(h, w, cells) + 0.5 * scene.smooth_noise(h, w, 4 * cells)
        return np.float32(colour) * (1 + np.float32(amount) * field[..., None])

    return paint


def borrowed(scene: Scene) -> Paint:
    """A paint that shows another part of the image, mirrored or turned, with its colour changed a little."""
    centre, turn, flip = scene.anywhere(), int(scene.rng.integers(4)), scene.chance(0.5)
    tint = np.float32(scene.rng.uniform(0.6, 1.4, 3)) if scene.chance(0.5) else np.float32(1)

    def paint(window: Window) -> np.ndarray:
        _, _, w, h = window
        x, y, sw, sh = scene.window(centre, w / 2, h / 2)
        piece = np.rot90(scene.image[y : y + sh, x : x + sw], turn)
        piece = piece[:, ::-1] if flip else piece
        return cv2.resize(np.ascontiguousarray(piece), (w, h)).astype(np.float32) * tint

    return paint


def striped(scene: Scene, first: np.ndarray, second: np.ndarray, period: float) -> Paint:
    """A paint of straight or wavy stripes in two colours; `period` in pixels."""
    angle, wave, phase = scene.uniform(0, np.pi), scene.uniform(0, 0.4), scene.uniform(0, 6)

    def paint(window: Window) -> np.ndarray:
        _, _, w, h = window
        along = np.add.outer(np.arange(h) * np.sin(angle), np.arange(w) * np.cos(angle)) / period
        field = np.sin(2 * np.pi * (along + wave * scene.smooth_noise(h, w, 5)) + phase)
        mix = np.clip(3 * field + 0.5, 0, 1)[..., None].astype(np.float32)
        return np.float32(first) * (1 - mix) + np.float32(second) * mix

    return paint


def any_surface(scene: Scene, colour: np.ndarray | None = None) -> Paint:
    """A random paint for a thing: plain, mottled, shaded, striped, or borrowed from the image."""
    colour = scene.colour() if colour is None else colour
    other = np.clip(colour * scene.uniform(0.4, 1.5), 0, 255)
    return scene.pick((
        lambda: colour,
        lambda: mottled(scene, colour, scene.uniform(0.05, 0.3), scene.uniform(3, 12)),
        lambda: gradient(scene, colour, other),
        lambda: striped(scene, colour, other, scene.uniform(0.03, 0.15) * scene.unit),
        lambda: borrowed(scene),
    ))()  # fmt: skip

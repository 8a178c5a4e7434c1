"""The scene that a kind of artifact paints into, and the brushes that all kinds share.

A kind never touches the user's image: it paints on `Scene.canvas`, a copy. What it paints follows the image:
colours are dimmed to its exposure, edges get its sharpness, surfaces its grain.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import cv2
import numpy as np

from artifact_detection.images.faces import Face

T = TypeVar("T")
Point = tuple[float, float]
Window = tuple[int, int, int, int]  # x, y, width, height inside the image
Paint = np.ndarray | Callable[[Window], np.ndarray]  # an RGB colour (3,), or a window -> (h, w, 3) float32


@dataclass
class Scene:
    """An image (H, W, 3) uint8, its face, how strong the artifact is to be (1, 2, 3) and the source of chance."""

    image: np.ndarray
    face: Face
    severity: int
    rng: np.random.Generator
    canvas: np.ndarray = field(init=False)

    def __post_init__(self):
        self.canvas = self.image.copy()

    @property
    def height(self) -> int:
        return self.image.shape[0]

    @property
    def width(self) -> int:
        return self.image.shape[1]

    @cached_property
    def unit(self) -> float:
        """The face's size in pixels, kept between a quarter and the whole of the image's shorter side."""
        side = min(self.height, self.width)
        return float(np.clip(self.face.size, 0.25 * side, side))

    def level(self, weak: float, strong: float, jitter: float = 0.2) -> float:
        """A number near `weak` at severity 1 and near `strong` at severity 3, varied by ± `jitter`."""
        value = weak + (strong - weak) * (self.severity - 1) / 2
        return float(value * self.rng.uniform(1 - jitter, 1 + jitter))

    def count(self, weak: float, strong: float) -> int:
        """A whole number of things, at least one, that grows with the severity."""
        return max(1, round(self.level(weak, strong, jitter=0.35)))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.rng.integers(len(options))]

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def inside(self, point: Point, margin: float = 0.0) -> Point:
        """The point, moved into the image."""
        return (
            float(np.clip(point[0], margin, max(margin, self.width - 1 - margin))),
            float(np.clip(point[1], margin, max(margin, self.height - 1 - margin))),
        )

    def on_face(self, spread: float = 1.0) -> Point:
        """A random place (x, y) in the face's box, inside the image; `spread` 0 is the box's centre."""
        (x0, y0, x1, y1), (x, y) = self.face.box, self.face.centre
        dx, dy = self.rng.uniform(-0.5, 0.5, 2) * spread
        return self.inside((x + dx * (x1 - x0), y + dy * (y1 - y0)))

    def anywhere(self) -> Point:
        return self.uniform(0, self.width - 1), self.uniform(0, self.height - 1)

    def mean_colour(self, point: Point, radius: float) -> np.ndarray:
        """The mean RGB colour (3,) of the image around a point."""
        x, y, w, h = self.window(point, radius, radius)
        return self.image[y : y + h, x : x + w].reshape(-1, 3).mean(axis=0)

    def window(self, point: Point, half_width: float, half_height: float) -> Window:
        """The window around a point, cut at the image's borders, never empty."""
        x, y = self.inside(point)
        x0, y0 = max(0, int(x - half_width)), max(0, int(y - half_height))
        x1, y1 = min(self.width, int(x + half_width) + 2), min(self.height, int(y + half_height) + 2)
        return x0, y0, x1 - x0, y1 - y0

    def view(self, window: Window) -> np.ndarray:
        """The part of the canvas in a window: a view, so that writing to it paints."""
        x, y, w, h = window
        return self.canvas[y : y + h, x : x + w]

    @cached_property
    def _cheeks(self) -> list[Point]:
        """Three places of bare skin: both cheeks and the bridge of the nose."""
        left, right, mouth = (np.array(p) for p in (self.face.left_eye, self.face.right_eye, self.face.mouth))
        cheeks = left + 0.55 * (mouth - right), right + 0.55 * (mouth - left)
        return [tuple(p) for p in (*cheeks, (left + right + mouth) / 3)]

    @cached_property
    def _tones(self) -> np.ndarray:
        """The mean colours of the `_cheeks`, RGB (3, 3), darkest first."""
        tones = np.array([self.mean_colour(place, 0.07 * self.unit) for place in self._cheeks])
        return tones[np.argsort(tones.sum(axis=1))]

    @property
    def skin(self) -> np.ndarray:
        """The face's own skin tone, RGB (3,): half-way from its median to its lit side."""
        return (self._tones[1] + self._tones[2]) / 2

    def skin_texture(self, height: int, width: int) -> np.ndarray:
        """The fine texture of a cheek without its shading, (height, width, 3) float32 around 0."""
        x, y, w, h = self.window(self.pick(self._cheeks[:2]), 0.1 * self.unit, 0.1 * self.unit)
        sample = self.image[y : y + h, x : x + w].astype(np.float32)
        sample = np.clip(sample - blurred(sample, 0.02 * self.unit + 1), -12, 12)
        pad = ((0, max(0, height - h)), (0, max(0, width - w)), (0, 0))
        return np.pad(sample, pad, mode="reflect" if min(w, h) > 1 else "edge")[:height, :width]

    @cached_property
    def light(self) -> float:
        """The angle (radians, clockwise on screen, 0 = from the right) from which the face is lit, roughly."""
        left, right = (self.mean_colour(place, 0.07 * self.unit).mean() for place in self._cheeks[:2])
        return float(np.arctan2(-0.8, np.clip((right - left) / 30, -1.5, 1.5)))

    @cached_property
    def exposure(self) -> float:
        """How bright the image's lights are, 0.4 (dark) to 1: what is painted in is dimmed by it."""
        step = max(1, min(self.height, self.width) // 48)
        return 0.4 + 0.6 * float(np.percentile(self.image[::step, ::step], 97)) / 255

    @cached_property
    def _sample(self) -> np.ndarray:
        """A grey sample of the face, float32, from which grain and sharpness are read."""
        half = min(48, self.unit / 2)
        x, y, w, h = self.window(self.face.centre, half, half)
        return cv2.cvtColor(self.image[y : y + h, x : x + w], cv2.COLOR_RGB2GRAY).astype(np.float32)

    @cached_property
    def grain(self) -> float:
        """The image's noise, as a standard deviation in levels of 255 (robust: median of residuals)."""
        residual = np.abs(self._sample - blurred(self._sample, 1))
        return float(np.clip(1.9 * np.median(residual), 0.3, 12))

    @cached_property
    def softness(self) -> float:
        """The blur of the image's edges, as a Gaussian's sigma in pixels: steps of 2 pixels against steps of 1."""
        if min(self._sample.shape) < 4:
            return 0.6
        one = np.abs(np.diff(self._sample, axis=1)).mean()
        two = np.abs(self._sample[:, 2:] - self._sample[:, :-2]).mean()
        return float(np.clip(4 * (two / max(one, 1e-3) - 1.4), 0.45, 2.2))

    def colour(self) -> np.ndarray:
        """A random RGB colour (3,) for something painted in: the image's own, a vivid one, a grey."""
        source = self.rng.random()
        if source < 0.35:
            return np.clip(self.mean_colour(self.anywhere(), 2) * self.uniform(0.7, 1.4), 0, 255)
        if source < 0.75:
            hsv = np.uint8([[[self.rng.integers(180), self.rng.integers(60, 256), self.rng.integers(50, 256)]]])
            return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] * self.exposure
        return np.full(3, self.pick((10, 40, 120, 190, 235, 250)) * self.exposure)

    def against(self, colour: np.ndarray, point: Point, radius: float, contrast: float = 60) -> np.ndarray:
        """The colour, made lighter or darker where it would be lost in front of what is there."""
        behind = self.mean_colour(point, radius)
        gap = float(colour.mean() - behind.mean())
        if np.abs(colour - behind).max() >= contrast:
            return colour
        up = behind.mean() + contrast < 250 and (gap >= 0 or behind.mean() < contrast)
        return np.clip(colour + (contrast - gap if up else -contrast - gap), 0, 255)

    # --- brushes -------------------------------------------------------------------------------------------------

    def stencil(self) -> np.ndarray:
        """An empty alpha mask for the whole image, (H, W) uint8."""
        return np.zeros((self.height, self.width), np.uint8)

    def blend(
        self, stencil: np.ndarray, paint: Paint, opacity: float = 1.0, mode: str = "normal", soft: float | None = None
    ) -> None:
        """Paint through a stencil (H, W) uint8; `soft` is the edge's sigma in pixels (default: the image's own).

        Modes: normal, multiply, screen.
        """
        soft = self.softness if soft is None else soft
        window = _grown(cv2.boundingRect(stencil), 3 * soft, stencil.shape)
        x, y, w, h = window
        if not w or not h:
            return
        alpha = blurred(stencil[y : y + h, x : x + w], soft)
        layer = paint(window) if callable(paint) else np.broadcast_to(np.float32(paint), (h, w, 3))
        under = self.view(window).astype(np.float32)
        layer = _MODES[mode](under, layer + self.noise(h, w))
        alpha = (alpha * np.float32(opacity / 255))[..., None]
        under += alpha * (np.clip(layer, 0, 255) - under)
        self.view(window)[:] = np.rint(under)

    def noise(self, height: int, width: int) -> np.ndarray:
        """Grain as the image has it, (height, width, 1) float32 levels."""
        tile = self._noise_tile
        repeats = -(-height // tile.shape[0]), -(-width // tile.shape[1])
        if max(repeats) > 1:
            tile = np.tile(tile, repeats)
        y, x = (self.rng.integers(0, have - want + 1) for have, want in zip(tile.shape, (height, width), strict=True))
        return tile[y : y + height, x : x + width, None]

    @cached_property
    def _noise_tile(self) -> np.ndarray:
        tile = self.rng.standard_normal((192, 192), dtype=np.float32)
        if self.softness > 0.8:
            tile = blurred(tile, 0.6 * self.softness)
            tile /= max(float(tile.std()), 1e-6)
        return tile * np.float32(self.grain)

    def shadow(self, stencil: np.ndarray, strength: float = 0.4) -> None:
        """Darken what lies beside a stencil, as if the thing stood a little in front of it."""
        dx, dy = (round(v) for v in self.rng.uniform(-0.03, 0.03, 2) * self.unit + (0, 0.015 * self.unit))
        moved = np.zeros_like(stencil)
        height, width = stencil.shape
        source = stencil[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
        moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = source
        self.blend(moved, np.zeros(3), opacity=strength, soft=max(1.0, 0.025 * self.unit))

    def smooth_noise(self, height: int, width: int, cells: float) -> np.ndarray:
        """A smooth random field in -1 … 1, (height, width) float32, about `cells` bumps along the longer side."""
        scale = max(cells, 1) / max(height, width)
        size = max(2, round(height * scale) + 1), max(2, round(width * scale) + 1)
        grid = self.rng.uniform(-1, 1, size).astype(np.float32)
        return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


def blurred(layer: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of (h, w) or (h, w, 3); wide ones are done at low resolution, where they cost little."""
    height, width = layer.shape[:2]
    factor = min(int(sigma / 1.5), height // 4, width // 4)
    if factor < 2:
        return cv2.GaussianBlur(layer, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REPLICATE)
    small = cv2.resize(layer, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


_MODES = {
    "normal": lambda under, layer: layer,
    "multiply": lambda under, layer: under * layer / 255,
    "screen": lambda under, layer: 255 - (255 - under) * (255 - layer) / 255,
}


def _grown(window: Window, margin: float, shape: tuple[int, ...]) -> Window:
    x, y, w, h = window
    if not w or not h:
        return window
    m = int(np.ceil(margin)) + 1
    x0, y0, x1, y1 = max(0, x - m), max(0, y - m), min(shape[1], x + w + m), min(shape[0], y + h + m)
    return x0, y0, x1 - x0, y1 - y0

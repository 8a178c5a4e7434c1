"""A canvas in linear light: anti-aliased shapes painted over each other, lit surfaces, smooth noise.

Arrays are planar float32: images (3, H, W), masks (H, W) in [0, 1]. The square canvas spans x, y in [0, 1], y down.
Shapes are implicit fields, negative inside; their edge is softened over one pixel, so no supersampling is needed.
Colours are painted as the square of the displayed value (gamma 2), which makes blending and shading physical.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

FLOAT = np.float32
Window = tuple[slice, slice]  # rows and columns of the canvas
EVERYWHERE: Window = (slice(None), slice(None))


def colour(red: float, green: float, blue: float) -> np.ndarray:
    """A displayed colour (0-255 per channel) as a paint: (3, 1, 1) float32, linear light."""
    return (np.array((red, green, blue), FLOAT).reshape(3, 1, 1) / 255) ** 2


def edge(distance: np.ndarray, width: float) -> np.ndarray:
    """Coverage of a shape from its signed distance (negative inside), softened over `width`."""
    return np.clip(0.5 - distance / width, 0, 1)


def smoothstep(low: float, high: float, values: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, a smooth cubic between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bump(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    """A Gaussian hill of standard deviations `width` and `height` around the origin of x, y."""
    x, y = x * FLOAT(1 / width), y * FLOAT(1 / height)
    return np.exp(FLOAT(-0.5) * (x * x + y * y))


def ridge(distance: np.ndarray, width: float) -> np.ndarray:
    """A Gaussian wall of standard deviation `width` along the line where `distance` is zero."""
    scaled = distance * FLOAT(1 / width)
    return np.exp(FLOAT(-0.5) * scaled * scaled)


def convex(x: np.ndarray, y: np.ndarray, corners: Sequence[tuple[float, float]]) -> np.ndarray:
    """Signed distance to a convex polygon (negative inside); the corners run clockwise on the screen."""
    field = np.full_like(x, -np.inf)
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        long = np.hypot(x1 - x0, y1 - y0)
        np.maximum(field, (x - x0) * FLOAT((y1 - y0) / long) - (y - y0) * FLOAT((x1 - x0) / long), out=field)
    return field


def smooth_max(first: np.ndarray, second: np.ndarray, blend: float) -> np.ndarray:
    """The intersection of two shapes with its corner rounded over about `blend`."""
    overlap = np.maximum(blend - np.abs(first - second), 0) / FLOAT(blend)
    return np.maximum(first, second) + overlap * overlap * FLOAT(blend / 4)


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: float, aspect: float = 1) -> np.ndarray:
    """Smooth noise of about unit deviation with `cells` cells down the image and `aspect` times as many across."""
    rows, columns = max(2, round(cells)), max(2, round(cells * aspect))
    grid = rng.standard_normal((rows, columns), dtype=FLOAT)
    return cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)


def fractal(rng: np.random.Generator, shape: tuple[int, int], cells: float, octaves: int = 3) -> np.ndarray:
    """Octaves of `noise`, each twice as fine and half as strong."""
    return sum(noise(rng, shape, cells * 2**k) * FLOAT(0.5**k) for k in range(octaves))


def normals(height: np.ndarray, pixel: float) -> np.ndarray:
    """Unit normals (3, H, W) of a height field whose unit is `1 / pixel` pixels; z points to the viewer."""
    slope_y, slope_x = np.gradient(height, FLOAT(pixel))
    vector = np.empty((3, *height.shape), FLOAT)
    np.divide(1, np.sqrt(1 + slope_x * slope_x + slope_y * slope_y), out=vector[2])
    np.multiply(-slope_x, vector[2], out=vector[0])
    np.multiply(-slope_y, vector[2], out=vector[1])
    return vector


def mix(*terms: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The sum (3, H, W) of colours (3, 1, 1), each times its amount (H, W)."""
    total = np.empty((3, *terms[0][1].shape), FLOAT)
    for channel, plane in enumerate(total):
        np.multiply(terms[0][1], terms[0][0][channel], out=plane)
        for tint, amount in terms[1:]:
            plane += amount * tint[channel]
    return total


BLOOD = np.array((1.0, 0.4, 0.3), FLOAT).reshape(3, 1, 1)  # the tint of light that has passed through skin


@dataclass(frozen=True)
class Light:
    """What a scene shines on its person. Directions point towards the light; colours are linear (3, 1, 1)."""

    key_direction: tuple[float, float, float]
    key: np.ndarray
    ambient: np.ndarray
    rims: tuple[tuple[float, np.ndarray], ...] = ()  # (side: -1 left or 1 right, colour): lights from behind
    levels: int = 0  # 0 shades smoothly; else the number of flat tones (cel shading)

    @property
    def direction(self) -> np.ndarray:
        vector = np.array(self.key_direction, FLOAT)
        return vector / np.linalg.norm(vector)

    def exposed_for(self, skin: np.ndarray) -> "Light":
        """More light for a darker face, as a photographer would set it."""
        more = FLOAT(np.clip((0.32 / skin.mean()) ** 0.45, 0.9, 2.1))
        return replace(self, key=self.key * more, ambient=self.ambient * more)

    def falling_on(self, normal: np.ndarray, bleed: float = 0.0) -> np.ndarray:
        """Light (3, H, W) on a matte surface. `bleed` lets red creep past the shadow's edge, as skin does."""
        lambert = self._facing(self.direction, normal)
        if self.levels:
            lambert = self._flattened(lambert)
        diffuse = np.maximum(lambert, 0)
        terms = [(self.ambient, 0.75 - 0.25 * normal[1]), (self.key, diffuse)]
        if bleed:
            terms.append((self.key * BLOOD, np.maximum(lambert + bleed, 0) / FLOAT(1 + bleed) - diffuse))
        for side, tint in self.rims:
            terms.append((tint, np.maximum(self._facing((0.9 * side, -0.15, -0.45), normal), 0)))
        return mix(*terms)

    def flat(self, share: float = 0.8) -> np.ndarray:
        """Light (3, 1, 1) on something without a shape of its own: `share` of the key light."""
        return self.ambient + share * self.key

    def glint(self, normal: np.ndarray, sharpness: float) -> np.ndarray:
        """Specular highlight (H, W) of the key light, Blinn's half-vector model; none in flat tones."""
        half = self.direction + np.array((0, 0, 1), FLOAT)
        facing = self._facing(half / np.linalg.norm(half), normal)
        return np.exp(FLOAT(sharpness) * (facing - 1)) * FLOAT(not self.levels)

    @staticmethod
    def _facing(direction, normal: np.ndarray) -> np.ndarray:
        return sum(FLOAT(part) * plane for part, plane in zip(direction, normal, strict=True))

    def _flattened(self, lambert: np.ndarray) -> np.ndarray:
        borders = np.linspace(0.05, 0.5, self.levels - 1)
        steps = sum(smoothstep(border - 0.04, border + 0.04, lambert) for border in borders)
        return 0.12 + 0.78 * steps / (self.levels - 1)


@dataclass
class Canvas:
    """What has been painted so far. `person` is the union of everything painted with `solid`."""

    size: int
    pen: float = 0.0  # width of the outline in pixels around solid shapes; 0 draws none
    ink: np.ndarray = field(default_factory=lambda: colour(28, 20, 26))

    def __post_init__(self):
        self.pixels = np.zeros((3, self.size, self.size), FLOAT)
        self.person = np.zeros((self.size, self.size), FLOAT)
        steps = (np.arange(self.size, dtype=FLOAT) + FLOAT(0.5)) / FLOAT(self.size)
        self.x, self.y = np.meshgrid(steps, steps)

    def window(self, x: float, y: float, reach: float) -> Window:
        """The pixels within `reach` of (x, y), cut at the borders."""
        return tuple(
            slice(max(0, int((middle - reach) * self.size)), max(0, int((middle + reach) * self.size) + 1))
            for middle in (y, x)
        )

    def paint(self, paint: np.ndarray, alpha: np.ndarray, window: Window = EVERYWHERE) -> None:
        """Lay `paint` ((3, 1, 1) or (3, h, w)) over the window with coverage `alpha` (h, w)."""
        region = self.pixels[(slice(None), *window)]
        region += alpha * (paint - region)

    def solid(self, paint: np.ndarray, alpha: np.ndarray, window: Window = EVERYWHERE) -> None:
        """Paint a part of the person: with an outline where the canvas has a pen."""
        if self.pen:
            self.paint(self.ink, grow(alpha, self.pen), window)
        self.paint(paint, alpha, window)
        region = self.person[window]
        np.maximum(region, alpha, out=region)

    def shadow(self, alpha, shift: tuple[float, float], blur: float, strength: float, window=EVERYWHERE) -> None:
        """Darken what is painted so far where the shape `alpha` (h, w) casts its soft shadow.

        `shift` and `blur` are fractions of the canvas.
        """
        move = np.array(((1, 0, shift[0] * self.size), (0, 1, shift[1] * self.size)), FLOAT)
        cast = cv2.warpAffine(alpha, move, alpha.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        self.pixels[(slice(None), *window)] *= 1 - FLOAT(strength) * soften(cast, blur * self.size)

    def finished(self) -> np.ndarray:
        """(size, size, 3) uint8 RGB: highlights rolled off, gamma applied."""
        shown = np.sqrt(roll_off(np.clip(self.pixels, 0, None)))
        return np.ascontiguousarray((shown * 255 + 0.5).clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def roll_off(light: np.ndarray, knee: float = 0.7) -> np.ndarray:
    """Compress light above `knee` smoothly towards 1, as film does; below it nothing changes."""
    over = np.clip(light - knee, 0, None)
    return np.minimum(light, knee) + (1 - knee) * over / (over + (1 - knee))


def soften(mask: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of an (H, W) or (3, H, W) array; `sigma` is in pixels."""
    if mask.ndim == 3:
        return np.stack([soften(plane, sigma) for plane in mask])
    return cv2.GaussianBlur(mask, (0, 0), max(0.3, sigma), borderType=cv2.BORDER_REPLICATE)


def grow(mask: np.ndarray, pixels: float) -> np.ndarray:
    """The mask dilated by about `pixels` pixels, with a soft edge."""
    reach = 2 * round(pixels) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return cv2.dilate(mask, kernel)

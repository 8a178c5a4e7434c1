"""The same picture in another style: painted, drawn, in grey, in coloured light, in rain. Labelled as before.

Generators make oil paintings, cartoons and neon streets as well as photographs. A detector that has seen photographs
only takes every brush stroke for an artifact.
"""

from collections.abc import Callable

import cv2
import numpy as np

LEVELS = 14  # of brightness that an oil painting is told apart in


def restyle(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 -> the same size, in one of STYLES. Equal states of `rng` do equal things to both twins."""
    style, strength = rng.choice(list(STYLES)), rng.uniform(0.5, 1)
    styled = STYLES[style](image, np.random.default_rng(int(rng.integers(2**31))))
    return styled if style == "sticker" else cv2.addWeighted(styled, strength, image, 1 - strength, 0)


def grey(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Black and white, or toned a little as old prints are."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] / np.float32(255)
    gammas = rng.uniform(0.7, 1.5, 3).clip(*rng.choice([(1, 1), (0.8, 1.3)]))  # clipped to 1: black and white
    return _levels(luma**gammas)


def coloured_light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lamps of two colours, one from either side, in some direction."""
    height, width = image.shape[:2]
    colours, angle = rng.uniform(0.15, 1.7, (2, 3)), rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * np.linspace(-1, 1, width) + np.sin(angle) * np.linspace(-1, 1, height)[:, None]
    share = (0.5 + 0.5 * across.clip(-1, 1))[..., None].astype(np.float32)
    lit = (image / np.float32(255)) ** np.float32(rng.uniform(0.9, 1.5))
    return _levels(lit * (share * np.float32(colours[0]) + (1 - share) * np.float32(colours[1])))


def smoothed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flat areas with sharp edges between them (Gastal & Oliveira, SIGGRAPH 2011)."""
    return cv2.edgePreservingFilter(image, None, 1, float(rng.uniform(10, 60)), float(rng.uniform(0.2, 0.6)))


def oil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every pixel is the mean of those around it in the brightness that is most frequent there."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    levels = (cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.uint16) * LEVELS >> 8).astype(np.uint8)
    brush = (2 * int(rng.integers(1, max(2, height // 150) + 1)) + 1,) * 2
    most, painted = np.zeros(levels.shape, np.float32), small.astype(np.float32)
    for level in range(LEVELS):
        here = (levels == level).astype(np.float32)
        count = cv2.blur(here, brush)
        more = count > most
        painted[more] = cv2.blur(small * here[..., None], brush)[more] / count[more, None]
        most[more] = count[more]
    return cv2.resize(painted.round().astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def cartoon(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A few colours, and dark lines along the edges."""
    step, block = int(rng.integers(16, 48)), 2 * int(rng.integers(2, 7)) + 1
    flat = smoothed(image, rng).astype(np.uint16) // step * step + step // 2
    grey_ = cv2.medianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 5)
    bound = float(rng.uniform(3, 7))
    lines = cv2.adaptiveThreshold(grey_, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, block, bound)
    return (flat.clip(0, 255) * lines[..., None]).astype(np.uint8)


def weather(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rain, snow, dust or sparks over the whole picture."""
    height, width = image.shape[:2]
    drops = (rng.random((height, width)) < rng.uniform(0.0005, 0.004)).astype(np.float32)
    length, angle = int(rng.integers(1, max(3, height // 16))), rng.uniform(-0.5, 0.5)
    streak = np.zeros((2 * length + 1,) * 2, np.float32)
    end = (round(length + length * np.sin(angle)), round(length + length * np.cos(angle)))
    cv2.line(streak, (length, length), end, 1.0, 1, cv2.LINE_AA)
    fallen = cv2.GaussianBlur(cv2.filter2D(drops, -1, streak), (0, 0), rng.uniform(0.5, 2))
    cover = (fallen / max(float(np.quantile(fallen, 0.99)), 1e-3)).clip(0, 1)[..., None] * rng.uniform(0.3, 0.9)
    return (image + cover * (rng.uniform(150, 255, 3) - image)).astype(np.uint8)


def sticker(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Head and shoulders cut out with a white edge, on one colour."""
    height, width = image.shape[:2]
    cut = np.zeros((height, width), np.uint8)
    middle, reach = (width // 2, round(height * rng.uniform(0.4, 0.5))), rng.uniform(0.33, 0.45, 2) * (width, height)
    cv2.ellipse(cut, middle, tuple(map(round, reach)), 0, 0, 360, 1, -1)
    cv2.ellipse(
        cut, (width // 2, height), (round(width * rng.uniform(0.4, 0.55)), round(height * 0.35)), 0, 0, 360, 1, -1
    )
    side = 2 * round(height * rng.uniform(0.008, 0.02)) + 1
    edge = cv2.dilate(cut, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))[..., None]
    return np.where(cut[..., None], image, np.where(edge, 255, rng.integers(256, size=3))).astype(np.uint8)


STYLES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    style.__name__: style for style in (grey, coloured_light, smoothed, oil, cartoon, weather, sticker)
}


def _levels(values: np.ndarray) -> np.ndarray:
    """Shares of white -> uint8."""
    return (255 * values.clip(0, 1)).astype(np.uint8)

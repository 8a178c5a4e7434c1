"""How a picture is finished once its person is painted: film, rain, brush strokes, a sticker's border."""

import cv2
import numpy as np

from artifact_detection.portraits.backdrops import sheet
from artifact_detection.portraits.canvas import FLOAT, Canvas, colour, grow, noise, smoothstep, soften

GREY_WEIGHTS = np.array((0.3, 0.59, 0.11), FLOAT).reshape(3, 1, 1)
DROPS = 90  # streaks of rain in a picture


def vignette(canvas: Canvas, strength: float) -> None:
    away = np.hypot(canvas.x - FLOAT(0.5), canvas.y - FLOAT(0.5))
    canvas.pixels *= 1 - FLOAT(strength) * smoothstep(0.45, 0.85, away)


def outdoors(canvas: Canvas, rng: np.random.Generator) -> None:
    vignette(canvas, rng.uniform(0.05, 0.3))


def studio(canvas: Canvas, rng: np.random.Generator) -> None:
    """Three in ten are black and white, some with a warm tone."""
    if rng.random() < 0.3:
        warm = rng.uniform(240, 255)
        canvas.pixels[:] = (canvas.pixels * GREY_WEIGHTS).sum(axis=0) * colour(255, warm, warm)


def street(canvas: Canvas, rng: np.random.Generator) -> None:
    """Bright lights bloom."""
    canvas.pixels += 0.5 * soften(np.maximum(canvas.pixels - 0.5, 0), 0.03 * canvas.size)
    vignette(canvas, 0.4)


def rain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Streaks of rain, all at one slant, hardly visible in front of the person."""
    streaks, slant = np.zeros(canvas.x.shape, np.uint8), rng.uniform(-0.25, 0.25)
    for x, y, share in rng.random((DROPS, 3)):
        length = 0.02 + 0.05 * share
        ends = (np.array(((x, y), (x + slant * length, y + length))) * canvas.size * 16).astype(int)
        cv2.line(streaks, *ends, 255, 1, cv2.LINE_AA, shift=4)
    canvas.pixels += colour(180, 200, 215) * (streaks.astype(FLOAT) / 255 * (0.3 - 0.24 * canvas.person))
    vignette(canvas, 0.35)


def oil(canvas: Canvas, rng: np.random.Generator) -> None:
    """Flattened into strokes, on a canvas with a grain."""
    canvas.pixels[:] = kuwahara(canvas.pixels, max(1, canvas.size // 96))
    grain = noise(rng, canvas.x.shape, 50, 0.5) + noise(rng, canvas.x.shape, 24, 2.2)
    canvas.pixels *= 1 + 0.035 * grain
    vignette(canvas, 0.4)


def kuwahara(image: np.ndarray, reach: int) -> np.ndarray:
    """The filter of Kuwahara et al. (1976): a pixel takes the mean of the calmest of its four corner windows.

    `image` is (3, H, W) float32; a window has (reach + 1) squared pixels. Flattens areas, keeps edges.
    """
    side, merged = (reach + 1, reach + 1), cv2.merge(list(image))
    mean, square = (cv2.blur(values, side, anchor=(0, 0)) for values in (merged, merged * merged))
    variance = (square - mean * mean).sum(axis=2)
    height, width = variance.shape
    mean = np.pad(mean, ((reach, 0), (reach, 0), (0, 0)), mode="edge")
    variance = np.pad(variance, ((reach, 0), (reach, 0)), mode="edge")
    corners = [(slice(i, i + height), slice(j, j + width)) for i in (0, reach) for j in (0, reach)]
    calmest = np.argmin([variance[corner] for corner in corners], axis=0)
    return np.moveaxis(np.choose(calmest[..., None], [mean[corner] for corner in corners]), 2, 0)


def sticker(canvas: Canvas, rng: np.random.Generator) -> None:
    """The person cut out with a white border, lying on a sheet of paper with a soft shadow."""
    drawn, border = canvas.pixels.copy(), grow(canvas.person, 0.02 * canvas.size)
    sheet(canvas, rng)
    canvas.shadow(border, (0.008, 0.015), 0.012, 0.45)
    canvas.paint(colour(250, 250, 248), border)
    canvas.paint(drawn, grow(canvas.person, canvas.pen))

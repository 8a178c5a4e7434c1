"""What is behind a person. Each function fills the canvas of one kind of scene."""

import cv2
import numpy as np

from artifact_detection.portraits.canvas import FLOAT, Canvas, bump, colour, edge, fractal, smoothstep, soften

NEON = ((255, 60, 150), (60, 220, 255), (150, 80, 255), (255, 150, 50), (80, 255, 160))
STREET_LAMPS = ((255, 210, 150), (255, 240, 220), (230, 90, 70), (140, 190, 220))
SUN_THROUGH_LEAVES = ((255, 250, 200), (190, 220, 130), (120, 160, 80))
CANVAS_GROUNDS = ((78, 54, 36), (52, 58, 46), (70, 40, 36), (46, 52, 66))
SKIES = (((96, 148, 200), (226, 200, 168)), ((140, 100, 130), (250, 170, 100)))  # day, dusk: (top, horizon)
SIGNS = ("BAR", "OPEN", "24H", "HOTEL", "RAMEN", "CAFE")


def _pick(rng: np.random.Generator, choices):
    return choices[rng.integers(len(choices))]


def _gradient(canvas: Canvas, top: np.ndarray, bottom: np.ndarray, bend: float = 1.0) -> None:
    canvas.pixels[:] = top + (bottom - top) * canvas.y**bend


def _bokeh(canvas: Canvas, rng: np.random.Generator, tints, count: int, strength: float) -> None:
    """Lights out of focus: soft discs, added as light."""
    for _ in range(count):
        x, y, radius = rng.random(), rng.uniform(0, 0.8), rng.uniform(0.02, 0.065)
        window = canvas.window(x, y, radius + 0.01)
        away = np.hypot(canvas.x[window] - FLOAT(x), canvas.y[window] - FLOAT(y))
        amount = strength * rng.uniform(0.3, 1) * edge(away - FLOAT(radius), 0.02)
        canvas.pixels[(slice(None), *window)] += colour(*_pick(rng, tints)) * amount


def _sign(canvas: Canvas, rng: np.random.Generator, odds: float) -> np.ndarray:
    """Coverage of a word beside the head, with the given odds: text away from the face is no artifact."""
    mask, scale = np.zeros(canvas.x.shape, np.uint8), canvas.size / 260
    origin = (round(rng.choice((0.02, 0.66)) * canvas.size), round(rng.uniform(0.1, 0.3) * canvas.size))
    word, drawn = _pick(rng, SIGNS), rng.random() < odds
    if drawn:
        width = max(1, round(2 * scale))
        cv2.putText(mask, word, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, width, cv2.LINE_AA)
    return mask.astype(FLOAT) / 255


def studio(canvas: Canvas, rng: np.random.Generator) -> None:
    """A paper backdrop with a spot of light, now and then with a word on it."""
    tone = colour(*(rng.uniform(40, 210) * rng.uniform(0.85, 1.15, 3)))
    spot = bump(canvas.x - rng.uniform(0.25, 0.75), canvas.y - rng.uniform(0.2, 0.6), 0.4, 0.4)
    canvas.pixels[:] = tone * (0.4 + 0.8 * spot) * (1 + 0.03 * fractal(rng, canvas.x.shape, 3))
    canvas.paint(colour(*rng.uniform(20, 240, 3)), 0.8 * _sign(canvas, rng, 0.25))


def street(canvas: Canvas, rng: np.random.Generator) -> None:
    """A street at night: house fronts, neon tubes, now and then a sign."""
    _gradient(canvas, colour(22, 14, 44), colour(50, 24, 66))
    for _ in range(4):
        front = edge(np.abs(canvas.x - rng.random()) - rng.uniform(0.06, 0.16), 0.01)
        front *= edge(rng.uniform(0, 0.35) - canvas.y, 0.01)
        canvas.paint(colour(*rng.uniform(14, 44, 3)), 0.85 * front)
    for _ in range(3):
        _neon_tube(canvas, rng)
    lit = _sign(canvas, rng, 0.5)
    canvas.pixels += colour(*_pick(rng, NEON)) * (1.2 * lit + 1.5 * soften(lit, 0.02 * canvas.size))
    _bokeh(canvas, rng, NEON, 14, 0.45)
    canvas.pixels[:] = soften(canvas.pixels, 0.006 * canvas.size)


def _neon_tube(canvas: Canvas, rng: np.random.Generator) -> None:
    x = rng.choice((rng.uniform(0.02, 0.3), rng.uniform(0.7, 0.98)))
    y, half = rng.uniform(0.1, 0.5), rng.uniform(0.06, 0.2)
    away = np.hypot(canvas.x - FLOAT(x), np.maximum(np.abs(canvas.y - FLOAT(y)) - FLOAT(half), 0))
    glow = 0.9 * np.exp(away * FLOAT(-1 / 0.045))
    canvas.pixels += colour(*_pick(rng, NEON)) * glow + 0.9 * edge(away - FLOAT(0.008), 0.012)


def rainy(canvas: Canvas, rng: np.random.Generator) -> None:
    """A grey evening with street lamps out of focus."""
    _gradient(canvas, colour(84, 98, 112) * FLOAT(rng.uniform(0.5, 1.2)), colour(40, 48, 58))
    canvas.pixels *= 1 + 0.12 * fractal(rng, canvas.x.shape, 4)
    canvas.pixels += colour(*_pick(rng, STREET_LAMPS)) * (0.6 * soften(_sign(canvas, rng, 0.3), 0.004 * canvas.size))
    _bokeh(canvas, rng, STREET_LAMPS, 12, 0.35)


def dunes(canvas: Canvas, rng: np.random.Generator) -> None:
    """Three ridges of rippled sand under a day or an evening sky."""
    top, horizon = _pick(rng, SKIES)
    _gradient(canvas, colour(*top), colour(*horizon), 0.8)
    sun = np.hypot(canvas.x - FLOAT(rng.random()), canvas.y - FLOAT(rng.uniform(0.08, 0.4)))
    canvas.pixels += colour(255, 230, 180) * (0.5 * np.exp(sun * FLOAT(-1 / 0.12)) + edge(sun - 0.035, 0.01))
    for nearness in range(3):
        crest = 0.45 + 0.13 * nearness + 0.05 * np.sin(canvas.x * rng.uniform(3, 7) + rng.uniform(0, 6))
        below = canvas.y - crest.astype(FLOAT)
        ripples = 0.04 * np.sin(90 * below + 4 * np.sin(9 * canvas.x))
        tone = (0.9 - 0.15 * nearness) * (1.1 - 0.45 * smoothstep(0, 0.12, below) + ripples)
        canvas.paint(colour(226, 170, 110) * tone, edge(-below, 0.008))
    canvas.pixels[:] = soften(canvas.pixels, 0.005 * canvas.size)


def leaves(canvas: Canvas, rng: np.random.Generator) -> None:
    """Foliage out of focus, with the sun shining through."""
    blur = soften(fractal(rng, canvas.x.shape, 7, 2), 0.01 * canvas.size)
    tone = colour(*np.array((86, 118, 58)) * rng.uniform(0.8, 1.2, 3))
    canvas.pixels[:] = tone * (np.exp(0.55 * blur) * (1.3 - 0.8 * canvas.y))
    _bokeh(canvas, rng, SUN_THROUGH_LEAVES, 16, 0.3)


def painted(canvas: Canvas, rng: np.random.Generator) -> None:
    """The dark, cloudy ground of an old portrait."""
    tone = colour(*np.array(_pick(rng, CANVAS_GROUNDS)) * rng.uniform(0.8, 1.5))
    glow = bump(canvas.x - FLOAT(0.5), canvas.y - FLOAT(0.4), 0.35, 0.4)
    canvas.pixels[:] = tone * ((0.5 + 0.9 * glow) * np.exp(0.22 * fractal(rng, canvas.x.shape, 6)))


def sheet(canvas: Canvas, rng: np.random.Generator) -> None:
    """Coloured paper, plain or with dots."""
    canvas.pixels[:] = colour(*rng.uniform(110, 245, 3))
    if rng.random() < 0.5:
        canvas.pixels *= 1 - 0.12 * edge(np.hypot(canvas.x * 9 % 1 - 0.5, canvas.y * 9 % 1 - 0.5) - 0.16, 0.08)

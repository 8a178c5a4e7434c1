"""What is worn on the head: a beanie, a cap, a hat with a brim, a hood."""

import numpy as np

from artifact_detection.portraits.canvas import Canvas, Light, edge, fractal, normals, ridge, smooth_max, smoothstep
from artifact_detection.portraits.head import Head

RIM = {"beanie": -0.42, "cap": -0.46, "brim": -0.5}  # where the hat ends on the forehead, head units
TALL = {"beanie": 1.22, "cap": 1.12, "brim": 1.38}


def paint_hat(canvas: Canvas, head: Head, light: Light, rng: np.random.Generator) -> None:
    kind, cloth = head.person.hat, head.person.second_cloth
    window = head.window(-1.5, -1.5, 1.5, 0.1)
    view = head.view(window)
    below_rim = view.down - RIM[kind] + 0.12 * (view.across / head.person.width) ** 2
    wide = head.person.width + 0.1
    power = 2.6 if kind == "brim" else 2.0
    dome = np.sqrt((np.abs(view.u) / wide) ** power + (np.minimum(view.v, 0) / TALL[kind]) ** 2) - 1
    alpha = edge(np.maximum(dome * wide, below_rim), 1.2 * head.pixel)
    canvas.shadow(alpha, (0, 0.03), 0.02, 0.5, window)
    weave = np.sin(view.across * 60) if kind == "beanie" else fractal(rng, dome.shape, 6)
    height = 0.8 * np.sqrt(np.clip(-1.4 * dome, 0, 1)) + 0.02 * weave
    lit = light.falling_on(normals(height, head.pixel))
    canvas.solid(cloth * lit, alpha, window)
    band = edge(np.abs(below_rim + 0.1) - 0.1, head.pixel) * alpha
    canvas.paint(cloth * (0.75 if kind == "beanie" else 0.45) * lit, band, window)
    if kind != "beanie":
        _paint_brim(canvas, head, light, window)


def _paint_brim(canvas: Canvas, head: Head, light: Light, window) -> None:
    view, rim = head.view(window), RIM[head.person.hat]
    if head.person.hat == "cap":
        x, y = view.across / 0.66, (view.down - rim - 0.02) / 0.2
        field = np.maximum(np.hypot(x, y) - 1, 0.25 * x * x - y - 0.35) * 0.2
    else:
        x, y = view.u / (head.person.width + 0.62), (view.v - rim + 0.02 - 0.14 * view.u**2) / 0.17
        field = (np.hypot(x, y) - 1) * 0.17
    alpha = edge(field, head.pixel)
    canvas.shadow(alpha, (0, 0.035), 0.02, 0.5, window)
    slope = 0.66 - 0.34 * smoothstep(-1, 1, y)
    canvas.solid(head.person.second_cloth * light.flat(0.9) * slope, alpha, window)


class Hood:
    """A hood around the head, open in front; its inside is dark."""

    def __init__(self, head: Head, rng: np.random.Generator):
        self.head, self.cloth = head, head.person.cloth
        self.window = head.window(-1.6, -1.5, 1.6, 1.8)
        view = head.view(self.window)
        self.folds = fractal(rng, view.u.shape, 5)
        wide = head.person.width + 0.34 + 0.02 * self.folds
        spread = wide + 0.12 * np.maximum(view.v, 0) ** 2
        self.outer = (np.hypot(view.u / spread, np.minimum(view.v + 0.05, 0) / 1.34) - 1) * wide
        self.outer = smooth_max(self.outer, view.v - 1.45 - 0.15 * np.cos(2 * view.u), 0.5)
        narrow, turn = head.person.width + 0.12, 0.25 * np.sin(head.pose.yaw)
        self.opening = (np.hypot((view.u - turn) / narrow, (view.v - 0.12) / 1.16) - 1) * narrow

    def paint_behind(self, canvas: Canvas, light: Light) -> None:
        canvas.solid(self.cloth * 0.12 * light.ambient, edge(self.outer, self.head.pixel), self.window)

    def paint_front(self, canvas: Canvas, light: Light) -> None:
        alpha = edge(np.maximum(self.outer, -self.opening), self.head.pixel)
        canvas.shadow(alpha, (0, 0.02), 0.03, 0.7, self.window)
        hem = 0.05 * ridge(self.opening - 0.06, 0.04)
        rounded = 0.5 * np.sqrt(np.clip(-2.2 * self.outer, 0, 1)) + 0.05 * self.folds + hem
        canvas.solid(self.cloth * light.falling_on(normals(rounded, self.head.pixel)), alpha, self.window)

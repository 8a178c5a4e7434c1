"""The head: a posed egg whose every pixel knows its place on the face, with a relief that the light falls on."""

from typing import NamedTuple

import numpy as np

from artifact_detection.images.faces import Face
from artifact_detection.portraits.canvas import (
    FLOAT,
    Canvas,
    Light,
    Window,
    bump,
    colour,
    edge,
    fractal,
    noise,
    normals,
    ridge,
    smoothstep,
    soften,
)
from artifact_detection.portraits.person import Person

NOSE_Y, MOUTH_Y = 0.32, 0.56  # height on the face, head units: -1 crown, 0 eyes, 1 chin
SQUARE = 0.28  # how much fuller crown and jaw are than those of an ellipse
DEPTH = 0.8  # how far the head bulges towards the viewer, head units


class View(NamedTuple):
    """A window of the canvas in a head's coordinates (h, w), in units of half the head's height.

    `u`, `v` lie in the picture's plane, along the head's own axes. `across`, `down` lie on the face as seen from
    its front, so that features drawn there turn with the head. `depth` is the egg's height, `skin` its coverage.
    """

    u: np.ndarray
    v: np.ndarray
    across: np.ndarray
    down: np.ndarray
    depth: np.ndarray
    skin: np.ndarray


class Head:
    """A person's head on a canvas. `pixel` is the size of a pixel in head units."""

    def __init__(self, canvas: Canvas, person: Person):
        self.person, self.pose, self.size = person, person.pose, canvas.size
        self.pixel = 1 / (self.pose.scale * canvas.size)
        dx, dy = ((grid - middle) / FLOAT(self.pose.scale)
                  for grid, middle in ((canvas.x, self.pose.x), (canvas.y, self.pose.y)))  # fmt: skip
        u, v = _turned(dx, dy, self.pose.roll)
        p, q = u / self._half_width(v), v * (1 - SQUARE + SQUARE * np.abs(v))
        radius = np.sqrt(p * p + q * q)
        depth = np.sqrt(np.maximum(1 - radius * radius, 0))
        front, away = _turned(p, depth, -self.pose.yaw)
        down, _ = _turned(q, away, -self.pose.pitch)
        skin = edge((radius - 1) * FLOAT(0.85), self.pixel)
        self.whole = View(u, v, front * FLOAT(person.width), down, depth, skin)

    def view(self, window: Window) -> View:
        return View(*(plane[window] for plane in self.whole))

    def _half_width(self, v):
        return self.person.width * (1 - self.person.jaw * np.maximum(v, 0) ** 2)

    def place(self, across: float, down: float) -> tuple[float, float]:
        """Where a point of the face is in the picture, as fractions of the canvas."""
        p, q = across / self.person.width, down
        depth = np.sqrt(max(0.0, 1 - p * p - q * q))
        q, depth = _turned(q, depth, self.pose.pitch)
        p, _ = _turned(p, depth, self.pose.yaw)
        v = np.sign(q) * (np.sqrt((1 - SQUARE) ** 2 + 4 * SQUARE * abs(q)) - (1 - SQUARE)) / (2 * SQUARE)
        return self.in_picture(p * self._half_width(v), v)

    def in_picture(self, u: float, v: float) -> tuple[float, float]:
        """A point of the head's plane as fractions of the canvas."""
        x, y = _turned(u, v, -self.pose.roll)
        return self.pose.x + self.pose.scale * x, self.pose.y + self.pose.scale * y

    def window(self, left: float, top: float, right: float, bottom: float) -> Window:
        """The part of the canvas that holds a box of the head's plane, whatever the head's roll."""
        corners = np.array([self.in_picture(u, v) for u in (left, right) for v in (top, bottom)])
        low, high = (np.clip(f(corners, axis=0) * self.size, 0, self.size) for f in (np.min, np.max))
        columns, rows = (slice(int(a), max(int(a) + 2, int(np.ceil(b)))) for a, b in zip(low, high, strict=True))
        return rows, columns

    def around(self, across: float, down: float, reach: float) -> Window:
        """The part of the canvas within `reach` of a point of the face."""
        x, y = self.place(across, down)
        u, v = _turned((x - self.pose.x) / self.pose.scale, (y - self.pose.y) / self.pose.scale, self.pose.roll)
        return self.window(u - reach, v - reach, u + reach, v + reach)

    def face(self) -> Face:
        """Where the face is, in pixels: from the brows to the chin and from cheek to cheek."""
        gap, wide = self.person.eye_gap, 0.93 * self.person.width
        border = np.array([self.in_picture(u, v) for u, v in ((-wide, 0.1), (wide, 0.1), (0, -0.4), (0, 1))])
        box = (*border.min(axis=0), *border.max(axis=0))
        points = (box, self.place(-gap, 0), self.place(gap, 0), self.place(0, MOUTH_Y))
        return Face(*(tuple(float(value * self.size) for value in point) for point in points))


def _turned(x, y, angle: float):
    """Coordinates of the point (x, y) in axes that are turned by `angle` radians from x towards y."""
    cos, sin = FLOAT(np.cos(angle)), FLOAT(np.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


def relief(view: View, person: Person) -> np.ndarray:
    """Height (h, w) of the face above its egg: brow, eye sockets, nose, cheeks, lips, chin; lines with age."""
    x, y, side = view.across, view.down, np.abs(view.across)
    tip = y - NOSE_Y - 0.1 * (person.nose_length - 0.34)
    height = 0.085 * bump(x, y - 0.1, 0.07, 0.19) + 0.15 * bump(x, tip + 0.03, 0.078, 0.085)
    height += 0.07 * bump(side - person.nose_width, tip - 0.01, 0.05, 0.05)
    height -= 0.05 * bump(side - 0.5 * person.nose_width, tip - 0.055, 0.04, 0.025)
    height -= (0.1 + 0.03 * person.masculine) * bump(side - 0.29, y + 0.02, 0.14, 0.09)
    height += (0.03 + 0.04 * person.masculine) * bump(side - 0.25, y + 0.22, 0.2, 0.07)
    height += 0.07 * bump(side - 0.42, y - 0.2, 0.14, 0.11) - 0.04 * bump(side - 0.5, y - 0.5, 0.12, 0.16)
    height += 0.06 * bump(x, y - MOUTH_Y, 0.24, 0.12) - 0.05 * bump(x, y - MOUTH_Y - 0.14, 0.12, 0.035)
    height += 0.08 * bump(x, y - 0.88, 0.15, 0.1) - 0.03 * bump(x, y - MOUTH_Y + 0.13, 0.03, 0.05)
    return height + _lines(x, y, side, person)


def _lines(x, y, side, person: Person) -> np.ndarray:
    """Folds beside the nose, under the eyes and on the forehead; faint ones come with a smile."""
    fold = 0.25 * person.age + 0.12 * max(person.smile, 0.2)
    path = person.nose_width + 0.06 + 0.32 * (y - NOSE_Y)
    lines = -0.08 * fold * ridge(side - path, 0.021) * smoothstep(0.27, 0.36, y) * smoothstep(0.7, 0.55, y)
    lines -= 0.03 * person.age * bump(side - 0.3, y - 0.15, 0.1, 0.035)
    if person.age > 0.45:
        rows = np.sin(y * 48 + 1.5 * np.cos(x * 5)) * bump(x, y + 0.47, 0.28, 0.09)
        lines += 0.012 * (person.age - 0.3) * rows
    return lines


def skin_colour(view: View, person: Person, rng: np.random.Generator) -> np.ndarray:
    """Albedo (3, h, w) of the face before lips and hair: flushed cheeks and nose, darker sockets, freckles."""
    x, y, side = view.across, view.down, np.abs(view.across)
    flush = 0.4 * bump(side - 0.42, y - 0.27, 0.16, 0.13) + 0.4 * bump(x, y - NOSE_Y, 0.12, 0.1)
    shade = 0.16 * bump(side - person.eye_gap, y - 0.02, 0.17, 0.11) * (0.7 + 0.6 * person.age)
    tone = (1 - shade) * (1 + 0.03 * fractal(rng, x.shape, 6))
    if person.freckles:
        tone *= 1 - 0.22 * smoothstep(0.9, 1.8, noise(rng, x.shape, 44)) * bump(x, y - 0.2, 0.4, 0.16)
    return (person.skin - (person.skin * colour(80, 150, 155)) * flush) * tone


def paint_head(canvas: Canvas, head: Head, light: Light, albedo: np.ndarray, window: Window) -> None:
    """Light the face's relief and lay it on the canvas; skin glows red where light fades and shines a little."""
    view = head.view(window)
    height = view.depth * FLOAT(DEPTH) + relief(view, head.person)
    normal = normals(height, head.pixel)
    lit = albedo * light.falling_on(normal, bleed=0.35)
    if not light.levels:
        lit *= np.clip(1 + 2.2 * (height - soften(height, 0.1 / head.pixel)), 0.6, 1.06)  # hollows get less light
        lit += (light.key * (0.03 + 0.1 * head.person.skin.mean())) * light.glint(normal, 16)
    canvas.solid(lit, view.skin, window)


def paint_ears(canvas: Canvas, head: Head, light: Light) -> None:
    """Ears at the head's edges; a turned head hides one a little."""
    for side in (-1, 1):
        middle = side * head.person.width * 0.99 - 0.07 * np.sin(head.pose.yaw)
        window = head.window(middle - 0.25, -0.25, middle + 0.25, 0.55)
        view = head.view(window)
        x, y = (view.u - middle) / 0.13, (view.v - 0.12 + 0.3 * head.pose.pitch) / 0.24
        radius = np.hypot(x, y)
        dome = 0.08 * np.sqrt(np.maximum(1 - radius * radius, 0)) + 0.05 * ridge(radius - 0.75, 0.14)
        lit = light.falling_on(normals(dome, head.pixel), 0.4) * (1 - 0.4 * bump(x, y, 0.4, 0.45))
        canvas.solid(head.person.skin * colour(252, 228, 222) * lit, edge((radius - 1) * 0.13, head.pixel), window)
        if head.person.earrings:
            drop = np.hypot(view.u - middle, view.v - 0.42) - 0.045
            canvas.paint(colour(240, 214, 140) * light.flat(), edge(drop, head.pixel), window)

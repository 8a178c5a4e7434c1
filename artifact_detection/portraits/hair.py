"""Hair: an outer outline around the head minus an opening for the face, combed into strands or curls."""

import numpy as np

from artifact_detection.portraits.canvas import (
    FLOAT,
    Canvas,
    Light,
    bump,
    edge,
    fractal,
    noise,
    normals,
    ridge,
    smoothstep,
)
from artifact_detection.portraits.head import SQUARE, Head
from artifact_detection.portraits.person import HairStyle

STRANDS = 1024  # entries of the table of strand brightnesses, read around in a circle


class Hair:
    """The hair of one head. `paint_behind` goes before the neck, `paint_front` after the face."""

    def __init__(self, head: Head, style: HairStyle, rng: np.random.Generator):
        self.head, self.style, self.person = head, style, head.person
        reach = head.person.width + style.side + 0.25
        low = max(0.2, style.length) + 0.3
        self.window = head.window(-reach, -1.15 - style.top, reach, low)
        self.view = head.view(self.window)
        u, v = self.view.u, self.view.v
        self.rough = np.tanh(noise(rng, u.shape, 14 if style.curl else 7))
        self.u = u + style.wave * np.sin(6 * v + 3 * self.person.parting) * smoothstep(-0.2, 0.6, v)
        self.outer = self._outer() + FLOAT(0.015 + 0.6 * style.curl) * self.rough
        self.strand = self._curls(rng) if style.curl else self._strands(rng)

    def _outer(self) -> np.ndarray:
        """Field of the whole hair: a dome over the skull, curtains down to the length."""
        style, u, v = self.style, self.u, self.view.v
        wide, below = self.person.width + style.side, np.maximum(v, 0)
        up = np.minimum(v / (1 + style.top), 0)
        dome = np.hypot(u / wide, up * (1 - SQUARE - SQUARE * up)) - 1
        tuck = style.flare * below - 0.1 * below**2 * (style.length < 1.2)
        curtain = np.abs(u) / (wide + tuck) - 1
        end = v - style.length - 0.12 * np.cos(2.2 * u) - 0.06 * (self.style.length > 0.5) * self.rough
        return np.maximum(np.where(v < 0, dome, curtain) * wide, end)

    def _opening(self) -> np.ndarray:
        """Field of the gap for the face and, below the chin, the neck: negative where skin shows."""
        style, x, y = self.style, self.view.across, self.view.down
        ragged = style.fringe * (self.strand - 0.5) * (1 + np.abs(self.rough))
        corners = 0.1 * self.person.masculine * bump(np.abs(x) - 0.36, y + 0.6, 0.1, 0.2)
        top = style.hairline + 0.1 * self.person.parting * x + ragged - corners
        short = style.length < 0.3
        wide = self.person.width * (0.98 if short else 0.88)
        middle = 0.0 if short else 0.3
        upper = np.hypot(x / wide, np.minimum(y - middle, 0) / (middle - top)) - 1
        cheeks = np.abs(x) / (wide + 0.12 * np.maximum(y - middle, 0)) - 1
        return np.where(y < middle, upper, cheeks) * 0.6

    def _strands(self, rng) -> np.ndarray:
        """Brightness 0..1 (h, w) of strands that fan out from the parting and fall down."""
        table = rng.random(STRANDS, dtype=FLOAT)
        table = (table + np.roll(table, 1) + np.roll(table, 2)) / 3
        fan = (self.u - 0.35 * self.person.parting) / (0.14 + np.clip(self.view.v + 1.0, 0.12, 3) * 0.5)
        return table[(fan * 64 + 3 * self.rough).astype(np.int32) & (STRANDS - 1)]

    def _curls(self, rng) -> np.ndarray:
        """Brightness 0..1 (h, w) of tight curls."""
        return np.clip(0.5 + 0.2 * fractal(rng, self.rough.shape, 26, 2), 0, 1)

    def _lit(self, light: Light) -> np.ndarray:
        view, style, wide = self.view, self.style, self.person.width + self.style.side + 0.1
        dome = np.sqrt(np.clip(1 - (view.u / wide) ** 2 - (np.minimum(view.v, 0) / (1.2 + style.top)) ** 2, 0, 1))
        normal = normals(0.7 * dome + (0.015 + 0.5 * style.curl) * self.strand, self.head.pixel)
        lit = self.person.hair * light.falling_on(normal, 0.15) * (0.45 + 0.85 * self.strand)
        if style.curl or light.levels:
            return lit
        height = view.v + 0.6 - 0.25 * light.direction[0] * view.u + 0.15 * self.strand
        sheen = ridge(height, 0.13) * (0.2 + 0.8 * self.strand)
        return lit + (0.14 * light.key * (0.25 + self.person.hair)) * sheen

    def paint_behind(self, canvas: Canvas, light: Light) -> None:
        canvas.solid(self.person.hair * 0.35 * light.flat(0.2), edge(self.outer, 1.5 * self.head.pixel), self.window)

    def paint_front(self, canvas: Canvas, light: Light) -> None:
        alpha = edge(np.maximum(self.outer, -self._opening()), 1.7 * self.head.pixel)
        cast = alpha * (self.view.v < 0.9)
        canvas.shadow(cast, (-0.006 * light.direction[0], 0.016), 0.012, 0.5, self.window)
        canvas.solid(self._lit(light), alpha, self.window)


def paint_bun(canvas: Canvas, head: Head, light: Light, rng: np.random.Generator) -> None:
    """A knot of hair on the crown."""
    window = head.window(-0.6, -1.6, 0.6, -0.7)
    view = head.view(window)
    x, y = (view.u - 0.1 * head.person.parting) / 0.36, (view.v + 1.16) / 0.3
    radius = np.hypot(x, y)
    dome = 0.3 * np.sqrt(np.maximum(1 - radius * radius, 0))
    swirl = 0.75 + 0.25 * np.sin(9 * radius + 3 * x + 1.5 * noise(rng, x.shape, 6))
    lit = head.person.hair * light.falling_on(normals(dome, head.pixel), 0.15) * swirl
    canvas.solid(lit, edge((radius - 1) * 0.3, head.pixel), window)

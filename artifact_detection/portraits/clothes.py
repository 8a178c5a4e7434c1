"""Neck, shoulders and what is worn on them."""

import cv2
import numpy as np

from artifact_detection.portraits.canvas import (
    FLOAT,
    Canvas,
    Light,
    bump,
    colour,
    convex,
    edge,
    fractal,
    normals,
    ridge,
    smoothstep,
)
from artifact_detection.portraits.head import Head

OPEN_TO = {"vee": 1.0, "shirt": 0.75, "suit": 1.5, "coat": 1.3}  # how far down a V-shaped opening reaches


class Body:
    """The shoulders of a person: `a` across and `b` down from the chin, in units of half the head's height."""

    def __init__(self, canvas: Canvas, head: Head, light: Light, rng: np.random.Generator):
        self.canvas, self.head, self.person, self.light = canvas, head, head.person, light
        self.pixel, pose = head.pixel, head.pose
        x, y = head.in_picture(0.0, 0.9)
        middle = pose.x - 0.5 * (x - pose.x) - 0.12 * pose.scale * np.sin(pose.yaw)
        self.window = (slice(max(0, int((y - 0.75 * pose.scale) * canvas.size)), canvas.size), slice(None))
        self.a = (canvas.x[self.window] - middle) / FLOAT(pose.scale)
        self.b = (canvas.y[self.window] - y) / FLOAT(pose.scale)
        self.side = np.abs(self.a)
        self.folds = fractal(rng, self.a.shape, 4)
        s = self.side / (1.72 + 0.3 * self.person.masculine)
        top = 0.42 + 0.3 * s**1.6 + 0.9 * s**9 - 0.16 * ridge(self.side - 0.4, 0.155)
        self.torso = (top - self.b) * FLOAT(0.8)
        self.neckline = self._neckline()

    def _neckline(self) -> np.ndarray:
        """Field of the garment's opening: negative where skin shows."""
        kind = self.person.garment
        if kind == "turtleneck":
            return np.maximum(self.side - 0.5, self.b - 0.05)
        if kind in OPEN_TO:
            closing = np.clip(1 - (self.b - 0.2) / (OPEN_TO[kind] - 0.2), 0, 1.3)
            return 0.7 * (self.side - 0.52 * closing)
        return (np.hypot(self.a / 0.6, (self.b - 0.1) / 0.55) - 1) * 0.55

    def paint(self) -> None:
        """Neck, then the skin of the chest, then the garment."""
        self._paint_neck()
        rounded = 0.55 * np.sqrt(np.clip(-1.3 * self.torso, 0, 1)) - 0.1 * self.a**2
        self.lit = self._lit(rounded + 0.035 * self.folds * smoothstep(0, 0.3, -self.torso))
        self.worn = edge(np.maximum(self.torso, -self.neckline), self.pixel)
        self._solid(self.person.cloth * self.lit, self.worn)
        _DETAILS[self.person.garment](self)
        if self.person.word and self.person.garment in ("crew", "turtleneck"):
            self._paint_print()

    def _lit(self, height: np.ndarray, bleed: float = 0.0) -> np.ndarray:
        return self.light.falling_on(normals(height, self.pixel), bleed)

    def _solid(self, paint, alpha) -> None:
        self.canvas.solid(paint, alpha, self.window)

    def _paint(self, paint, alpha) -> None:
        self.canvas.paint(paint, alpha, self.window)

    def _shadow(self, alpha, drop: float, blur: float, strength: float) -> None:
        self.canvas.shadow(alpha, (0, drop), blur, strength, self.window)

    def _paint_neck(self) -> None:
        flare = 0.36 + 0.09 * self.person.masculine + 0.5 * smoothstep(0.2, 0.75, self.b)
        column = np.maximum(self.side - flare, -0.7 - self.b)
        skin = np.minimum(column, np.maximum(self.torso + 0.05, self.side - 1.2))
        height = 0.45 * np.sqrt(np.maximum(1 - (self.a / (flare + 0.02)) ** 2, 0))
        throat, collarbone = (
            ridge(self.side - 0.25 + 0.25 * self.b, 0.05),
            bump(self.side - 0.42, self.b - 0.62, 0.3, 0.05),
        )
        height += 0.03 * throat + 0.04 * collarbone
        self._solid(self.person.skin * colour(248, 238, 236) * self._lit(height, 0.3), edge(skin, self.pixel))
        chin = self.head.whole.skin[self.window]
        self.canvas.shadow(chin, (-0.02 * self.light.direction[0], 0.045), 0.02, 0.65, self.window)

    def _trim(self) -> None:
        line = edge(np.abs(self.neckline - 0.04) - 0.04, self.pixel) * self.worn
        self._paint(self.person.cloth * 0.7 * self.lit, line)

    def _turtleneck(self) -> None:
        tube = np.maximum(self.side - 0.5, np.abs(self.b - 0.28 - 0.12 * self.a**2) - 0.24)
        height = 0.5 * np.sqrt(np.maximum(1 - (self.a / 0.56) ** 2, 0)) + 0.012 * np.sin(self.a * 70)
        self._solid(self.person.cloth * 0.95 * self._lit(height), edge(tube, self.pixel))

    def _shirt(self) -> None:
        self._collar(self.person.cloth * 1.1)
        low = self.b > 0.85
        self._paint(self.person.cloth * 0.4 * self.lit, 0.6 * ridge(self.side - 0.1, 0.012) * low * self.worn)
        buttons = edge(np.hypot(self.a, self.b % 0.42 - 0.2) - 0.035, self.pixel) * low
        self._paint(colour(225, 225, 220) * self.lit, buttons * self.worn)

    def _collar(self, paint) -> None:
        for side in (-1, 1):
            flap = convex(self.a * side, self.b, ((0.36, 0.16), (0.5, 0.22), (0.62, 0.66), (0.36, 0.98), (0.05, 0.66)))
            alpha = edge(flap, self.pixel)
            self._shadow(alpha, 0.012, 0.008, 0.4)
            self._solid(paint * self.light.flat(0.7 + 0.2 * side * self.light.direction[0]), alpha)

    def _jacket(self) -> None:
        """A pale shirt in the opening, lapels beside it and, on some, a tie."""
        inner = edge(np.maximum(self.neckline, 0.25 - self.b + 0.3 * self.side), self.pixel)
        shirt = colour(226, 228, 232) if self.person.garment == "suit" else self.person.second_cloth
        self._solid(shirt * self.lit, inner)
        if self.person.garment == "suit" and self.person.masculine > 0.4:
            tie = np.maximum(self.side - 0.07 - 0.05 * np.clip(self.b - 0.6, -0.1, 1), 0.48 - self.b)
            self._paint(self.person.second_cloth * self.lit, edge(tie, self.pixel) * inner)
        self._collar(shirt)
        notch = 0.12 * np.abs(self.b - 0.95)
        lapel = edge(np.abs(self.neckline - 0.11 + notch) - 0.13 + notch, self.pixel) * self.worn
        self._shadow(lapel, 0.008, 0.008, 0.3)
        self._paint(self.person.cloth * 1.2 * self.lit, lapel)

    def _scarf(self) -> None:
        self._trim()
        curve = self.b - 0.3 - 0.14 * np.cos(self.a * 2.2)
        height = 0.3 * np.sqrt(np.maximum(1 - (self.a / 0.8) ** 2, 0)) + 0.05 * np.sin(curve * 20 + 2 * self.folds)
        mask = edge(np.maximum(self.side - 0.72, np.abs(curve) - 0.27), self.pixel)
        self._shadow(mask, 0.02, 0.02, 0.5)
        self._solid(self.person.second_cloth * self._lit(height), mask)

    def _armour(self) -> None:
        """Worn metal: a breastplate, overlapping bands on the shoulders, a standing collar."""
        steel, inner = colour(112, 106, 100), -self.torso
        shoulder = smoothstep(0.62, 0.72, self.side)
        bands = 0.1 * shoulder * (inner * 4.5 % 1) + 0.05 * ridge(self.a, 0.05) * (1 - shoulder)
        height = 0.9 * np.sqrt(np.clip(inner, 0, 1)) - 0.25 * self.a**2 + bands + 0.02 * self.folds
        self._metal(steel, height, self.worn)
        collar = np.maximum(self.side - 0.52, np.abs(self.b - 0.24 - 0.2 * self.a**2) - 0.16)
        alpha = edge(collar, self.pixel)
        self._shadow(alpha, 0.02, 0.012, 0.5)
        height = 0.5 * np.sqrt(np.maximum(1 - (self.a / 0.58) ** 2, 0)) + 0.06 * ridge(collar + 0.05, 0.02)
        self._metal(steel, height, alpha)

    def _metal(self, tint: np.ndarray, height: np.ndarray, alpha: np.ndarray) -> None:
        normal = normals(height, self.pixel)
        shine = 0.6 * self.light.key * self.light.glint(normal, 30)
        self._solid(tint * self.light.falling_on(normal) + shine, alpha)

    def _paint_print(self) -> None:
        """A word on the chest: text away from the face is no artifact."""
        size, scale = self.canvas.size, self.head.pose.scale * self.canvas.size
        font, height = cv2.FONT_HERSHEY_DUPLEX, scale / 62
        (wide, _), _ = cv2.getTextSize(self.person.word, font, height, 1)
        _, y = self.head.in_picture(0, 0.9)
        mask = np.zeros((size, size), np.uint8)
        origin = (round(self.head.pose.x * size - wide / 2), round(y * size + 1.1 * scale))
        cv2.putText(mask, self.person.word, origin, font, height, 255, max(1, round(2 * height)), cv2.LINE_AA)
        ink = mask[self.window].astype(FLOAT) / 255
        self._paint(self.person.second_cloth * self.light.flat(), ink * self.worn)


_DETAILS = {
    "crew": Body._trim, "vee": Body._trim, "shirt": Body._shirt, "suit": Body._jacket, "coat": Body._jacket,
    "turtleneck": Body._turtleneck, "scarf": Body._scarf, "armour": Body._armour,
}  # fmt: skip

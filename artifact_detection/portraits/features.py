"""Eyes, brows, lips, beard and glasses, drawn in the face's own coordinates so that they turn with the head."""

import numpy as np

from artifact_detection.portraits.canvas import Canvas, Light, Window, bump, colour, edge, noise, ridge, smoothstep
from artifact_detection.portraits.head import MOUTH_Y, NOSE_Y, Head, View
from artifact_detection.portraits.person import Person

LASH = colour(26, 18, 18)


def paint_eyes(canvas: Canvas, head: Head, light: Light) -> None:
    """Both eyes: ball, iris with ring and pupil, catch light, lids, lashes and the crease above."""
    for side in (-1, 1):
        _paint_eye(canvas, head, light, side)


def _paint_eye(canvas: Canvas, head: Head, light: Light, side: int) -> None:
    person, window = head.person, head.around(side * head.person.eye_gap, 0, 0.32)
    view = head.view(window)
    x = (view.across - side * person.eye_gap) / person.eye_size
    y = view.down / person.eye_size - person.eye_tilt * side * x
    soft = 1.2 * head.pixel / person.eye_size
    arch = np.maximum(1 - x * x, 0)
    upper = -0.52 * person.lids * arch**0.75 * (1 + 0.1 * side * x)
    lower = 0.34 * arch * (1 - 0.3 * max(person.smile, 0))
    inside = np.abs(x) < 1.05
    visible = edge(np.maximum(upper - y, y - lower), soft) * inside
    glow = light.flat(0.65) * 0.75
    shade = (1 - 0.5 * smoothstep(0.3, 1.0, np.abs(x))) * (0.45 + 0.55 * smoothstep(0.0, 0.4, y - upper))
    canvas.paint(colour(226, 219, 216) * glow * shade, visible, window)
    _paint_iris(canvas, person, light, (x, y), visible, soft, window)
    lash = ridge(y - upper, 0.07 + 0.05 * (1 - person.masculine)) * (np.abs(x) < 1.12)
    canvas.paint(LASH, 0.9 * lash, window)
    canvas.paint(person.skin * colour(190, 130, 120) * glow, 0.5 * ridge(y - lower, 0.06) * inside, window)
    crease = ridge(y - upper + 0.2, 0.07) * ridge(x, 0.75)
    canvas.paint(person.skin * colour(140, 100, 95) * glow, 0.5 * crease, window)


def _paint_iris(canvas: Canvas, person: Person, light: Light, where, visible, soft: float, window: Window) -> None:
    x, y = where[0] - person.gaze[0], where[1] - person.gaze[1] + 0.06
    radius = np.hypot(x, y)
    rings = 0.75 + 0.5 * smoothstep(0.15, 0.4, radius) - 0.75 * smoothstep(0.34, 0.46, radius)
    lower_half = 0.7 + 0.45 * smoothstep(-0.3, 0.35, y)
    canvas.paint(person.iris * light.flat() * (rings * lower_half), edge(radius - 0.44, soft) * visible, window)
    canvas.paint(colour(10, 8, 10), edge(radius - 0.19, soft) * visible, window)
    aim = 0.2 * light.direction
    spark = edge(np.hypot(x - aim[0], y - aim[1]) - 0.1, soft) * visible
    canvas.paint(np.minimum(0.3 + light.key, 1.1), 0.9 * spark, window)


def brows(view: View, person: Person, rng: np.random.Generator) -> np.ndarray:
    """Coverage (h, w) of both eyebrows: tapered arcs of short hairs."""
    along = (np.abs(view.across) - person.eye_gap - 0.01) / 0.19
    arch = -person.brow_height - 0.055 * (1 - along**2) + 0.1 * person.brow_tilt * (1 - along)
    thick = 0.034 * person.brow_weight * (1.15 - 0.45 * along)
    ends = smoothstep(1.1, 0.75, along) * smoothstep(-1.15, -0.8, along)
    hairs = 0.86 + 0.1 * noise(rng, along.shape, 60, 1.5)
    return np.clip(edge(np.abs(view.down - arch) - thick, 0.035) * ends * hairs, 0, 1)


def _mouth(view: View, person: Person) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mouth's own coordinates: x in half widths, y in head units from the line of the lips, half the gap."""
    x = view.across / (person.mouth_width * (1 + 0.16 * max(person.smile, 0)))
    line = MOUTH_Y + 0.085 * person.smile * (0.4 - x * x) + 0.01 * ridge(x, 0.2)
    return x, view.down - line, 0.06 * min(person.mouth_open, 1.2) * np.maximum(1 - x * x, 0)


def colour_lips(albedo: np.ndarray, view: View, person: Person, pixel: float) -> None:
    """Mix the lips' colour into the skin's albedo (3, h, w), in place."""
    x, y, gap = _mouth(view, person)
    arch = np.maximum(1 - x * x, 0)
    upper = 0.062 * person.lip_weight * arch**0.8 * (1 - 0.28 * ridge(x, 0.16))
    lower = 0.085 * person.lip_weight * arch**0.6
    cover = edge(np.maximum(-gap - upper - y, y - gap - lower), 2.2 * pixel) * (arch > 0)
    tint = person.skin * colour(222, 150, 150)
    tint = tint + person.lipstick * (colour(176, 40, 60) - tint)
    shade = np.where(y < 0, 0.8, 1.0) + 0.14 * bump(x, y - gap - 0.5 * lower, 0.4, 0.02)
    albedo += 0.85 * cover * (tint * shade - albedo)


def paint_mouth(canvas: Canvas, head: Head, light: Light) -> None:
    """The dark line between the lips or, in an open mouth, teeth; the nostrils above."""
    person, window = head.person, head.around(0, 0.5, 0.48)
    view = head.view(window)
    x, y, gap = _mouth(view, person)
    glow, inside = light.flat(0.65) * 0.7, edge(np.abs(y) - gap, 1.5 * head.pixel) * (gap > 0)
    canvas.paint(colour(70, 22, 26) * glow, inside, window)
    if person.mouth_open > 0.25:
        teeth = edge(y - 0.25 * gap, 1.5 * head.pixel) * smoothstep(0.9, 0.6, np.abs(x))
        canvas.paint(colour(240, 234, 224) * glow, 0.95 * teeth * inside, window)
    seam = ridge(np.abs(y) - gap, 0.016) * smoothstep(1.08, 0.9, np.abs(x))
    canvas.paint(person.skin * colour(110, 52, 52) * glow, 0.75 * seam, window)
    nostril = bump(np.abs(view.across) - 0.5 * person.nose_width, view.down - NOSE_Y - 0.055, 0.038, 0.02)
    canvas.paint(person.skin * colour(90, 44, 40) * glow, 0.75 * nostril, window)


def facial_hair(view: View, person: Person, rng: np.random.Generator) -> np.ndarray:
    """Coverage (h, w) of beard and moustache, from a shadow of stubble to a full beard."""
    x, y, side = view.across, view.down, np.abs(view.across)
    cheek = np.minimum(0.62 - 0.55 * side + 0.1 * person.beard, 0.75)
    jaw = smoothstep(-0.06, 0.08, y - cheek) * smoothstep(0.16, 0.3, side + 0.8 * (y - 0.5))
    sideburn = smoothstep(0.48, 0.58, side) * smoothstep(0.05, 0.3, y)
    lips = np.clip(1.3 * bump(x, y - MOUTH_Y - 0.02, 0.23, 0.075), 0, 1)
    beard = np.maximum(jaw, sideburn) * (1 - lips) * (person.beard > 0)
    lip_hair = smoothstep(0.25, 0.6, bump(side - 0.12, y - MOUTH_Y + 0.1 - 0.25 * side**2, 0.13, 0.038))
    strength = 0.3 + 0.62 * smoothstep(0.3, 0.7, np.array(person.beard))
    grain = 0.88 + 0.1 * noise(rng, x.shape, 80)
    return np.clip(np.maximum(beard, person.moustache * lip_hair) * strength * grain, 0, 1)


def paint_glasses(canvas: Canvas, head: Head, light: Light) -> None:
    """A frame with a bridge and temples, glass with a slanted reflection; dark glasses hide the eyes."""
    person, window, pixel = head.person, head.window(-1, -0.4, 1, 0.45), head.pixel
    view = head.view(window)
    x, y = view.across, view.down - 0.01
    side = np.abs(x) - person.eye_gap - 0.005
    power = 2.0 if person.glasses == "round" else 4.0
    radius = (np.abs(side / 0.235) ** power + np.abs(y / 0.19) ** power) ** (1 / power)
    bridge = np.maximum(np.abs(y + 0.05 - 0.3 * x * x) - 0.018, np.abs(x) - person.eye_gap + 0.21)
    temple = np.maximum(np.abs(y + 0.04) - 0.022, person.eye_gap + 0.22 - np.abs(x))
    frame = edge(np.minimum(np.minimum(np.abs(radius - 1) * 0.2 - 0.018, bridge), temple), pixel)
    lens, dark = edge((radius - 1) * 0.2, pixel), person.glasses == "dark"
    canvas.paint(colour(18, 18, 24) if dark else light.key, (0.94 if dark else 0.025) * lens, window)
    canvas.paint(0.4 + light.ambient, 0.12 * ridge(side + 0.8 * y + 0.06, 0.04) * lens, window)
    canvas.paint(person.second_cloth * light.flat(1) * 0.3, frame * view.skin, window)

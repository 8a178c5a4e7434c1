"""Draws clean portraits of people who do not exist: shaded, anti-aliased, in several scenes, with no download.

`draw_portrait` is all that other code needs; `python -m artifact_detection.portraits` writes a labelled dataset.
"""

import numpy as np

from artifact_detection.images.faces import Face
from artifact_detection.portraits import features, head
from artifact_detection.portraits.canvas import Canvas, Light
from artifact_detection.portraits.clothes import Body
from artifact_detection.portraits.hair import Hair, paint_bun
from artifact_detection.portraits.hats import Hood, paint_hat
from artifact_detection.portraits.person import random_person
from artifact_detection.portraits.scenes import SCENES, Setting


def draw_portrait(rng: np.random.Generator, size: int = 192) -> tuple[np.ndarray, Face]:
    """Draw a clean portrait: (size, size, 3) uint8 RGB, and where its face is.

    Everything is chosen by `rng`: scene, person, pose and light. The same state of `rng` gives the same pixels.
    """
    return paint_portrait(SCENES[str(rng.choice(list(SCENES)))], rng, size)


def paint_portrait(scene: Setting, rng: np.random.Generator, size: int) -> tuple[np.ndarray, Face]:
    person = random_person(rng, scene.hats, scene.garments)
    light = scene.light(rng).exposed_for(person.skin)
    canvas = Canvas(size, pen=scene.pen * size / 192)
    scene.backdrop(canvas, rng)
    posed = head.Head(canvas, person)
    _paint_person(canvas, posed, light, rng)
    scene.finish(canvas, rng)
    return canvas.finished(), posed.face()


def _paint_person(canvas: Canvas, posed: head.Head, light: Light, rng: np.random.Generator) -> None:
    person = posed.person
    hood = Hood(posed, rng) if person.hat == "hood" else None
    hair = Hair(posed, person.style, rng) if person.style else None
    if hood:
        hood.paint_behind(canvas, light)
    elif hair:
        hair.paint_behind(canvas, light)
    if person.bun:
        paint_bun(canvas, posed, light, rng)
    Body(canvas, posed, light, rng).paint()
    head.paint_ears(canvas, posed, light)
    _paint_face(canvas, posed, light, rng)
    if hair:
        hair.paint_front(canvas, light)
    if person.glasses != "none":
        features.paint_glasses(canvas, posed, light)
    if hood:
        hood.paint_front(canvas, light)
    elif person.hat != "none":
        paint_hat(canvas, posed, light, rng)


def _paint_face(canvas: Canvas, posed: head.Head, light: Light, rng: np.random.Generator) -> None:
    person, window = posed.person, posed.window(-0.85, -1.05, 0.85, 1.05)
    view = posed.view(window)
    albedo = head.skin_colour(view, person, rng)
    features.colour_lips(albedo, view, person, posed.pixel)
    for hair in (features.facial_hair, features.brows):
        albedo += hair(view, person, rng) * (person.brow - albedo)
    head.paint_head(canvas, posed, light, albedo, window)
    features.paint_mouth(canvas, posed, light)
    features.paint_eyes(canvas, posed, light)

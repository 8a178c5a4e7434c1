"""The kinds of pictures: what is behind a person, the light on them, what they wear, how it is finished."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from artifact_detection.portraits import backdrops, finishes
from artifact_detection.portraits.canvas import Canvas, Light, colour

ANYTHING = {"crew": 3, "vee": 2, "shirt": 2, "suit": 1, "turtleneck": 1, "scarf": 1}
FEW_HATS = {"none": 85, "beanie": 6, "cap": 5, "brim": 4}


@dataclass(frozen=True)
class Setting:
    """One kind of picture. `hats` and `garments` give the odds of what its people wear."""

    light: Callable[[np.random.Generator], Light]
    backdrop: Callable[[Canvas, np.random.Generator], None]
    finish: Callable[[Canvas, np.random.Generator], None]
    hats: dict[str, float] = field(default_factory=lambda: FEW_HATS)
    garments: dict[str, float] = field(default_factory=lambda: ANYTHING)
    pen: float = 0.0  # outline of the person in pixels at a size of 192


def _softbox(rng: np.random.Generator) -> Light:
    """A large lamp on one side and a little light from behind on the other."""
    side = _side(rng)
    direction = (side * rng.uniform(0.3, 0.9), -rng.uniform(0.3, 0.7), rng.uniform(0.7, 1.1))
    key, ambient = colour(255, 248, 238) * rng.uniform(0.85, 1.15), colour(150, 154, 165) * rng.uniform(0.5, 0.9)
    return Light(direction, key, ambient, ((-side, colour(200, 205, 220)),))


def _neon(rng: np.random.Generator) -> Light:
    """Weak light from the front, two coloured ones from behind."""
    left, right = (1.8 * colour(*backdrops.NEON[k]) for k in rng.choice(len(backdrops.NEON), 2, replace=False))
    key = colour(215, 205, 235) * rng.uniform(0.45, 0.7)
    return Light((rng.uniform(-0.6, 0.6), -0.35, 0.9), key, colour(90, 82, 122), ((-1, left), (1, right)))


def _overcast(rng: np.random.Generator) -> Light:
    side = _side(rng)
    key = colour(190, 205, 220) * rng.uniform(0.55, 0.8)
    direction = (side * rng.uniform(0.2, 0.7), -0.7, 0.7)
    return Light(direction, key, colour(102, 119, 136), ((side, colour(142, 171, 199)),))


def _desert_sun(rng: np.random.Generator) -> Light:
    side = _side(rng)
    direction = (side * rng.uniform(0.4, 0.9), -rng.uniform(0.35, 0.8), 0.75)
    key = colour(255, 226, 180) * rng.uniform(1.0, 1.25)
    return Light(direction, key, colour(129, 121, 121), ((-side, colour(178, 124, 77)),))


def _shade(rng: np.random.Generator) -> Light:
    """Under trees, with the sun behind."""
    side = _side(rng)
    direction = (side * rng.uniform(0.2, 0.8), -rng.uniform(0.4, 0.8), 0.8)
    key = colour(255, 244, 220) * rng.uniform(0.8, 1.1)
    return Light(direction, key, colour(125, 138, 125), ((-side, colour(235, 240, 190)),))


def _window_light(rng: np.random.Generator) -> Light:
    """From one side and above, as painters liked it."""
    direction = (_side(rng) * rng.uniform(0.5, 0.9), -0.55, 0.65)
    return Light(direction, colour(255, 228, 180) * rng.uniform(0.9, 1.2), colour(95, 80, 64))


def _flat_tones(rng: np.random.Generator) -> Light:
    direction = (_side(rng) * rng.uniform(0.4, 0.9), -0.5, 0.7)
    return Light(direction, colour(200, 196, 190), colour(150, 148, 158), levels=3)


def _side(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


SCENES = {
    "studio": Setting(
        _softbox, backdrops.studio, finishes.studio,
        garments={"crew": 2, "vee": 1, "shirt": 2, "suit": 2, "coat": 3, "turtleneck": 2},
    ),
    "street": Setting(_neon, backdrops.street, finishes.street),
    "rain": Setting(
        _overcast, backdrops.rainy, finishes.rain,
        hats={"hood": 3, "none": 1}, garments={"crew": 1, "coat": 1, "scarf": 1},
    ),
    "desert": Setting(
        _desert_sun, backdrops.dunes, finishes.outdoors,
        hats={"none": 60, "hood": 15, "brim": 25}, garments={"armour": 3, "scarf": 3, "shirt": 2, "crew": 2},
    ),
    "park": Setting(_shade, backdrops.leaves, finishes.outdoors),
    "oil": Setting(_window_light, backdrops.painted, finishes.oil, hats={"none": 8, "brim": 2}),
    "sticker": Setting(_flat_tones, backdrops.sheet, finishes.sticker, pen=1.0),
}  # fmt: skip

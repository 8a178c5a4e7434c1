"""Who is drawn: every choice about a person, made once, before anything is painted."""

from dataclasses import dataclass, replace

import numpy as np

from artifact_detection.portraits.canvas import colour

SKINS = (
    (255, 226, 209), (247, 211, 187), (236, 194, 162), (222, 174, 138), (204, 152, 114),
    (178, 126, 90), (148, 101, 72), (118, 79, 56), (92, 61, 44), (74, 49, 37),
)  # fmt: skip
HAIRS = {
    "black": (30, 25, 25), "dark brown": (56, 38, 29), "brown": (98, 66, 42), "auburn": (126, 60, 34),
    "ginger": (186, 98, 48), "blond": (216, 176, 112), "platinum": (234, 216, 186),
    "pink": (226, 104, 158), "blue": (62, 106, 198), "teal": (46, 150, 146), "purple": (120, 66, 160),
}  # fmt: skip
DYED = ("pink", "blue", "teal", "purple")
HAIR_ODDS = (0.26, 0.2, 0.17, 0.07, 0.07, 0.09, 0.03, 0.03, 0.03, 0.02, 0.03)
GREY = (196, 194, 192)
IRISES = ((92, 60, 36), (64, 42, 30), (84, 118, 146), (106, 146, 170), (104, 122, 76), (124, 100, 60), (96, 104, 110))
CLOTHS = (
    (38, 42, 54), (60, 66, 80), (128, 44, 46), (52, 84, 128), (206, 202, 192), (84, 100, 78), (182, 140, 66),
    (120, 92, 132), (190, 96, 72), (34, 34, 38), (232, 232, 230), (70, 128, 132), (150, 120, 92), (214, 150, 160),
)  # fmt: skip
WHITE = colour(228, 230, 234)


@dataclass(frozen=True)
class HairStyle:
    """The outline and texture of hair, in head units (half the head's height = 1)."""

    top: float  # how far it stands above the skull
    side: float  # how far it stands out from the temples
    length: float  # how far down it reaches: 0 eyes, 1 chin
    hairline: float = -0.6  # where the forehead ends: -1 crown, 0 eyes
    flare: float = 0.0  # how much wider it gets further down
    curl: float = 0.0  # how bumpy outline and surface are
    wave: float = 0.0  # how much strands sway
    fringe: float = 0.0  # how ragged the hairline is


PRINTS = ("NOVA", "Rio", "88", "WAVE", "east", "07", "moon", "PEAK")

STYLES = {
    "bald": None,
    "buzz": HairStyle(0.02, 0.01, 0.05, -0.62),
    "short": HairStyle(0.12, 0.05, 0.1, -0.58, fringe=0.05),
    "quiff": HairStyle(0.24, 0.03, 0.08, -0.62, fringe=0.04),
    "fringe": HairStyle(0.12, 0.08, 0.25, -0.32, fringe=0.1),
    "bob": HairStyle(0.12, 0.16, 0.85, -0.5, flare=0.05, fringe=0.05),
    "bangs": HairStyle(0.13, 0.15, 1.0, -0.27, flare=0.03, fringe=0.07),
    "long": HairStyle(0.1, 0.12, 1.9, -0.6, flare=0.06, fringe=0.03),
    "wavy": HairStyle(0.14, 0.17, 1.7, -0.58, flare=0.13, wave=0.06, fringe=0.05),
    "curly": HairStyle(0.22, 0.26, 0.75, -0.52, flare=0.05, curl=0.09, fringe=0.06),
    "afro": HairStyle(0.42, 0.42, 0.35, -0.56, curl=0.05, fringe=0.04),
    "updo": HairStyle(0.1, 0.05, 0.12, -0.62, fringe=0.02),
}
SHORT = ("bald", "buzz", "short", "short", "quiff", "fringe", "curly", "afro")
FULL = ("bob", "bangs", "long", "long", "wavy", "curly", "afro", "updo", "fringe")


@dataclass(frozen=True)
class Pose:
    """Where the head is. The centre and `scale` (half the head's height) are fractions of the canvas."""

    x: float
    y: float
    scale: float
    roll: float  # radians, clockwise on the screen
    yaw: float  # radians, positive turns the face to the right of the screen
    pitch: float  # radians, positive looks down


@dataclass(frozen=True)
class Person:
    """All traits. Lengths are in head units; shares are between 0 and 1."""

    pose: Pose
    skin: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    style: HairStyle | None
    bun: bool
    parting: float  # -1 left .. 1 right
    age: float  # 0 young .. 1 old
    masculine: float
    width: float  # half the head's width
    jaw: float  # how much the face narrows towards the chin
    eye_size: float
    eye_gap: float  # from the middle of the face to the middle of an eye
    eye_tilt: float
    iris: np.ndarray
    gaze: tuple[float, float]
    lids: float  # how far the eyes are open
    brow_height: float
    brow_weight: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    mouth_width: float
    lip_weight: float
    lipstick: float
    smile: float
    mouth_open: float
    beard: float  # 0 none, below 0.5 stubble, above a full beard
    moustache: float
    freckles: float
    glasses: str  # "none", "round", "square" or "dark"
    hat: str  # "none", "beanie", "cap", "brim" or "hood"
    garment: str  # "crew", "vee", "shirt", "suit", "turtleneck", "coat", "scarf" or "armour"
    cloth: np.ndarray
    second_cloth: np.ndarray
    word: str  # printed on the shirt, or ""
    earrings: bool


def random_person(rng: np.random.Generator, hats: dict[str, float], garments: dict[str, float]) -> Person:
    """Draw all traits; `hats` and `garments` map a name to its odds in the scene."""
    masculine = rng.beta(0.5, 0.5)
    age = rng.beta(1.3, 1.8)
    bearded = masculine > 0.6 and rng.random() < 0.5
    name = str(rng.choice(SHORT if masculine > 0.5 else FULL))
    if name == "bald" and age < 0.25:
        name = "short"
    hat, garment = _pick(rng, hats), _pick(rng, garments)
    skin, (hair, brow) = _skin(rng), _hair(rng, age)
    return Person(
        pose=_pose(rng),
        skin=skin, hair=hair, brow=brow,
        style=_under(hat, STYLES[name]),
        bun=name == "updo" and hat == "none",
        parting=float(rng.uniform(-1, 1)),
        age=float(age),
        masculine=float(masculine),
        width=float(rng.normal(0.705, 0.025)),
        jaw=float(rng.uniform(0.12, 0.26) - 0.08 * masculine),
        eye_size=float(rng.normal(0.158, 0.009) - 0.012 * masculine),
        eye_gap=float(rng.normal(0.305, 0.012)),
        eye_tilt=float(rng.normal(-0.04, 0.06)),
        iris=_iris(rng, skin),
        gaze=(float(rng.normal(0, 0.13)), float(rng.normal(0, 0.07))),
        lids=float(np.clip(rng.normal(0.88, 0.14) - 0.15 * age, 0.5, 1.15)),
        brow_height=float(rng.normal(0.2, 0.016) - 0.025 * masculine),
        brow_weight=float(rng.uniform(0.6, 1.0) + 0.5 * masculine),
        brow_tilt=float(rng.normal(0, 0.2)),
        nose_length=float(rng.normal(0.34, 0.02)),
        nose_width=float(rng.uniform(0.125, 0.165) + 0.015 * masculine),
        mouth_width=float(rng.normal(0.265, 0.022)),
        lip_weight=float(rng.uniform(0.75, 1.35) - 0.2 * masculine),
        lipstick=float((rng.random() < 0.55) * rng.uniform(0.2, 0.8) if masculine < 0.45 else 0),
        smile=float(np.clip(rng.normal(0.45, 0.4), -0.3, 1)),
        mouth_open=float(max(0, rng.normal(-0.1, 0.5))),
        beard=float(rng.uniform(0.15, 1) if bearded else 0),
        moustache=float(bearded or (masculine > 0.7 and rng.random() < 0.15)),
        freckles=float(rng.random() < 0.18),
        glasses=str(rng.choice(("none", "round", "square", "dark"), p=(0.76, 0.11, 0.11, 0.02))),
        hat=hat, garment=garment,
        cloth=WHITE if garment == "coat" else _cloth(rng),
        second_cloth=_cloth(rng),
        word=str(rng.choice(PRINTS)) if rng.random() < 0.3 else "",
        earrings=bool(rng.random() < (0.45 if masculine < 0.5 else 0.06)),
    )  # fmt: skip


def _pose(rng: np.random.Generator) -> Pose:
    scale = rng.uniform(0.29, 0.39)
    return Pose(
        x=float(0.5 + rng.normal(0, 0.035)),
        y=float(0.14 + 1.02 * scale + rng.normal(0, 0.02)),
        scale=float(scale),
        roll=float(np.clip(rng.normal(0, 0.07), -0.2, 0.2)),
        yaw=float(np.clip(rng.normal(0, 0.2), -0.42, 0.42)),
        pitch=float(np.clip(rng.normal(0.02, 0.07), -0.15, 0.18)),
    )


def _skin(rng: np.random.Generator) -> np.ndarray:
    place = rng.uniform(0, len(SKINS) - 1.001)
    low, share = int(place), place % 1
    mixed = (1 - share) * np.array(SKINS[low]) + share * np.array(SKINS[low + 1])
    return colour(*np.clip(mixed * rng.normal(1, 0.02, 3), 0, 255))


def _hair(rng: np.random.Generator, age: float) -> tuple[np.ndarray, np.ndarray]:
    """Hair and brows: greyer with age; brows are never dyed."""
    name = str(rng.choice(list(HAIRS), p=HAIR_ODDS))
    greying = np.clip((age - 0.6) / 0.3, 0, 1) * rng.uniform(0.5, 1)
    shades = (np.array(HAIRS[name]), 0.75 * np.array(HAIRS["brown" if name in DYED else name]))
    vary = rng.normal(1, 0.08)
    return tuple(colour(*np.clip((1 - greying) * shade * vary + greying * np.array(GREY), 0, 255)) for shade in shades)


def _iris(rng: np.random.Generator, skin: np.ndarray) -> np.ndarray:
    """Eyes of any colour in a fair face, mostly brown in a dark one."""
    fair = float(np.sqrt(skin.mean())) > 0.62
    return colour(*IRISES[rng.integers(len(IRISES)) if fair else rng.integers(2)])


def _under(hat: str, style: HairStyle | None) -> HairStyle | None:
    """What is left of a hair style under a hat: it lies close to the skull."""
    if hat == "none" or style is None:
        return style
    return replace(style, top=min(style.top, 0.06), side=min(style.side, 0.12), curl=min(style.curl, 0.04))


def _cloth(rng: np.random.Generator) -> np.ndarray:
    return colour(*np.clip(np.array(CLOTHS[rng.integers(len(CLOTHS))]) * rng.normal(1, 0.1, 3), 8, 250))


def _pick(rng: np.random.Generator, odds: dict[str, float]) -> str:
    weights = np.array(list(odds.values()), float)
    return str(rng.choice(list(odds), p=weights / weights.sum()))

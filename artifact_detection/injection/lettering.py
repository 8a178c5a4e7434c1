"""Lettering for text, watermarks and signatures: random words of several scripts, styles and degrees of ruin.

Fonts are those that ship with matplotlib (DejaVu, STIX) and OpenCV (Hershey): nothing is downloaded. Generators
often draw letters that are no letters; `glyphs` imitates those, and `ruin` bends true letters into them.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from artifact_detection.injection.scene import Scene

# Inside matplotlib, found without the time that importing it takes.
FONTS = Path(find_spec("matplotlib").submodule_search_locations[0]) / "mpl-data/fonts/ttf"
LATIN_FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-BoldOblique", "DejaVuSans-Oblique", "DejaVuSansMono",
    "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral",
    "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta",
)  # fmt: skip
WIDE_FONTS = ("DejaVuSans", "DejaVuSans-Bold")  # these also have the other scripts
HERSHEY_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)  # fmt: skip
SCRIPT_FONTS = HERSHEY_FONTS[-2:]
SCRIPTS = (
    "абвгдежзийклмнопрстуфхцчшщыэюя", "αβγδεζηθικλμνξοπρστυφχψω", "აბგდევზთიკლმნოპრსტუფქღყშ",
    "աբգդեզէըթժիլխծկհձղճմյնշո", "אבגדהוזחטיכלמנסעפצקרשת", "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
)  # fmt: skip
MARKS = ("", "", "", "© ", "® ", "@", "#", "www.", "№ ", "— ", "★ ")
ENDS = ("", "", "", ".com", ".net", "!", "™", " 2024", " 03:17", "/128", "…", ".jpg")


def words(scene: Scene, count: int, latin: bool = False) -> str:
    """Random words that mean nothing: Latin ones with vowels in place, or another script's letters, or digits."""
    kind = scene.rng.random()
    if not latin and kind < 0.25:
        alphabet = scene.pick(SCRIPTS)
        text = " ".join(_letters(scene, alphabet, 3, 8) for _ in range(count))
    elif not latin and kind < 0.35:
        text = _letters(scene, "0123456789:./-", 4, 11)
    else:
        text = " ".join(_syllables(scene) for _ in range(count))
    return scene.pick((str.upper, str.lower, str.title))(text)


def _letters(scene: Scene, alphabet: str, low: int, high: int) -> str:
    return "".join(scene.pick(alphabet) for _ in range(scene.rng.integers(low, high)))


def _syllables(scene: Scene) -> str:
    """A word that can be spoken, from few consonants, so that chance spells no word that means anything; or none."""
    if scene.chance(0.2):
        return _letters(scene, "bcdfghjklmnpqrstvwxz", 3, 8)
    return "".join(
        scene.pick("bhjlmnqrtvwx") + scene.pick("aeiouy") + scene.pick(("", "", "n", "r", "l"))
        for _ in range(scene.rng.integers(1, 5))
    )


def line(scene: Scene, height: float, ruined: float = 0.35) -> np.ndarray:
    """One line of lettering as an alpha mask (h, w) uint8, letters about `height` pixels high.

    With probability `ruined` the letters are bent, or are no letters at all.
    """
    height = max(height, 6.0)
    style = scene.rng.random()
    if style < ruined / 2:
        mask = glyphs(scene, height, scene.rng.integers(3, 10))
    elif style < 0.3:
        mask = _hershey(words(scene, scene.rng.integers(1, 4), latin=True), scene.pick(HERSHEY_FONTS), height)
    else:
        text = scene.pick(MARKS) + words(scene, scene.rng.integers(1, 4)) + scene.pick(ENDS)
        fonts = LATIN_FONTS if text.isascii() else WIDE_FONTS
        mask = _truetype(text, scene.pick(fonts), height)
    return ruin(scene, mask, scene.uniform(0.03, 0.12) * height) if scene.chance(ruined) else mask


def handwriting(scene: Scene, height: float) -> np.ndarray:
    """A signature as an alpha mask (h, w) uint8: a script word or a running scribble, slanted and uneven."""
    if scene.chance(0.5):
        mask = _hershey(words(scene, 1, latin=True).title(), scene.pick(SCRIPT_FONTS), max(height, 8))
        return ruin(scene, mask, 0.08 * height)
    return _scribble(scene, max(height, 8))


def ruin(scene: Scene, mask: np.ndarray, amount: float) -> np.ndarray:
    """Bend lettering by a smooth random displacement of up to `amount` pixels."""
    h, w = mask.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    cells = 2.5 * w / h
    dx, dy = (scene.smooth_noise(h, w, cells) * np.float32(2.5 * amount) for _ in range(2))
    return cv2.remap(mask, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def glyphs(scene: Scene, height: float, count: int) -> np.ndarray:
    """Marks that look like the letters of no script: strokes between the nodes of a small grid."""
    size, weight = int(height), max(1, round(height * scene.uniform(0.06, 0.16)))
    mask = np.zeros((int(1.3 * size) + 2, int(0.85 * size * count) + size), np.uint8)
    grid = np.array([0.0, 0.5, 1.0])
    for i in range(count):
        origin = np.array([0.4 * size + i * 0.85 * size, 0.15 * size])
        for _ in range(scene.rng.integers(2, 6)):
            a, b = (origin + size * np.array([0.65 * scene.pick(grid), scene.pick(grid)]) for _ in range(2))
            if scene.chance(0.3):
                axes = (max(1, int(abs(a - b)[0] / 2)), max(1, int(abs(a - b)[1] / 2)))
                centre = tuple(int(v) for v in (a + b) / 2)
                cv2.ellipse(mask, centre, axes, 0, 0, int(scene.rng.integers(120, 361)), 255, weight, cv2.LINE_AA)
            else:
                cv2.line(mask, tuple(int(v) for v in a), tuple(int(v) for v in b), 255, weight, cv2.LINE_AA)
    return mask


def _scribble(scene: Scene, height: float) -> np.ndarray:
    loops = scene.rng.integers(4, 10)
    t = np.linspace(0, 2 * np.pi * loops, 30 * loops)
    swell = np.interp(t, np.linspace(0, t[-1], 2 * loops), scene.rng.uniform(0.1, 0.5, 2 * loops))
    x = height * (0.5 + 0.12 * t * scene.uniform(0.5, 1.2) + 0.6 * swell * np.cos(t))
    y = height * (0.75 - swell * np.sin(t + scene.uniform(0.3, 1.2)) + 0.1 * np.sin(0.3 * t))
    mask = np.zeros((int(1.5 * height) + 1, int(x.max() + height)), np.uint8)
    points = np.rint(np.stack([x, y], axis=1) * 16).astype(np.int32)
    cv2.polylines(mask, [points], False, 255, max(1, round(scene.uniform(0.05, 0.1) * height)), cv2.LINE_AA, 4)
    if scene.chance(0.5):
        y = int(1.3 * height)
        cv2.line(mask, (int(0.3 * height), y), (mask.shape[1] - 4, y - int(0.3 * height)), 255, 1, cv2.LINE_AA)
    return mask


def _hershey(text: str, font: int, height: float) -> np.ndarray:
    thickness = max(1, round(0.08 * height))
    scale = cv2.getFontScaleFromHeight(font, max(4, int(height)), thickness)
    (w, h), base = cv2.getTextSize(text, font, scale, thickness)
    pad = thickness + 2
    mask = np.zeros((h + base + 2 * pad, w + 2 * pad), np.uint8)
    cv2.putText(mask, text, (pad, h + pad), font, scale, 255, thickness, cv2.LINE_AA)
    return mask


def _truetype(text: str, name: str, height: float) -> np.ndarray:
    font = _font(name, int(2 * round(1.25 * height / 2)))
    left, top, right, bottom = (int(v) for v in font.getbbox(text))
    sheet = Image.new("L", (max(1, right - left) + 4, max(1, bottom - top) + 4))
    ImageDraw.Draw(sheet).text((2 - left, 2 - top), text, fill=255, font=font)
    return np.asarray(sheet)


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / f"{name}.ttf"), size, layout_engine=ImageFont.Layout.BASIC)


def stamp(stencil: np.ndarray, mask: np.ndarray, centre: tuple[float, float], angle: float = 0.0) -> None:
    """Put a mask (h, w) into a stencil (H, W), its middle at `centre`, turned by `angle` radians (clockwise)."""
    h, w = mask.shape
    c, s = np.cos(angle), np.sin(angle)
    move = np.float32([[c, -s, centre[0] - c * w / 2 + s * h / 2], [s, c, centre[1] - s * w / 2 - c * h / 2]])
    reach = (abs(c) * w + abs(s) * h) / 2 + 1, (abs(s) * w + abs(c) * h) / 2 + 1
    x0, y0 = max(0, int(centre[0] - reach[0])), max(0, int(centre[1] - reach[1]))
    x1 = min(stencil.shape[1], int(centre[0] + reach[0]) + 1)
    y1 = min(stencil.shape[0], int(centre[1] + reach[1]) + 1)
    if x1 <= x0 or y1 <= y0:
        return
    move[:, 2] -= (x0, y0)
    placed = cv2.warpAffine(mask, move, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    np.maximum(stencil[y0:y1, x0:x1], placed, out=stencil[y0:y1, x0:x1])

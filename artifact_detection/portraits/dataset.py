"""A labelled dataset of portraits: file names, which image gets an artifact, and the images themselves.

Every image has a seed of its own, made of the dataset's seed, its split and its index, so it does not depend on
how many others are drawn, and no portrait is in two splits. A portrait is drawn before its label is looked at;
clean and damaged ones then go through the same finish and the same encoder.
"""

import io
import math
from fractions import Fraction

import numpy as np
from PIL import Image

from artifact_detection.injection import inject
from artifact_detection.labels import ARTIFACT, CLEAN
from artifact_detection.portraits import draw_portrait

SPLITS = ("train", "test")
BLACKS, WHITES = (0, 18), (228, 255)  # what 0 and 255 become
GRAINY, GRAIN = 0.3, (0.7, 2.0)  # share of images with grain, its deviation; levels of 255
LEVEL_STEPS = (2, 3, 5)  # rounding that is not seen and makes PNG files half as large
ARTIFACTS = (  # the groups are equally likely; severities at which a person sees it at 192 px
    (("text", (3,)), ("watermark", (3,)), ("logo", (2, 3))),
    (("hand", (2, 3)), ("object", (2, 3)), ("mask_piece", (2, 3))),
    (("duplicate", (3,)), ("missing", (3,)), ("misplaced", (3,))),
    (("swirl", (2, 3)), ("pinch", (3,)), ("stretch", (3,))),
    (("melt", (2, 3)),),
    (("block_glitch", (2, 3)), ("row_shift", (2, 3))),
    (("fragments", (3,)),),
)


def label_of(index: int, split: str, seed: int, prevalence: Fraction) -> int:
    """The class of an image: one artifact at a random place in every 1/prevalence images.

    The first n images hold exactly n * prevalence artifacts wherever that is a whole number.
    """
    block = math.floor(index * prevalence)
    if not prevalence:
        return CLEAN
    start, end = math.ceil(block / prevalence), math.ceil((block + 1) / prevalence)
    chosen = start + _rng(seed, split, block, "label").integers(end - start)
    return ARTIFACT if index == chosen else CLEAN


def file_name(index: int, label: int) -> str:
    return f"image_{index:05d}_{label}.png"


def labelled_portrait(index: int, label: int, split: str, seed: int, size: int) -> np.ndarray:
    """Image `index` of a split, (size, size, 3) uint8 RGB; with an artifact if `label` says so."""
    image, face = draw_portrait(_rng(seed, split, index, "portrait"), size)
    if label == ARTIFACT:
        rng = _rng(seed, split, index, "artifact")
        group = ARTIFACTS[rng.integers(len(ARTIFACTS))]
        kind, severities = group[rng.integers(len(group))]
        image, _ = inject(image, kind, int(rng.choice(severities)), rng, face)
    return finished(image, _rng(seed, split, index, "finish"))


def finished(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The last step of every image, clean or not: a camera's contrast, its grain and its rounding.

    They vary, so that neither the darkest and brightest pixels nor the size of a file tell of an artifact.
    """
    black, white = rng.uniform(*BLACKS), rng.uniform(*WHITES)
    shown = black + image * ((white - black) / 255)
    if rng.random() < GRAINY:
        shown += rng.normal(0, rng.uniform(*GRAIN), (*image.shape[:2], 1))
    step = rng.choice(LEVEL_STEPS)
    return (np.rint(np.clip(shown, 0, 254) / step) * step).astype(np.uint8)


def png_bytes(image: np.ndarray) -> bytes:
    """An RGB image as the bytes of a PNG file without metadata."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _rng(seed: int, split: str, index: int, purpose: str) -> np.random.Generator:
    key = (SPLITS.index(split), index, ("label", "portrait", "artifact", "finish").index(purpose))
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))

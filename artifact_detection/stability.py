"""Does a verdict survive what happens to image files on their way: recompression, resizing, cropping, blur?"""

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
import pandas as pd

from artifact_detection.intervals import wilson

Score = Callable[[Sequence[np.ndarray]], np.ndarray]  # images (H, W, 3) uint8 -> probabilities (N,)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 3) uint8 through JPEG at `quality`, with OpenCV's chroma subsampling (4:2:0)."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def rescale(image: np.ndarray, factor: float) -> np.ndarray:
    """Resized by `factor` and left at that size."""
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=interpolation)


def crop(image: np.ndarray, share: float) -> np.ndarray:
    """The middle of the image, `share` of its width and height."""
    height, width = image.shape[:2]
    top, left = (round(side * (1 - share) / 2) for side in (height, width))
    return image[top : height - top, left : width - left]


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; sigma in pixels of the image."""
    return cv2.GaussianBlur(image, (0, 0), sigma)


REENCODINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **{f"JPEG {quality}": partial(jpeg, quality=quality) for quality in (95, 85, 75, 60, 50)},
    **{f"resize {factor}x": partial(rescale, factor=factor) for factor in (0.5, 0.75, 1.5, 2)},
    **{f"crop {share:.0%}": partial(crop, share=share) for share in (0.95, 0.9)},
    **{f"blur {sigma} px": partial(blur, sigma=sigma) for sigma in (0.5, 1)},
}


def rescore(score: Score, images: Sequence[np.ndarray], names: Sequence[str] = tuple(REENCODINGS)) -> pd.DataFrame:
    """Probabilities of every image as it is (column "original") and after each re-encoding: one row an image."""
    columns = {"original": score(images)}
    for name in names:
        columns[name] = score([REENCODINGS[name](image) for image in images])
    return pd.DataFrame(columns)


def flips(probabilities: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Which verdicts of `rescore` differ from the original's: booleans, one row an image, a column a re-encoding."""
    verdicts = probabilities >= threshold
    return verdicts.drop(columns="original").ne(verdicts["original"], axis=0)


def flip_table(probabilities: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """The share of verdicts that flip, by re-encoding and for "any", with Wilson intervals.

    Columns: n, value, low, high, to_artifacts and to_clean (numbers of images), shift (mean change of P).
    """
    flipped = flips(probabilities, threshold)
    changes = probabilities.drop(columns="original").sub(probabilities["original"], axis=0)
    to_artifacts = flipped.mul(probabilities["original"] < threshold, axis=0)
    table = pd.DataFrame({"flipped": flipped.sum(), "to_artifacts": to_artifacts.sum(), "shift": changes.mean()})
    table.loc["any"] = [flipped.any(axis=1).sum(), to_artifacts.any(axis=1).sum(), np.nan]
    n = len(probabilities)
    ends = [wilson(int(k), n) for k in table["flipped"]]
    low, high = zip(*ends, strict=True)
    table = table.assign(
        n=n, value=table["flipped"] / n, low=low, high=high, to_clean=table["flipped"] - table["to_artifacts"]
    )
    counts = {"to_artifacts": int, "to_clean": int}
    return table[["n", "value", "low", "high", "to_artifacts", "to_clean", "shift"]].astype(counts)

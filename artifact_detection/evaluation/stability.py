"""Does a verdict survive what happens to image files on their way: recompression, resizing, cropping, blur?"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from artifact_detection.images.reencoding import REENCODINGS
from artifact_detection.intervals import wilson

Score = Callable[[Sequence[np.ndarray]], np.ndarray]  # images (H, W, 3) uint8 -> probabilities (N,)


def rescore(score: Score, images: Sequence[np.ndarray]) -> pd.DataFrame:
    """Probabilities of every image as it is (column "original") and after each re-encoding: one row an image."""
    columns = {"original": score(images)}
    for name, reencode in REENCODINGS.items():
        columns[name] = score([reencode(image) for image in images])
    return pd.DataFrame(columns)


def flip_table(probabilities: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """The share of verdicts of `rescore` that flip, by re-encoding and for "any", with Wilson intervals.

    Columns: n, value, low, high, to_artifacts and to_clean (numbers of images), shift (mean change of P).
    """
    verdicts = probabilities >= threshold
    flipped = verdicts.drop(columns="original").ne(verdicts["original"], axis=0)
    changes = probabilities.drop(columns="original").sub(probabilities["original"], axis=0)
    to_artifacts = flipped.mul(probabilities["original"] < threshold, axis=0)
    table = pd.DataFrame({"flipped": flipped.sum(), "to_artifacts": to_artifacts.sum(), "shift": changes.mean()})
    table.loc["any"] = [flipped.any(axis=1).sum(), to_artifacts.any(axis=1).sum(), np.nan]
    n = len(probabilities)
    ends = [wilson(int(k), n) for k in table["flipped"]]
    low, high = zip(*ends, strict=True)
    to_clean = table["flipped"] - table["to_artifacts"]
    table = table.assign(n=n, value=table["flipped"] / n, low=low, high=high, to_clean=to_clean)
    counts = {"to_artifacts": int, "to_clean": int}
    return table[["n", "value", "low", "high", "to_artifacts", "to_clean", "shift"]].astype(counts)

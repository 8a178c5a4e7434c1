"""The pointing game (Zhang et al., IJCV 2018) on injected artifacts: does a heat map's maximum lie in the artifact?"""

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from artifact_detection.detector.heatmaps import explain
from artifact_detection.detector.models import Detector
from artifact_detection.injection import inject
from artifact_detection.intervals import wilson

MARGIN = 15 / 224  # of the image's side: how far from the mask still counts as a hit


def is_hit(point: tuple[int, int], mask: np.ndarray, margin: float) -> bool:
    """Whether (row, column) lies inside the mask (H, W) bool, or within `margin` pixels of it."""
    if not mask.any():
        return False
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return bool(distance[point] <= margin)


def hits(heatmap: np.ndarray, mask: np.ndarray) -> tuple[bool, bool]:
    """Whether the highest point of a map (h, w) of the whole image lies in the mask (H, W) bool, and whether the
    picture's centre does. A map without evidence is a miss."""
    height, width = heatmap.shape
    small = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA) > 0
    peak, margin = np.unravel_index(heatmap.argmax(), heatmap.shape), MARGIN * height
    return heatmap.max() > 0 and is_hit(peak, small, margin), is_hit((height // 2, width // 2), small, margin)


def pointing_game(model: Detector, images: Sequence[np.ndarray], kinds: Sequence[str]) -> pd.DataFrame:
    """How often the heat map's maximum lies in the injected artifact, by kind, beside always pointing at the centre.

    images: clean images (H, W, 3) uint8; each gets one artifact of every kind, of severity 2. A map without evidence is
    a miss.
    Columns: n, value, low, high (Wilson, 95 %), centre; the last row, "all", joins the kinds.
    """
    rows = []
    for kind in tqdm(kinds, "pointing game", leave=False, disable=None):
        injected = [inject(image, kind, 2, np.random.default_rng((0, i))) for i, image in enumerate(images)]
        maps = explain(model, [image for image, _ in injected])
        for heatmap, (_, mask) in zip(maps, injected, strict=True):
            hit, centre = hits(heatmap, mask)
            rows.append({"kind": kind, "hit": hit, "centre": centre})
    table = pd.DataFrame(rows)
    table = pd.concat([table, table.assign(kind="all")]).groupby("kind", sort=False)
    result = table.agg(n=("hit", "size"), value=("hit", "mean"), centre=("centre", "mean"))
    ends = [wilson(int(hits), n) for hits, n in zip(table["hit"].sum(), result["n"], strict=True)]
    return result.assign(low=[low for low, _ in ends], high=[high for _, high in ends])

"""Regions on injected artifacts: how well they cover the artifact, and whether its family is named right."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special
from tqdm import tqdm

from artifact_detection.detector.regions import Region, draw_regions, find_regions
from artifact_detection.detector.scoring import Scorer
from artifact_detection.images.transforms import evaluation_transform
from artifact_detection.injection import KINDS, inject
from artifact_detection.intervals import CONFIDENCE
from artifact_detection.labels import FAMILIES

NO_REGION = "no region"


@dataclass(frozen=True)
class Located:
    """An image (H, W, 3) uint8 with an artifact of a kind, its mask (H, W) bool, and what the detector says of it."""

    kind: str
    image: np.ndarray
    mask: np.ndarray
    probability: float
    regions: list[Region]

    def iou(self) -> float:
        """Intersection over union of all regions and the mask."""
        drawn = draw_regions(self.regions, *self.mask.shape[::-1]) > 0
        return float((drawn & self.mask).sum() / (drawn | self.mask).sum())

    def named(self) -> str:
        return self.regions[0].family if self.regions else NO_REGION


def locate(scorer: Scorer, images: Sequence[np.ndarray], kinds: Iterable[str] = tuple(KINDS)) -> Iterator[Located]:
    """Put one artifact of each kind, of severity 2, into each of some clean images, and look for it, kind after kind.

    scorer: of a detector with a dense head.
    """
    for kind in tqdm(kinds, "regions", leave=False, disable=None):
        injected = [inject(image, kind, 2, np.random.default_rng((0, i))) for i, image in enumerate(images)]
        for start in range(0, len(injected), scorer.batch):
            yield from _located(scorer, kind, injected[start : start + scorer.batch])


def _located(scorer: Scorer, kind: str, injected: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[Located]:
    preprocessing = scorer.preprocessing
    views = [preprocessing.view(image) for image, _ in injected]
    seen = zip(injected, views, strict=True)
    batch = [evaluation_transform(image, preprocessing, view) for (image, _), view in seen]
    probabilities, maps = scorer.evidence_batch(batch)
    for (image, mask), view, probability, evidence in zip(injected, views, probabilities, maps, strict=True):
        regions = find_regions(evidence, preprocessing, view, *mask.shape[::-1])
        yield Located(kind, image, mask, float(probability), regions)


def localization_table(located: Iterable[Located], threshold: float) -> pd.DataFrame:
    """A row an image: kind, family, iou, found (the probability reaches the threshold), named (see `Located`)."""
    rows = [(one.kind, KINDS[one.kind], one.iou(), one.probability >= threshold, one.named()) for one in located]
    return pd.DataFrame(rows, columns=["kind", "family", "iou", "found", "named"])


def iou_by_kind(table: pd.DataFrame) -> pd.DataFrame:
    """The mean IoU of each kind and of "all": columns n, value, low, high (Student's t, 95 %)."""
    groups = pd.concat([table, table.assign(kind="all")]).groupby("kind", sort=False)["iou"]
    result = groups.agg(n="size", value="mean")
    half = special.stdtrit(result["n"] - 1, (1 + CONFIDENCE) / 2) * groups.std() / np.sqrt(result["n"])
    return result.assign(low=(result["value"] - half).clip(0, 1), high=(result["value"] + half).clip(0, 1))


def family_confusion(table: pd.DataFrame) -> pd.DataFrame:
    """Counts of the artifacts that were found: a row the true family, a column the one that was named."""
    found = table[table["found"]]
    counts = pd.crosstab(found["family"], found["named"])
    return counts.reindex(index=list(FAMILIES), columns=[*FAMILIES, NO_REGION], fill_value=0)

"""What filtering does to the dataset: do the kept images still look like all of them?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.cluster import KMeans

from artifact_detection.evaluation.bands import KEEP
from artifact_detection.evaluation.comparison import holm
from artifact_detection.filtering.results import Judged
from artifact_detection.filtering.store import MEASURES

SCENES = 6
SCENE_SAMPLE = 5_000  # images that the scene groups are found on; all are assigned
BINS = 24
ALPHA = 0.05
FEWEST = 5  # kept and other images that a comparison needs


@dataclass(frozen=True)
class Comparison:
    """One measure of all images and of the kept ones.

    before, after: shares of images by bin (or by scene group); edges: (bins + 1,) bin edges, empty for scenes.
    change: difference of the means in standard deviations; for scenes, the largest change of a share.
    p_value: of kept against not kept, Holm-corrected over all comparisons.
    """

    name: str
    test: str
    before: list[float]
    after: list[float]
    edges: list[float]
    change: float
    p_value: float

    @property
    def differs(self) -> bool:
        return self.p_value < ALPHA

    def sentence(self) -> str:
        what = "largest change of a group's share" if self.name == "scene group" else "standard deviations"
        return f"{self.name}: kept images differ ({self.change:+.2f} {what}, {self.test}, p = {self.p_value:.2g})"


def compare(judged: Sequence[Judged]) -> list[Comparison]:
    """Kept against not kept images: one comparison a measure, and one for the scene groups.

    Two-sample Kolmogorov-Smirnov for numbers, chi-squared for scene groups, Holm's correction (Scand. J. Stat. 1979)
    over all of them. None with fewer than FEWEST kept or not kept images.
    """
    usable = [row for row in judged if row.band]
    kept = np.array([row.band == KEEP for row in usable], dtype=bool)
    if min(kept.sum(), (~kept).sum()) < FEWEST:
        return []
    values = np.stack([np.frombuffer(row.record.measures, np.float32) for row in usable])  # (n, measures)
    scenes = scene_groups(np.stack([np.frombuffer(row.record.layout, np.uint8) for row in usable]))
    tests = [_compare_numbers(name, column, kept) for name, column in zip(MEASURES, values.T, strict=True)]
    tests.append(_compare_groups(scenes, kept))
    corrected = holm(pd.Series([test.p_value for test in tests]))
    return [Comparison(**vars(test) | {"p_value": float(p)}) for test, p in zip(tests, corrected, strict=True)]


def _compare_numbers(name: str, values: np.ndarray, kept: np.ndarray) -> Comparison:
    edges = np.histogram_bin_edges(values, BINS)
    before, after = (np.histogram(part, edges)[0] / len(part) for part in (values, values[kept]))
    spread = values.std()
    change = (values[kept].mean() - values.mean()) / spread if spread else 0.0
    p_value = stats.ks_2samp(values[kept], values[~kept]).pvalue
    shares = before.tolist(), after.tolist()
    return Comparison(name, "Kolmogorov-Smirnov", *shares, edges.tolist(), float(change), float(p_value))


def _compare_groups(groups: np.ndarray, kept: np.ndarray) -> Comparison:
    count = groups.max() + 1
    table = np.stack([np.bincount(groups[part], minlength=count) for part in (kept, ~kept)])  # (2, groups)
    before, after = table.sum(0) / table.sum(), table[0] / table[0].sum()
    change = (after - before)[np.abs(after - before).argmax()]
    p_value = stats.chi2_contingency(table).pvalue if count > 1 else 1.0
    return Comparison("scene group", "chi-squared", before.tolist(), after.tolist(), [], float(change), float(p_value))


def scene_groups(layouts: np.ndarray) -> np.ndarray:
    """(n, d) uint8 tiny pictures -> (n,) int: groups of similar colours in similar places, the largest first."""
    points = layouts.astype(np.float32)
    sample = points[np.linspace(0, len(points) - 1, min(len(points), SCENE_SAMPLE)).astype(int)]
    clusters = min(SCENES, len(np.unique(sample, axis=0)))
    groups = KMeans(clusters, n_init=3, random_state=0).fit(sample).predict(points)
    sizes = np.bincount(groups, minlength=clusters)
    rank = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")
    return rank[groups]

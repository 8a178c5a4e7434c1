"""The bootstrap, stratified by class: a replicate is a row of counts, never a copy of the data.

`counts` is (R, n): how often each of n images was drawn in each of R replicates. A statistic maps it to (R,).
"""

from collections.abc import Callable, Iterator

import numpy as np

CELLS_PER_CHUNK = 2_000_000  # replicates x images held at once
BINS = 10  # of the calibration error: 20 images each in a test set of 200

Statistic = Callable[[np.ndarray], np.ndarray]


def stratified_counts(targets: np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Yield (r, n) blocks of counts, `replicates` rows in all; each class keeps its number of images."""
    rng = np.random.default_rng(seed)
    rows_per_block = max(1, CELLS_PER_CHUNK // len(targets))
    for start in range(0, replicates, rows_per_block):
        rows = min(rows_per_block, replicates - start)
        counts = np.zeros((rows, len(targets)))
        for members in (np.flatnonzero(targets == label) for label in np.unique(targets)):
            drawn = rng.integers(len(members), size=(rows, len(members)))
            drawn += np.arange(rows)[:, None] * len(members)  # one range of numbers a row, for one bincount
            counts[:, members] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        yield counts


def bootstrap(targets: np.ndarray, statistics: dict[str, Statistic], replicates: int, seed: int) -> dict:
    """Each statistic's (replicates,) draws, all from the same resamples, so that differences are paired."""
    blocks = [
        {name: statistic(counts) for name, statistic in statistics.items()}
        for counts in stratified_counts(targets, replicates, seed)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in statistics}


def equal_mass_bins(probabilities: np.ndarray) -> np.ndarray:
    """The bin, 0 to BINS - 1, of each of (n,) probabilities: equally many in each, equal values together."""
    edges = np.quantile(probabilities, np.arange(1, BINS) / BINS)
    return np.searchsorted(edges, probabilities, side="right")


class WeightedMetrics:
    """Metrics of (targets, predicted, probabilities), each (n,), under any (R, n) image counts.

    Equal to scikit-learn's with `sample_weight`. Every row needs both classes, which stratified counts have.
    """

    def __init__(self, targets: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray | None):
        self.targets, self.predicted, self.probabilities = targets, predicted, probabilities

    def confusion(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """tn, fp, fn, tp, each (R,)."""
        cells = 2 * self.targets + self.predicted
        return tuple(counts @ (cells == cell) for cell in range(4))

    def mcc(self, counts: np.ndarray) -> np.ndarray:
        """Matthews' correlation; 0, as scikit-learn has it, in a replicate that predicts one class only."""
        tn, fp, fn, tp = self.confusion(counts)
        product = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        return np.divide(tp * tn - fp * fn, product, out=np.zeros_like(product), where=product > 0)

    def recall(self, counts: np.ndarray) -> np.ndarray:
        _, _, fn, tp = self.confusion(counts)
        return tp / (tp + fn)

    def precision(self, counts: np.ndarray) -> np.ndarray:
        """NaN in a replicate in which nothing is predicted."""
        _, fp, _, tp = self.confusion(counts)
        return np.divide(tp, tp + fp, out=np.full_like(tp, np.nan), where=tp + fp > 0)

    def f1(self, counts: np.ndarray) -> np.ndarray:
        _, fp, fn, tp = self.confusion(counts)
        return 2 * tp / (2 * tp + fp + fn)

    def cumulated(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """True and false positives at every distinct threshold, from the highest down: two (R, k)."""
        order = np.argsort(-self.probabilities, kind="stable")
        ranked, positive = self.probabilities[order], self.targets[order]
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # ends of runs of equal values
        ordered = counts[:, order]
        return tuple(np.cumsum(ordered * mask, axis=1)[:, last] for mask in (positive, 1 - positive))

    def average_precision(self, counts: np.ndarray) -> np.ndarray:
        tp, fp = self.cumulated(counts)
        precision = tp / np.maximum(tp + fp, 1)
        return (np.diff(tp, axis=1, prepend=0) * precision).sum(axis=1) / tp[:, -1]

    def roc_auc(self, counts: np.ndarray) -> np.ndarray:
        tp, fp = self.cumulated(counts)
        found, alarms = np.diff(tp, axis=1, prepend=0), np.diff(fp, axis=1, prepend=0)
        return (alarms * (tp - found / 2)).sum(axis=1) / (tp[:, -1] * fp[:, -1])

    def brier(self, counts: np.ndarray) -> np.ndarray:
        return counts @ (self.probabilities - self.targets) ** 2 / len(self.targets)

    def ece(self, counts: np.ndarray) -> np.ndarray:
        """Expected calibration error; the bins are those of the whole sample."""
        bins = equal_mass_bins(self.probabilities)
        gaps = np.where(bins[:, None] == np.arange(BINS), (self.probabilities - self.targets)[:, None], 0)
        return np.abs(counts @ gaps).sum(axis=1) / len(self.targets)

    def ece_by_chance(self, replicates: int, seed: int) -> np.ndarray:
        """(replicates,) calibration errors of labels drawn from the probabilities, each bin's sum taken as normal."""
        p = self.probabilities
        deviations = np.sqrt(np.bincount(equal_mass_bins(p), weights=p * (1 - p), minlength=BINS))
        sums = np.random.default_rng(seed).normal(size=(replicates, BINS)) * deviations
        return np.abs(sums).sum(axis=1) / len(p)

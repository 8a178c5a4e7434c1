"""Can the label be told without looking at the picture? If so, a network will learn that instead of artifacts.

A linear classifier sees only file metadata, or only global statistics; its cross-validated ROC-AUC is compared with
those of shuffled labels (Ojala and Garriga, "Permutation tests for studying classifier performance", JMLR 2010).
Labels are shuffled among groups of near-duplicates of one size, each group's as a whole: copies are no evidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedGroupKFold

from artifact_detection.images.measure import COLOURS, MEASURES
from artifact_detection.labels import CLASSES

FOLDS = 5
PERMUTATIONS = 99
SIGNIFICANT = 0.05
MIN_IMAGES = 2 * FOLDS  # of each class, in distinct groups: fewer say nothing
MAX_ROWS = 5000  # more do not change the answer
PLANTED = 0.8  # ROC-AUC of the one further number that the power is told for
ALIKE = "all files are alike"
TRIALS = 100  # datasets with a planted shortcut


@dataclass(frozen=True)
class Shortcut:
    """auc: cross-validated ROC-AUC, p: permutation p-value; both NaN, with a `reason`, where nothing can be said.

    power: in how many of TRIALS datasets like this one, with a number added that alone has ROC-AUC PLANTED, p would
    have been at most SIGNIFICANT; NaN where p is.
    strongest: the feature that alone separates the classes best, separation: its ROC-AUC, turned to be >= 0.5.
    """

    auc: float = np.nan
    p: float = np.nan
    power: float = np.nan
    strongest: str = ""
    separation: float = np.nan
    reason: str = ""

    @property
    def shown(self) -> bool:
        return self.p <= SIGNIFICANT


def metadata_features(table: pd.DataFrame) -> pd.DataFrame:
    """What a file tells without being decoded: size, shape, format, mode."""
    pixels = table["width"] * table["height"]
    numbers = {
        "file size": np.log(table["bytes"]),
        "bytes per pixel": np.log(table["bytes"] / pixels),
        "width": table["width"],
        "height": table["height"],
        "aspect": table["aspect"],
    }
    return pd.concat([pd.DataFrame(numbers), pd.get_dummies(table[["format", "mode"]], dtype=float)], axis=1)


def global_features(table: pd.DataFrame) -> pd.DataFrame:
    """What one number each says about a whole picture: brightness, contrast, sharpness, colour, …"""
    chosen = [name for name in (*MEASURES, *COLOURS) if name != "aspect"]
    return table[chosen].assign(sharpness=np.log1p(table["sharpness"]))


def find_shortcut(features: pd.DataFrame, labels: np.ndarray, groups: np.ndarray, seed: int = 0) -> Shortcut:
    """features: (N, F) numbers; labels, groups: (N,) integers. Duplicates (one group) never stand on both sides."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(labels))[:MAX_ROWS]
    features, labels, groups = features.iloc[rows], labels[rows], np.unique(groups[rows], return_inverse=True)[1]
    sizes = np.bincount(groups)[groups]
    movable = np.isin(sizes, sizes[labels == 0]) & np.isin(sizes, sizes[labels == 1])
    distinct, moving = (
        min((len(np.unique(groups[(labels == label) & rows])), label) for label in range(len(CLASSES)))
        for rows in (True, movable)
    )
    if distinct[0] < MIN_IMAGES:
        return Shortcut(reason=f"not tested, {distinct[0]} distinct images of {CLASSES[distinct[1]]} are too few")
    if moving[0] < MIN_IMAGES:
        larger = f"only {moving[0]} groups of {CLASSES[moving[1]]} are as large as some of the other class"
        return Shortcut(reason=f"not tested, {larger}")
    features = features.loc[:, features.nunique() > 1]
    if features.empty:
        return Shortcut(reason=ALIKE)
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(features, labels, groups))
    values = features.to_numpy(float)
    shuffled = np.column_stack(list(shuffled_labels(labels, groups, PERMUTATIONS, rng)))
    auc, *chance = _cross_validated(values, np.column_stack([labels, shuffled]), folds)
    p = (1 + sum(other >= auc for other in chance)) / (1 + PERMUTATIONS)
    needed = np.sort(chance)[-int(SIGNIFICANT * (1 + PERMUTATIONS))]  # p is at most SIGNIFICANT above this
    alone = separations(features, labels)
    return Shortcut(auc, p, _power(values, labels, groups, folds, needed, rng), alone.index[0], alone.iloc[0])


def _cross_validated(values: np.ndarray, targets: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """ROC-AUC, (C,), of ridge regression on values (N, F) and their squares, for every column of targets (N, C)."""
    values = np.hstack([values, (values - values.mean(axis=0)) ** 2])  # squares: both extremes can be telling
    scores = np.empty(targets.shape)
    for training, held_out in folds:
        spread = values[training].std(axis=0)
        scaled = (values - values[training].mean(axis=0)) / np.where(spread > 0, spread, 1)
        x, y = scaled[training], targets[training] - targets[training].mean(axis=0)
        # Without the intercept, which would betray how many of the held-out labels are which.
        scores[held_out] = scaled[held_out] @ np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)
    return _aucs(targets, scores)


def _power(
    values: np.ndarray, labels: np.ndarray, groups: np.ndarray, folds: list, needed: float, rng: np.random.Generator
) -> float:
    """The share of TRIALS in which a planted number lifts the ROC-AUC above `needed`.

    Labels are shuffled, so that only the number tells them: normal noise, one draw a group, and for artifacts
    the shift that gives two normal distributions the ROC-AUC PLANTED.
    """
    shift, found = np.sqrt(2) * ndtri(PLANTED), 0
    for shuffled in shuffled_labels(labels, groups, TRIALS, rng):
        planted = rng.normal(size=groups.max() + 1)[groups] + shift * shuffled
        found += _cross_validated(np.column_stack([values, planted]), shuffled[:, None], folds)[0] > needed
    return found / TRIALS


def shuffled_labels(
    labels: np.ndarray, groups: np.ndarray, count: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Labels (N,) that change places with those of other groups of the same size, the group's as a whole."""
    order = np.lexsort((rng.random(len(groups)), groups))  # rows by group, in random order within it
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    blocks = [order[starts[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes)]  # (groups, size)
    for _ in range(count):
        shuffled = np.empty_like(labels)
        for block in blocks:
            shuffled[block] = labels[rng.permutation(block)]
        yield shuffled


def separations(features: pd.DataFrame, labels: np.ndarray) -> pd.Series:
    """ROC-AUC of each feature that varies, alone, turned to be at least 0.5, largest first."""
    varying = features.loc[:, features.nunique() > 1]
    aucs = pd.Series(_aucs(labels[:, None], varying.to_numpy()), index=varying.columns)
    return aucs.where(aucs >= 0.5, 1 - aucs).sort_values(ascending=False)


def _aucs(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """ROC-AUC of every column: labels (N, 1 or C) of 0 and 1, scores (N, C); the rank sum of Mann and Whitney."""
    positives = labels.sum(axis=0)
    ranks = (rankdata(scores, axis=0) * labels).sum(axis=0)
    return (ranks - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))

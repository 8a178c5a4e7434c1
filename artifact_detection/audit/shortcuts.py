"""Can the label be told without looking at the picture? If so, a network will learn that instead of artifacts.

A linear classifier sees only file metadata, or only global statistics; its cross-validated ROC-AUC is compared with
those of shuffled labels (Ojala and Garriga, "Permutation tests for studying classifier performance", JMLR 2010).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.linear_model import Ridge
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from artifact_detection.images.measure import COLOURS, MEASURES
from artifact_detection.labels import CLASSES

FOLDS = 5
PERMUTATIONS = 99
MIN_IMAGES = 2 * FOLDS  # of each class, in distinct groups: fewer say nothing
MAX_ROWS = 5000  # more do not change the answer


@dataclass(frozen=True)
class Shortcut:
    """auc: cross-validated ROC-AUC, p: permutation p-value; both NaN, with a `reason`, where nothing can be said.

    strongest: the feature that alone separates the classes best, separation: its ROC-AUC, turned to be >= 0.5.
    """

    auc: float = np.nan
    p: float = np.nan
    strongest: str = ""
    separation: float = np.nan
    reason: str = ""


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
    rows = np.random.default_rng(seed).permutation(len(labels))[:MAX_ROWS]
    features, labels, groups = features.iloc[rows], labels[rows], groups[rows]
    for label, name in enumerate(CLASSES):
        distinct = len(np.unique(groups[labels == label]))
        if distinct < MIN_IMAGES:
            return Shortcut(reason=f"{distinct} distinct images of {name} are too few to tell")
    features = features.loc[:, features.nunique() > 1]
    if features.empty:
        return Shortcut(reason="all files are alike")
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(features, labels, groups))
    values = np.hstack([features, (features - features.mean()) ** 2])  # squares: both extremes can be telling
    rng = np.random.default_rng(seed)
    targets = np.column_stack([labels, *(rng.permutation(labels) for _ in range(PERMUTATIONS))])  # (N, 1 + P)
    model = make_pipeline(StandardScaler(), Ridge())
    scores = cross_val_predict(model, values, targets, cv=folds)  # all label columns in one fit
    auc, *chance = _aucs(targets, scores)
    p = (1 + sum(other >= auc for other in chance)) / (1 + PERMUTATIONS)
    alone = separations(features, labels)
    return Shortcut(auc, p, alone.index[0], alone.iloc[0])


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

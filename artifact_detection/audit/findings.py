"""Sentences about a whole dataset that are no verdicts; EDA.ipynb shows them above its figures."""

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from artifact_detection.audit.dataset import Audit
from artifact_detection.audit.shortcuts import shuffled_labels
from artifact_detection.images.candidates import hash_distances
from artifact_detection.labels import ARTIFACT, CLEAN

SHUFFLES = 200
ONE_CLASS = "There are not two labelled classes to compare."


def contents(audit: Audit) -> str:
    """How many different pictures there are, and what a typical one is."""
    if audit.usable.empty:
        return "There is no image."
    middle = audit.usable[["width", "height", "brightness"]].median()
    return (
        f"{audit.usable['group'].nunique()} different pictures; a typical one has {middle['width']:.0f}x"
        f"{middle['height']:.0f} pixels and a brightness of {middle['brightness']:.0f} of 255."
    )


def class_difference(audit: Audit, measures: tuple[str, ...] = ("brightness", "contrast", "sharpness")) -> str:
    """Medians of each measure by class, and whether the distributions differ (Kolmogorov-Smirnov).

    A picture counts once in each class, however often it is repeated.
    """
    clean, artifacts = (rows.drop_duplicates("group") for rows in _classes(audit))
    if clean.empty or artifacts.empty:
        return ONE_CLASS
    parts = [
        f"{name}: median {artifacts[name].median():.0f} with artifacts, {clean[name].median():.0f} without "
        f"(p = {ks_2samp(artifacts[name], clean[name]).pvalue:.2f})"
        for name in measures
    ]
    return "; ".join(parts) + f". A p below {0.05 / len(measures):.3f} says that the distributions differ."


def similarity(audit: Audit, most: int = 1000) -> str:
    """How alike different pictures are, by their hashes."""
    rows = audit.usable.drop_duplicates("group").index.to_numpy()[:most]
    if len(rows) < 2:
        return "There are not two pictures to compare."
    distances = hash_distances(audit.thumbnails[rows])[np.triu_indices(len(rows), 1)]
    median, most_alike = 1 - np.quantile(distances, [0.5, 0]) / 128
    return (
        f"Different pictures share {median:.0%} of their hash bits (median; chance is 50 %), at most {most_alike:.0%}."
    )


def mean_difference(audit: Audit, seed: int = 0) -> str:
    """The largest difference between the class means of the thumbnails, beside that of shuffled labels.

    Duplicates keep together when labels are shuffled.
    """
    rows = pd.concat(_classes(audit))
    labels, groups = (rows["label"] == ARTIFACT).to_numpy(), np.unique(rows["group"], return_inverse=True)[1]
    if not 0 < labels.sum() < len(labels):
        return ONE_CLASS
    rng = np.random.default_rng(seed)
    shuffled = np.stack([labels, *shuffled_labels(labels, groups, SHUFFLES, rng)]).astype(np.float32)
    weights = shuffled / labels.sum() - (1 - shuffled) / (~labels).sum()  # (1 + SHUFFLES, N)
    pixels = audit.thumbnails[rows.index].reshape(len(rows), -1).astype(np.float32)
    largest = np.abs(weights @ pixels).max(axis=1)
    chance = np.quantile(largest[1:], 0.95)
    verdict = "more than chance explains" if largest[0] > chance else "which chance may explain"
    return (
        f"The class means differ by up to {largest[0]:.0f} of 255 grey levels, {verdict} "
        f"(95 % of shuffled labels stay below {chance:.0f})."
    )


def _classes(audit: Audit) -> tuple[pd.DataFrame, pd.DataFrame]:
    return tuple(audit.labelled[audit.labelled["label"] == label] for label in (CLEAN, ARTIFACT))

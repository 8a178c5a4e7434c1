"""Regions against masks: known boxes give known overlaps, families and tables."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from artifact_detection.detector.checkpoints import Checkpoint
from artifact_detection.detector.regions import Region
from artifact_detection.detector.scoring import Scorer
from artifact_detection.evaluation import findings, localization, plots
from artifact_detection.evaluation.localization import (
    NO_REGION,
    Located,
    family_confusion,
    iou_by_kind,
    localization_table,
    locate,
)
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import FAMILIES

SIDE = 128


class RedEngine:
    """Sees an overlay wherever it is red."""

    def evidence(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        red = F.avg_pool2d(images[:, :1].float(), 8) / 25 - 5  # (B, 1, h, w)
        maps = torch.cat([red, red, torch.full((len(red), 3, *red.shape[2:]), -5.0)], 1)
        return maps[:, 0].amax((1, 2)).numpy(), maps.numpy()


class Network:
    preprocessing, has_regions = Preprocessing(SIDE), True


@pytest.fixture
def scorer(monkeypatch) -> Scorer:
    def paint(image, kind, severity, rng):
        """Text is red, a hand green: only the first is seen."""
        mask = np.zeros(image.shape[:2], bool)
        mask[40:80, 40:96] = True
        result = image.copy()
        result[mask] = (255, 0, 0) if kind == "text" else (0, 255, 0)
        return result, mask

    monkeypatch.setattr(localization, "inject", paint)
    return Scorer(Network(), Checkpoint(), "red-1", RedEngine(), batch=2)


def test_what_is_seen_is_located_and_what_is_not_is_not(scorer):
    images = [np.zeros((SIDE, SIDE, 3), np.uint8)] * 3
    located = list(locate(scorer, images, ["text", "hand"]))
    table = localization_table(located, threshold=0.5)
    assert table["kind"].tolist() == ["text"] * 3 + ["hand"] * 3
    assert table["named"].tolist() == ["overlay"] * 3 + [NO_REGION] * 3
    assert table["found"].tolist() == [True] * 3 + [False] * 3
    assert (table["iou"][:3] > 0.8).all() and (table["iou"][3:] == 0).all()
    assert list(iou_by_kind(table)["n"]) == [3, 3, 6]
    counts = family_confusion(table)
    assert counts.loc["overlay", "overlay"] == counts.to_numpy().sum() == 3  # the hands are not found
    assert "on 6 injected artifacts" in findings.regions(table, scorer) and "100.0%" in findings.regions(table, scorer)
    assert len(plots.plot_regions(located).axes) == 6
    assert next(text.get_text() for text in plots.plot_families(counts).axes[0].texts) == "3"


def test_iou_counts_all_regions_and_the_surest_gives_the_name():
    mask = np.zeros((10, 20), bool)
    mask[:, :10] = True
    left, right = ((0, 0), (4, 0), (4, 9), (0, 9)), ((10, 0), (14, 0), (14, 9), (10, 9))
    one = Located("text", np.zeros((10, 20, 3), np.uint8), mask, 0.9,
                  [Region("anatomy", 0.9, left), Region("overlay", 0.5, right)])  # fmt: skip
    assert (one.iou(), one.named()) == (50 / 150, "anatomy")


def test_intervals_of_the_mean():
    table = pd.DataFrame({"kind": ["text"] * 4, "iou": [0.2, 0.4, 0.6, 0.8]})
    row = iou_by_kind(table).loc["all"]
    assert row["value"] == pytest.approx(0.5)
    assert (row["low"], row["high"]) == pytest.approx((0.5 - 0.4108, 0.5 + 0.4108), abs=1e-3)  # 3.182 * .2582 / 2


def test_families_that_never_occur_have_their_row():
    table = pd.DataFrame({"family": ["overlay"], "named": [NO_REGION], "found": [True]})
    assert family_confusion(table).shape == (len(FAMILIES), len(FAMILIES) + 1)

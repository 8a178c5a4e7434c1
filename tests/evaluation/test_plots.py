"""Figures: each is a Figure that draws, shows the right numbers and leaves pyplot alone."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from artifact_detection import figures
from artifact_detection.evaluation import plots
from artifact_detection.evaluation.bands import choose_bands
from artifact_detection.evaluation.metrics import summarize
from artifact_detection.evaluation.thresholds import threshold_table
from artifact_detection.intervals import wilson
from artifact_detection.training.plots import plot_curves

RNG = np.random.default_rng(0)
TARGETS = np.repeat([1, 0], [60, 240])
PROBABILITIES = 1 / (1 + np.exp(-RNG.normal(3 * TARGETS - 1.5)))
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "lr": [1e-5, 5e-5, 0],
        "train_loss": [0.7, 0.5, 0.3],
        "val_loss": [0.7, 0.6, 0.65],
        "val_ap": [0.2, 0.8, 0.7],
        "val_roc_auc": [0.5, 0.9, 0.85],
        "val_recall": [0.1, 0.7, 0.8],
        "val_precision": [np.nan, 0.6, 0.5],
        "seconds": [1, 1, 1],
    }
)
SHARES = pd.DataFrame({"value": [0.2, 1.0], "low": [0.1, 0.7], "high": [0.4, 1.0], "n": [10, 9]}, index=["a", "b"])
IMAGES = [RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8) for _ in range(5)]


def texts(figure: Figure) -> str:
    """Everything that is written in a figure, drawn once so that a broken one fails."""
    figure.canvas.draw()
    return "\n".join(item.get_text() for item in figure.findobj(matplotlib.text.Text))


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda: plot_curves(HISTORY), id="curves"),
        pytest.param(lambda: plots.plot_confusion(summarize(TARGETS, PROBABILITIES)), id="confusion"),
        pytest.param(lambda: plots.plot_roc_pr(TARGETS, PROBABILITIES, 0.5, replicates=20), id="ROC and PR"),
        pytest.param(lambda: plots.plot_calibration(TARGETS, {"raw": PROBABILITIES}), id="calibration"),
        pytest.param(lambda: plots.plot_scores(TARGETS, PROBABILITIES, 0.5), id="scores"),
        pytest.param(
            lambda: plots.plot_thresholds(threshold_table(TARGETS, PROBABILITIES, [0.1, 0.5, 0.9]), 0.5),
            id="thresholds",
        ),
        pytest.param(lambda: figures.plot_gallery(IMAGES, list("abcde"), columns=3), id="gallery"),
        pytest.param(lambda: plots.plot_shares(SHARES, "share", marks=pd.Series([0.1, 0.9])), id="shares"),
    ],
)
def test_every_figure_draws_and_is_saved_whole(draw, tmp_path):
    figure = draw()
    assert isinstance(figure, Figure)
    figures.save(figure, tmp_path / "figure.png", dpi=50)
    assert min(Image.open(tmp_path / "figure.png").size) > 50
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_no_figure_is_registered_or_shown():
    """pyplot would keep every figure alive, and could open a window."""
    assert "pyplot" not in Path(plots.__file__).read_text(encoding="utf-8")


def test_curves_name_the_best_epoch():
    assert "best AP 0.800, epoch 2" in texts(plot_curves(HISTORY))


def test_curves_of_a_run_whose_validation_has_one_class():
    assert "best" not in texts(plot_curves(HISTORY.assign(val_ap=np.nan)))


def test_confusion_shows_counts_rates_and_intervals():
    summary = summarize(np.repeat([1, 0], [20, 180]), None, predictions=np.repeat([1, 0, 1, 0], [15, 5, 3, 177]))
    written = texts(plots.plot_confusion(summary))
    low, high = wilson(15, 20)
    assert f"15\n75.0%\n({low:.1%} to {high:.1%})" in written
    assert "177\n98.3%" in written


def test_confusion_of_one_class():
    assert texts(plots.plot_confusion(summarize([0, 0], [0.1, 0.2]))).count("no such image") == 2


def test_roc_and_pr_bands_hold_the_curve_and_the_dot():
    figure = plots.plot_roc_pr(TARGETS, PROBABILITIES, 0.5, replicates=50)
    roc, pr = figure.axes
    flagged = PROBABILITIES >= 0.5
    recall, lost = flagged[TARGETS == 1].mean(), flagged[TARGETS == 0].mean()
    assert roc.lines[-1].get_xydata().ravel() == pytest.approx([lost, recall])
    assert pr.lines[-1].get_xydata().ravel() == pytest.approx([recall, TARGETS[flagged].mean()])
    for axis in (roc, pr):
        low, high = axis.collections[0].get_paths()[0].get_extents().intervaly
        assert 0 <= low < high <= 1


def test_scores_show_the_bands():
    bands = choose_bands(TARGETS, PROBABILITIES, clean_rejected=0.2, artifacts_kept=0.05)
    written = texts(plots.plot_scores(TARGETS, PROBABILITIES, 0.5, bands))
    assert "keep band" in written
    assert "reject band" in written
    assert "artifacts (60)" in written


def test_gallery_lays_heat_maps_over_copies():
    figure = figures.plot_gallery(IMAGES, list("abcde"), [np.eye(4)] * 5, columns=3)
    assert len(figure.axes) == 4 * 3
    assert [len(axis.images) for axis in figure.axes] == [1] * 3 + [2] * 3 + [1, 1, 0] + [2, 2, 0]
    image, heatmap = figure.axes[3].images
    assert image.get_extent() == list(heatmap.get_extent())


def test_gallery_of_nothing():
    assert isinstance(figures.plot_gallery([], []), Figure)

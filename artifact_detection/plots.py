"""Every figure of training and evaluation. A function returns a matplotlib Figure; none shows or writes one."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn import metrics as sk

from artifact_detection.intervals import wilson
from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN
from artifact_detection.metrics import Summary
from artifact_detection.resampling import WeightedMetrics, equal_mass_bins, stratified_counts
from artifact_detection.system.files import write_atomic
from artifact_detection.thresholds import Bands

BLUE, RED, GREY, GREEN = "#2f6fb3", "#c8443c", "#8a8f98", "#3c8d5a"
CLASS_COLOURS = {CLEAN: BLUE, ARTIFACT: RED}
VALIDATION_CURVES = (
    ("val_roc_auc", "ROC-AUC", BLUE), ("val_recall", "recall", GREEN),
    ("val_precision", "precision", GREY), ("val_ap", "AP", RED),
)  # fmt: skip
GRID = np.linspace(0, 1, 201)  # where a curve's interval is evaluated


def save(figure: Figure, path: str | Path, dpi: int = 120) -> None:
    """Write a figure as PNG; the file appears whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    write_atomic(path, buffer.getvalue())


def panels(
    columns: int, width: float = 4.2, height: float = 3.4, rows: int = 1, sharey: bool = False
) -> tuple[Figure, np.ndarray]:
    """A figure and its (rows * columns,) axes, of width x height inches each."""
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, axes.ravel()


def _label(axis: Axes, x: str, y: str, title: str = "") -> None:
    axis.set(xlabel=x, ylabel=y)
    axis.set_title(title, fontsize=10, loc="left")


def plot_curves(history: pd.DataFrame) -> Figure:
    """Training curves from history.csv: losses, validation metrics, learning rate; the best epoch is marked.

    Columns: epoch, lr, train_loss, val_loss, val_ap, val_roc_auc, val_recall, val_precision.
    """
    figure, (loss, quality, rate) = panels(3)
    epochs = history["epoch"]
    loss.plot(epochs, history["train_loss"], color=GREY, label="training")
    loss.plot(epochs, history["val_loss"], color=RED, label="validation")
    for name, label, colour in VALIDATION_CURVES:
        width = 1.8 if name == "val_ap" else 1  # the curve that chooses the checkpoint
        quality.plot(epochs, history[name], color=colour, linewidth=width, label=label)
    rate.plot(epochs, history["lr"], color=GREY)
    rate.set_ylim(bottom=0)
    quality.set_ylim(0, 1.02)
    if history["val_ap"].notna().any():
        best = history["val_ap"].idxmax()
        for axis in (loss, quality):
            axis.axvline(epochs[best], color=GREY, linestyle=":", linewidth=1)
        quality.set_title(f"best AP {history['val_ap'][best]:.3f}, epoch {epochs[best]}", fontsize=10, loc="left")
    _label(loss, "epoch", "loss", "loss")
    quality.set(xlabel="epoch", ylabel="validation")
    _label(rate, "epoch", "learning rate", "learning rate")
    loss.legend(frameon=False, fontsize=8)
    quality.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def plot_confusion(summary: Summary) -> Figure:
    """The confusion matrix as counts and as rates of the true class, with Wilson intervals."""
    figure, (axis,) = panels(1)
    support = summary.confusion.sum(axis=1, keepdims=True)
    rates = summary.confusion / np.maximum(support, 1)
    axis.imshow(rates, cmap="Blues", vmin=0, vmax=1)
    for true, predicted in np.ndindex(2, 2):
        count, n = int(summary.confusion[true, predicted]), int(support[true, 0])
        low, high = wilson(count, n)
        text = f"{count}\n{rates[true, predicted]:.1%}\n({low:.1%} to {high:.1%})" if n else "0\nno such image"
        colour = "white" if rates[true, predicted] > 0.6 else "black"
        axis.text(predicted, true, text, ha="center", va="center", color=colour, fontsize=9)
    axis.set_xticks((0, 1), CLASSES)
    axis.set_yticks((0, 1), CLASSES, rotation=90, va="center")
    axis.grid(False)
    _label(axis, "predicted", "labelled")
    return figure


def plot_roc_pr(targets: np.ndarray, probabilities: np.ndarray, threshold: float, replicates: int = 500) -> Figure:
    """ROC and precision-recall curves with pointwise 95 % bootstrap bands, and the threshold in use as a dot."""
    figure, (roc, pr) = panels(2, width=4)
    curves = WeightedMetrics(targets, probabilities >= threshold, probabilities)
    bands = _curve_bands(curves, targets, replicates)
    for axis, (low, high) in zip((roc, pr), bands, strict=True):
        axis.fill_between(GRID, low, high, color=RED, alpha=0.15, linewidth=0)
        axis.set(xlim=(-0.01, 1.01), ylim=(0, 1.02))
    false_rate, recall, _ = sk.roc_curve(targets, probabilities)
    roc.plot(false_rate, recall, color=RED)
    roc.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    precision, found, _ = sk.precision_recall_curve(targets, probabilities)
    pr.step(found, precision, color=RED, where="post")
    pr.axhline(targets.mean(), color=GREY, linestyle=":", linewidth=1)
    tn, fp, fn, tp = (cell.item() for cell in curves.confusion(np.ones((1, len(targets)))))
    roc.plot(fp / (fp + tn), tp / (tp + fn), "o", color="black", markersize=5)
    if tp + fp:
        pr.plot(tp / (tp + fn), tp / (tp + fp), "o", color="black", markersize=5)
    _label(roc, "clean images lost", "artifacts found (recall)", "ROC")
    _label(pr, "artifacts found (recall)", "precision", "precision-recall")
    return figure


def _curve_bands(curves: WeightedMetrics, targets: np.ndarray, replicates: int) -> list[np.ndarray]:
    """(2, G) lower and upper ends on GRID: of recall by false-positive rate, and of precision by recall."""
    roc, pr = [], []
    for counts in stratified_counts(targets, replicates, seed=0):
        for tp, fp in zip(*curves.cumulated(counts), strict=True):
            recall = tp / tp[-1]
            roc.append(np.interp(GRID, np.append(0, fp / fp[-1]), np.append(0, recall)))
            precision = tp / np.maximum(tp + fp, 1)
            reached = np.searchsorted(recall, np.clip(GRID, 1e-6, 1) - 1e-9)  # a step, no straight line
            pr.append(precision[reached])
    return [np.quantile(draws, (0.025, 0.975), axis=0) for draws in (roc, pr)]


def plot_calibration(targets: np.ndarray, variants: dict[str, np.ndarray]) -> Figure:
    """Observed share of artifacts by predicted probability, equal-mass bins with Wilson intervals.

    variants: name -> probabilities (n,), e.g. before and after temperature.
    """
    figure, (axis,) = panels(1, width=4.6)
    axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    for (name, probabilities), colour in zip(variants.items(), (GREY, RED, BLUE), strict=False):
        bins = equal_mass_bins(probabilities)
        rows = [(probabilities[bins == b].mean(), targets[bins == b].sum(), (bins == b).sum()) for b in np.unique(bins)]
        predicted, found, n = (np.array(column) for column in zip(*rows, strict=True))
        ends = np.array([wilson(k, size) for k, size in zip(found, n, strict=True)])
        spread = np.abs(ends.T - found / n)
        axis.errorbar(predicted, found / n, spread, color=colour, marker="o", markersize=4, linewidth=1, label=name)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axis.legend(frameon=False, fontsize=8, loc="upper left")
    _label(axis, "predicted P(artifacts)", "observed share of artifacts")
    return figure


def plot_scores(targets: np.ndarray, probabilities: np.ndarray, threshold: float, bands: Bands | None = None) -> Figure:
    """Histogram of the probabilities by class, with the threshold and the edges of the bands."""
    figure, (axis,) = panels(1, width=6)
    for label in (CLEAN, ARTIFACT):
        name = f"{CLASSES[label]} ({(targets == label).sum()})"
        axis.hist(
            probabilities[targets == label], np.linspace(0, 1, 41), color=CLASS_COLOURS[label], alpha=0.6, label=name
        )
    axis.axvline(threshold, color="black", linewidth=1, label=f"threshold {threshold:.3f}")
    for band, colour in ((bands.keep, BLUE), (bands.reject, RED)) if bands else ():
        if band.threshold is not None:
            edges = (0, band.threshold) if band is bands.keep else (band.threshold, 1)
            axis.axvspan(*edges, color=colour, alpha=0.08, label=f"{band.action} band")
    axis.set_yscale("log")
    axis.set_ylim(bottom=0.7)  # so that a single image shows
    axis.legend(frameon=False, fontsize=8)
    _label(axis, "P(artifacts)", "images")
    return figure


def plot_thresholds(table: pd.DataFrame, threshold: float) -> Figure:
    """What filtering at each threshold would do, from `thresholds.threshold_table`."""
    figure, (images, shares) = panels(2)
    for name, colour in {"images_kept": GREY, "artifacts_left": RED, "clean_lost": BLUE}.items():
        images.plot(table["threshold"], table[name], color=colour, label=name.replace("_", " "))
    images.set_yscale("symlog", linthresh=10)
    images.set_ylim(bottom=0)
    shares.fill_between(
        table["threshold"], table["recall_low"], table["recall_high"], color=RED, alpha=0.15, linewidth=0
    )
    for name, colour, text in (
        ("recall", RED, "recall"),
        ("precision", BLUE, "precision"),
        ("residual", GREY, "artifacts in the kept set"),
    ):
        shares.plot(table["threshold"], table[name], color=colour, label=text)
    for axis in (images, shares):
        axis.axvline(threshold, color="black", linewidth=1)
        axis.legend(frameon=False, fontsize=8)
    _label(images, "threshold", "images")
    _label(shares, "threshold", "share")
    return figure


def plot_gallery(
    images: Sequence[np.ndarray], titles: Sequence[str], heatmaps: Sequence[np.ndarray] | None = None, columns: int = 6
) -> Figure:
    """Images (H, W, 3) uint8 with a title each; heat maps of any size, in [0, 1], lie over a copy below."""
    columns = max(1, min(columns, len(images)))
    bands = max(1, -(-len(images) // columns))
    step = 1 if heatmaps is None else 2
    figure = Figure(figsize=(columns * 1.5, bands * step * 1.45 + 0.25 * bands), layout="constrained")
    axes = figure.subplots(bands * step, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, (image, title) in enumerate(zip(images, titles, strict=True)):
        row, column = divmod(i, columns)
        axes[row * step, column].imshow(image)
        axes[row * step, column].set_title(title, fontsize=7)
        if heatmaps is not None:
            axes[row * step + 1, column].imshow(image)
            size = (-0.5, image.shape[1] - 0.5, image.shape[0] - 0.5, -0.5)
            axes[row * step + 1, column].imshow(heatmaps[i], cmap="inferno", alpha=0.55, vmin=0, vmax=1, extent=size)
    return figure


def plot_shares(table: pd.DataFrame, label: str, marks: pd.Series | None = None) -> Figure:
    """A share with its interval per row; columns value, low, high, n; the index names the rows.

    marks: a second share of each row, for comparison, drawn as an x.
    """
    figure, (axis,) = panels(1, width=6, height=0.8 + 0.22 * len(table))
    rows = np.arange(len(table))
    spread = np.abs(table[["low", "high"]].to_numpy().T - table["value"].to_numpy())
    axis.errorbar(table["value"], rows, xerr=spread, fmt="o", color=RED, ecolor=GREY, markersize=4)
    names = table.index.map(lambda key: " ".join(map(str, key)) if isinstance(key, tuple) else str(key))
    axis.set_yticks(rows, [f"{name} (n={n})" for name, n in zip(names, table["n"], strict=True)], fontsize=8)
    if marks is not None:
        axis.plot(marks, rows, "x", color="black", markersize=4)
    axis.invert_yaxis()
    axis.set_xlim(-0.02, 1.02)
    _label(axis, label, "")
    return figure

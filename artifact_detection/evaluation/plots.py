"""The figures of evaluation. A function returns a matplotlib Figure; none shows or writes one."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn import metrics as sk

from artifact_detection.detector.heatmaps import explain
from artifact_detection.evaluation.bands import Bands
from artifact_detection.evaluation.loading import Evaluation
from artifact_detection.evaluation.localization import Located
from artifact_detection.evaluation.metrics import Summary
from artifact_detection.evaluation.resampling import WeightedMetrics, equal_mass_bins, stratified_counts
from artifact_detection.figures import BLUE, CLASS_COLOURS, GREY, RED, label_axes, panels, plot_gallery
from artifact_detection.images.transforms import resize, within
from artifact_detection.intervals import wilson
from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN

PICTURE = 200  # pixels of the longer side, where outlines are to be seen
GALLERY_SIDE = 120  # pixels; the galleries stay small enough to be kept in the notebook
GRID = np.linspace(0, 1, 201)  # where a curve's interval is evaluated


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
    label_axes(axis, "predicted", "labelled")
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
    label_axes(roc, "clean images lost", "artifacts found (recall)", "ROC")
    label_axes(pr, "artifacts found (recall)", "precision", "precision-recall")
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
    label_axes(axis, "predicted P(artifacts)", "observed share of artifacts")
    return figure


def plot_scores(targets: np.ndarray, probabilities: np.ndarray, threshold: float, bands: Bands | None = None) -> Figure:
    """Histogram of the probabilities by class, with the threshold and the edges of the bands."""
    figure, (axis,) = panels(1, width=6)
    for label in (CLEAN, ARTIFACT):
        name = f"{CLASSES[label]} ({(targets == label).sum()})"
        own, colour = probabilities[targets == label], CLASS_COLOURS[label]
        axis.hist(own, np.linspace(0, 1, 41), color=colour, alpha=0.6, label=name)
    axis.axvline(threshold, color="black", linewidth=1, label=f"threshold {threshold:.3f}")
    for band, colour in ((bands.keep, BLUE), (bands.reject, RED)) if bands else ():
        if band.threshold is not None:
            edges = (0, band.threshold) if band is bands.keep else (band.threshold, 1)
            axis.axvspan(*edges, color=colour, alpha=0.08, label=f"{band.action} band")
    axis.set_yscale("log")
    axis.set_ylim(bottom=0.7)  # so that a single image shows
    axis.legend(frameon=False, fontsize=8)
    label_axes(axis, "P(artifacts)", "images")
    return figure


def plot_thresholds(table: pd.DataFrame, threshold: float) -> Figure:
    """What filtering at each threshold would do, from `thresholds.threshold_table`."""
    figure, (images, shares) = panels(2)
    for name, colour in {"images_kept": GREY, "artifacts_left": RED, "clean_lost": BLUE}.items():
        images.plot(table["threshold"], table[name], color=colour, label=name.replace("_", " "))
    images.set_yscale("symlog", linthresh=10)
    images.set_ylim(bottom=0)
    ends = (table["recall_low"], table["recall_high"])
    shares.fill_between(table["threshold"], *ends, color=RED, alpha=0.15, linewidth=0)
    for name, colour, text in (
        ("recall", RED, "recall"),
        ("precision", BLUE, "precision"),
        ("residual", GREY, "artifacts in the kept set"),
    ):
        shares.plot(table["threshold"], table[name], color=colour, label=text)
    for axis in (images, shares):
        axis.axvline(threshold, color="black", linewidth=1)
        axis.legend(frameon=False, fontsize=8)
    label_axes(images, "threshold", "images")
    label_axes(shares, "threshold", "share")
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
    label_axes(axis, label, "")
    return figure


def plot_regions(located: Sequence[Located], columns: int = 6) -> Figure:
    """Images with an injected artifact: the edge of its mask in white, the detector's regions in red."""
    pictures, titles = [], []
    for one in located:
        scale, picture = PICTURE / max(one.mask.shape), within(one.image, PICTURE)
        mask = within(one.mask.astype(np.uint8), PICTURE)
        edges, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, edges, -1, (255, 255, 255), 1)
        for region in one.regions:
            cv2.polylines(picture, [np.int32(np.array(region.outline) * scale)], True, (230, 30, 30), 2)
        pictures.append(picture)
        titles.append(f"{one.kind}: {one.named()}\nP {one.probability:.2f}, IoU {one.iou():.2f}")
    return plot_gallery(pictures, titles, columns=columns)


def plot_families(counts: pd.DataFrame) -> Figure:
    """The confusion of families, from `localization.family_confusion`: counts, shaded by their share of the row."""
    figure, (axis,) = panels(1, width=4.8)
    shares = counts.to_numpy() / np.maximum(counts.sum(axis=1).to_numpy()[:, None], 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if shares[row, column] > 0.6 else "black"
        axis.text(column, row, counts.iat[row, column], ha="center", va="center", color=colour, fontsize=9)
    axis.set_xticks(range(counts.shape[1]), counts.columns, rotation=30, ha="right")
    axis.set_yticks(range(counts.shape[0]), counts.index)
    axis.grid(False)
    label_axes(axis, "named", "injected")
    return figure


def gallery(run: Evaluation, outcome: str, each: int = 6) -> Figure:
    """The `each` most confident images of an outcome, then the `each` least confident, with P and heat map."""
    rows = run.rows(outcome)
    chosen = rows if len(rows) <= 2 * each else np.concatenate([rows[:each], rows[-each:]])
    images = run.images(chosen)
    titles = [f"{Path(row.path).stem}\nP {row.probability:.3f}" for row in run.table.iloc[chosen].itertuples()]
    heatmaps = explain(run.model, images) if run.model else None
    return plot_gallery([resize(image, GALLERY_SIDE) for image in images], titles, heatmaps, each)

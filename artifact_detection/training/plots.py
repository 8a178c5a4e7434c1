"""The figures of a training run."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from artifact_detection.figures import BLUE, GREEN, GREY, RED, label_axes, panels, plot_gallery
from artifact_detection.images.decoding import read_image
from artifact_detection.images.transforms import resize
from artifact_detection.labels import CLASSES
from artifact_detection.system.paths import path_of

VALIDATION_CURVES = (
    ("val_roc_auc", "ROC-AUC", BLUE), ("val_recall", "recall", GREEN),
    ("val_precision", "precision", GREY), ("val_ap", "AP", RED),
)  # fmt: skip
SHOWN, SIDE = 24, 160  # images in the gallery of doubtful labels, and the pixels of one


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
    label_axes(loss, "epoch", "loss", "loss")
    quality.set(xlabel="epoch", ylabel="validation")
    label_axes(rate, "epoch", "learning rate", "learning rate")
    loss.legend(frameon=False, fontsize=8)
    quality.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def plot_label_errors(ranking: pd.DataFrame, root: Path) -> Figure:
    """The first images of a ranking, with what their label says and how probable that is."""
    shown = ranking.head(SHOWN)
    images = [resize(read_image(root / path_of(path)), SIDE) for path in shown["path"]]
    titles = [f"{Path(row.path).name}\n{CLASSES[row.label]}: {row.label_probability:.2f}" for row in shown.itertuples()]
    return plot_gallery(images, titles)

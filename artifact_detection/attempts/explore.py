"""What model-training-attempts/explore-focal-loss.ipynb shows: a loss function taken apart."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from artifact_detection.attempts.plots import COLOURS
from artifact_detection.figures import panels
from artifact_detection.images.decoding import read_image
from artifact_detection.images.transforms import resize
from artifact_detection.labels import CLASSES, DEFAULT_PATTERN, compile_pattern, parse_label
from artifact_detection.training.data import ImageSet
from artifact_detection.training.losses import FocalLoss


def read_flat(folder: Path, count: int, size: int) -> ImageSet:
    """The first `count` images of a flat, filename-labelled folder, resized to (size, size)."""
    files = sorted(folder.glob("*.png"))[:count]
    pixels = np.stack([resize(read_image(path), size) for path in files])
    pattern = compile_pattern(DEFAULT_PATTERN)
    labels = [int(parse_label(path.name, pattern)) for path in files]
    table = pd.DataFrame({"path": [path.name for path in files], "label": labels, "row": range(len(files))})
    return ImageSet(folder, table, pixels, {})


def pull(labels: np.ndarray, logits: np.ndarray, gamma: float) -> np.ndarray:
    """(N,) how strongly each image moves its own logit: the absolute gradient of its focal loss."""
    values = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    loss = FocalLoss(gamma)(values, torch.tensor(labels, dtype=torch.float64)) * len(labels)
    (gradient,) = torch.autograd.grad(loss, values)
    return gradient.abs().numpy()


def shares(labels: np.ndarray, logits: np.ndarray, gammas: Sequence[float]) -> pd.DataFrame:
    """Whose gradient it is, by gamma: shares of the artifacts, and of the tenth of the images that pull most."""
    rows = {}
    for gamma in gammas:
        pulls = pull(labels, logits, gamma)
        hardest = np.sort(pulls)[-max(1, len(pulls) // 10) :]
        rows[gamma] = {
            "artifacts": pulls[labels == 1].sum() / pulls.sum(),
            "hardest tenth": hardest.sum() / pulls.sum(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("gamma")


def plot_losses(gammas: Sequence[float]) -> Figure:
    """Loss and gradient of one image by the probability that the network gives to its label."""
    figure, (loss, gradient) = panels(2, 4, 3.2, sharey=True)
    right = np.linspace(0.005, 0.995, 199)
    logits = np.log(right / (1 - right))
    for gamma, colour in zip(gammas, COLOURS, strict=False):
        values = [FocalLoss(gamma)(torch.tensor([z]), torch.ones(1, dtype=torch.float64)).item() for z in logits]
        loss.plot(right, values, color=colour, label=f"gamma {gamma:g}")
        gradient.plot(right, pull(np.ones(len(logits)), logits, gamma), color=colour)
    for axis, name in ((loss, "loss"), (gradient, "gradient")):
        axis.set_title(name, fontsize=10, loc="left")
        axis.set_xlabel("probability given to the right class")
    loss.set_ylim(0, 3)
    loss.legend(frameon=False, fontsize=8)
    return figure


def plot_logits(labels: np.ndarray, logits: dict[str, np.ndarray]) -> Figure:
    """Where the two classes lie after training with each loss."""
    figure, axes = panels(len(logits), 4, 2.8, sharey=True)
    edges = np.linspace(*np.quantile(np.concatenate(list(logits.values())), (0, 1)), 30)
    for axis, (name, values) in zip(axes, logits.items(), strict=True):
        for label, colour in zip((0, 1), (COLOURS[1], COLOURS[0]), strict=True):
            axis.hist(values[labels == label], edges, color=colour, alpha=0.6, label=CLASSES[label], density=True)
        axis.set_title(name, fontsize=10, loc="left")
        axis.set_xlabel("logit")
    axes[0].legend(frameon=False, fontsize=8)
    return figure

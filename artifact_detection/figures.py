"""One style for every figure: colours, panels, saving, galleries. A function returns a Figure; none shows one."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from artifact_detection.labels import ARTIFACT, CLEAN
from artifact_detection.system.files import write_atomic

BLUE, RED, GREY, GREEN = "#2f6fb3", "#c8443c", "#8a8f98", "#3c8d5a"
CLASS_COLOURS = {CLEAN: BLUE, ARTIFACT: RED}


def save(figure: Figure, path: str | Path, dpi: int = 120) -> None:
    """Write a figure as PNG; the file appears whole or not at all."""
    write_atomic(path, png(figure, dpi))


def png(figure: Figure, dpi: int = 120) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def panels(
    columns: int, width: float = 4.2, height: float = 3.4, rows: int = 1, sharey: bool = False, grid: bool = True
) -> tuple[Figure, np.ndarray]:
    """A figure and its (rows * columns,) axes, of width x height inches each."""
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        if grid:
            axis.grid(alpha=0.25, linewidth=0.6)
            axis.set_axisbelow(True)
    return figure, axes.ravel()


def label_axes(axis: Axes, x: str, y: str, title: str = "") -> None:
    axis.set(xlabel=x, ylabel=y)
    axis.set_title(title, fontsize=10, loc="left")


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

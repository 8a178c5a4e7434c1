"""The figures of model-training-attempts/compare.ipynb. A function returns a Figure; none shows or writes one."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from artifact_detection.attempts.catalogue import GROUPS, RECIPE
from artifact_detection.evaluation.findings import SIGNIFICANT
from artifact_detection.figures import BLUE, GREEN, GREY, RED, panels

COLOURS = (RED, BLUE, GREEN, "#d08c2e", "#7d5ba6", "#3aa6a6", "#a05a3c", "#c65f9c", "#5c6b2f")


def plot_costs(board: pd.DataFrame) -> Figure:
    """AP with its interval against training time, and image and network size where they differ; the best and the
    recipe are named."""
    labels = {"seconds": "seconds a fold", "image_size": "image size, pixels", "millions": "network, million weights"}
    columns = {name: label for name, label in labels.items() if name == "seconds" or board[name].nunique() > 1}
    figure, axes = panels(len(columns), 4, 3.4, sharey=True)
    for axis, (column, label) in zip(axes, columns.items(), strict=True):
        spread = np.abs(board[["low", "high"]].to_numpy().T - board["ap"].to_numpy())
        axis.errorbar(board[column], board["ap"], spread, fmt="o", color=GREY, ecolor=GREY, alpha=0.4, markersize=4)
        for name, colour in ((board.index[0], RED), (RECIPE, BLUE)):
            axis.plot(board.loc[name, column], board.loc[name, "ap"], "o", color=colour, label=name)
        axis.set_xlabel(label)
    axes[0].set_ylabel("out-of-fold AP")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def plot_differences(board: pd.DataFrame) -> Figure:
    """AP minus the recipe's with its interval, an attempt a row; red where it holds after Holm's correction."""
    rows = board.drop(index=RECIPE).dropna(subset="difference")
    figure, (axis,) = panels(1, 7, 0.9 + 0.24 * len(rows))
    for i, (_, row) in enumerate(rows.iterrows()):
        colour = RED if row["p"] < SIGNIFICANT else GREY
        axis.plot([row["difference_low"], row["difference_high"]], [i, i], color=colour, linewidth=1.5)
        axis.plot(row["difference"], i, "o", color=colour, markersize=4)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(rows)), rows.index, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("AP minus the recipe's, 95 % interval")
    return figure


def plot_learning(history: pd.DataFrame, board: pd.DataFrame) -> Figure:
    """Validation AP by epoch, mean over folds and seeds, the recipe in grey in every group's panel."""
    means = history.groupby(["attempt", "epoch"])["val_ap"].mean()
    groups = [group for group in GROUPS if (board["group"] == group).any()]
    columns = min(4, max(1, len(groups)))
    figure, axes = panels(columns, 3.6, 4.6, -(-max(1, len(groups)) // columns), sharey=True)
    for axis, group in zip(axes, groups, strict=False):
        axis.plot(means[RECIPE].index, means[RECIPE], color=GREY, linewidth=2, label=RECIPE)
        for name, colour in zip(board.index[board["group"] == group], COLOURS, strict=False):
            axis.plot(means[name].index, means[name], color=colour, label=name)
        axis.set_title(group, fontsize=10, loc="left")
        axis.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(0, -0.15))
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    for axis in axes[len(groups) :]:
        axis.set_axis_off()
    axes[0].set_ylabel("validation AP")
    return figure


def plot_seeds(rows: pd.DataFrame) -> Figure:
    """Out-of-fold AP of every fold and seed, for the attempts with several seeds: how much is chance?"""
    several = [name for name, part in rows.groupby("attempt") if part["seed"].nunique() > 1]
    figure, (axis,) = panels(1, 7, 0.9 + 0.35 * len(several))
    for i, name in enumerate(several):
        part = rows[rows["attempt"] == name]
        axis.plot(part["oof_ap"], np.full(len(part), i), "o", color=GREY, alpha=0.5, markersize=4)
        axis.plot(part.groupby("seed")["oof_ap"].mean(), np.full(part["seed"].nunique(), i), "|", color=RED, ms=14)
    axis.set_yticks(range(len(several)), several, fontsize=8)
    axis.set_xlabel("out-of-fold AP: folds (dots), means of a seed (bars)")
    return figure

"""Which labels are probably wrong: out-of-fold predictions that contradict them most.

The score is the probability of the given label under a model that never saw the image ("self-confidence": Northcutt,
Jiang & Chuang, "Confident Learning", arXiv 1911.00068).
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from artifact_detection import figures
from artifact_detection.evaluation import metrics
from artifact_detection.labels import ARTIFACT
from artifact_detection.system import run_files
from artifact_detection.system.files import write_atomic
from artifact_detection.system.tables import frame_text
from artifact_detection.training.data import ImageSet
from artifact_detection.training.plots import plot_label_errors

RANKING, GALLERY = "label_errors.csv", "label_errors.png"
FILES = (run_files.predictions(run_files.OUT_OF_FOLD), run_files.METRICS, RANKING, GALLERY)


def join_folds(folders: list[Path], images: ImageSet, groups: np.ndarray) -> pd.DataFrame:
    """One table of held_out_predictions.csv of every fold, in the order of `images`, with columns fold and group."""
    tables = [
        pd.read_csv(path / run_files.predictions(run_files.HELD_OUT)).assign(fold=n)
        for n, path in enumerate(folders, 1)
    ]
    order = images.table[["path"]].assign(group=groups)
    return pd.concat(tables).merge(order, on="path", how="right", validate="one_to_one")


def rank_labels(table: pd.DataFrame) -> pd.DataFrame:
    """The images whose out-of-fold prediction is not their label, the most doubtful label first.

    table: columns path, label, probability (of "artifacts"), prediction and whatever else; returned with
    `label_probability`, the probability of the given label.
    """
    given = np.where(table["label"] == ARTIFACT, table["probability"], 1 - table["probability"])
    doubtful = table.assign(label_probability=given.round(6))[table["label"] != table["prediction"]]
    return doubtful.sort_values(["label_probability", "path"], ignore_index=True)


def write_report(folder: Path, table: pd.DataFrame, root: Path) -> str:
    """Write FILES into a folder that is the training's; what to tell the user.

    table: as `join_folds` gives it; root: the folder that its paths start from.
    """
    summary = metrics.summarize(table["label"], table["probability"], predictions=table["prediction"])
    ranking = rank_labels(table)
    write_atomic(folder / run_files.predictions(run_files.OUT_OF_FOLD), frame_text(table))
    write_atomic(folder / run_files.METRICS, json.dumps(summary.as_dict(), indent=2) + "\n")
    write_atomic(folder / RANKING, frame_text(ranking))
    figures.save(plot_label_errors(ranking, root), folder / GALLERY)
    return f"out of fold, all training images: {summary.table()}\n\n{len(ranking)} labels to check: {folder}"

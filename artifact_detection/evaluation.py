"""What the evaluation notebook works on: a run with its dataset, or a predictions file from anywhere."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, logit

from artifact_detection import engine
from artifact_detection.images import read_image
from artifact_detection.labels import ARTIFACT, CLEAN, DEFAULT_PATTERN
from artifact_detection.metrics import usable_rows
from artifact_detection.models import Detector, load_checkpoint
from artifact_detection.predictions import read_predictions
from artifact_detection.stability import Score
from artifact_detection.transforms import evaluation_transform

PROJECT = Path(__file__).resolve().parent.parent
BATCH = 32
OUTCOMES = {
    "true positives": (ARTIFACT, ARTIFACT),
    "true negatives": (CLEAN, CLEAN),
    "false positives": (CLEAN, ARTIFACT),
    "false negatives": (ARTIFACT, CLEAN),
}  # name -> (label, prediction)


class EvaluationError(Exception):
    """Nothing that could be evaluated; the message says what to do."""


@dataclass(frozen=True)
class Evaluation:
    """Predictions of a labelled set and what can be found around them.

    table: path, label, probability, prediction of the rows that can be used; left_out: how many cannot.
    validation: the same for the validation images of the run. dataset: the folder of the images. None: not there.
    """

    source: str
    table: pd.DataFrame
    left_out: int
    validation: pd.DataFrame | None = None
    dataset: Path | None = None
    model: Detector | None = None
    threshold: float = 0.5
    temperature: float = 1.0

    @cached_property
    def targets(self) -> np.ndarray:
        return self.table["label"].to_numpy()

    @cached_property
    def predictions(self) -> np.ndarray:
        return self.table["prediction"].to_numpy()

    @cached_property
    def probabilities(self) -> np.ndarray | None:
        """(n,) probabilities of "artifacts", None unless every row has one."""
        values = self.table["probability"].to_numpy()
        return None if np.isnan(values).any() else values

    @cached_property
    def has_images(self) -> bool:
        return self.dataset is not None and all((self.dataset / path).is_file() for path in self.table["path"])

    def image(self, row: int) -> np.ndarray:
        """The image of a row of the table: (H, W, 3) uint8."""
        return read_image(self.dataset / self.table["path"].iat[row])

    def rows(self, outcome: str) -> np.ndarray:
        """The rows of one of OUTCOMES, the most confident verdict first; in order where there are no probabilities."""
        label, prediction = OUTCOMES[outcome]
        rows = np.flatnonzero((self.targets == label) & (self.predictions == prediction))
        if self.probabilities is None:
            return rows
        distance = np.abs(self.probabilities[rows] - self.threshold)
        return rows[np.argsort(-distance, kind="stable")]


def without_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """What the probabilities were before they were divided by the temperature (to the CSV's six digits)."""
    return expit(logit(np.clip(probabilities, 1e-6, 1 - 1e-6)) * temperature)


def open_evaluation(environment: Mapping[str, str] = os.environ) -> Evaluation:
    """What the environment asks for.

    PREDICTIONS_CSV: a predictions file, with ARTIFACT_LABEL (default "1") and LABEL_PATTERN if another system's.
    RUN_DIR: a run folder (default: the newest of runs/). DATASET_DIR: the images' folder (default: the run's dataset).
    Raises EvaluationError if there is nothing to evaluate; ValueError or OSError for a file that cannot be used.
    """
    dataset = environment.get("DATASET_DIR")
    if path := environment.get("PREDICTIONS_CSV"):
        table = read_predictions(
            path, environment.get("ARTIFACT_LABEL", "1"), environment.get("LABEL_PATTERN", DEFAULT_PATTERN)
        )
        usable, left_out = _usable(table)
        return Evaluation(Path(path).name, usable, left_out, dataset=Path(dataset) if dataset else None)
    return open_run(Path(environment.get("RUN_DIR") or newest_run()), Path(dataset) if dataset else None)


def open_run(folder: Path, dataset: Path | None = None) -> Evaluation:
    """A run folder with its test predictions, its model and its dataset (default: the one in its config.toml)."""
    if not (folder / "test_predictions.csv").is_file():
        raise EvaluationError(
            f"{folder} holds no finished run (test_predictions.csv): python model_training.py --name ..."
        )
    settings = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))["settings"]
    model, checkpoint = load_checkpoint(folder / "best.pt")
    table, left_out = _usable(read_predictions(folder / "test_predictions.csv"))
    validation, _ = _usable(read_predictions(folder / "val_predictions.csv"))
    return Evaluation(
        folder.name,
        table,
        left_out,
        validation,
        dataset or PROJECT / settings["dataset"],
        model,
        checkpoint["threshold"],
        checkpoint["temperature"],
    )


def newest_run(runs: Path = PROJECT / "runs", skip: int = 0) -> Path:
    """The run of `runs` that finished last, or the one `skip` runs earlier. Raises EvaluationError if there is none."""
    finished = sorted(runs.glob("*/test_predictions.csv"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    if len(finished) <= skip:
        raise EvaluationError("no finished run in runs/: train one (python model_training.py), or set PREDICTIONS_CSV")
    return finished[skip].parent


def _usable(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    usable = usable_rows(table)
    return table[usable].reset_index(drop=True), int((~usable).sum())

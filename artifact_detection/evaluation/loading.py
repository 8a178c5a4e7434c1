"""What the evaluation notebook works on: a run with its dataset, or a predictions file from anywhere."""

import os
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from artifact_detection.detector.checkpoints import CERTIFIES
from artifact_detection.detector.models import Detector
from artifact_detection.detector.scoring import SHIPPED, Scorer, load_predictor
from artifact_detection.evaluation.predictions import CUT, HALF, read_predictions, usable_rows
from artifact_detection.images.decoding import read_image
from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN, DEFAULT_PATTERN
from artifact_detection.system import run_files
from artifact_detection.system.paths import ROOT, path_of

OUTCOMES = {
    "true positives": (ARTIFACT, ARTIFACT),
    "true negatives": (CLEAN, CLEAN),
    "false positives": (CLEAN, ARTIFACT),
    "false negatives": (ARTIFACT, CLEAN),
}  # name -> (label, prediction)
TEST_PREDICTIONS = run_files.predictions(run_files.TEST)


class EvaluationError(Exception):
    """Nothing that could be evaluated; the message says what to do."""


@dataclass(frozen=True)
class Evaluation:
    """Predictions of a labelled set and what can be found around them.

    table: path, label, probability, prediction of the rows that can be used; left_out: how many cannot.
    validation: the same for the validation images of the run that chose nothing. dataset: the folder of the images.
    None: not there.
    """

    source: str
    table: pd.DataFrame
    left_out: int
    validation: pd.DataFrame | None = None
    dataset: Path | None = None
    scorer: Scorer | None = None
    threshold: float = 0.5
    temperature: float = 1.0
    shift: float = 0.0

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

    @property
    def one_class(self) -> str:
        """Why nothing that compares the classes can be said, "" if both are there."""
        absent = [CLASSES[label] for label in (CLEAN, ARTIFACT) if not (self.targets == label).any()]
        return f"no image is labelled {absent[0]}" if absent else ""

    @cached_property
    def files(self) -> list[Path] | None:
        """The image file of every row, by its path or, if that is not there, by its name; None if one is missing."""
        if self.dataset is None or not self.dataset.is_dir():
            return None
        files = [self.dataset / path_of(path) for path in self.table["path"]]
        if all(path.is_file() for path in files):
            return files
        below = defaultdict(list)
        for path in self.dataset.rglob("*.*"):
            below[path.name].append(path)
        found = [below[path.name] for path in files]
        return [paths[0] for paths in found] if all(len(paths) == 1 for paths in found) else None

    @property
    def model(self) -> Detector | None:
        return self.scorer.model if self.scorer else None

    def score(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return self.scorer.probabilities(images)

    def images(self, rows: Sequence[int]) -> list[np.ndarray]:
        return [read_image(self.files[row]) for row in rows]

    def rows(self, outcome: str) -> np.ndarray:
        """The rows of one of OUTCOMES, the most confident verdict first; in order where there are no probabilities."""
        label, prediction = OUTCOMES[outcome]
        rows = np.flatnonzero((self.targets == label) & (self.predictions == prediction))
        if self.probabilities is None:
            return rows
        distance = np.abs(self.probabilities[rows] - self.threshold)
        return rows[np.argsort(-distance, kind="stable")]

    def sample(self, label: int, count: int, seed: int = 0) -> np.ndarray:
        rows = np.flatnonzero(self.targets == label)
        return np.sort(np.random.default_rng(seed).permutation(rows)[:count])


def uncalibrated(probabilities: np.ndarray, temperature: float, shift: float) -> np.ndarray:
    """What the probabilities were before the logits were shifted and divided by the temperature (to six digits)."""
    return expit(logit(np.clip(probabilities, 1e-6, 1 - 1e-6)) * temperature - shift)


def open_evaluation(environment: Mapping[str, str] = os.environ) -> Evaluation:
    """What the environment asks for.

    PREDICTIONS_CSV: a predictions file; another system's may need ARTIFACT_LABEL and LABEL_PATTERN.
    RUN_DIR: a run folder (default: the newest of runs/). DATASET_DIR: the images' folder (default: the run's dataset).
    Raises EvaluationError if there is nothing to evaluate; ValueError or OSError for a file that cannot be used.
    """
    dataset = Path(environment["DATASET_DIR"]) if environment.get("DATASET_DIR") else None
    if path := environment.get("PREDICTIONS_CSV"):
        return open_predictions(Path(path), environment, dataset)
    if path := environment.get("RUN_DIR"):
        return open_run(Path(path), dataset)
    if runs := finished_runs():
        return open_run(runs[0], dataset)
    raise EvaluationError("no finished run in runs/: train one (python model_training.py), or set PREDICTIONS_CSV")


def open_predictions(path: Path, environment: Mapping[str, str], dataset: Path | None = None) -> Evaluation:
    """A predictions file from anywhere; ARTIFACT_LABEL and LABEL_PATTERN say how its labels are to be read."""
    label, pattern = environment.get("ARTIFACT_LABEL"), environment.get("LABEL_PATTERN", DEFAULT_PATTERN)
    table, left_out = _usable(read_predictions(path, label, pattern))
    if table.empty:
        raise EvaluationError(f"{path}: no row has a label and a prediction")
    return Evaluation(path.name, table, left_out, dataset=dataset, threshold=table.attrs.get(CUT) or _threshold(table))


def _threshold(table: pd.DataFrame) -> float:
    """The lowest probability that another system calls artifacts; HALF where its verdicts follow no threshold."""
    flagged = table["prediction"] == ARTIFACT
    lowest, highest = table.loc[flagged, "probability"].min(), table.loc[~flagged, "probability"].max()
    return float(lowest) if lowest > highest else HALF


def open_run(folder: Path, dataset: Path | None = None) -> Evaluation:
    """A run folder with its test predictions, its model and its dataset (default: the one in its config.toml)."""
    if not (folder / TEST_PREDICTIONS).is_file():
        why = f"there is no {TEST_PREDICTIONS}: python model_training.py"
        raise EvaluationError(f"{folder} holds no finished run, {why}")
    settings = tomllib.loads((folder / run_files.CONFIG).read_text(encoding="utf-8"))["settings"]
    scorer = load_predictor(folder / run_files.BEST)
    table, left_out = _usable(read_predictions(folder / TEST_PREDICTIONS))
    validation, _ = _usable(read_predictions(folder / run_files.predictions(run_files.VALIDATION)))
    evidence = scorer.checkpoint.validation
    validation = validation[evidence.parts == CERTIFIES] if evidence else validation[:0]
    chosen = {name: getattr(scorer.checkpoint, name) for name in ("threshold", "temperature", "shift")}
    return Evaluation(folder.name, table, left_out, validation, dataset or Path(settings["dataset"]), scorer, **chosen)


def finished_runs(runs: Path = ROOT / "runs") -> list[Path]:
    tables = runs.glob(f"*/{TEST_PREDICTIONS}")
    return [path.parent for path in sorted(tables, key=lambda path: path.stat().st_mtime_ns, reverse=True)]


def scorer_with_regions(run: Evaluation) -> Scorer | None:
    """The run's scorer if its detector has a dense head, else that of the detector that ships; None without both."""
    if run.scorer and run.scorer.has_regions:
        return run.scorer
    return load_predictor(SHIPPED) if SHIPPED.is_file() else None


def open_other(first: Evaluation, environment: Mapping[str, str] = os.environ) -> Evaluation | None:
    """What `first` is compared with: COMPARE_WITH, a run folder or predictions file; else the newest other run.

    None if there is none that was scored on the same images.
    """
    if path := environment.get("COMPARE_WITH"):
        return open_run(Path(path)) if Path(path).is_dir() else open_predictions(Path(path), environment)
    paths = set(first.table["path"])
    for folder in finished_runs():
        if folder.name != first.source and set(read_predictions(folder / TEST_PREDICTIONS)["path"]) == paths:
            return open_run(folder)
    return None


def _usable(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    usable = usable_rows(table)
    return table[usable].reset_index(drop=True), int((~usable).sum())

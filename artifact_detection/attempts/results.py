"""What is kept of every attempt, beside the TOML files and committed with them.

results.csv     a row per protocol, attempt, seed and fold
history.csv     a row per epoch of each of these
oof/            the out-of-fold predictions of every job, so that paired tests can be repeated without a GPU
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from artifact_detection.attempts.protocols import Job
from artifact_detection.system.files import write_atomic
from artifact_detection.system.tables import frame_text

FALSE_ALARMS = 0.05  # the share of clean images lost at which recall is compared
KEY = ["protocol", "attempt", "seed"]


def quality(table: pd.DataFrame) -> dict[str, float]:
    """AP, ROC-AUC, F1 of the given predictions, and recall where at most 5 % of the clean images are lost.

    table: columns label, probability, prediction. NaN where a class is absent.
    """
    if table["label"].nunique() < 2:
        return dict.fromkeys(("ap", "roc_auc", "f1", "recall_at_5"), np.nan)
    lost, found, _ = sk.roc_curve(table["label"], table["probability"], drop_intermediate=False)
    return {
        "ap": float(sk.average_precision_score(table["label"], table["probability"])),
        "roc_auc": float(sk.roc_auc_score(table["label"], table["probability"])),
        "f1": float(sk.f1_score(table["label"], table["prediction"])),
        "recall_at_5": float(found[lost <= FALSE_ALARMS].max()),
    }


@dataclass(frozen=True)
class Results:
    """The results in a folder; every file is replaced whole, so a killed run leaves the old one or the new one."""

    folder: Path

    def read(self, protocol: str) -> pd.DataFrame:
        """The rows of results.csv under a protocol; with no column if there are none yet."""
        return self._table("results.csv").query("protocol == @protocol").reset_index(drop=True)

    def read_history(self, protocol: str) -> pd.DataFrame:
        return self._table("history.csv").query("protocol == @protocol").reset_index(drop=True)

    def read_predictions(self, protocol: str, attempt: str, seed: int) -> pd.DataFrame:
        """Out-of-fold predictions: path, label, probability, prediction, fold, group."""
        return pd.read_csv(self._predictions(protocol, attempt, seed))

    def has(self, job: Job) -> bool:
        """Whether a job was done with the settings and the number of folds that it has now."""
        rows = _matching(self._table("results.csv"), job)
        return len(rows) == job.folds and (rows["settings"] == job.digest).all()

    def keep(self, job: Job, rows: pd.DataFrame, history: pd.DataFrame, predictions: pd.DataFrame) -> None:
        """Replace what is kept of a job; results.csv comes last, because its rows say that the job is done."""
        path = self._predictions(job.protocol.name, job.attempt.name, job.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = predictions.assign(probability=predictions["probability"].round(5))
        write_atomic(path, gzip.compress(frame_text(columns).encode(), mtime=0))
        for name, table in (("history.csv", history), ("results.csv", rows)):
            earlier = self._table(name)
            others = earlier.drop(index=_matching(earlier, job).index)
            joined = pd.concat([others, pd.DataFrame([job.key] * len(table)).join(table)])
            ordered = joined.sort_values([*KEY, "fold"], kind="stable")
            write_atomic(self.folder / name, ordered.to_csv(index=False, float_format="%.6g"))

    def _table(self, name: str) -> pd.DataFrame:
        path = self.folder / name
        return pd.read_csv(path, dtype={"settings": str}) if path.exists() else pd.DataFrame(columns=[*KEY, "settings"])

    def _predictions(self, protocol: str, attempt: str, seed: int) -> Path:
        return self.folder / "oof" / f"{protocol}-{attempt}-s{seed}.csv.gz"


def _matching(table: pd.DataFrame, job: Job) -> pd.DataFrame:
    return table[(table[KEY] == pd.Series(job.key)).all(axis=1)]

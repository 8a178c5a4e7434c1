"""Runs jobs one after another, keeps their results, and goes on where an earlier run ended."""

import hashlib
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from artifact_detection.attempts.protocols import Job
from artifact_detection.attempts.results import Results, quality
from artifact_detection.detector.checkpoints import read_state
from artifact_detection.system import run_files
from artifact_detection.system.files import write_atomic
from artifact_detection.system.locks import FolderBusyError, exclusive_lock
from artifact_detection.system.paths import ROOT
from artifact_detection.system.processes import end_with_parent
from artifact_detection.system.tables import to_toml


class AttemptError(Exception):
    """An attempt that failed; the message says why."""


@dataclass(frozen=True)
class Place:
    """Where run folders go, and what is trained on."""

    runs: Path
    dataset: str
    weights: str

    def run_folder(self, job: Job) -> Path:
        """Its name changes with the settings, so that a changed file never goes on with an older one's training."""
        return self.runs / job.protocol.name / f"{job.name}-{job.digest}"


def train(job: Job, place: Place) -> None:
    """Train a job on all its folds, or go on with it. Raises AttemptError with the training's own last words."""
    run = place.run_folder(job)
    run.parent.mkdir(parents=True, exist_ok=True)
    config = run.with_suffix(".toml")
    write_atomic(config, to_toml({"settings": job.protocol.settings_of(job.attempt)}).split("\n", 1)[1])
    arguments = ["--config", config, "--runs", run.parent, "--name", run.name, "--resume", "--folds", job.folds]
    arguments += ["--dataset", place.dataset, "--weights", place.weights, "--seed", job.seed]
    command = [str(part) for part in (sys.executable, ROOT / "model_training.py", *arguments)]
    wait_until_free(run)
    with open(run.with_suffix(".log"), "a", encoding="utf-8") as log:
        code = subprocess.run(command, stdout=log, stderr=log, preexec_fn=end_with_parent).returncode
    if code in (-signal.SIGINT, 128 + signal.SIGINT):
        raise KeyboardInterrupt
    if code < 0:
        raise AttemptError(f"killed by signal {-code}; 9 mostly means that memory ran out")
    if code not in (0, 1):
        raise AttemptError(last_words(run.with_suffix(".log")))


def wait_until_free(run: Path, seconds: float = 120) -> None:
    """Until the training of a runner that was killed has saved its last step. Raises AttemptError after a while."""
    for fold in run.glob("fold-*"):
        try:
            with exclusive_lock(fold, seconds):
                pass
        except FolderBusyError as error:
            raise AttemptError(f"another training is at work in {fold}") from error


def last_words(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no word from the training"


def collect(job: Job, place: Place, results: Results) -> None:
    """From a finished run folder into results.csv, history.csv and oof/."""
    run = place.run_folder(job)
    predictions = pd.read_csv(run / run_files.predictions(run_files.OUT_OF_FOLD))
    # Names the images that the job was judged on: rows of different images cannot be compared.
    images = sorted(f"{path} {label}" for path, label in predictions[["path", "label"]].itertuples(index=False))
    common = {"settings": job.digest, "images": hashlib.sha256("\n".join(images).encode()).hexdigest()[:8]}
    folds = [run / f"fold-{number}" for number in range(1, job.folds + 1)]
    histories = [pd.read_csv(fold / run_files.HISTORY).assign(fold=n) for n, fold in enumerate(folds, 1)]
    rows = [fold_row(fold, history, predictions) | common for fold, history in zip(folds, histories, strict=True)]
    results.keep(job, pd.DataFrame(rows), pd.concat(histories, ignore_index=True), predictions)


def fold_row(fold: Path, history: pd.DataFrame, predictions: pd.DataFrame) -> dict:
    """One fold's validation and out-of-fold metrics, its time and its network's size."""
    number = int(re.search(r"\d+$", fold.name).group())
    config = tomllib.loads((fold / run_files.CONFIG).read_text(encoding="utf-8"))
    validation = quality(pd.read_csv(fold / run_files.predictions(run_files.VALIDATION)))
    held_out = quality(predictions[predictions["fold"] == number])
    weights = read_state(fold / run_files.BEST)
    return {
        "fold": number,
        **{f"val_{name}": value for name, value in validation.items()},
        **{f"oof_{name}": value for name, value in held_out.items()},
        "seconds": round(history["seconds"].sum(), 1),
        "millions": round(sum(weight.numel() for weight in weights.values()) / 1e6, 2),
        "peak_memory_mb": history["peak_memory_mb"].max(),
        "device": config["data"]["device"],
        "commit": re.sub(r"^(\w{10})\w+", r"\1", config["environment"]["git_commit"]),  # and "+changes", if any
    }


def run_all(
    jobs: list[Job], place: Place, results: Results, minutes: float = float("inf"), train: Callable = train
) -> dict[str, str]:
    """Do what is left of the jobs; name -> reason of those that failed.

    No job is begun after `minutes`. What was done stays, whatever ends this.
    """
    deadline, failures = time.monotonic() + 60 * minutes, {}
    left = [job for job in jobs if not results.has(job)]
    for number, job in enumerate(left, 1):
        if time.monotonic() > deadline:
            print(f"{minutes:g} minutes are over: {len(left) - number + 1} jobs are left for the next run")
            break
        print(f"{number} of {len(left)}: {job.name} ({job.attempt.changes})", flush=True)
        try:
            train(job, place)
            collect(job, place, results)
        except (AttemptError, OSError, KeyError, ValueError) as error:
            failures[job.name] = str(error)
            print(f"{job.name} failed: {error}", file=sys.stderr, flush=True)
            continue
        rows = results.read(job.protocol.name).query("attempt == @job.attempt.name and seed == @job.seed")
        print(f"    out-of-fold AP {rows['oof_ap'].mean():.3f}, {rows['seconds'].sum():.0f} s", flush=True)
    return failures

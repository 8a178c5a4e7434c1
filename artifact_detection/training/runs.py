"""The run folder: runs/<name>/ with everything that is needed to believe, repeat or continue a training."""

import copy
import importlib.metadata
import importlib.util
import io
import json
import math
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from artifact_detection.detector.checkpoints import Validation, load_tensors
from artifact_detection.system import run_files
from artifact_detection.system.files import write_atomic
from artifact_detection.system.locks import exclusive_lock
from artifact_detection.system.ownership import NotOursError, OwnFolder
from artifact_detection.system.paths import ROOT
from artifact_detection.system.processes import ALONE, Crew
from artifact_detection.system.tables import frame_text, to_toml
from artifact_detection.training.data import ImageSet

SAVE_EVERY = 60.0  # seconds: writing 338 MB of VGG-19 after each epoch of two seconds would double it
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "pillow", "opencv-python-headless", "imagecodecs")
CHANGES = ("status", "--porcelain", "-uno", "--", ".", ":!model-training-attempts")


class RunError(Exception):
    """A run folder that cannot be used as asked; the message says what to do."""


def claim(folder: Path, names: Iterable[str], adopt: bool = False) -> None:
    """Make a folder the training's, see `OwnFolder.claim`. Raises RunError if another file has one of these names."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        OwnFolder.claim(folder, run_files.MAKER, names, adopt)
    except NotOursError as error:
        raise RunError(f"{error} with --name") from error


class RunFolder:
    """Reads and writes the files of one run; each appears whole or not at all. With several processes one writes."""

    def __init__(self, path: Path, identity: dict, crew: Crew = ALONE):
        self.path, self.identity, self.crew = path, identity, crew
        self._writer, self._pending = ThreadPoolExecutor(1, "save"), Future()
        self._pending.set_result(None)
        # The first epoch is saved at once: from then on there is a last.pt beside every best.pt.
        self._best, self._saved = None, -math.inf

    @classmethod
    @contextmanager
    def open(cls, path: Path, identity: dict, crew: Crew = ALONE) -> Iterator["RunFolder"]:
        """The folder, made where missing and locked against a second run until the block ends.

        identity: plain values by name, settings and data: a run goes on only with the same. Raises RunError for a
        folder with files of these names that are not of a run.
        """
        run = cls(path, identity, crew)
        path.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(path) if crew.leads else nullcontext(), run._writer:
            if crew.leads:  # an earlier version left no record; `read_last` checks its run
                claim(path, run_files.ALL, adopt=(path / run_files.LAST).exists())
            yield run
            run.wait()

    def wait(self) -> None:
        """Until everything is on the disk; raises the error that kept it from getting there."""
        self._pending.result()
        self.crew.wait()

    def refuse_if_used(self) -> None:
        if (self.path / run_files.LAST).exists():
            raise RunError(f"{self.path} holds a run already: pass --resume to go on, or another --name")

    def read_last(self) -> dict | None:
        """The history and the trainer's state of last.pt, None before the first epoch.

        Raises RunError if it is of another run, is nothing that training can go on from, or is gone though there were
        epochs: a new training would replace their best.pt.
        """
        if not (self.path / run_files.LAST).exists():
            if self._is_past_first_epoch():
                raise RunError(f"{self.path} holds a best.pt, but its last.pt is gone: pass another --name")
            return None
        last = load_tensors(self.path / run_files.LAST)
        if not {"identity", "history", "trainer"} <= last.keys():
            raise RunError(f"{self.path / 'last.pt'} is no training to go on with: pass another --name")
        before = last["identity"]
        changed = [name for name, value in self.identity.items() if before.get(name) != value]
        other = [f"{name} was {before.get(name)!r}" for name in changed]
        if other:
            raise RunError(f"{self.path} was trained otherwise ({'; '.join(other)}): pass another --name")
        return last

    def _is_past_first_epoch(self) -> bool:
        """Whether best.pt is more than a training that was killed in its first epoch would have left."""
        best, history = self.path / run_files.BEST, self.path / run_files.HISTORY
        if not best.exists():
            return False
        return Validation.of(load_tensors(best)) is not None or (history.exists() and len(self.read_history()) > 1)

    def write_config(self, settings: dict, facts: dict) -> None:
        """config.toml: the effective settings, and what else the result depends on."""
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
        environment = {"python": platform.python_version(), "git_commit": git_commit()}
        tables = {"settings": settings, "data": facts, "environment": environment, "packages": versions}
        self._write(run_files.CONFIG, to_toml(tables))

    def write_history(self, rows: list[dict]) -> None:
        """history.csv and, where TensorBoard is installed, its scalars of the last row."""
        self._pending.result()  # else history.csv could tell of a second epoch before there is a last.pt of the first
        self._write(run_files.HISTORY, pd.DataFrame(rows).to_csv(index=False))
        if self.crew.leads and self._scalars:
            for name, value in rows[-1].items():
                self._scalars.add_scalar(name, value, rows[-1]["epoch"])
            self._scalars.flush()

    def read_history(self) -> pd.DataFrame:
        return pd.read_csv(self.path / run_files.HISTORY)

    def write_predictions(self, split: str, images: ImageSet, probabilities: np.ndarray, threshold: float) -> None:
        """<split>_predictions.csv: path, label, probability (of "artifacts"), prediction."""
        columns = {"probability": probabilities.round(6), "prediction": (probabilities >= threshold).astype(int)}
        table = images.table[["path", "label"]].assign(**columns)
        self._write(run_files.predictions(split), frame_text(table))

    def write_json(self, name: str, values: dict) -> None:
        self._write(name, json.dumps(values, indent=2) + "\n")

    def save(self, name: str, checkpoint: dict) -> None:
        if self.crew.leads:
            buffer = io.BytesIO()
            torch.save(checkpoint, buffer)
            write_atomic(self.path / name, buffer.getvalue())

    def keep_best(self, checkpoint: dict) -> None:
        """A copy of it becomes best.pt with the next `save_last`: a run that goes on finds both as of one moment."""
        if self.crew.leads:
            self._best = copy.deepcopy(checkpoint)

    def is_time_to_save(self) -> bool:
        """Whether the last save is SAVE_EVERY seconds ago; the same for all processes."""
        return self.crew.gather(time.monotonic() - self._saved >= SAVE_EVERY)[0]

    def save_last(self, history: list[dict], trainer: dict) -> None:
        """Save best.pt and last.pt while training goes on, from copies; errors surface in the next call or `wait`."""
        self._pending.result()
        self._saved = time.monotonic()
        if self.crew.leads:
            last = copy.deepcopy({"identity": self.identity, "history": history, "trainer": trainer})
            self._pending = self._writer.submit(self._save_both, self._best, last)
            self._best = None

    def _save_both(self, best: dict | None, last: dict) -> None:
        if best:
            self.save(run_files.BEST, best)
        self.save(run_files.LAST, last)

    @cached_property
    def _scalars(self):
        """TensorBoard's writer for this folder, None where it is not installed."""
        if importlib.util.find_spec("tensorboard") is None:
            return None
        from torch.utils.tensorboard import SummaryWriter  # here, not above: it takes a second to load

        return SummaryWriter(str(self.path / "tensorboard"))

    def _write(self, name: str, text: str) -> None:
        if self.crew.leads:
            write_atomic(self.path / name, text)


def git_commit() -> str:
    """The commit of this checkout, with "+changes" if tracked files differ from it; "unknown" outside git.

    The folder of attempts does not count: their results are written there.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git(*CHANGES) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

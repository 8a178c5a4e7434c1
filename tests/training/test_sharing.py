"""Two processes against one: the same global batches, the same seed."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.sources import ROOT
from tests.toys import toy_arguments, write_toys

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun with gloo on localhost")
NETWORK = [
    "--arch",
    "resnet18",
    "--optimizer",
    "sgd",
    "--lr",
    "0.001",
    "--batch-size",
    "13",
    "--clip",
    "1",
    "--ema",
    "0.5",
]


def train(folders: list[str], name: str, processes: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """val_predictions.csv and history.csv."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*launch, ROOT / "model_training.py", *folders, *NETWORK, "--name", name]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test split, checkpoint") == 1
    run = Path(folders[folders.index("--runs") + 1]) / name
    return pd.read_csv(run / "val_predictions.csv"), pd.read_csv(run / "history.csv")


def test_two_processes_train_what_one_does(tmp_path):
    write_toys(tmp_path / "dataset", training=48)
    folders = toy_arguments(tmp_path)
    (one, history), (two, other) = (train(folders, str(count), count) for count in (1, 2))
    assert one["path"].tolist() == two["path"].tolist()
    assert one["probability"].std() > 0.005, "all alike would say nothing"
    assert (one["probability"] - two["probability"]).abs().max() < 1e-4
    assert history["train_loss"].tolist() == pytest.approx(other["train_loss"].tolist(), abs=1e-4)

"""Training shared among two processes on a CPU."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from artifact_detection.system.processes import ALONE, Crew
from artifact_detection.training.losses import FocalLoss
from artifact_detection.training.sampling import EpochBatches
from artifact_detection.training.trainer import Trainer
from tests.sources import ROOT
from tests.toys import toy_images

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun with gloo on localhost")


def torchrun(*command: object) -> str:
    """What two processes print."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*launch, *command], capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def trained_weights(crew: Crew, with_norm: bool) -> list[float]:
    """Of a tiny network after an epoch in batches of 7, which two processes share 4 to 3."""
    torch.manual_seed(0)
    images, norm = toy_images(28), [nn.BatchNorm1d(3)] if with_norm else []
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *norm, nn.Linear(3, 1), nn.Flatten(0)).double()
    batches = EpochBatches(images.labels, 7, "none", 0, 0.0, crew.rank, crew.world)
    pixels, labels = torch.from_numpy(images.pixels).permute(0, 3, 1, 2).double(), torch.tensor(images.labels)

    class Loader(list):
        batch_sampler = batches

    rows = [[sample.row for sample in batch] for batch in batches]
    loader = Loader((pixels[part], labels[part].double()) for part in rows)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    trainer = Trainer(model, loader, FocalLoss(), optimizer, lambda _: 1.0, seed=0, dtype=torch.float32, crew=crew)
    trainer.run_epoch(0)
    return [value for tensor in model.state_dict().values() for value in tensor.double().flatten().tolist()]


def test_gradients_are_those_of_the_whole_batch_and_all_score_with_one_network():
    print_both = "print([crew.gather(trained_weights(crew, norm)) for norm in (False, True)])"
    imports = f"from {__name__} import *\nfrom artifact_detection.system.processes import join_crew"
    program = f"{imports}\nwith join_crew() as crew: {print_both}"
    plain, normed = eval(torchrun("--no-python", sys.executable, "-c", program))
    assert plain[0] == plain[1] == pytest.approx(trained_weights(ALONE, False), abs=1e-6)
    assert normed[0] == normed[1] != pytest.approx(trained_weights(ALONE, True), abs=1e-6)


def test_two_processes_train_score_and_write_one_run(folders, tmp_path):
    printed = torchrun(ROOT / "model_training.py", *folders, "--name", "two", "--epochs", "1", "--ema", "0.5")
    assert printed.count("test split, checkpoint") == 1
    history, table = (pd.read_csv(tmp_path / "runs/two" / name) for name in ("history.csv", "test_predictions.csv"))
    assert len(table) == 12 and table["probability"].between(0, 1).all() and np.isfinite(history["val_loss"]).all()

"""model_training.py killed or asked to stop at several points, and resumed: it ends as if it had not been.

A moment is the number of calls of a function, not of milliseconds, so that a busy machine changes nothing.
"""

import importlib
import itertools
import os
import signal
import sys

import pandas as pd
import pytest
import torch

import model_training
from artifact_detection.training import runs
from tests.children import clean_server
from tests.toys import toy_arguments, write_toys

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")
STEP, RENAME = ("artifact_detection.training.trainer", "Trainer", "step"), ("os", "replace")
RESULTS = ("val_predictions.csv", "test_predictions.csv", "metrics.json", "best.pt")


@pytest.fixture(scope="module")
def children():
    return clean_server()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    write_toys(folder / "dataset")
    assert model_training.main([*toy_arguments(folder), "--name", "run"]) == 0
    return folder


def signalled_train(arguments, target, moment, number):
    """In a child: the signal comes before that call of the target."""
    runs.SAVE_EVERY = 0  # after each epoch, so that there is a moment between two saves
    owner = importlib.import_module(target[0])
    for name in target[1:-1]:
        owner = getattr(owner, name)
    original, calls = getattr(owner, target[-1]), itertools.count()

    def counted(*values, **options):
        if next(calls) == moment:
            os.kill(os.getpid(), number)
        return original(*values, **options)

    setattr(owner, target[-1], counted)
    sys.exit(model_training.main(arguments))


def results(folder):
    run = folder / "runs" / "run"
    history = pd.read_csv(run / "history.csv").drop(columns=["seconds", "peak_memory_mb"])
    weights = torch.load(run / "last.pt", weights_only=True)["trainer"]["model"]
    files = {name: (run / name).read_bytes() for name in RESULTS}
    return history.to_csv(), {name: value.numpy().tobytes() for name, value in weights.items()}, files


def interrupt(children, straight, target, moment, number):
    """The exit code of a run in the place of `straight` that gets the signal."""
    (straight / "runs").rename(straight / "kept")
    child = children.Process(
        target=signalled_train, args=([*toy_arguments(straight), "--name", "run"], target, moment, number)
    )
    child.start()
    child.join()
    return child.exitcode


def resume(straight):
    """The results of the interrupted run, resumed; the uninterrupted one is put back."""
    try:
        assert model_training.main([*toy_arguments(straight), "--name", "run", "--resume"]) == 0
        return results(straight)
    finally:
        (straight / "runs").rename(straight / f"done {len(list(straight.iterdir()))}")
        (straight / "kept").rename(straight / "runs")


@pytest.mark.parametrize(
    "target, moment", [*((STEP, n) for n in (0, 2, 5)), *((RENAME, n) for n in (0, 2, 3, 4, 5, 7, 9))],
    ids=lambda value: value[-1] if isinstance(value, tuple) else str(value),
)  # fmt: skip
def test_killed_and_resumed_equals_uninterrupted(children, straight, target, moment):
    expected = results(straight)
    assert interrupt(children, straight, target, moment, signal.SIGKILL) == -signal.SIGKILL
    assert resume(straight) == expected


@pytest.mark.parametrize("number, moment", [(signal.SIGTERM, 1), (signal.SIGINT, 3), (signal.SIGTERM, 6)])
def test_asked_to_stop_it_saves_the_step_and_goes_on_from_there(children, straight, number, moment, capsys):
    expected = results(straight)
    assert interrupt(children, straight, STEP, moment, number) == 128 + number
    last = torch.load(straight / "runs" / "run" / "last.pt", weights_only=True)
    steps = 4  # of an epoch
    assert len(last["history"]) * steps + last["trainer"]["done"] == moment + 1
    assert resume(straight) == expected

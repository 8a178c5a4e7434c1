"""The training script as a user runs it: a process of its own, from another working directory."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from artifact_detection.models import load_checkpoint
from tests.test_engine import toy_images

SCRIPT = Path(__file__).parents[1] / "model_training.py"
SMALL = "--arch mobilenet_v3_small --weights none --image-size 32 --batch-size 8 --epochs 2 --precision fp32 --workers 0"


@pytest.fixture
def dataset(tmp_path):
    images = toy_images(36)
    for index, label in enumerate(images.labels):
        name = ("no_artifacts", "artifacts")[label]
        path = tmp_path / "dataset" / ("test" if index >= 24 else "train") / name / f"image {index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index]).save(path)
    return tmp_path / "dataset"


def command(dataset: Path, *arguments: str) -> list[str]:
    folders = ["--dataset", dataset, "--runs", dataset.parent / "runs", "--cache", dataset.parent / "cache"]
    return [sys.executable, SCRIPT, *map(str, folders), *SMALL.split(), *arguments]


def train(dataset: Path, *arguments: str) -> subprocess.CompletedProcess:
    elsewhere = dataset.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    return subprocess.run(command(dataset, *arguments), cwd=elsewhere, capture_output=True, text=True)


def test_run_folder_is_complete_and_agrees_with_itself(dataset):
    done = train(dataset, "--name", "a")
    assert done.returncode == 0, done.stderr
    run = dataset.parent / "runs" / "a"
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["settings"]["arch"] == "mobilenet_v3_small" and config["data"]["fingerprint"]
    history = pd.read_csv(run / "history.csv")
    assert list(history["epoch"]) == [1, 2]
    _, checkpoint = load_checkpoint(run / "best.pt")
    assert checkpoint["epoch"] == 1 + history["val_ap"].idxmax()
    for name, count in (("val", config["data"]["validation_images"]), ("test", 12)):
        table = pd.read_csv(run / f"{name}_predictions.csv")
        assert list(table.columns) == ["path", "label", "probability", "prediction"] and len(table) == count
        assert ((table["probability"] >= checkpoint["threshold"]) == table["prediction"]).all()
    assert (run / "metrics.json").exists() and (run / "curves.png").exists()
    assert "recall" in done.stdout and "from scratch, without ImageNet weights" in done.stdout


def test_killed_and_resumed_equals_uninterrupted(dataset):
    assert train(dataset, "--name", "straight").returncode == 0
    runs = dataset.parent / "runs"
    with subprocess.Popen(command(dataset, "--name", "killed"), cwd=dataset, stdout=subprocess.DEVNULL) as process:
        while not (runs / "killed" / "last.pt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    resumed = train(dataset, "--name", "killed", "--resume")
    assert resumed.returncode == 0 and "after epoch" in resumed.stdout, resumed.stderr
    for name in ("best.pt", "val_predictions.csv", "test_predictions.csv", "metrics.json"):
        assert (runs / "killed" / name).read_bytes() == (runs / "straight" / name).read_bytes(), name


def test_unreadable_image_is_named_and_the_rest_is_trained(dataset):
    bad = next((dataset / "train" / "artifacts").iterdir())
    bad.write_bytes(bad.read_bytes()[:100])
    done = train(dataset, "--epochs", "1")
    assert done.returncode == 1 and bad.name in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--dataset", "nowhere"], "run organize_dataset.py first"),
        (["--weights", "nowhere.pth"], "no such file"),
        (["--config", "nowhere.toml"], "cannot read --config"),
        (["--epochs", "0"], "--epochs must be positive"),
        (["--target", "recal"], "unknown target"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_clear_line(dataset, arguments, message):
    done = train(dataset, *arguments)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_a_used_run_folder_is_not_overwritten(dataset):
    assert train(dataset, "--name", "a").returncode == 0
    again, other = train(dataset, "--name", "a"), train(dataset, "--name", "a", "--resume", "--seed", "1")
    assert again.returncode == 2 and "--resume" in again.stderr
    assert other.returncode == 2 and "seed was 0" in other.stderr


def test_help_names_every_setting():
    text = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True).stdout
    assert all(flag in text for flag in ("--oversampling", "--focal-gamma", "--inject", "--weights", "--resume"))

"""The training script as a user runs it."""

import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from artifact_detection.config import TrainConfig
from artifact_detection.models import load_checkpoint
from model_training import main
from tests.test_engine import toy_images

ROOT = Path(__file__).parents[1]
SMALL = ["--arch", "mobilenet_v3_small", "--weights", "none", "--image-size", "32", "--batch-size", "8"]
SMALL += ["--epochs", "2", "--precision", "fp32", "--workers", "0"]


@pytest.fixture
def dataset(tmp_path):
    images = toy_images(36)
    for index, label in enumerate(images.labels):
        name = ("no_artifacts", "artifacts")[label]
        path = tmp_path / "dataset" / ("test" if index >= 24 else "train") / name / f"image {index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index]).save(path)
    return tmp_path / "dataset"


@pytest.fixture
def folders(dataset):
    runs, cache = dataset.parent / "runs", dataset.parent / "cache"
    return [*SMALL, "--dataset", str(dataset), "--runs", str(runs), "--cache", str(cache)]


def test_run_folder_is_complete_and_agrees_with_itself(folders, tmp_path):
    script = [sys.executable, ROOT / "model_training.py", *folders, "--name", "a"]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "a"
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["settings"]["arch"] == "mobilenet_v3_small" and config["data"]["fingerprint"]
    history = pd.read_csv(run / "history.csv")
    assert list(history["epoch"]) == [1, 2]
    _, checkpoint = load_checkpoint(run / "best.pt")
    assert checkpoint["epoch"] == 1 + history["val_ap"].idxmax()
    for name, count in (("val", config["data"]["validation_images"]), ("test", 12)):
        table = pd.read_csv(run / f"{name}_predictions.csv")
        assert list(table.columns) == ["path", "label", "probability", "prediction"] and len(table) == count
        assert ((table["probability"] >= round(checkpoint["threshold"], 6)) == table["prediction"]).all()
    assert (run / "metrics.json").exists() and (run / "curves.png").exists()
    assert "recall" in done.stdout and "from scratch, without ImageNet weights" in done.stdout


def test_killed_and_resumed_equals_uninterrupted(folders, tmp_path):
    assert main([*folders, "--name", "straight"]) == 0
    killed, straight = tmp_path / "runs" / "killed", tmp_path / "runs" / "straight"
    with subprocess.Popen([sys.executable, ROOT / "model_training.py", *folders, "--name", "killed"]) as process:
        while not (killed / "last.pt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert len(pd.read_csv(killed / "history.csv")) < 2
    assert main([*folders, "--name", "killed", "--resume"]) == 0
    for name in ("best.pt", "val_predictions.csv", "test_predictions.csv", "metrics.json"):
        assert (killed / name).read_bytes() == (straight / name).read_bytes(), name


def test_unreadable_image_is_named_and_the_rest_is_trained(folders, dataset, capsys):
    bad = next((dataset / "train" / "artifacts").iterdir())
    bad.write_bytes(bad.read_bytes()[:100])
    assert main([*folders, "--epochs", "1"]) == 1
    assert bad.name in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--dataset nowhere", "run organize_dataset.py first"),
        ("--weights nowhere.pth", "no such file"),
        ("--config nowhere.toml", "cannot read --config"),
        ("--epochs 0", "--epochs must be positive"),
        ("--target recal", "unknown target"),
    ],
)
def test_wrong_usage_is_a_clear_error(folders, arguments, message, capsys):
    assert main([*folders, *arguments.split()]) == 2
    assert message in capsys.readouterr().err


def test_a_used_run_folder_is_not_overwritten(folders, capsys):
    assert main([*folders, "--name", "a", "--epochs", "1"]) == 0
    assert main([*folders, "--name", "a", "--epochs", "1"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*folders, "--name", "a", "--resume", "--epochs", "1", "--seed", "1"]) == 2
    assert "seed was 0" in capsys.readouterr().err


def test_dataset_without_artifacts_trains_with_injection(folders, dataset):
    shutil.rmtree(dataset / "train" / "artifacts")
    assert main([*folders, "--inject", "0.5", "--epochs", "1"]) == 0


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')}" in text for name in TrainConfig.__dataclass_fields__)

"""The training script as a user runs it."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import torch

from artifact_detection.detector.checkpoints import CHOOSES, load_checkpoint
from artifact_detection.detector.models import Detector
from artifact_detection.detector.scoring import load_predictor
from artifact_detection.images.decoding import read_image
from artifact_detection.training.config import TrainConfig
from artifact_detection.training.runs import RunFolder
from model_training import main

ROOT = Path(__file__).resolve().parents[2]


def test_run_folder_is_complete_and_agrees_with_itself(folders, dataset, tmp_path):
    script = [sys.executable, ROOT / "model_training.py", *folders, "--name", "a"]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "a"
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["settings"]["arch"] == "mobilenet_v3_small" and config["data"]["fingerprint"]
    history = pd.read_csv(run / "history.csv")
    assert list(history["epoch"]) == [1, 2]
    _, checkpoint = load_checkpoint(run / "best.pt")
    assert checkpoint.epoch == 1 + history["val_ap"].idxmax()
    for name, count in (("val", config["data"]["validation_images"]), ("test", 12)):
        table = pd.read_csv(run / f"{name}_predictions.csv")
        assert list(table.columns) == ["path", "label", "probability", "prediction"] and len(table) == count
        assert ((table["probability"] >= round(checkpoint.threshold, 6)) == table["prediction"]).all()
    predictor = load_predictor(run / "best.pt", precision=config["settings"]["precision"])
    scores = predictor.probabilities([read_image(dataset / path) for path in table["path"]])
    assert table["probability"].tolist() == scores.tolist()  # what the filter would say of the test split
    assert (run / "metrics.json").exists() and (run / "curves.png").exists()
    assert "recall" in done.stdout and "from scratch, without ImageNet weights" in done.stdout


def test_without_a_test_split_it_trains_and_says_so(folders, dataset, tmp_path, capsys):
    shutil.rmtree(dataset / "test")
    for folder in ("test/artifacts", "validation"):
        (dataset / folder).mkdir(parents=True)
    assert main([*folders, "--name", "run"]) == 0
    said = capsys.readouterr().err
    assert "no test split" in said and "only train/ and test/ are used: validation/" in said
    made = {path.name for path in (tmp_path / "runs/run").iterdir()}
    assert "best.pt" in made and "curves.png" in made and "test_predictions.csv" not in made


def test_unreadable_image_is_named_and_the_rest_is_trained(folders, dataset, capsys):
    bad = next((dataset / "train" / "artifacts").iterdir())
    bad.write_bytes(bad.read_bytes()[:100])
    assert main([*folders, "--epochs", "1"]) == 1
    assert bad.name in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--dataset nowhere --weights nowhere.pth", "run organize_dataset.py first"),  # before weights are fetched
        ("--weights nowhere.pth", "no such file"),
        ("--config nowhere.toml", "cannot read --config"),
        ("--epochs 0", "--epochs must be positive"),
        ("--target recal", "unknown target"),
        ("--device gpu", "--device gpu is none: choose auto"),
        ("--device mps", "pass --device cpu"),
    ],
)
def test_wrong_usage_is_a_clear_error(folders, arguments, message, capsys):
    assert main([*folders, *arguments.split()]) == 2
    assert message in capsys.readouterr().err


def test_memory_that_runs_out_is_one_sentence_with_the_remedy(folders, monkeypatch, capsys):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(Detector, "forward", full)
    assert main(folders) == 2
    assert "memory ran out: pass a smaller --batch-size" in capsys.readouterr().err


def test_a_used_run_folder_is_not_overwritten(folders, capsys):
    assert main([*folders, "--name", "a", "--epochs", "1"]) == 0
    assert main([*folders, "--name", "a", "--epochs", "1"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*folders, "--name", "a", "--resume", "--epochs", "1", "--seed", "1"]) == 2
    assert "seed was 0" in capsys.readouterr().err


def test_dataset_without_artifacts_trains_with_injection_and_says_so(folders, dataset, tmp_path):
    shutil.rmtree(dataset / "train" / "artifacts")
    assert main([*folders, "--name", "a", "--inject", "0.5", "--epochs", "1"]) == 0
    assert load_checkpoint(tmp_path / "runs" / "a" / "best.pt")[1].validation.injected


def test_a_target_that_validation_cannot_assure_is_named_with_what_was_reached(folders, tmp_path, capsys):
    assert main([*folders, "--name", "a", "--target", "recall=0.9", "--epochs", "1"]) == 0
    captured = capsys.readouterr()
    assert "--target recall=0.9 cannot be assured for new images" in captured.err
    assert "for --target recall=0.9: recall" in captured.out and "chosen on, less on new ones" in captured.out
    validation = load_checkpoint(tmp_path / "runs" / "a" / "best.pt")[1].validation
    assert (validation.parts == CHOOSES).all() and not validation.injected


def test_settings_of_another_network_are_refused(folders, capsys):
    assert main([*folders, "--name", "a", "--epochs", "1"]) == 0
    assert main([*folders, "--name", "a", "--epochs", "1", "--resume", "--arch", "resnet18"]) == 2
    assert "arch was 'mobilenet_v3_small'" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_other_images(folders, dataset, capsys):
    assert main([*folders, "--name", "a", "--epochs", "1"]) == 0
    next((dataset / "train" / "no_artifacts").iterdir()).unlink()
    assert main([*folders, "--name", "a", "--epochs", "1", "--resume"]) == 2
    assert "data was" in capsys.readouterr().err


def test_folds_predict_every_training_image_and_leave_the_test_split_alone(folders, dataset, tmp_path):
    shutil.rmtree(dataset / "test")
    arguments = [*folders, "--name", "cv", "--folds", "3", "--epochs", "1"]
    assert main(arguments) == 0
    run = tmp_path / "runs" / "cv"
    table = pd.read_csv(run / "oof_predictions.csv")
    assert len(table) == 24 and set(table["fold"]) == {1, 2, 3} and table["path"].is_unique
    for fold, part in table.groupby("fold"):
        seen = pd.read_csv(run / f"fold-{fold}" / "val_predictions.csv")
        assert not set(part["path"]) & set(seen["path"])
        held_out = pd.read_csv(run / f"fold-{fold}" / "held_out_predictions.csv")
        assert set(held_out["path"]) == set(part["path"])
    doubted = pd.read_csv(run / "label_errors.csv")
    assert set(doubted["path"]) == set(table["path"][table["label"] != table["prediction"]])
    assert (run / "label_errors.png").exists() and (run / "metrics.json").exists()
    before = {path: path.read_bytes() for path in run.rglob("best.pt")}
    assert main([*arguments, "--resume"]) == 0
    assert before == {path: path.read_bytes() for path in run.rglob("best.pt")}


def test_without_a_cache_the_result_is_the_same(folders, tmp_path):
    assert main([*folders, "--name", "kept", "--epochs", "1"]) == 0
    shutil.rmtree(tmp_path / "cache")
    assert main([*folders, "--name", "streamed", "--epochs", "1", "--no-cache"]) == 0
    kept, streamed = ((tmp_path / "runs" / name / "best.pt").read_bytes() for name in ("kept", "streamed"))
    assert kept == streamed and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("crop", ["face", "both"])
def test_cropped_networks_train_and_say_so_in_the_checkpoint(folders, tmp_path, crop):
    assert main([*folders, "--name", "a", "--crop", crop, "--inject", "0.5", "--epochs", "1"]) == 0
    assert load_checkpoint(tmp_path / "runs" / "a" / "best.pt")[0].preprocessing.crop == crop


def test_patience_stops_early(folders, tmp_path):
    assert main([*folders, "--name", "a", "--epochs", "9", "--lr", "1e-12", "--patience", "2"]) == 0
    history = pd.read_csv(tmp_path / "runs" / "a" / "history.csv")
    assert len(history) - 1 - history["val_ap"].idxmax() == 2


def test_a_full_disk_is_one_clear_line_and_the_run_can_go_on(folders, monkeypatch, capsys):
    def full(self, name, checkpoint):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunFolder, "save", full)
    assert main([*folders, "--name", "a"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    monkeypatch.undo()
    assert main([*folders, "--name", "a", "--resume"]) == 0


def test_a_full_disk_while_saving_in_the_background_is_noticed(tmp_path, monkeypatch):
    with pytest.raises(OSError, match="No space"), RunFolder.open(tmp_path / "run", {}) as run:
        monkeypatch.setattr(RunFolder, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
        run.save_last([], {})


def test_run_folder_that_cannot_be_made_is_one_clear_line(folders, tmp_path, capsys):
    (tmp_path / "runs").write_text("in the way")
    assert main([*folders, "--name", "a"]) == 2
    assert "runs" in capsys.readouterr().err


def test_two_runs_into_one_folder_the_second_refuses(folders, tmp_path, capsys):
    with RunFolder.open(tmp_path / "runs" / "a", {}):
        assert main([*folders, "--name", "a"]) == 2
    assert "another run is at work" in capsys.readouterr().err


def test_training_set_smaller_than_a_batch(folders):
    assert main([*folders, "--batch-size", "64", "--epochs", "1"]) == 0


@pytest.mark.parametrize("left", [0, 1])
def test_class_with_too_few_images_is_a_clear_error(folders, dataset, left, capsys):
    for path in sorted((dataset / "train" / "artifacts").iterdir())[left:]:
        path.unlink()
    assert main(folders) == 2
    assert (
        "only 1 distinct image of artifacts" if left else "no training image is labelled"
    ) in capsys.readouterr().err


def test_a_loss_that_is_no_number_stops_the_run_and_says_what_to_try(folders, capsys):
    assert main([*folders, "--lr", "1e30", "--optimizer", "sgd"]) == 2
    assert "try a lower --lr" in capsys.readouterr().err


def test_compiled_is_what_trains(folders, monkeypatch):
    compiled = []
    monkeypatch.setattr(Detector, "compile", lambda self: compiled.append(self))
    assert main([*folders, "--compile", "--epochs", "1"]) == 0
    assert len(compiled) == 1


def test_tensorboard_gets_each_epoch(folders, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert main([*folders, "--name", "a"]) == 0
    folder = tmp_path / "runs" / "a" / "tensorboard"
    assert len(list(folder.iterdir())) == 1
    log = events.EventAccumulator(str(folder))
    log.Reload()
    assert [scalar.step for scalar in log.Scalars("val_ap")] == [1, 2]


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')}" in text for name in TrainConfig.__dataclass_fields__)


def test_a_name_that_is_no_utf8_is_trained_on_and_escaped(folders, dataset, tmp_path, capsys):
    classes = dataset / "train" / "artifacts", dataset / "test" / "artifacts"
    for folder in classes:
        file = next(folder.iterdir())
        os.rename(file, os.fsencode(folder) + b"/caf\xe9.png")
    (Path(os.fsdecode(os.fsencode(classes[0]) + b"/bad\xfe.png"))).touch()
    (classes[0] / "notes.txt").touch()
    assert main([*folders, "--name", "a"]) == 1
    printed = capsys.readouterr().err
    assert r"bad\udcfe.png: empty" in printed and "artifacts/notes.txt" in printed
    table = pd.read_csv(tmp_path / "runs" / "a" / "test_predictions.csv")
    assert r"test/artifacts/caf\udce9.png" in set(table["path"])


@pytest.mark.parametrize(("name", "arguments"), [("config.toml", ()), ("metrics.json", ("--folds", "2"))])
def test_a_run_folder_with_files_of_somebody_else_is_refused(folders, tmp_path, capsys, name, arguments):
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (run / name).write_text("mine")
    assert main([*folders, "--name", "mine", *arguments]) == 2
    assert f"{name}, which is not of a run" in capsys.readouterr().err
    assert (run / name).read_text() == "mine" and len(list(run.iterdir())) == 1


@pytest.mark.parametrize("name", ["..", "a/b", "/tmp/a"])
def test_a_run_is_one_folder_of_those_of_the_runs(folders, tmp_path, name):
    with pytest.raises(SystemExit):
        main([*folders, "--name", name])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_a_best_pt_whose_last_pt_is_gone_is_not_replaced(folders, tmp_path, capsys, resume):
    assert main([*folders, "--name", "a"]) == 0
    best = tmp_path / "runs" / "a" / "best.pt"
    before = best.read_bytes()
    (best.parent / "last.pt").unlink()
    assert main([*folders, "--name", "a", *resume]) == 2
    assert "last.pt is gone" in capsys.readouterr().err
    shutil.copy(best, best.parent / "last.pt")
    assert main([*folders, "--name", "a", "--resume"]) == 2
    assert "last.pt, which is not of a run" in capsys.readouterr().err
    assert best.read_bytes() == before

"""What runs the attempts: results, resuming, failures, and what a killed run leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn import metrics as sk

from artifact_detection.attempts import __main__ as command_line
from artifact_detection.attempts.catalogue import RECIPE, read_attempts
from artifact_detection.attempts.protocols import PROTOCOLS, Job, Protocol, plan
from artifact_detection.attempts.results import Results, quality
from artifact_detection.attempts.runner import AttemptError, Place, last_words, run_all, wait_until_free
from artifact_detection.labels import CLASSES
from artifact_detection.system.locks import exclusive_lock
from artifact_detection.system.tables import to_toml
from tests.training.test_trainer import toy_images

ROOT = Path(__file__).resolve().parents[2]
TINY = {"arch": "mobilenet_v3_small", "epochs": 1, "image_size": 32, "batch_size": 8, "workers": 0, "precision": "fp32"}
PROTOCOL = Protocol("tiny", "as small as can be", TINY, folds=2, seeds=1)


def test_quality_is_scikit_learns():
    rng = np.random.default_rng(0)
    labels = (rng.random(200) < 0.2).astype(int)
    probabilities = np.clip(0.3 * labels + rng.random(200) * 0.7, 0, 1)
    table = pd.DataFrame({"label": labels, "probability": probabilities, "prediction": probabilities > 0.5})
    found = quality(table)
    assert found["ap"] == sk.average_precision_score(labels, probabilities)
    cut = np.sort(probabilities[labels == 0])[-int(0.05 * (labels == 0).sum())]  # that many clean images lie there
    assert found["recall_at_5"] == (probabilities[labels == 1] >= cut).mean()
    assert np.isnan(quality(table[table["label"] == 0])["ap"])


@pytest.fixture
def dataset(tmp_path):
    for index, (image, label) in enumerate(zip(toy_images(36), toy_images(36).labels, strict=True)):
        path = tmp_path / "dataset" / "train" / CLASSES[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "dataset"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "attempts").mkdir()
    (tmp_path / "attempts" / f"{RECIPE}.toml").write_text("# Question: what?\n")
    (tmp_path / "attempts" / "02-bce.toml").write_text('# Question: and if?\nloss = "bce"\n')
    return tmp_path / "attempts"


@pytest.fixture
def run(folder, dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "tiny", PROTOCOL)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other crawl on a busy machine
    where = ["--folder", folder, "--dataset", dataset, "--weights", "none", "--runs", tmp_path / "runs"]
    return lambda *flags: command_line.main(["--protocol", "tiny", *map(str, where), *flags])


def test_runs_them_all_names_what_fails_and_skips_what_is_done(run, folder, capsys):
    (folder / "02-bce.toml").write_text("lr = 1e30\n")
    assert run() == 1
    said = capsys.readouterr()
    assert "failed: 02-bce-s0: " in said.err and "try a lower --lr" in said.err
    rows = pd.read_csv(folder / "results.csv")
    assert list(zip(rows["attempt"], rows["fold"], strict=True)) == [(RECIPE, 1), (RECIPE, 2)]
    assert (
        rows[["val_ap", "oof_ap", "oof_recall_at_5", "oof_roc_auc", "seconds", "peak_memory_mb"]].notna().all(axis=None)
    )
    assert rows["commit"].nunique() == 1 and rows["device"].str.len().all()
    kept = Results(folder).read_predictions("tiny", RECIPE, 0)
    assert len(kept) == 36 and sorted(kept["fold"].unique()) == [1, 2] and kept["group"].notna().all()
    held_out = kept[kept["fold"] == 2]
    assert rows["oof_ap"].iloc[1] == pytest.approx(quality(held_out)["ap"], rel=1e-5)
    assert len(pd.read_csv(folder / "history.csv")) == 2

    (folder / "02-bce.toml").unlink()
    before = (folder / "results.csv").read_bytes()
    assert run() == 0 and run("--list") == 0
    assert "1 of 1 jobs done, 0 left: nothing to do" in capsys.readouterr().out
    assert (folder / "results.csv").read_bytes() == before


def fake_run(job: Job, place: Place) -> None:
    """What a training leaves, without one: predictions that depend on the loss."""
    images, path = toy_images(36), place.run_folder(job)
    rng = np.random.default_rng(len(job.attempt.settings))
    table = images.table.assign(probability=rng.random(36), group=np.arange(36), fold=np.arange(36) % job.folds + 1)
    table = table.assign(prediction=(table["probability"] > 0.5).astype(int)).drop(columns="row")
    for fold in range(1, job.folds + 1):
        (path / f"fold-{fold}").mkdir(parents=True, exist_ok=True)
        table.to_csv(path / f"fold-{fold}" / "val_predictions.csv", index=False)
        history = pd.DataFrame({"epoch": [1, 2], "val_ap": [0.3, 0.4], "seconds": [1.5, 1.0], "peak_memory_mb": 100})
        config = to_toml({"data": {"device": "none"}, "environment": {"git_commit": "abc"}})
        (path / f"fold-{fold}" / "config.toml").write_text(config)
        history.to_csv(path / f"fold-{fold}" / "history.csv", index=False)
        torch.save({"weight": torch.zeros(1000, 1000)}, path / f"fold-{fold}" / "best.pt")
    table.to_csv(path / "oof_predictions.csv", index=False)


@pytest.fixture
def jobs(folder):
    return plan(PROTOCOL, read_attempts(folder), seeds=2)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "runs", "dataset", "none")


def test_stopped_in_between_it_goes_on_with_the_rest(jobs, place, folder):
    trained = []

    def stopped_at_the_third(job, place):
        trained.append(job.name)
        if len(trained) == 3:
            raise KeyboardInterrupt
        fake_run(job, place)

    with pytest.raises(KeyboardInterrupt):
        run_all(jobs, place, Results(folder), train=stopped_at_the_third)
    assert len(pd.read_csv(folder / "results.csv")) == 4
    assert run_all(jobs, place, Results(folder), train=stopped_at_the_third) == {}
    assert trained == [jobs[i].name for i in (0, 1, 2, 2, 3)]
    rows = pd.read_csv(folder / "results.csv")
    assert len(rows) == 8 and not rows.duplicated(["protocol", "attempt", "seed", "fold"]).any()
    assert (rows["seconds"] == 2.5).all() and (rows["millions"] == 1).all()


def test_a_failure_is_named_and_the_others_go_on(jobs, place, folder, capsys):
    def one_fails(job, place):
        if job.attempt.name == RECIPE:
            raise AttemptError("out of memory")
        fake_run(job, place)

    failures = run_all(jobs, place, Results(folder), train=one_fails)
    assert failures == {f"{RECIPE}-s{seed}": "out of memory" for seed in (0, 1)}
    assert set(pd.read_csv(folder / "results.csv")["attempt"]) == {"02-bce"}


def test_a_changed_file_is_run_again_and_replaces_its_rows(jobs, place, folder):
    run_all(jobs, place, Results(folder), train=fake_run)
    (folder / "02-bce.toml").write_text('loss = "bce"\nlr = 0.5\n')
    again, trained = plan(PROTOCOL, read_attempts(folder), seeds=2), []
    run_all(again, place, Results(folder), train=lambda *a: (trained.append(a[0].name), fake_run(*a)))
    assert trained == ["02-bce-s0", "02-bce-s1"]
    assert len(pd.read_csv(folder / "results.csv")) == 8


def test_time_is_up_before_the_next_job(jobs, place, folder, capsys):
    assert run_all(jobs, place, Results(folder), minutes=-1, train=fake_run) == {}
    assert "4 jobs are left" in capsys.readouterr().out and not (folder / "results.csv").exists()


def test_two_runners_at_once_are_refused(run, tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    with exclusive_lock(tmp_path / "runs"):
        assert run() == 2
    assert "another run is at work" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags, message", [(["--only", "99-*"], "no attempt of protocol tiny is called 99-*"), (["--report"], "README.md")]
)
def test_wrong_usage_is_a_clear_error(run, folder, flags, message, capsys):
    (folder / "README.md").write_text("no markers\n")
    assert run(*flags) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, message", [("los = 1", "unknown key 'los'"), ("epochs = 0", "--epochs must be positive")]
)
def test_a_file_that_makes_no_sense_is_named_before_any_training(run, folder, text, message, capsys):
    (folder / "02-bce.toml").write_text(text)
    assert run() == 2
    assert f"02-bce.toml: {message}" in capsys.readouterr().err
    assert not (folder / "results.csv").exists()


def test_no_attempt_that_can_run_is_exit_code_2_with_its_last_words(run, monkeypatch, capsys):
    def train(*_):
        raise AttemptError("model_training.py: memory ran out: pass a smaller --batch-size")

    monkeypatch.setattr(command_line.run_all, "__defaults__", (float("inf"), train))
    assert run() == 2
    assert "memory ran out: pass a smaller --batch-size" in capsys.readouterr().err


def test_last_words_are_the_last_line_that_says_anything(tmp_path):
    (tmp_path / "log").write_text("epoch 1\nmodel_training.py: no memory\n\n")
    assert last_words(tmp_path / "log") == "model_training.py: no memory"


@pytest.mark.skipif(sys.platform != "linux", reason="a parent's end is not told elsewhere")
def test_a_killed_runner_takes_its_training_along():
    child = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
    parent = (
        f"import subprocess; from artifact_detection.system.processes import end_with_parent as e; "
        f"subprocess.run({child!r}, preexec_fn=e)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_waits_for_the_last_step_of_a_killed_runners_training(tmp_path):
    (tmp_path / "run" / "fold-1").mkdir(parents=True)
    with exclusive_lock(tmp_path / "run" / "fold-1"), pytest.raises(AttemptError, match="another training is at work"):
        wait_until_free(tmp_path / "run", seconds=0.3)
    wait_until_free(tmp_path / "run")

"""The TOML files of model-training-attempts/, and what runs them."""

import functools
import json
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

import model_training
from artifact_detection import models
from artifact_detection.attempts import __main__ as command_line
from artifact_detection.attempts.catalogue import GROUPS, RECIPE, Attempt, read_attempts
from artifact_detection.attempts.protocols import PROTOCOLS, Job, Protocol, plan
from artifact_detection.attempts.results import Results, quality
from artifact_detection.attempts.runner import AttemptError, Place, last_words, run_all
from artifact_detection.config import TrainConfig
from artifact_detection.labels import CLASSES
from artifact_detection.processes import ALONE
from artifact_detection.transforms import Preprocessing
from tests.test_engine import toy_images

ROOT = Path(__file__).parents[1]
ATTEMPTS = read_attempts()
NAMES = [attempt.name for attempt in ATTEMPTS]
TINY = {"arch": "mobilenet_v3_small", "epochs": 1, "image_size": 32, "batch_size": 8, "workers": 0, "precision": "fp32"}
PROTOCOL = Protocol("tiny", "as small as can be", TINY, folds=2, seeds=1)


@functools.cache
def network(arch: str, preprocessing: Preprocessing) -> models.Detector:
    return models.build_model(arch, "none", preprocessing)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=NAMES)
def test_header_says_what_for_and_how(attempt):
    assert {"question", "cost", "command"} <= attempt.header.keys()
    assert attempt.header["question"].endswith((".", "?"))
    program, _, flags = attempt.header["command"].partition(" --")
    assert program == "python -m artifact_detection.attempts" and flags.endswith(f"--only {attempt.name}")
    if attempt.name != RECIPE:
        compared = attempt.header["compares"].split(", ")
        assert compared[0] == RECIPE and set(compared) <= set(NAMES) - {attempt.name}


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=NAMES)
def test_one_change_against_the_recipe(attempt):
    defaults = TrainConfig()
    assert all(value != getattr(defaults, name) for name, value in attempt.settings.items())
    assert (attempt.settings == {}) == (attempt.name == RECIPE)
    assert attempt.name == RECIPE or attempt.group in GROUPS


def test_there_are_enough_and_no_two_are_the_same():
    assert len(ATTEMPTS) >= 18
    assert len({json.dumps(attempt.settings, sort_keys=True) for attempt in ATTEMPTS}) == len(ATTEMPTS)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=NAMES)
def test_every_attempt_takes_a_step(attempt):
    fixed = {"weights": "none", "image_size": 32, "batch_size": 8, "workers": 0, "device": "cpu", "precision": "fp32"}
    config = TrainConfig(**(attempt.settings | fixed))
    preprocessing = Preprocessing(config.image_size, crop=config.crop)
    model = network(config.arch, preprocessing)
    model.freeze(config.freeze)
    trainer = model_training.build_trainer(config, model, toy_images(), ALONE)
    before = [weight.detach().clone() for weight in model.parameters() if weight.requires_grad]
    assert np.isfinite(trainer.step(*next(iter(trainer.loader))))
    after = [weight for weight in model.parameters() if weight.requires_grad]
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_small_keeps_what_it_cannot_vary_and_scales_the_rest():
    small = PROTOCOLS["small"]
    by_name = {attempt.name: attempt for attempt in ATTEMPTS}
    assert small.left_out(by_name["02-vgg16"]) == "arch is mobilenet_v2 here"
    settings = small.settings_of(by_name["31-image-size-320"])
    assert settings["image_size"] == round(320 * small.size) and settings["arch"] == "mobilenet_v2"
    assert small.settings_of(by_name["13-sgd"])["lr"] == pytest.approx(5e-3 * small.rate)
    jobs = plan(small, ATTEMPTS)
    repeated = {NAMES[i] for i in (0, 19, 26, 27)}
    assert {job.attempt.name for job in jobs if job.seed == 2} == {job.attempt.name for job in jobs[:12]} == repeated
    assert [job.name for job in plan(small, ATTEMPTS, only="27-*", seeds=2)] == ["27-bce-s0", "27-bce-s1"]


def test_full_is_the_recipe_itself():
    settings = PROTOCOLS["full"].settings_of(ATTEMPTS[0])
    assert TrainConfig(**settings) == TrainConfig()
    assert not any(PROTOCOLS["full"].left_out(attempt) for attempt in ATTEMPTS)


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
    (folder / "02-bce.toml").write_text("focal_gamma = -1.0\n")  # refused by the loss, not by the configuration
    assert run() == 1
    said = capsys.readouterr()
    assert "failed: 02-bce-s0: " in said.err and "gamma >= 0" in said.err
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
        history = pd.DataFrame({"epoch": [1, 2], "val_ap": [0.3, 0.4], "seconds": [1.5, 1.0]})
        history.to_csv(path / f"fold-{fold}" / "history.csv", index=False)
        torch.save({"model": {"weight": torch.zeros(1000, 1000)}}, path / f"fold-{fold}" / "best.pt")
    table.to_csv(path / "oof_predictions.csv", index=False)
    needed = {"peak_memory_mb": 100, "device": "none", "commit": "abc"}
    path.with_suffix(".json").write_text(json.dumps(needed))


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
    from artifact_detection.files import exclusive_lock

    (tmp_path / "runs").mkdir()
    with exclusive_lock(tmp_path / "runs"):
        assert run() == 2
    assert "another run is at work" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags, message",
    [(["--only", "99-*"], "no attempt of protocol tiny is called 99-*"), (["--report"], "README.md")],
)
def test_wrong_usage_is_a_clear_error(run, folder, flags, message, capsys):
    (folder / "README.md").write_text("no markers\n")
    assert run(*flags) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_key_is_named(run, folder, capsys):
    (folder / "02-bce.toml").write_text("los = 1\n")
    assert run() == 2
    assert "02-bce.toml: unknown key 'los'" in capsys.readouterr().err


def test_last_words_are_the_last_line_that_says_anything(tmp_path):
    (tmp_path / "log").write_text("epoch 1\nmodel_training.py: no memory\n\n")
    assert last_words(tmp_path / "log") == "model_training.py: no memory"


@pytest.mark.skipif(os.name == "nt", reason="a parent's end cannot be seen there")
def test_a_killed_runner_takes_its_training_along():
    child = (
        "import os, time; from artifact_detection.attempts.job import end_with_parent as e; e(); print(os.getpid(), "
    )
    child += "flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_settings_names_an_attempt_by_its_first_group():
    assert Attempt("x", {"weight_decay": 0.1, "optimizer": "adamw"}, {}).group == "optimisation"

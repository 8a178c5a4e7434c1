"""What organize_dataset.py places where, run again, and undone."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import organize_dataset
from artifact_detection.system.transfers import MODES
from tests.sources import ROOT, draw, draw_source, manifest, reasons, run, tree

pytestmark = pytest.mark.usefixtures("no_sync")


def test_the_defaults_read_test_data_beside_the_script_from_any_folder(tmp_path):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    draw_source(project).rename(project / "test_data")
    shutil.copy(ROOT / "organize_dataset.py", project)
    shutil.copytree(ROOT / "artifact_detection", project / "artifact_detection", ignore=shutil.ignore_patterns("*.pyc"))
    command = [sys.executable, project / "organize_dataset.py"]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (project / "dataset" / "test" / "artifacts").iterdir()) == [
        "image_00004_1.png",
        "image_00005_1.png",
    ]
    assert done.stdout.splitlines()[:3] == [
        "               train    test",
        "no_artifacts       4       4",
        "artifacts          2       2",
    ]
    assert list(elsewhere.iterdir()) == []


def test_what_lies_beside_the_splits_is_named(tmp_path, capsys):
    source = draw_source(tmp_path)
    draw(source / "val" / "a_0.png", 90)
    draw(source / "b_1.png", 91)
    assert run(tmp_path) == 0
    assert "none of --splits train test: val/, b_1.png" in capsys.readouterr().out


@pytest.mark.parametrize("mode", MODES)
def test_the_manifest_says_what_is_where(tmp_path, mode):
    source = draw_source(tmp_path)
    before = tree(source)
    assert run(tmp_path, "--mode", mode) == 0
    rows = manifest(tmp_path)
    assert len(rows) == len(before)
    for row in rows:
        name = Path(row["source"]).relative_to("../source").as_posix()
        data = (tmp_path / "dataset" / row["destination"]).read_bytes()
        assert data == before[name]
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert int(row["bytes"]) == len(data)
        folder = ("no_artifacts", "artifacts")[int(row["label"])]
        assert row["destination"] == f"{row['split']}/{folder}/{Path(name).name}"
        assert (row["mode"], row["status"], row["reason"]) == (mode, "placed", "")
    assert tree(source) == ({} if mode == "move" else before)


@pytest.mark.parametrize("mode", MODES)
def test_a_second_run_changes_nothing_and_says_so(tmp_path, mode, capsys):
    draw_source(tmp_path)
    run(tmp_path, "--mode", mode)
    before = {path: path.stat() for path in tmp_path.rglob("*")}
    capsys.readouterr()
    assert run(tmp_path, "--mode", mode) == 0
    assert "nothing to do" in capsys.readouterr().out
    after = {path: path.stat() for path in tmp_path.rglob("*")}
    assert {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in after.items() if not path.is_dir()} == {
        path: (stat.st_ino, stat.st_mtime_ns) for path, stat in before.items() if not path.is_dir()
    }


def test_images_from_elsewhere_in_the_output_are_said(tmp_path, capsys):
    """Those of the demo would go unseen into the training set of one's own images."""
    draw_source(tmp_path)
    run(tmp_path, "--mode", "move")
    run(tmp_path, "--mode", "move")
    assert "were here before" not in capsys.readouterr().out
    draw(tmp_path / "mine" / "train" / "own_0.png", 50)
    arguments = ("--source", tmp_path / "mine", "--output", tmp_path / "dataset", "--splits", "train", "--mode", "move")
    organize_dataset.main([str(argument) for argument in arguments])
    assert f"12 of these were here before, from {tmp_path}/source/" in capsys.readouterr().out


@pytest.mark.parametrize("mode", MODES)
def test_undo_restores_the_folder_exactly(tmp_path, mode):
    source = draw_source(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*") if path.is_file()}
    data = tree(tmp_path)
    run(tmp_path, "--mode", mode)
    assert run(tmp_path, "--undo") == 0
    assert tree(tmp_path) == data
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not (tmp_path / "dataset").exists()
    assert run(tmp_path, "--undo") == 2


def test_an_undo_leaves_what_was_edited_since_and_can_be_finished_later(tmp_path, capsys):
    source = draw_source(tmp_path)
    data = tree(source)
    run(tmp_path, "--mode", "move")
    edited = tmp_path / "dataset" / "train" / "artifacts" / "image_00004_1.png"
    original = edited.read_bytes()
    edited.write_bytes(b"edited")
    assert run(tmp_path, "--undo") == 1
    assert "image_00004_1.png: changed since" in capsys.readouterr().out
    assert tree(tmp_path / "dataset").keys() == {"manifest.csv", "train/artifacts/image_00004_1.png"}
    edited.write_bytes(original)
    assert run(tmp_path, "--undo") == 0
    assert tree(source) == data


@pytest.mark.parametrize("undo", [(), ("--undo",)])
def test_a_dry_run_writes_nothing(tmp_path, undo, capsys):
    draw_source(tmp_path)
    if undo:
        run(tmp_path, "--mode", "move")

    def states():
        stats = {path: path.stat() for path in [tmp_path, *tmp_path.rglob("*")]}
        return {path: (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in stats.items()}

    before = states()
    assert run(tmp_path, "--dry-run", *undo) == 0
    assert "12 files" in capsys.readouterr().out
    assert states() == before


def test_names_that_meet_lose_no_file_and_stay_the_same_later(tmp_path):
    train = tmp_path / "source" / "train"
    for seed, name in enumerate(["b/x_0.png", "a/b/x_0.png", "X_0.png", "x_0.png", "other_0.png"]):
        draw(train / name, seed)
    expected = {
        "X_0.png": "X_0.png",
        "x_0.png": "train-x_0.png",
        "b/x_0.png": "b-x_0.png",
        "a/b/x_0.png": "2-b-x_0.png",
        "other_0.png": "other_0.png",
    }

    def destinations():
        rows = manifest(tmp_path)
        return {row["source"].removeprefix("../source/train/"): Path(row["destination"]).name for row in rows}

    assert run(tmp_path, "--splits", "train") == 0
    assert destinations() == expected
    draw(train / "B-x_0.png", 9)
    (train / "other_0.png").unlink()
    assert run(tmp_path, "--splits", "train") == 0
    assert destinations() == expected | {"B-x_0.png": "train-B-x_0.png"}
    data = tree(tmp_path / "dataset" / "train" / "no_artifacts")
    assert all(data[expected[name]] == (train / name).read_bytes() for name in expected if name != "other_0.png")


@pytest.mark.parametrize("mode", MODES)
def test_a_destination_with_other_bytes_is_kept_and_named(tmp_path, mode):
    source = draw_source(tmp_path)
    before = tree(source)
    taken = tmp_path / "dataset" / "train" / "no_artifacts" / "image_00000_0.png"
    taken.parent.mkdir(parents=True)
    taken.write_text("mine")
    for _ in range(2):
        assert run(tmp_path, "--mode", mode) == 1
        assert taken.read_text() == "mine"
        assert reasons(tmp_path)["image_00000_0.png"].startswith("another file has its place")
    assert run(tmp_path, "--undo") == 0
    assert tree(source) == before
    assert tree(tmp_path / "dataset") == {"train/no_artifacts/image_00000_0.png": b"mine"}


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_source_that_changed_since_replaces_nothing(tmp_path, mode):
    source = draw_source(tmp_path)
    first = (source / "train" / "image_00000_0.png").read_bytes()
    run(tmp_path, "--mode", mode)
    second = draw(source / "train" / "image_00000_0.png", seed=77).read_bytes()
    for _ in range(2):
        assert run(tmp_path, "--mode", mode) == 1
        assert "changed since" in reasons(tmp_path)["image_00000_0.png"]
        assert (tmp_path / "dataset" / "train" / "no_artifacts" / "image_00000_0.png").read_bytes() == first
        assert (source / "train" / "image_00000_0.png").read_bytes() == second


def test_an_edited_copy_is_named_and_kept(tmp_path):
    draw_source(tmp_path)
    run(tmp_path)
    copy = tmp_path / "dataset" / "train" / "no_artifacts" / "image_00000_0.png"
    copy.write_text("edited")
    for _ in range(2):
        assert run(tmp_path) == 1
        assert "changed since" in reasons(tmp_path)["image_00000_0.png"]
        assert copy.read_text() == "edited"


def test_a_lost_copy_is_made_again_and_a_lost_source_changes_nothing(tmp_path):
    source = draw_source(tmp_path)
    run(tmp_path)
    before = tree(tmp_path / "dataset")
    (tmp_path / "dataset" / "train" / "artifacts" / "image_00004_1.png").unlink()
    (source / "train" / "image_00000_0.png").unlink()
    assert run(tmp_path) == 0
    assert tree(tmp_path / "dataset") == before


@pytest.mark.parametrize("mode", ["copy", "link"])
def test_a_source_that_has_another_folder_now_is_not_placed_twice(tmp_path, mode):
    source = draw_source(tmp_path)
    run(tmp_path, "--mode", mode)
    before = tree(tmp_path / "dataset")
    source.rename(tmp_path / "renamed")
    assert run(tmp_path, "--mode", mode, "--source", str(tmp_path / "renamed")) == 0
    assert tree(tmp_path / "dataset").keys() == before.keys()
    assert {Path(row["source"]).parts[1] for row in manifest(tmp_path)} == {"renamed"}
    assert run(tmp_path, "--undo") == 0


def test_a_file_that_is_gone_from_both_places_is_named_once(tmp_path):
    source = draw_source(tmp_path)
    run(tmp_path)
    (tmp_path / "dataset" / "train" / "artifacts" / "image_00004_1.png").unlink()
    (source / "train" / "image_00004_1.png").unlink()
    assert run(tmp_path) == 1
    assert reasons(tmp_path) == {"image_00004_1.png": "gone from both places"}
    assert run(tmp_path) == 0


def test_a_second_source_joins_the_first(tmp_path):
    draw_source(tmp_path)
    run(tmp_path)
    draw(tmp_path / "more" / "train" / "image_00000_0.png", 5)
    assert run(tmp_path, "--source", str(tmp_path / "more"), "--splits", "train") == 0
    assert {row["destination"] for row in manifest(tmp_path)} >= {
        "train/no_artifacts/image_00000_0.png",
        "train/no_artifacts/train-image_00000_0.png",
    }

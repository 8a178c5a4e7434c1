import csv
import hashlib
import io
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import organize_dataset
from artifact_detection.files import exclusive_lock
from artifact_detection.transfers import MODES

ROOT = Path(organize_dataset.__file__).parent


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Syncing guards against a power cut, which no test can make, and takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def draw(path, seed=0):
    """A tiny image; another seed gives other bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return path


def draw_source(folder, per_class=(4, 2)):
    """source/{train,test}: clean and artifact images, all different."""
    for split in ("train", "test"):
        for index in range(sum(per_class)):
            label = int(index >= per_class[0])
            seed = 2 * index + (split == "test")
            draw(folder / "source" / split / f"image_{index:05d}_{label}.png", seed)
    return folder / "source"


def tree(folder):
    """Every file below a folder with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(folder):
    with open(folder / "dataset" / "manifest.csv", encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def reasons(folder):
    return {Path(row["source"]).name: row["reason"] for row in manifest(folder) if row["reason"]}


def run(folder, *arguments):
    """Organize folder/source into folder/dataset in this process; return the exit code."""
    return organize_dataset.main(["--source", f"{folder / 'source'}", "--output", f"{folder / 'dataset'}", *arguments])


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
    assert re.search(r"^train +4 +2$", done.stdout, re.MULTILINE)
    assert list(elsewhere.iterdir()) == []


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
    before = {path: path.stat() for path in [tmp_path, *tmp_path.rglob("*")]}
    assert run(tmp_path, "--dry-run", *undo) == 0
    assert "12 files" in capsys.readouterr().out
    assert {path: path.stat() for path in [tmp_path, *tmp_path.rglob("*")]} == before


def test_odd_names_are_all_placed(tmp_path):
    names = ["two words_0.PNG", "Füße_0.jpg", "面_0.JPEG", "a_1_b_0.webp", "x.y_0.bmp", "t_0.tif", "u_0.TIFF"]
    for seed, name in enumerate(names):
        draw(tmp_path / "source" / "train" / name, seed)
    draw(tmp_path / "source" / "train" / "deep" / "er" / "👩‍🚀 line\nbreak_1.png")
    assert run(tmp_path, "--splits", "train") == 0
    expected = {f"train/no_artifacts/{name}" for name in names} | {"train/artifacts/👩‍🚀 line\nbreak_1.png"}
    assert tree(tmp_path / "dataset").keys() == expected | {"manifest.csv"}
    assert {row["destination"] for row in manifest(tmp_path)} == expected


def test_bad_files_are_named_and_the_others_done(tmp_path, capsys):
    train = draw_source(tmp_path) / "train"
    whole = draw(train / "image_1.png").read_bytes()
    (train / "image_1.png").rename(train / "unlabelled.png")
    (train / "other_7.png").write_bytes(whole)
    (train / "empty_0.png").touch()
    (train / "text_1.png").write_text("no image")
    (train / "cut_0.png").write_bytes(whole[: len(whole) // 2])
    (train / "cut_1.jpg").write_bytes(draw(tmp_path / "x.jpg").read_bytes()[:-20])
    (train / "notes.txt").write_text("no image")
    (train / "loop").symlink_to(".")
    (train / "dead_1.png").symlink_to("nowhere")
    expected = {
        "unlabelled.png": "no label in its name",
        "other_7.png": "no label in its name",
        "empty_0.png": "empty file",
        "text_1.png": "not an image",
        "cut_0.png": "broken image",
        "cut_1.jpg": "broken image",
        "notes.txt": "no image by its name",
        "loop": "link to a folder, not followed",
        "dead_1.png": "broken link",
    }
    assert run(tmp_path) == 1
    assert {name: reason.split(":")[0] for name, reason in reasons(tmp_path).items()} == expected
    assert len(tree(tmp_path / "dataset")) == 12 + 1
    out = capsys.readouterr().out
    assert all(name in out and reason in out for name, reason in expected.items())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_no_manifest_can_hold_is_named_and_left(tmp_path, capsys):
    train = draw_source(tmp_path) / "train"
    os.rename(train / "image_00000_0.png", os.fsencode(train) + b"/\xff_0.png")
    assert run(tmp_path) == 1
    assert reasons(tmp_path) == {r"\udcff_0.png": "name is not valid UTF-8"}
    assert r"\udcff_0.png" in capsys.readouterr().out


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


@pytest.mark.parametrize(
    ("made", "again"),
    [
        ((), ("--artifact-label", "0", "--yes")),
        (("--mode", "move"), ("--mode", "move", "--artifact-label", "0", "--yes")),
        ((), ("--mode", "move")),
        (("--mode", "link"), ()),
    ],
    ids=["other labels", "other labels after a move", "copy then move", "link then copy"],
)
def test_other_settings_for_the_same_output_are_refused(tmp_path, made, again, capsys):
    draw_source(tmp_path)
    run(tmp_path, *made)
    before = tree(tmp_path)
    assert run(tmp_path, *again) == 2
    assert "--undo" in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_inverted_labels_stop_before_a_file_is_touched(tmp_path, capsys):
    draw_source(tmp_path, per_class=(1, 3))
    before = tree(tmp_path)
    assert run(tmp_path) == 2
    error = capsys.readouterr().err
    assert "look inverted" in error and "--artifact-label 0" in error and "--yes" in error and "3 of 4" in error
    assert tree(tmp_path) == before
    assert not (tmp_path / "dataset").exists()
    assert run(tmp_path, "--artifact-label", "0", "--dry-run") == 0
    assert run(tmp_path, "--yes") == 0
    assert len(tree(tmp_path / "dataset" / "train" / "artifacts")) == 3


def test_a_half_done_move_does_not_look_inverted(tmp_path):
    source = draw_source(tmp_path)
    run(tmp_path, "--mode", "move")
    draw(source / "train" / "image_00009_1.png", 9)
    assert run(tmp_path, "--mode", "move") == 0


def test_a_pattern_of_ones_own(tmp_path):
    for seed, name in enumerate(["good-1.png", "good-2.png", "bad-1.png", "3.png"]):
        draw(tmp_path / "source" / "train" / name, seed)
    pattern = ("--splits", "train", "--pattern", r"^(?P<label>good|bad)-")
    assert run(tmp_path, *pattern) == 2  # which of the texts means artifact was not said
    assert run(tmp_path, *pattern, "--artifact-label", "bad") == 1
    assert {row["destination"] for row in manifest(tmp_path)} == {
        "train/no_artifacts/good-1.png",
        "train/no_artifacts/good-2.png",
        "train/artifacts/bad-1.png",
        "",
    }


def test_a_symbolic_link_is_copied_but_not_moved(tmp_path):
    source = draw_source(tmp_path)
    draw(tmp_path / "store.png", 5)
    (source / "train" / "linked_0.png").symlink_to(tmp_path / "store.png")
    assert run(tmp_path) == 0
    assert not (tmp_path / "dataset" / "train" / "no_artifacts" / "linked_0.png").is_symlink()
    run(tmp_path, "--undo")
    assert run(tmp_path, "--mode", "move") == 1
    assert reasons(tmp_path) == {"linked_0.png": "symbolic link, cannot be moved"}
    assert (tmp_path / "store.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "nowhere"], "no folder"),
        (["--splits", "train", "val"], "val: name the splits"),
        (["--splits", "../source"], "not '../source'"),
        (["--output", "source"], "overlap"),
        (["--output", "source/train/sorted"], "overlap"),
        (["--output", "file"], "exists"),
        (["--output", "missing", "--undo"], "nothing to undo"),
        (["--output", "source", "--undo"], "nothing to undo"),
    ],
)
def test_wrong_usage_is_one_line_and_touches_nothing(tmp_path, monkeypatch, capsys, arguments, message):
    draw_source(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    assert organize_dataset.main(["--source", "source", "--output", "dataset", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("train/artifacts/", "../../"),
        lambda text: text.replace(",copy,", ",shred,"),
        lambda _: "",
    ],
    ids=["cut", "leads out of the folder", "unknown mode", "empty"],
)
@pytest.mark.parametrize("arguments", [(), ("--undo",)])
def test_a_damaged_manifest_is_refused(tmp_path, capsys, damage, arguments):
    draw_source(tmp_path)
    run(tmp_path)
    path = tmp_path / "dataset" / "manifest.csv"
    path.write_text(damage(path.read_text()))
    before = tree(tmp_path)
    assert run(tmp_path, *arguments) == 2
    assert "damaged" in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_an_empty_split_is_said(tmp_path, capsys):
    source = draw_source(tmp_path)
    shutil.rmtree(source / "test")
    (source / "test").mkdir()
    assert run(tmp_path) == 1
    assert "no usable image in test" in capsys.readouterr().err
    assert len(tree(tmp_path / "dataset" / "train")) == 6


def test_a_second_run_at_the_same_time_is_refused(tmp_path, capsys):
    draw_source(tmp_path)
    (tmp_path / "dataset").mkdir()
    with exclusive_lock(tmp_path / "dataset"):
        assert run(tmp_path) == 2
        assert "another run" in capsys.readouterr().err
    assert run(tmp_path) == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_full_disk_is_said_and_the_next_run_goes_on(tmp_path, mode, monkeypatch, capsys):
    source = draw_source(tmp_path)
    before = tree(source)
    expected = tmp_path / "expected"
    draw_source(expected)
    run(expected, "--mode", mode)

    def full(*_):
        raise OSError(28, "No space left on device", "dataset")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        patch.setattr(os, "symlink", full)
        patch.setattr(organize_dataset.os, "fsync", full)
        assert run(tmp_path, "--mode", mode) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert tree(source) == before
    assert run(tmp_path, "--mode", mode) == 0
    assert tree(tmp_path / "dataset") == tree(expected / "dataset")


def test_a_file_without_permission_is_named_and_the_others_are_done(tmp_path, monkeypatch):
    source = draw_source(tmp_path)
    before = tree(source)
    unlink = os.unlink

    def guarded(path, **options):
        if Path(path).name == "image_00000_0.png":
            raise PermissionError(13, "Permission denied")
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", guarded)
        assert run(tmp_path, "--mode", "move") == 1
    assert reasons(tmp_path) == {"image_00000_0.png": "not placed: Permission denied"}
    assert tree(source).keys() == {"train/image_00000_0.png", "test/image_00000_0.png"}
    assert run(tmp_path, "--mode", "move") == 0
    assert run(tmp_path, "--undo") == 0
    assert tree(source) == before


# Killed at any point. The children come from a clean server process: starting one takes milliseconds.

COMMANDS = {"copy": ("--mode", "copy"), "move": ("--mode", "move"), "link": ("--mode", "link"), "undo": ("--undo",)}
STEPS = ("fsync", "link", "mkdir", "open", "replace", "rmdir", "unlink")  # every call that changes or syncs a disk
needs_sigkill = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")


@pytest.fixture(scope="module")
def children():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["organize_dataset"])
    return context


def quiet_run(folder, arguments, kill_before=None):
    """In a child: organize, and die before the n-th step on the disk, if so asked."""
    sys.stdout = sys.stderr = io.TextIOWrapper(io.BytesIO())
    steps = iter(range(1 << 30))

    def counted(call):
        def step(*args, **options):
            if next(steps) == kill_before:
                os.kill(os.getpid(), 9)
            return call(*args, **options)

        return step

    if kill_before is not None:
        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
    run(folder, *arguments)


def prepare(folder, command, per_class=(4, 2)):
    """What stands before the command: a source, and for undo the moved dataset."""
    source = draw_source(folder, per_class)
    data = tree(source)
    if command == "undo":
        run(folder, "--mode", "move")
    return data


def check_nothing_is_lost(folder, data, command):
    everything = set(tree(folder).values())
    assert everything >= set(data.values())
    if command in ("copy", "link"):
        assert tree(folder / "source") == data


def state(folder):
    folders = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir()}
    return tree(folder), folders


@pytest.fixture
def uninterrupted(tmp_path):
    def finish(command, per_class=(4, 2)):
        folder = tmp_path / "uninterrupted"
        prepare(folder, command, per_class)
        assert run(folder, *COMMANDS[command]) == 0
        return state(folder)

    return finish


@needs_sigkill
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_30_random_moments_nothing_is_lost_and_the_next_run_ends_the_same(
    tmp_path, command, children, uninterrupted
):
    expected = uninterrupted(command, (5, 2))
    prepare(tmp_path / "timed", command, (5, 2))
    child = children.Process(target=quiet_run, args=(tmp_path / "timed", COMMANDS[command]))
    start = time.perf_counter()
    child.start()
    child.join()
    duration = time.perf_counter() - start
    moments = random.Random(0)
    for number in range(30):
        folder = tmp_path / str(number)
        data = prepare(folder, command, (5, 2))
        child = children.Process(target=quiet_run, args=(folder, COMMANDS[command]))
        child.start()
        time.sleep(moments.uniform(0, duration))
        child.kill()
        child.join()
        assert child.exitcode in (0, -9)
        check_nothing_is_lost(folder, data, command)
        run(folder, *COMMANDS[command])
        assert state(folder) == expected
        shutil.rmtree(folder)


@needs_sigkill
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_before_every_single_step(tmp_path, command, children, uninterrupted):
    expected = uninterrupted(command, (1, 1))
    for step in range(1000):
        folder = tmp_path / str(step)
        data = prepare(folder, command, (1, 1))
        child = children.Process(target=quiet_run, args=(folder, COMMANDS[command], step))
        child.start()
        child.join()
        assert child.exitcode in (0, -9)
        check_nothing_is_lost(folder, data, command)
        if child.exitcode == 0:
            break
        run(folder, *COMMANDS[command])
        assert (step, state(folder)) == (step, expected)
    assert step > 10

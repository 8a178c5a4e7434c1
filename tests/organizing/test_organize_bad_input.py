"""What organize_dataset.py does with odd names, bad files, wrong usage and a failing disk."""

import os
import shutil
import sys
from pathlib import Path

import pytest

import organize_dataset
from artifact_detection.system.locks import exclusive_lock
from artifact_detection.system.transfers import MODES
from tests.sources import draw, draw_source, manifest, reasons, run, tree

pytestmark = pytest.mark.usefixtures("no_sync")


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
        "empty_0.png": "empty",
        "text_1.png": "not an image",
        "cut_0.png": "truncated",
        "cut_1.jpg": "truncated",
        "notes.txt": "not an image by its name",
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


def test_a_pattern_of_ones_own(tmp_path, capsys):
    for seed, name in enumerate(["plain-1.png", "plain-2.png", "odd-1.png", "3.png"]):
        draw(tmp_path / "source" / "train" / name, seed)
    pattern = ("--splits", "train", "--pattern", r"^(?P<label>plain|odd)-")
    assert run(tmp_path, *pattern) == 2  # which of the texts means artifact was not said
    assert run(tmp_path, *pattern, "--artifact-label", "odd") == 1
    assert {row["destination"] for row in manifest(tmp_path)} == {
        "train/no_artifacts/plain-1.png",
        "train/no_artifacts/plain-2.png",
        "train/artifacts/odd-1.png",
        "",
    }
    draw(tmp_path / "source" / "train" / "blurred-1.png", 4)
    three = ("--splits", "train", "--pattern", r"^(?P<label>[a-z]+)-", "--artifact-label", "odd")
    assert run(tmp_path, *three) == 2
    assert "blurred, odd, plain" in capsys.readouterr().err


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "nowhere"], "no folder"),
        (["--splits", "train", "val"], "val: images lie in train/ and val/ below"),
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


DAMAGE = {
    "cut": lambda text: text[: len(text) // 2],
    "leads out of the folder": lambda text: text.replace("train/artifacts/", "../../"),
    "unknown mode": lambda text: text.replace(",copy,", ",shred,"),
    "empty": lambda _: "",
}
HIDDEN_DAMAGE = {
    "cut between rows": lambda text: "".join(text.splitlines(keepends=True)[:4]),
    "another name": lambda text: text.replace("image_00000_0.png", "image_00000_1.png", 1),
}


def damage_manifest(folder, damage):
    draw_source(folder)
    run(folder)
    path = folder / "dataset" / "manifest.csv"
    path.write_text(damage(path.read_text()))
    return tree(folder)


@pytest.mark.parametrize("damage", DAMAGE | HIDDEN_DAMAGE)
@pytest.mark.parametrize("arguments", [(), ("--undo",)])
def test_a_damaged_manifest_is_refused(tmp_path, capsys, damage, arguments):
    before = damage_manifest(tmp_path, (DAMAGE | HIDDEN_DAMAGE)[damage])
    assert run(tmp_path, *arguments) == 2
    assert "changed since" in capsys.readouterr().err
    assert tree(tmp_path) == before


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_manifest_without_its_record_is_refused(tmp_path, capsys, damage):
    before = damage_manifest(tmp_path, DAMAGE[damage])
    shutil.rmtree(tmp_path / "dataset" / ".work")
    assert run(tmp_path, "--undo") == 2
    assert "damaged" in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_an_empty_split_is_said(tmp_path, capsys):
    source = draw_source(tmp_path)
    shutil.rmtree(source / "test")
    (source / "test").mkdir()
    assert run(tmp_path) == 1
    assert "no image for test/no_artifacts, test/artifacts" in capsys.readouterr().err
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
        patch.setattr(os, "fsync", full)
        assert run(tmp_path, "--mode", mode) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert tree(source) == before
    assert run(tmp_path, "--mode", mode) == 0
    assert tree(tmp_path / "dataset") == tree(expected / "dataset")


def test_a_file_without_permission_is_named_and_the_others_are_done(tmp_path, monkeypatch):
    source = draw_source(tmp_path)
    before = tree(source)
    rename = os.rename

    def guarded(path, name):
        if Path(path).name == "image_00000_0.png":
            raise PermissionError(13, "Permission denied")
        rename(path, name)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", guarded)
        assert run(tmp_path, "--mode", "move") == 1
    assert reasons(tmp_path) == {"image_00000_0.png": "not placed: Permission denied"}
    assert tree(source).keys() == {"train/image_00000_0.png", "test/image_00000_0.png"}
    assert run(tmp_path, "--mode", "move") == 0
    assert run(tmp_path, "--undo") == 0
    assert tree(source) == before

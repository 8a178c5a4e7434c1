"""Nothing that is not ours is touched: one folder under two names, the user's files with our names, other lists."""

import os
import shutil
import subprocess
import time

import pytest

from artifact_detection.organizing.plan import Row, name_destinations
from artifact_detection.system import transfers
from artifact_detection.system.files import ChangedBytesError
from artifact_detection.system.transfers import MODES
from tests.sources import draw, draw_source, reasons, run, tree

pytestmark = pytest.mark.usefixtures("no_sync")


def draw_organized(folder):
    """A source with class folders, as an output has them."""
    for split in ("train", "test"):
        for seed in range(5):
            name = ("no_artifacts", "artifacts")[seed == 4]
            draw(folder / split / name / f"image_{seed}_{int(seed == 4)}.png", seed + 10 * (split == "test"))
    return tree(folder)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["link", "bind", "split link"])
def test_a_source_that_is_the_output_under_another_name_is_refused(tmp_path, mode, how, capsys):
    before = draw_organized(tmp_path / "source")
    if how == "link":
        (tmp_path / "dataset").symlink_to(tmp_path / "source")
    elif how == "bind":
        (tmp_path / "dataset").mkdir()
        command = ["mount", "--bind", str(tmp_path / "source"), str(tmp_path / "dataset")]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("may not mount here")
    else:
        (tmp_path / "dataset").mkdir()
        for split in ("train", "test"):
            (tmp_path / "dataset" / split).symlink_to(tmp_path / "source" / split)
    try:
        for arguments in (("--mode", mode), ("--mode", mode), ("--undo",)):
            assert run(tmp_path, *arguments) == 2
            assert tree(tmp_path / "source") == before
    finally:
        if how == "bind":
            subprocess.run(["umount", str(tmp_path / "dataset")], check=True)


@pytest.mark.parametrize("mode", MODES)
def test_a_second_name_that_nothing_gives_away_loses_nothing(tmp_path, mode, monkeypatch):
    """As with a network disk that is mounted twice, whose folders have other numbers."""
    before = draw_organized(tmp_path / "source")
    (tmp_path / "dataset").symlink_to(tmp_path / "source")
    monkeypatch.setattr("artifact_detection.organizing.refusals.lies_in", lambda *_: False)
    monkeypatch.setattr(transfers, "same_entry", lambda *_: False)
    for arguments in (("--mode", mode), ("--mode", mode), ("--undo",)):
        run(tmp_path, "--output", str(tmp_path / "dataset"), *arguments)
        assert before.items() <= tree(tmp_path / "source").items()


def test_files_of_the_user_with_our_names_are_kept(tmp_path):
    source = draw_source(tmp_path)
    mine = [source / "train" / ".unfinished-notes.txt", tmp_path / "dataset" / ".lock", source / ".work" / "mine"]
    mine.append(tmp_path / "dataset" / ".unfinished-folder" / "x")
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    for arguments in ((), (), ("--undo",)):
        run(tmp_path, *arguments)
        assert all(path.read_text() == "mine" for path in mine)


def test_a_manifest_that_no_run_made_is_refused(tmp_path, capsys):
    draw_source(tmp_path)
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "manifest.csv").write_text("mine")
    assert run(tmp_path) == 2
    assert "manifest.csv, which is not of a run" in capsys.readouterr().err
    assert tree(tmp_path / "dataset") == {"manifest.csv": b"mine"}


@pytest.mark.parametrize("splits", [("train", "train"), ("train", "again"), ("train", "inner")])
def test_one_folder_cannot_be_two_splits(tmp_path, splits, capsys):
    source = draw_source(tmp_path)
    (source / "again").symlink_to("train")
    (source / "train" / "deep").mkdir()
    (source / "inner").symlink_to("train/deep")
    assert run(tmp_path, "--mode", "move", "--splits", *splits) == 2
    assert "name it once" in capsys.readouterr().err
    assert not (tmp_path / "dataset").exists()


def test_a_dataset_from_elsewhere_is_undone_only_to_where_the_user_says(tmp_path, monkeypatch, capsys):
    source = draw_source(tmp_path)
    data = tree(source)
    run(tmp_path, "--mode", "move")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    assert run(tmp_path, "--undo") == 2
    assert "--restore-to" in capsys.readouterr().err and tree(source) == {}
    assert run(tmp_path, "--undo", "--restore-to", str(tmp_path / "safe")) == 0
    assert sorted(tree(tmp_path / "safe").values()) == sorted(data.values()) and tree(source) == {}


@pytest.mark.parametrize("mode", ["move", "link"])
def test_a_source_that_is_saved_again_meanwhile_is_kept_and_named(tmp_path, mode, monkeypatch, capsys):
    source = draw_source(tmp_path)
    saved = source / "train" / "image_00000_0.png"
    link = os.link

    def save_first(one, other):
        if str(one) == str(saved):
            draw(tmp_path / "new.png", 99)
            os.replace(tmp_path / "new.png", saved)
        link(one, other)

    monkeypatch.setattr(os, "link", save_first)
    assert run(tmp_path, "--mode", mode) == 1
    assert "changed while it was in use" in reasons(tmp_path)["image_00000_0.png"]
    assert saved.read_bytes() == draw(tmp_path / "same.png", 99).read_bytes()
    placed = len(list((tmp_path / "dataset").glob("*/*/*")))
    assert run(tmp_path, "--undo") == 0 and f"of {placed} files" in capsys.readouterr().out


def test_an_error_without_a_number_is_a_reason(tmp_path, monkeypatch):
    draw_source(tmp_path)
    monkeypatch.setattr(transfers, "copy_verified", lambda *_: (_ for _ in ()).throw(ChangedBytesError("changed")))
    assert run(tmp_path) == 1
    assert set(reasons(tmp_path).values()) == {"not placed: changed"}


def test_a_hundred_thousand_files_of_one_name_are_planned_in_seconds(tmp_path):
    rows = [Row(tmp_path / str(n) / "images" / "face_0.png", "", "copy", split="train", label=0) for n in range(10**5)]
    start = time.process_time()
    name_destinations(rows)
    assert time.process_time() - start < 15
    assert len({row.destination for row in rows}) == 10**5


def test_deep_folders_take_linear_time(tmp_path):
    folder, start = tmp_path / "source" / "train", time.process_time()
    draw(folder / "a_1.png")
    for _ in range(500):
        folder = folder / "d"
    folder.mkdir(parents=True)
    shutil.copy(tmp_path / "source" / "train" / "a_1.png", folder / "b_0.png")
    assert run(tmp_path, "--splits", "train") == 0
    assert time.process_time() - start < 3


def test_a_sparse_file_is_not_read_to_its_end(tmp_path):
    source = draw_source(tmp_path)
    with open(source / "train" / "huge_0.png", "wb") as handle:
        handle.truncate(1 << 40)
    start = time.process_time()
    assert run(tmp_path) == 1
    assert reasons(tmp_path)["huge_0.png"].startswith("too large") and time.process_time() - start < 10

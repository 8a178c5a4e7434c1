import os
import shutil
import subprocess

import pytest

from artifact_detection.system.paths import FreeNames, find_files, harmless


def found(folder):
    return [(path.relative_to(folder).as_posix(), problem) for path, problem in find_files(folder)]


def test_upper_folders_come_first_and_each_in_name_order(tmp_path):
    for name in ("b", "a/z", "a/deep/er", "c/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path) == [("b", ""), ("a/z", ""), ("c/y", ""), ("a/deep/er", "")]


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (".", "link to a folder, not followed"),
        ("/", "link to a folder, not followed"),
        ("odd", "broken link"),
        ("nowhere", "broken link"),
        ("file", ""),
    ],
    ids=["to its own folder", "out of the folder", "to itself", "to nothing", "to a file"],
)
def test_a_link_cannot_trap_the_walk(tmp_path, target, problem):
    (tmp_path / "file").touch()
    (tmp_path / "odd").symlink_to(target)
    assert found(tmp_path) == [("file", ""), ("odd", problem)]


def test_the_output_is_not_read_by_another_name(tmp_path):
    for name in ("in/mine", "in/again", "in/out/kept/deep"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("in/mine/1", "in/out/2", "in/out/kept/3", "in/out/kept/deep/4"):
        (tmp_path / name).touch()
    command = ["mount", "--bind", str(tmp_path / "in/out/kept"), str(tmp_path / "in/again")]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount here")
    try:
        names = [(path.name, problem) for path, problem in find_files(tmp_path / "in", tmp_path / "in/out")]
        assert names == [("again", "a folder of the output by another name, not read"), ("1", "")]
    finally:
        subprocess.run(["umount", command[-1]], check=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_named_and_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe_1.png")
    assert found(tmp_path) == [("pipe_1.png", "not a regular file")]


def test_an_unreadable_folder_is_named(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert found(tmp_path) == [(".", "unreadable: Permission denied")]


def test_names_that_are_too_long_keep_their_end_and_differ():
    free, long = FreeNames(), "d/" + "ä" * 200 + "_1.png"
    taken = [free.take(long) for _ in range(12)]
    assert len(set(taken)) == 12
    assert all(len(os.fsencode(name)) <= 257 and name.startswith("d/") and name.endswith("ä_1.png") for name in taken)
    assert all(len(part) <= 255 for part in harmless("x" * 300 + "/" + "y" * 300 + ".png").split("/"))

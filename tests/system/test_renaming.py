"""A new name never replaces a file, with hard links or without."""

import errno
import os

import pytest

from artifact_detection.system import renaming
from artifact_detection.system.renaming import rename_new


@pytest.fixture(params=["links", "no links", "no links, no other call"])
def files(request, tmp_path, monkeypatch):
    """A file; each way to give it a name, where the system has it."""

    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param != "links":
        monkeypatch.setattr(os, "link", refuse)
    if request.param == "no links, no other call":
        monkeypatch.setattr(renaming, "_renamed_without_replacing", lambda *_: False)
    (tmp_path / "é").write_text("bytes")
    return tmp_path


def test_a_free_name_is_given(files):
    rename_new(files / "é", files / "new ü")
    assert os.listdir(files) == ["new ü"] and (files / "new ü").read_text() == "bytes"


@pytest.mark.parametrize("make", ["file", "dangling link", "folder"])
def test_a_taken_name_is_not_replaced(files, make):
    taken = files / "taken"
    {"file": taken.touch, "dangling link": lambda: taken.symlink_to("nowhere"), "folder": taken.mkdir}[make]()
    with pytest.raises(FileExistsError):
        rename_new(files / "é", taken)
    assert sorted(os.listdir(files)) == ["taken", "é"] and (files / "é").read_text() == "bytes"


def test_a_name_that_is_taken_in_the_last_moment_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("ours")

    def taken_meanwhile(*_):
        (tmp_path / "b").write_text("mine")
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", taken_meanwhile)
    with pytest.raises(FileExistsError):
        rename_new(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "mine" and (tmp_path / "a").read_text() == "ours"

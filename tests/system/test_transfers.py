import os

import pytest

from artifact_detection.system.files import sha256_file
from artifact_detection.system.tables import read_table, write_table
from artifact_detection.system.transfers import CONFLICT, DONE, GONE, MODES, PENDING, Transfer, carry_out_all, undo_all


def transfer(folder, mode):
    """One whose source holds "abc", with nothing done yet."""
    source, destination = folder / "from" / "a", folder / "to" / "b"
    source.parent.mkdir()
    destination.parent.mkdir()
    source.write_bytes(b"abc")
    return Transfer(source, destination, mode, sha256_file(source))


def copy_over(it):
    it.destination.write_bytes(it.source.read_bytes())


def lose_source(it):
    copy_over(it)
    it.source.unlink()


def lose_both(it):
    it.source.unlink()


def take_place(it):
    it.destination.write_bytes(b"mine")


def leave_link_home(it):
    lose_source(it)
    it.source.symlink_to(it.destination)


def link_to_source(it):
    it.destination.symlink_to(it.source)


@pytest.mark.parametrize(
    ("happened", "copy", "move", "linked"),
    [
        (lambda _: None, PENDING, PENDING, PENDING),
        (copy_over, DONE, PENDING, DONE),
        (lose_source, DONE, DONE, DONE),
        (lose_both, GONE, GONE, GONE),
        (take_place, CONFLICT, CONFLICT, CONFLICT),
        (leave_link_home, DONE, DONE, DONE),
        (link_to_source, CONFLICT, CONFLICT, DONE),
    ],
    ids=["nothing", "copied", "source gone", "both gone", "name taken", "source links here", "links to source"],
)
def test_the_state_is_read_from_the_disk(tmp_path, happened, copy, move, linked):
    for mode, state in zip(MODES, (copy, move, linked), strict=True):
        (tmp_path / mode).mkdir()
        it = transfer(tmp_path / mode, mode)
        happened(it)
        assert (mode, it.state()) == (mode, state)


@pytest.mark.parametrize("mode", MODES)
def test_carrying_out_twice_is_once_and_undo_is_exact(tmp_path, mode):
    it = transfer(tmp_path, mode)
    before = it.source.stat()
    for _ in range(2):
        assert list(carry_out_all([it])) == [None]
        assert it.destination.read_bytes() == b"abc"
        assert it.source.exists() == (mode != "move")
    for _ in range(2):
        assert list(undo_all([it])) == [""]
        assert (it.source.read_bytes(), it.source.stat().st_mtime_ns) == (b"abc", before.st_mtime_ns)
        assert not it.destination.exists()


@pytest.mark.parametrize(
    ("mode", "happened", "reason"),
    [
        ("copy", lambda it: it.destination.write_bytes(b"edited"), "no longer the same as its source"),
        ("copy", lambda it: it.source.unlink(), "no longer the same as its source"),
        ("link", lambda it: it.source.unlink(), "no longer the same as its source"),
        ("copy", lambda it: (it.source.unlink(), it.source.symlink_to(it.destination)), "taken by a link"),
        ("move", lambda it: it.source.symlink_to(it.destination), "taken by a link"),
        ("move", lambda it: it.destination.write_bytes(b"edited"), "changed since"),
        ("move", lambda it: it.source.write_bytes(b"new"), "another file has its old name"),
        ("move", lambda it: it.destination.unlink(), "gone from both places"),
    ],
)
def test_an_undo_that_would_lose_bytes_is_left(tmp_path, mode, happened, reason):
    it = transfer(tmp_path, mode)
    it.carry_out()
    happened(it)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert reason in next(undo_all([it]))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_edited_hard_link_is_undone_because_the_source_has_the_same_bytes(tmp_path):
    it = transfer(tmp_path, "link")
    it.carry_out()
    it.destination.write_bytes(b"edited")
    assert list(undo_all([it])) == [""]
    assert it.source.read_bytes() == b"edited"


def test_a_dry_undo_changes_nothing(tmp_path):
    it = transfer(tmp_path, "move")
    it.carry_out()
    assert list(undo_all([it], dry_run=True)) == [""]
    assert it.destination.exists()


def test_one_error_does_not_stop_the_others(tmp_path):
    lost = Transfer(tmp_path / "to" / "no such folder" / "x", tmp_path / "x", "copy", "")
    broken = Transfer(tmp_path, tmp_path / "folder", "copy", "")
    it = transfer(tmp_path, "copy")
    errors = list(carry_out_all([lost, broken, it]))
    assert errors[0] is None  # gone: nothing left to do
    assert isinstance(errors[1], OSError)
    assert it.destination.exists()


def test_a_full_disk_stops_at_once_with_the_source_whole(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    it = transfer(tmp_path, "copy")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        list(carry_out_all([it]))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "from", "to"]


ROWS = [{"a": "1", "b": 'comma, "quote"'}, {"a": "", "b": "line\nbreak\r"}]


def test_a_table_comes_back_and_an_equal_one_is_not_written_again(tmp_path):
    path = tmp_path / "table.csv"
    write_table(path, ("a", "b"), ROWS)
    assert list(read_table(path, ("a", "b"))) == ROWS
    inode = path.stat().st_ino
    write_table(path, ("a", "b"), ROWS)
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("data", [b"", b"a\n1\n", b"a,b\n1\n", b"a,b\n1,2,3\n", b'a,b\n"1', b"\xff\xfe"])
def test_a_damaged_table_is_refused(tmp_path, data):
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError):
        list(read_table(path, ("a", "b")))

from dataclasses import replace

import pytest

from artifact_detection.system.files import sha256_file
from artifact_detection.system.ownership import OwnFolder
from artifact_detection.system.transfers import CONFLICT, DONE, GONE, MODES, PENDING, Transfer


def transfer(folder, mode):
    """One whose source holds "abc", with nothing done yet."""
    source, destination = folder / "from" / "a", folder / "to" / "b"
    source.parent.mkdir()
    destination.parent.mkdir()
    source.write_bytes(b"abc")
    return Transfer(source, destination, mode, sha256_file(source), OwnFolder.claim(folder / "to", "test"))


def undo(it):
    reason = it.why_not_undone()
    if not reason:
        it.put_back()
    return reason


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
        it.carry_out()
        assert it.destination.read_bytes() == b"abc"
        assert it.source.exists() == (mode != "move")
    for _ in range(2):
        assert undo(it) == ""
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
    assert reason in undo(it)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_edited_hard_link_is_undone_because_the_source_has_the_same_bytes(tmp_path):
    it = transfer(tmp_path, "link")
    it.carry_out()
    it.destination.write_bytes(b"edited")
    assert undo(it) == ""
    assert it.source.read_bytes() == b"edited"


@pytest.mark.parametrize(("happened", "message"), [(lose_both, "gone"), (take_place, "place")])
def test_what_cannot_be_carried_out_is_said(tmp_path, happened, message):
    it = transfer(tmp_path, "copy")
    happened(it)
    with pytest.raises(OSError, match=message):
        it.carry_out()


def test_a_part_of_a_file_is_copied_and_removed_only_while_it_is_there(tmp_path):
    it = transfer(tmp_path, "copy")
    it.source.write_bytes(b"--abc--")
    it = replace(it, part=(2, 3))
    it.carry_out()
    assert it.destination.read_bytes() == b"abc"
    it.source.write_bytes(b"-------")
    assert "no longer the same" in undo(it)
    it.source.write_bytes(b"--abc--")
    assert undo(it) == "" and not it.destination.exists()

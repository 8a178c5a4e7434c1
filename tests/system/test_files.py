import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from artifact_detection.system import files
from artifact_detection.system.files import (
    ChangedBytesError,
    copy_verified,
    link_verified,
    move_verified,
    remove_verified,
    sha256_file,
    write_atomic,
)
from artifact_detection.system.locks import FolderBusyError, exclusive_lock
from artifact_detection.system.threads import in_threads

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(b"abc")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    path.chmod(0o640)
    return path


@pytest.fixture
def other_file_system(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)


def copied(source, destination, expected=ABC):
    copy_verified(source, destination, expected, destination.with_name("temporary"))


def moved(source, destination, expected=ABC):
    move_verified(source, destination, expected, destination.with_name("temporary"), source.with_name("aside"))


def linked(source, destination, expected=ABC):
    link_verified(source, destination, expected)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_sha256_of_a_known_text(source):
    assert sha256_file(source) == ABC


@pytest.mark.parametrize("data", ["naïve\n", b"\x00\xff"])
def test_write_atomic_replaces_the_whole_file(tmp_path, data):
    path = tmp_path / "file"
    path.write_text("much longer than what comes next")
    write_atomic(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="needs files without names")
def test_a_kill_while_a_file_is_written_leaves_nothing(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(names(tmp_path)))
    write_atomic(tmp_path / "x", "one")
    write_atomic(tmp_path / "x", "two")
    assert seen == [[], ["x"], ["x"], ["x"]]  # of the file, then of the folder
    assert (tmp_path / "x").read_text() == "two" and names(tmp_path) == ["x"]


def test_copy_keeps_bytes_times_and_permissions(tmp_path, source):
    copy = tmp_path / "copy"
    copied(source, copy)
    assert copy.read_bytes() == b"abc"
    assert (copy.stat().st_mtime, copy.stat().st_mode) == (source.stat().st_mtime, source.stat().st_mode)


@pytest.mark.parametrize("act", [copied, moved, linked])
def test_nothing_is_overwritten(tmp_path, source, act):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(FileExistsError):
        act(source, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
    assert source.read_bytes() == b"abc"


@pytest.mark.parametrize("act", [copied, moved, linked])
def test_a_source_with_other_bytes_than_expected_stays_and_nothing_appears(tmp_path, source, act):
    with pytest.raises(ChangedBytesError):
        act(source, tmp_path / "new", "0" * 64)
    assert names(tmp_path) == ["source"]


@pytest.mark.parametrize("across", [False, True], ids=["one file system", "across file systems"])
def test_a_move_keeps_bytes_times_and_permissions(tmp_path, source, across, request):
    if across:
        request.getfixturevalue("other_file_system")
    before = source.stat()
    moved(source, tmp_path / "moved")
    assert names(tmp_path) == ["moved"]
    after = (tmp_path / "moved").stat()
    assert (after.st_mtime, after.st_mode) == (before.st_mtime, before.st_mode)


@pytest.mark.parametrize("across", [False, True], ids=["one file system", "across file systems"])
def test_a_source_that_may_not_be_removed_is_not_moved(tmp_path, source, across, request, monkeypatch):
    if across:
        request.getfixturevalue("other_file_system")
    monkeypatch.setattr(os, "rename", mock.Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(PermissionError):
        moved(source, tmp_path / "there")
    assert names(tmp_path) == ["source"] and source.read_bytes() == b"abc"


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="needs files without names")
def test_what_a_kill_while_a_file_is_replaced_leaves_goes_with_the_next_write(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with mock.patch("os.replace", side_effect=SystemExit), mock.patch.object(Path, "unlink"), pytest.raises(SystemExit):
        write_atomic(path, "killed")
    assert path.read_text() == "old" and len(names(tmp_path)) == 2
    write_atomic(path, "new")
    assert path.read_text() == "new" and names(tmp_path) == ["file"]


def test_a_move_that_wrote_other_bytes_keeps_the_source(tmp_path, source, other_file_system, monkeypatch):
    monkeypatch.setattr(files, "copy_verified", lambda _, destination, *rest: destination.write_bytes(b"abd"))
    with pytest.raises(ChangedBytesError):
        moved(source, tmp_path / "moved")
    assert names(tmp_path) == ["source"]


@pytest.mark.parametrize("call", ["link", "rename", "unlink"])
@pytest.mark.parametrize("across", [False, True], ids=["one file system", "across file systems"])
def test_a_source_that_is_replaced_at_any_moment_is_kept(tmp_path, source, across, call, request, monkeypatch):
    """As an editor saves: another file is renamed to the source's name just before a step of the move."""
    if across:
        request.getfixturevalue("other_file_system")
    step = getattr(os, call)

    def save_first(*paths):
        if not (tmp_path / "saved").exists():
            (tmp_path / "saved").touch()
            (tmp_path / "new").write_bytes(b"new")
            os.replace(tmp_path / "new", source)
        step(*paths)

    monkeypatch.setattr(os, call, save_first)
    try:
        moved(source, tmp_path / "moved")
    except (ChangedBytesError, FileExistsError):
        assert call != "unlink" or across
    assert source.read_bytes() == b"new"


def two_names_of_one_folder(folder):
    """Every name in `folder / "a"` is there in `folder / "b"` as well, as through a bind mount."""
    (folder / "a").mkdir()
    (folder / "b").symlink_to("a")
    (folder / "a" / "x").write_bytes(b"abc")
    return folder / "a" / "x", folder / "b" / "x"


def test_a_file_is_not_removed_for_itself(tmp_path):
    one, other = two_names_of_one_folder(tmp_path)
    with pytest.raises(FileExistsError):
        remove_verified(one, other, ABC, tmp_path / "a" / "aside")
    assert one.read_bytes() == b"abc"


def test_a_file_is_not_removed_for_itself_where_the_system_tells_them_apart(tmp_path, monkeypatch):
    """Two mounts of a network disk may have other numbers: then it shows when the other name goes with the first."""
    one, other = two_names_of_one_folder(tmp_path)
    monkeypatch.setattr(files, "same_entry", lambda *_: False)
    with pytest.raises(ChangedBytesError):
        remove_verified(one, other, ABC, tmp_path / "a" / "aside")
    assert names(tmp_path / "a") == ["x"]


def test_many_names_of_one_file_are_all_moved(tmp_path, source):
    """Each link and unlink touches the inode that the other threads look at."""
    for number in range(40):
        os.link(source, tmp_path / f"{number}.png")

    def move(number):
        path = tmp_path / f"{number}.png"
        move_verified(path, tmp_path / f"moved {number}", ABC, tmp_path / f"t{number}", tmp_path / f"a{number}")

    assert len(list(in_threads(move, range(40)))) == 40


def test_a_link_is_hard(tmp_path, source):
    linked(source, tmp_path / "link")
    assert os.path.samefile(source, tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()


def test_a_link_to_a_symbolic_link_is_a_link_to_its_file(tmp_path, source):
    (tmp_path / "alias").symlink_to("source")
    linked(tmp_path / "alias", tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").stat().st_ino == source.stat().st_ino


def test_a_link_across_file_systems_is_symbolic(tmp_path, source, other_file_system):
    linked(source, tmp_path / "link")
    assert (tmp_path / "link").readlink() == source.resolve()


def test_a_second_holder_is_refused_and_the_lock_leaves_no_trace(tmp_path):
    with exclusive_lock(tmp_path), pytest.raises(FolderBusyError, match="another run"), exclusive_lock(tmp_path):
        pass
    assert names(tmp_path) == []
    with exclusive_lock(tmp_path):
        pass


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_holder_lets_go(tmp_path):
    code = (
        "import sys, time; from artifact_detection.system.locks import exclusive_lock\n"
        "with exclusive_lock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    root = Path(files.__file__).parents[2]
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FolderBusyError), exclusive_lock(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with exclusive_lock(tmp_path):
        pass
    assert names(tmp_path) == []

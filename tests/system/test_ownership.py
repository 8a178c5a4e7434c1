"""Files under names that a user gave."""

import os

import pytest

from artifact_detection.system.ownership import NotOursError, refuse_named, write_named


def test_a_named_file_is_replaced_only_while_it_holds_what_a_run_wrote(tmp_path):
    path = tmp_path / "table.csv"
    write_named(path, "one")
    write_named(path, b"two")
    assert path.read_text() == "two" and os.listdir(tmp_path) == ["table.csv"]
    path.write_text("two, and what the user added")
    with pytest.raises(NotOursError, match=r"table.csv.*rename it"):
        write_named(path, "three")
    assert path.read_text() == "two, and what the user added"


@pytest.mark.parametrize("make", ["text", "link", "pipe", "folder"])
def test_what_has_the_name_is_kept(tmp_path, make):
    path = tmp_path / "mine"
    {
        "text": lambda: path.write_text("mine"),
        "link": lambda: path.symlink_to("nowhere"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }[make]()
    before = os.lstat(path)
    with pytest.raises(NotOursError):
        refuse_named(None, path)
    with pytest.raises(NotOursError):
        write_named(path, "ours")
    assert os.lstat(path) == before

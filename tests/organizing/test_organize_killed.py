"""organize_dataset.py killed by SIGKILL at any point, and run again.

A moment is a number of steps, not of milliseconds, so that a busy machine changes nothing.
"""

import errno
import io
import itertools
import os
import random
import sys
import threading
from contextlib import suppress

import pytest

from tests.children import clean_server
from tests.sources import draw_source, run, tree

pytestmark = [pytest.mark.usefixtures("no_sync"), pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")]

COMMANDS = {
    "copy": ("--mode", "copy"),
    "move": ("--mode", "move"),
    "move to another file system": ("--mode", "move"),
    "link": ("--mode", "link"),
    "undo": ("--undo",),
}
DISK_CALLS = (os.fsync, os.link, os.mkdir, os.open, os.rename, os.replace, os.rmdir, os.unlink)


@pytest.fixture(scope="module")
def children():
    return clean_server()


def refuse_hard_links(*_):
    raise OSError(errno.EXDEV, "Invalid cross-device link")


def organize_until(folder, command, moment, calls, steps):
    """In a child: die by SIGKILL at that step. A step is one of `calls`, or any Python or C call if there are none.

    `steps` (a queue) gets the number of steps of a run that reached its end.
    """
    sys.stdout = sys.stderr = io.TextIOWrapper(io.BytesIO())
    step = itertools.count()

    def profile(_, event, call):
        if (not calls or (event == "c_call" and call in calls)) and next(step) == moment:
            os.kill(os.getpid(), 9)

    if command == "move to another file system":
        os.link = refuse_hard_links
    threading.setprofile(profile)
    sys.setprofile(profile)
    run(folder, *COMMANDS[command])
    sys.setprofile(None)
    steps.put(next(step))


def die(children, folder, command, moment, calls=()):
    """Organize in a child that is killed at that step; return the number of steps, None if it was killed."""
    steps = children.SimpleQueue()
    child = children.Process(target=organize_until, args=(folder, command, moment, calls, steps))
    child.start()
    child.join()
    assert child.exitcode in (0, -9)
    return None if child.exitcode else steps.get()


def prepare(folder, command, per_class=(4, 2)):
    """What stands before the command: a source, and for undo the moved dataset. Returns the source's files."""
    data = tree(draw_source(folder, per_class))
    if command == "undo":
        run(folder, "--mode", "move")
    return data


def state(folder):
    folders = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir()}
    return tree(folder), folders


def check_and_finish(folder, data, command):
    """No byte is lost after the kill; the state after another run."""
    assert set(tree(folder).values()) >= set(data.values())
    if command in ("copy", "link"):
        assert tree(folder / "source") == data
    run(folder, *COMMANDS[command])
    if command == "undo":
        with suppress(OSError):  # killed right before it would have gone, it is an empty folder that may be anybody's
            (folder / "dataset").rmdir()
    return state(folder)


def uninterrupted(folder, command, per_class=(4, 2)):
    prepare(folder, command, per_class)
    assert run(folder, *COMMANDS[command]) == 0
    return state(folder)


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_30_random_moments(tmp_path, command, children):
    expected = uninterrupted(tmp_path / "uninterrupted", command)
    prepare(tmp_path / "counted", command)
    steps = die(children, tmp_path / "counted", command, moment=-1)
    for moment in random.Random(0).sample(range(steps), 30):
        folder = tmp_path / str(moment)
        data = prepare(folder, command)
        die(children, folder, command, moment)
        assert (moment, check_and_finish(folder, data, command)) == (moment, expected)


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_before_every_change_on_the_disk(tmp_path, command, children):
    expected = uninterrupted(tmp_path / "uninterrupted", command, per_class=(1, 0))
    for moment in itertools.count():
        folder = tmp_path / str(moment)
        data = prepare(folder, command, per_class=(1, 0))
        done = die(children, folder, command, moment, DISK_CALLS)
        assert (moment, check_and_finish(folder, data, command)) == (moment, expected)
        if done:
            break
    assert moment > 10

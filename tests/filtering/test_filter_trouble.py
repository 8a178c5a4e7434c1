"""filter_images.py from the outside: stability, locks, full disks; runs that are killed or shared."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import filter_images
from artifact_detection.filtering.store import Store
from artifact_detection.system.locks import exclusive_lock
from artifact_detection.system.manifest import Manifest
from tests.filtering.runs import ROOT, THRESHOLDS, read_scores, run, snapshot


def test_stability_sends_flips_to_review(images, model, tmp_path):
    def count(out):
        return sum("flips" in row["reason"] for row in read_scores(out).values())

    run(images, "--threshold", "0.5", model=model, out=tmp_path / "a")
    run(images, "--threshold", "0.5", "--stability", "0.5", model=model, out=tmp_path / "b")
    assert count(tmp_path / "a") == 0 and count(tmp_path / "b") > 0
    for path, row in read_scores(tmp_path / "b").items():
        stable = row["band"] if "flips" not in row["reason"] else "review"
        assert row["band"] == stable
        assert row["probability"] == read_scores(tmp_path / "a")[path]["probability"]


def test_two_runs_into_one_output_refuse_each_other(images, model, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    with exclusive_lock(out):
        assert run(images, *THRESHOLDS, model=model, out=out) == 2
        assert run("--undo", out=out) == 2
    assert "another run is at work" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["add", "write"])
def test_a_full_disk_is_one_clear_line(images, model, tmp_path, monkeypatch, capsys, what):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    owner = {"add": Store, "write": Manifest}[what]
    monkeypatch.setattr(owner, what, full)
    assert run(images, *THRESHOLDS, "--action", "move", model=model, out=tmp_path / "out") == 2
    assert "No space left on device" in capsys.readouterr().err
    monkeypatch.undo()
    assert run(images, *THRESHOLDS, "--action", "move", model=model, out=tmp_path / "out") == 1
    assert len(snapshot(images)) == 3


@pytest.fixture
def read_only(tmp_path) -> Path:
    """A folder that takes no files; for root, whom permissions do not bind, one of the kernel's."""
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        folder = Path("/sys/kernel")
    if not folder.is_dir():
        pytest.skip("root can write everywhere here")
    return folder


@pytest.mark.parametrize("below", ["", "new/out"], ids=["itself", "below"])
def test_a_read_only_output_is_one_clear_line(images, model, read_only, capsys, below):
    before = snapshot(images)
    assert run(images, *THRESHOLDS, "--action", "move", model=model, out=read_only / below) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"filter_images: cannot write to {read_only / below}: ")
    assert snapshot(images) == before


def test_output_that_cannot_be_made_is_one_clear_line(images, model, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert run(images, *THRESHOLDS, model=model, out=tmp_path / "file" / "out") == 2
    assert "Not a directory" in capsys.readouterr().err


KILLER = """
import os, random, shutil, signal, sys, time, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import filter_images
torch.set_num_threads(1)
folder = Path(sys.argv[2])
def start():
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(filter_images.main(sys.argv[3:]))
    return child
def finish(ended):
    for name in ("out", "images"):
        (folder / name).rename(folder / f"{name} {ended}")
    shutil.copytree(folder / "before", folder / "images")
chance, begin, kills, ended = random.Random(0), time.perf_counter(), 0, 1
os.waitpid(start(), 0)
longest = (time.perf_counter() - begin) / 2
finish(0)
while kills < 30:
    child = start()
    time.sleep(chance.uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        kills += 1
    else:
        finish(ended)
        ended += 1
os.waitpid(start(), 0)
finish(ended)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_thirty_times_ends_as_if_it_had_not_been(images, model, tmp_path):
    """Runs killed at random moments and begun again, from the start once one has ended, until 30 were killed."""
    shutil.copytree(images, tmp_path / "before")
    arguments = [str(images), "--model", str(model), "--out", str(tmp_path / "out"), *THRESHOLDS, "--stability", "0.2"]
    arguments += ["--action", "move", "--heatmaps", "5", "--device", "cpu"]
    command = [sys.executable, "-c", KILLER, str(ROOT), str(tmp_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    ends = [(snapshot(out), snapshot(tmp_path / f"images {out.name[4:]}")) for out in tmp_path.glob("out *")]
    assert len(ends) >= 2 and all(end == ends[0] for end in ends)
    assert len(ends[0][0]) > 22
    assert not list(tmp_path.rglob(".unfinished-*"))


def test_two_processes_equal_one(images, model, tmp_path):
    arguments = [
        str(images),
        "--model",
        str(model),
        *THRESHOLDS,
        "--stability",
        "0.2",
        "--device",
        "cpu",
        "--batch",
        "4",
    ]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [*launch, str(ROOT / "filter_images.py"), *arguments, "--out", str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=250)
    assert "22 images" in done.stdout, done.stderr
    filter_images.main([*arguments, "--out", str(tmp_path / "one")])
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")
    assert len(list((tmp_path / "two/.work").glob("*.sqlite"))) == 2

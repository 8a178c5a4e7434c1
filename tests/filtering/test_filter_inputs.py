"""filter_images.py from the outside: what is read, hostile and changing files included."""

import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

import filter_images
from artifact_detection.detector.scoring import TorchEngine
from artifact_detection.filtering.shards import UNPACK
from tests.filtering.runs import THRESHOLDS, add_member, make_shard, read_scores, run, snapshot, write_image


def test_no_images_is_wrong_usage(model, tmp_path, capsys):
    (tmp_path / "nothing").mkdir()
    assert run(tmp_path / "nothing", *THRESHOLDS, model=model, out=tmp_path / "out") == 2
    assert "no image in" in capsys.readouterr().err


def test_missing_input_is_wrong_usage(model, tmp_path, capsys):
    assert run(tmp_path / "absent", *THRESHOLDS, model=model, out=tmp_path / "out") == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_a_device_that_is_not_there_stops_before_anything_is_made(images, model, tmp_path, capsys):
    assert run(images, "--model", model, "--out", tmp_path / "out", "--device", "gpu") == 2
    assert "--device gpu is none: choose auto" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_memory_that_runs_out_is_one_sentence_with_the_remedy(images, model, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise RuntimeError("MPS backend out of memory")

    monkeypatch.setattr(TorchEngine, "__call__", full)
    assert run(images, "--model", model, "--out", tmp_path / "out") == 2
    assert "memory ran out: pass a smaller --batch" in capsys.readouterr().err


def test_one_image(model, tmp_path):
    path = write_image(tmp_path / "one.png", 3)
    assert run(path, *THRESHOLDS, model=model, out=tmp_path / "out") == 0
    assert list(read_scores(tmp_path / "out")) == [str(path)]


def test_only_unusable_files(model, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    assert run(tmp_path / "bad.png", *THRESHOLDS, model=model, out=tmp_path / "out") == 2
    assert read_scores(tmp_path / "out")[f"{tmp_path}/bad.png"]["error"].startswith("not an image")


def test_all_rejected(images, model, tmp_path):
    run(images, "--threshold", "0", "--action", "copy", model=model, out=tmp_path / "out")
    assert len([path for path in snapshot(tmp_path / "out") if path.startswith("rejected/")]) == 20


def test_a_path_given_twice_is_one_row(images, model, tmp_path, capsys):
    run(images, images / "01.png", images, *THRESHOLDS, model=model, out=tmp_path / "out")
    assert len(read_scores(tmp_path / "out")) == 22
    assert "counted once: 23" in capsys.readouterr().out


def test_lists_and_standard_input(images, model, tmp_path, monkeypatch):
    paths = [images / "01.png", images / "absent.png", images / "deep/02.png"]
    text = "\n".join(map(str, paths)) + "\n\n"
    (tmp_path / "list.txt").write_text(text)
    assert run(tmp_path / "list.txt", *THRESHOLDS, model=model, out=tmp_path / "a") == 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run("-", *THRESHOLDS, model=model, out=tmp_path / "b") == 1
    assert list(read_scores(tmp_path / "a")) == [str(path) for path in paths]
    assert read_scores(tmp_path / "a") == read_scores(tmp_path / "b")
    assert "No such file" in read_scores(tmp_path / "a")[str(paths[1])]["error"]


def test_output_inside_the_input_is_not_an_input(images, model):
    for _ in range(2):
        assert run(images, *THRESHOLDS, "--action", "copy", model=model, out=images / "filtered") == 1
        assert len(read_scores(images / "filtered")) == 22


def test_tar_shards_score_like_files(images, model, tmp_path):
    shard = make_shard(tmp_path / "shard.tar", images)
    assert run(shard, *THRESHOLDS, model=model, out=tmp_path / "a") == 1
    run(images, *THRESHOLDS, model=model, out=tmp_path / "b")
    rows, files = read_scores(tmp_path / "a"), read_scores(tmp_path / "b")
    same = {"0001.png": "01.png", "../../escape.png": "03.png", "inner.tar/deep.png": "05.png", "last.png": "07.png"}
    for member, name in same.items():
        row, file = rows[f"{shard}::{member}"], files[f"{images}/{name}"]
        assert (row["sha256"], row["band"]) == (file["sha256"], file["band"])
        assert float(row["probability"]) == pytest.approx(float(file["probability"]), abs=1e-5)
    assert "not a regular file" in rows[f"{shard}::link.png"]["error"]
    assert "compressed" in rows[f"{shard}::packed.tar.gz"]["error"]
    assert len(rows) == 6


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w:gz"), ("b.tar", "w:xz"), ("a.tbz2", "w:bz2")])
def test_a_compressed_tar_is_named_whatever_it_is_called(images, model, tmp_path, name, mode):
    with tarfile.open(tmp_path / name, mode) as archive:
        archive.add(images / "01.png")
    assert run(tmp_path / name, *THRESHOLDS, model=model, out=tmp_path / "out") == 2  # nothing else is there
    assert [row["error"] for row in read_scores(tmp_path / "out").values()] == [UNPACK]


def test_tar_members_are_extracted_inside_the_output_and_undone(images, model, tmp_path):
    shard, out = make_shard(tmp_path / "shard.tar", images), tmp_path / "out"
    run(shard, *THRESHOLDS, "--action", "copy", model=model, out=out)
    copies = {path: data for path, data in snapshot(out).items() if path.endswith(".png")}
    assert {path.split("/", 1)[1] for path in copies} == {
        "shard/0001.png", "shard/escape.png", "shard/inner.tar/deep.png", "shard/last.png"
    }  # fmt: skip
    assert not list(tmp_path.glob("escape*"))
    assert run("--undo", out=out) == 0
    assert not any(path.endswith(".png") for path in snapshot(out))


def test_formats_that_are_not_read_are_named(images, model, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.heic", "b.GIF"):
        (tmp_path / "in" / name).write_bytes(b"GIF89a")
    write_image(tmp_path / "in" / "c.png", 1)
    with tarfile.open(tmp_path / "in" / "d.tar", "w") as archive:
        add_member(archive, "e.avif", b"x")
    assert run(tmp_path / "in", *THRESHOLDS, model=model, out=tmp_path / "out") == 1
    errors = {Path(path).name: row["error"] for path, row in read_scores(tmp_path / "out").items()}
    assert errors.pop("c.png") == "" and set(errors) == {"a.heic", "b.GIF", "d.tar::e.avif"}
    assert all("convert it to PNG" in error for error in errors.values())


def test_two_members_of_one_name_are_both_judged(images, model, tmp_path):
    shard, out = tmp_path / "shard.tar", tmp_path / "out"
    with tarfile.open(shard, "w") as archive:
        for name, source in (("a/x.png", "01"), ("a/2-x.png", "03"), ("a/x.png", "05"), ("a/x.png", "07")):
            add_member(archive, name, (images / f"{source}.png").read_bytes())
    assert run(shard, *THRESHOLDS, "--action", "copy", model=model, out=out) == 0
    rows = read_scores(out)
    assert [path.partition("::a/")[2] for path in rows] == ["x.png", "2-x.png", "2-2-x.png", "3-x.png"]
    assert len({row["sha256"] for row in rows.values()}) == 4
    assert sum(path.endswith(".png") for path in snapshot(out)) == 4


def test_shards_cannot_be_moved(images, model, tmp_path, capsys):
    shard = make_shard(tmp_path / "shard.tar", images)
    assert run(shard, *THRESHOLDS, "--action", "move", model=model, out=tmp_path / "out") == 2
    assert "use copy" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100], ids=["empty", "damaged"])
def test_damaged_shards_are_rows(images, model, tmp_path, content):
    (images / "bad.tar").write_bytes(content)
    assert run(images, *THRESHOLDS, model=model, out=tmp_path / "out") == 1
    assert "damaged tar" in read_scores(tmp_path / "out")[f"{images}/bad.tar"]["error"]


@pytest.mark.skipif(os.name == "nt", reason="such names cannot exist on Windows")
def test_hostile_names_and_files(model, tmp_path):
    folder = tmp_path / "images"
    names = ["<img src=x onerror=alert(1)>.png", "new\nline.png", "=cmd|' '!A0.png", "'; DROP TABLE records;--.png"]
    for n, name in enumerate(names):
        write_image(folder / name, n)
    os.rename(write_image(folder / "odd.png", 9), os.fsencode(folder) + b"/bad\xff.png")
    os.mkfifo(folder / "pipe.png")
    os.symlink("loop.png", folder / "loop.png")
    os.symlink(folder, folder / "again")
    out = tmp_path / "out"
    assert run(folder, *THRESHOLDS, "--action", "move", model=model, out=out) == 1
    rows = read_scores(out)
    assert len(rows) == 8
    assert {Path(path).name for path, row in rows.items() if not row["error"]} == {*names, "bad\\udcff.png"}
    placed = {path.split("/", 1)[1] for path in snapshot(out) if path.endswith(".png")}
    assert placed == set(names)  # the name that is no UTF-8 stays, and is reported
    assert run("--undo", out=out) == 0
    assert {name for name in os.listdir(folder) if name in names} == set(names)


def test_file_that_vanishes_or_changes_meanwhile(images, model, tmp_path, monkeypatch):
    gather = filter_images.gather

    def meddle(*arguments):
        found = gather(*arguments)
        (images / "01.png").unlink()
        write_image(images / "03.png", 99)
        return found

    monkeypatch.setattr(filter_images, "gather", meddle)
    assert run(images, *THRESHOLDS, model=model, out=tmp_path / "out") == 1
    rows = read_scores(tmp_path / "out")
    assert rows[f"{images}/01.png"]["error"].startswith("vanished")
    assert rows[f"{images}/03.png"]["error"].startswith("changed")
    monkeypatch.undo()
    assert run(images, *THRESHOLDS, model=model, out=tmp_path / "out") == 1
    rows = read_scores(tmp_path / "out")
    assert f"{images}/01.png" not in rows and not rows[f"{images}/03.png"]["error"]

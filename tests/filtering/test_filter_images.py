"""filter_images.py from the outside: files in, scores, sorted images and a way back."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.special import expit

import filter_images
from artifact_detection.detector.models import CERTIFIES, CHOOSES, Validation, build_model, make_checkpoint
from artifact_detection.detector.scoring import TorchEngine, load_predictor
from artifact_detection.images.transforms import Preprocessing, evaluation_transform
from artifact_detection.system.files import exclusive_lock

ROOT = Path(filter_images.__file__).resolve().parent
THRESHOLDS = ["--threshold", "0.4", "0.6"]


def portrait(seed: int, size: int = 40) -> np.ndarray:
    """(size, size, 3) uint8: soft colours that differ from seed to seed."""
    colours = np.random.default_rng(seed).integers(256, size=(3, 3, 3)).astype(np.uint8)
    return cv2.resize(colours, (size, size), interpolation=cv2.INTER_CUBIC)


def write_image(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, portrait(seed))[1].tobytes())
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A small random network whose probabilities spread from 0 to 1, with made-up validation scores."""
    torch.manual_seed(0)
    network = build_model("mobilenet_v3_small", "none", Preprocessing(32)).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            layer.momentum = 0.5
    images = torch.stack([evaluation_transform(portrait(seed), network.preprocessing) for seed in range(40)])
    with torch.no_grad():
        for _ in range(12):
            network(images)
        logits = network.eval()(images)
        network.head[-2].bias -= logits.median()
    rng = np.random.default_rng(0)
    targets = np.repeat([0.0, 1.0], [900, 300])
    scores = expit(rng.normal(np.where(targets == 1, 2.5, -2.5), 1.5))  # half of each score like the images below
    path = tmp_path_factory.mktemp("model") / "best.pt"
    checkpoint = make_checkpoint(
        network,
        temperature=float(logits.std() / 3),
        **Validation(targets.astype(int), scores, np.where(np.arange(1200) % 2, CHOOSES, CERTIFIES)).values(),
    )
    torch.save(checkpoint, path)
    return path


@pytest.fixture
def images(tmp_path) -> Path:
    """Twenty images in two folders, and three files that are none."""
    folder = tmp_path / "images"
    for n in range(20):
        write_image(folder / ("" if n % 2 else "deep") / f"{n:02d}.png", n)
    (folder / "empty.png").touch()
    (folder / "half.png").write_bytes((folder / "01.png").read_bytes()[:-60])
    (folder / "caption.txt").write_text("a person")
    return folder


def run(*arguments: object, model: Path | None = None, out: Path | None = None) -> int:
    extra = (["--model", model] if model else []) + (["--out", out] if out else [])
    return filter_images.main([str(argument) for argument in (*arguments, *extra)])


def read_scores(out: Path) -> dict[str, dict[str, str]]:
    with open(out / "scores.csv", encoding="utf-8", newline="") as handle:
        return {row["path"]: row for row in csv.DictReader(handle)}


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every visible file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".work" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# ---- scores and report


def test_report_names_every_image_and_touches_none(images, model, tmp_path, capsys):
    before, out = snapshot(images), tmp_path / "out"
    assert run(images, *THRESHOLDS, model=model, out=out) == 1
    assert snapshot(images) == before
    assert set(snapshot(out)) == {"scores.csv", "summary.json", "report.html"}
    rows = read_scores(out)
    assert len(rows) == 22
    assert rows[f"{images}/empty.png"]["error"] == "empty: 0 bytes"
    assert rows[f"{images}/half.png"]["error"] and rows[f"{images}/half.png"]["sha256"]
    usable = [row for row in rows.values() if not row["error"]]
    assert {row["band"] for row in usable} == {"keep", "review", "reject"}
    for row in usable:
        p = float(row["probability"])
        assert row["band"] == ("keep" if p < 0.4 else "reject" if p >= 0.6 else "review")
        assert row["model"].startswith("mobilenet_v3_small-") and len(row["sha256"]) == 64
    text = capsys.readouterr().out
    assert "22 images" in text and "empty.png" in text and ".txt 1" in text
    assert f"scores: {out}/scores.csv" in text and text.endswith(f"review page: {out}/report.html\n")


def test_without_a_gallery_no_page_of_an_earlier_run_is_left(images, model, tmp_path, capsys):
    out = tmp_path / "out"
    run(images, *THRESHOLDS, model=model, out=out)
    scores = (out / "scores.csv").read_bytes()
    capsys.readouterr()
    run(images, *THRESHOLDS, "--gallery", "0", model=model, out=out)
    assert set(snapshot(out)) == {"scores.csv", "summary.json"} and (out / "scores.csv").read_bytes() == scores
    assert "review page" not in capsys.readouterr().out


def test_certified_bands_come_from_the_checkpoint(images, model, tmp_path, capsys):
    stated = ("--max-artifacts-left", "0.1", "--prevalence", "0.4", "0.6")
    assert run(images, *stated, model=model, out=tmp_path / "out") == 1
    text = capsys.readouterr().out
    assert "of what is kept automatically at most 0.1 is an artifact, with 95% confidence, if images of a class" in text
    assert "at most 0.6 of all have artifacts (as stated)" in text
    assert "estimated:" in text and "artifacts left among the kept" in text


def test_promises_that_validation_cannot_support_are_refused(images, model, tmp_path, capsys):
    assert run(images, "--max-artifacts-left", "0.0001", model=model, out=tmp_path / "out") == 1
    assert "is the best bound from 450 clean images and 150 artifacts" in capsys.readouterr().out
    assert "keep" not in {row["band"] for row in read_scores(tmp_path / "out").values()}


def test_nothing_is_placed_on_a_promise_about_other_images(images, model, tmp_path, capsys):
    checkpoint = torch.load(model, weights_only=True)
    checkpoint["validation_probabilities"] = 0.9 + 0.1 * checkpoint["validation_probabilities"]
    torch.save(checkpoint, tmp_path / "other.pt")
    command, out = (
        (images, "--max-artifacts-left", "0.5", "--prevalence", "0.4", "0.6", "--action", "copy"),
        tmp_path / "out",
    )
    assert run(*command, model=tmp_path / "other.pt", out=out) == 1
    text = capsys.readouterr().out
    assert "unlike any mixture" in text and "at most" not in text
    assert {path.split("/")[0] for path in snapshot(out) if path.endswith(".png")} == {"review"}
    assert run(*command, "--without-promise", model=tmp_path / "other.pt", out=out) == 1
    assert "applied without a promise" in capsys.readouterr().out
    assert {"kept", "rejected"} & {path.split("/")[0] for path in snapshot(out) if path.endswith(".png")}


def test_calibration_on_what_was_decided(images, model, tmp_path, capsys):
    out = tmp_path / "out"
    run(images, *THRESHOLDS, model=model, out=out)
    rows = [row for row in read_scores(out).values() if not row["error"]]
    lines = [f"{row['path']},{row['sha256']}" for row in rows]
    audit = [
        f"{line},{row['band']},{row['probability']},1.0,{n}"
        for n, (line, row) in enumerate(zip(lines, rows, strict=True))
    ]
    (out / "audit.csv").write_text("\n".join(["path,sha256,band,probability,inclusion,order", *audit, ""]))
    decided = [
        f"{line},{'reject' if float(row['probability']) > 0.8 else 'keep'}"
        for line, row in zip(lines, rows, strict=True)
    ]
    (tmp_path / "decisions.csv").write_text("\n".join(["path,sha256,decision", *decided, ""]))
    capsys.readouterr()
    limits = ("--max-clean-loss", "0.5", "--max-artifacts-left", "0.4")
    command = (images, "--calibrate", tmp_path / "decisions.csv", *limits)
    assert run(*command, model=model, out=out) == 1
    text = capsys.readouterr().out
    assert "come from 20 decided images" in text and "20 of the 20 images drawn are decided" in text
    assert "for the images that the sample was drawn from" in text
    calibrated = read_scores(out)
    assert {row["band"] for row in calibrated.values()} >= {"keep", "reject"}
    assert any(row["probability"] != calibrated[row["path"]]["probability"] for row in rows)
    assert run(*command, model=model, out=out) == 1 and read_scores(out) == calibrated


def test_nothing_certified_says_what_to_pass(images, model, tmp_path, capsys):
    impossible = ("--max-artifacts-left", "0.0001", "--max-clean-loss", "0.0001")
    assert run(images, *impossible, model=model, out=tmp_path / "out") == 1
    text = capsys.readouterr().out
    assert "keep 0, review 20, reject 0" in text and "or pass --threshold" in text


def test_checkpoint_without_validation_scores(images, model, tmp_path, capsys):
    checkpoint = torch.load(model, weights_only=True)
    del checkpoint["validation_targets"]
    torch.save(checkpoint, tmp_path / "old.pt")
    assert run(images, model=tmp_path / "old.pt", out=tmp_path / "out") == 2
    assert "holds no validation scores" in capsys.readouterr().err
    assert run(images, *THRESHOLDS, model=tmp_path / "old.pt", out=tmp_path / "out") == 1


def test_a_checkpoint_with_code_in_it_is_refused(images, tmp_path, capsys):
    class Harmful:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harmed",))

    torch.save({"model": Harmful()}, tmp_path / "bad.pt")
    assert run(images, model=tmp_path / "bad.pt", out=tmp_path / "out") == 2
    assert not (tmp_path / "harmed").exists()
    assert "refused" in capsys.readouterr().err


# ---- inputs


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


def add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def make_shard(path: Path, images: Path) -> Path:
    """A webdataset shard with a sidecar, a hostile name, a nested tar, a link and a compressed tar."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        add_member(archive, "deep.png", (images / "05.png").read_bytes())
    with tarfile.open(path, "w") as archive:
        add_member(archive, "0001.png", (images / "01.png").read_bytes())
        add_member(archive, "0001.json", b"{}")
        add_member(archive, "../../escape.png", (images / "03.png").read_bytes())
        add_member(archive, "inner.tar", inner.getvalue())
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        add_member(archive, "packed.tar.gz", b"x")
        add_member(archive, "last.png", (images / "07.png").read_bytes())
    return path


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


def test_shards_cannot_be_moved(images, model, tmp_path, capsys):
    shard = make_shard(tmp_path / "shard.tar", images)
    assert run(shard, *THRESHOLDS, "--action", "move", model=model, out=tmp_path / "out") == 2
    assert "use copy" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100], ids=["empty", "damaged"])
def test_damaged_shards_are_rows(images, model, tmp_path, content):
    (images / "bad.tar").write_bytes(content)
    assert run(images, *THRESHOLDS, model=model, out=tmp_path / "out") == 1
    assert "damaged tar" in read_scores(tmp_path / "out")[f"{images}/bad.tar"]["error"]


# ---- hostile and changing files


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


# ---- actions


@pytest.mark.parametrize("action", ["copy", "move", "link"])
def test_actions_sort_and_undo(images, model, tmp_path, action):
    before, out = snapshot(images), tmp_path / "out"
    assert run(images, *THRESHOLDS, "--action", action, model=model, out=out) == 1
    rows, after = read_scores(out), snapshot(out)
    folders = {"keep": "kept", "review": "review", "reject": "rejected"}
    for path, row in rows.items():
        if not row["error"]:
            name = Path(path).relative_to(images).as_posix()
            assert after[f"{folders[row['band']]}/{name}"] == before[name]
    assert len(snapshot(images)) == (3 if action == "move" else 23)
    with open(out / "manifest.csv", newline="") as handle:
        manifest = list(csv.DictReader(handle))
    assert len(manifest) == 20 and {row["mode"] for row in manifest} == {action}
    assert all(row["sha256"] and row["probability"] and row["threshold"] and row["reason"] for row in manifest)
    assert run("--undo", out=out) == 0
    assert snapshot(images) == before
    assert set(snapshot(out)) == {"scores.csv", "summary.json", "report.html"}


def test_list_writes_paths(images, model, tmp_path):
    out = tmp_path / "out"
    run(images, *THRESHOLDS, "--action", "list", model=model, out=out)
    listed = {name: (out / f"{name}.txt").read_text().splitlines() for name in ("kept", "review", "rejected")}
    bands = {"kept": "keep", "review": "review", "rejected": "reject"}
    for name, paths in listed.items():
        assert paths == [path for path, row in read_scores(out).items() if row["band"] == bands[name]]


def test_same_names_from_two_folders_both_arrive(model, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        write_image(folder / "same.png", 1)
    assert run(*folders, "--threshold", "0", "--action", "copy", model=model, out=tmp_path / "out") == 0
    placed = {path for path in snapshot(tmp_path / "out") if path.endswith(".png")}
    assert placed == {"rejected/same.png", "rejected/2-same.png"}


def test_running_again_after_a_move_changes_nothing(images, model, tmp_path):
    arguments, out = (images, *THRESHOLDS, "--action", "move"), tmp_path / "out"
    run(*arguments, model=model, out=out)
    before = snapshot(out)
    assert run(*arguments, model=model, out=out) == 1
    assert snapshot(out) == before


def test_new_images_join_an_earlier_move(images, model, tmp_path):
    arguments, out = (images, *THRESHOLDS, "--action", "move"), tmp_path / "out"
    run(*arguments, model=model, out=out)
    write_image(images / "new.png", 77)
    run(*arguments, model=model, out=out)
    assert len(read_scores(out)) == 23
    assert not (images / "new.png").exists()
    assert run("--undo", out=out) == 0
    assert len(snapshot(images)) == 24


def test_decisions_move_images_to_their_new_place(images, model, tmp_path):
    arguments, out = (images, *THRESHOLDS, "--action", "move"), tmp_path / "out"
    run(*arguments, model=model, out=out)
    row = next(row for row in read_scores(out).values() if row["band"] == "reject")
    other = next(row for row in read_scores(out).values() if row["band"] == "review")
    decisions = f"path,sha256,decision\n{row['path']},{row['sha256']},keep\n{other['path']},{'0' * 64},keep\n"
    (tmp_path / "decisions.csv").write_text(decisions)
    assert run(*arguments, "--decisions", tmp_path / "decisions.csv", model=model, out=out) == 1
    rows = read_scores(out)
    assert (rows[row["path"]]["band"], rows[row["path"]]["reason"]) == ("keep", "decided by a person")
    assert rows[other["path"]]["band"] == "review"  # decided on other bytes
    name = Path(row["path"]).relative_to(images).as_posix()
    assert f"kept/{name}" in snapshot(out) and f"rejected/{name}" not in snapshot(out)
    assert run("--undo", out=out) == 0
    assert len(snapshot(images)) == 23


def test_wrong_decisions_are_refused(images, model, tmp_path, capsys):
    (tmp_path / "decisions.csv").write_text("path,sha256,decision\na,b,burn\n")
    arguments = (images, *THRESHOLDS, "--decisions", tmp_path / "decisions.csv")
    assert run(*arguments, model=model, out=tmp_path / "out") == 2
    assert "burn" in capsys.readouterr().err


def read_rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_audit_from_sample_to_statement(images, model, tmp_path, capsys):
    out, decisions = tmp_path / "out", tmp_path / "decisions.csv"
    arguments = (images, *THRESHOLDS, "--audit", "3", "--action", "move")
    run(*arguments, model=model, out=out)
    drawn, scores = read_rows(out / "audit.csv"), read_scores(out)
    assert [int(row["order"]) for row in drawn] == list(range(len(drawn)))
    assert all(scores[row["path"]]["band"] == row["band"] for row in drawn)
    kept = [row for row in drawn if row["band"] == "keep"]
    assert len(kept) == 3
    rows = "".join(f"{row['path']},{row['sha256']},{'keep' if n else 'reject'}\n" for n, row in enumerate(kept))
    decisions.write_text(f"path,sha256,decision\n{rows}{images}/gone.png,{'0' * 64},keep\n")
    capsys.readouterr()
    run(*arguments, "--decisions", decisions, model=model, out=out)
    total, text = sum(row["band"] == "keep" for row in scores.values()), capsys.readouterr().out
    assert f"of the {total} kept images at most" in text and "1 of 3 looked at" in text
    assert f"no such image among the inputs: 1 ({images}/gone.png)" in text
    assert read_rows(out / "audit.csv") == drawn  # whatever was decided and moved since
    (bound,) = json.loads((out / "summary.json").read_text())["audit"]["bounds"]
    assert (bound["images"], bound["wrong"], bound["left"]) == (total, 1, bound["at_most"] - 1)
    assert json.loads((out / "audit.json").read_text())["stated"]
    run(images, "--threshold", "0.2", "0.6", "--decisions", decisions, model=model, out=out)
    assert "no statement on the kept images" in capsys.readouterr().out


def test_a_file_that_changed_after_scoring_is_not_moved(images, model, tmp_path, monkeypatch, capsys):
    place = filter_images.actions.place

    def meddle(*arguments):
        write_image(images / "01.png", 99)
        return place(*arguments)

    monkeypatch.setattr(filter_images.actions, "place", meddle)
    assert run(images, *THRESHOLDS, "--action", "move", model=model, out=tmp_path / "out") == 1
    assert "01.png: not placed" in capsys.readouterr().out
    assert (images / "01.png").exists()


def test_a_damaged_manifest_cannot_lead_out_of_the_folder(images, model, tmp_path, capsys):
    out = tmp_path / "out"
    run(images, *THRESHOLDS, "--action", "copy", model=model, out=out)
    text = (out / "manifest.csv").read_text()
    (out / "manifest.csv").write_text(text.replace("kept/", "kept/../../"))
    assert run("--undo", out=out) == 2
    assert "damaged" in capsys.readouterr().err


def test_undo_of_nothing(tmp_path, capsys):
    assert run("--undo", out=tmp_path) == 2
    assert "nothing to undo" in capsys.readouterr().err


# ---- stability, locks, full disks


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

    owner = {"add": filter_images.Store, "write": filter_images.Manifest}[what]
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


# ---- killed and shared runs, in processes of their own

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


def test_summary_is_plain_json(images, model, tmp_path):
    run(images, *THRESHOLDS, model=model, out=tmp_path / "out")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert sum(summary["bands"].values()) == summary["images"] == 22
    assert summary["bands"]["error"] == len(summary["errors"]) == 2


def test_int8_without_its_packages_says_what_to_install(images, model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(filter_images.int8, "available", lambda: False)
    assert run(images, *THRESHOLDS, "--engine", "int8", "--device", "cpu", model=model, out=tmp_path / "out") == 2
    assert "pip install openvino nncf" in capsys.readouterr().err


class Hasty:
    """An int8 network that is wrong by up to 0.004."""

    name, parallel = "hasty", 1

    def __init__(self, scorer):
        self.scorer = scorer

    def __call__(self, images):
        logits = self.scorer.exact(images)
        return logits + self.scorer.checkpoint["temperature"] * 0.016 * np.sin(1e4 * logits)


def test_images_near_a_threshold_get_the_exact_probability(images, model, tmp_path, monkeypatch, capsys):
    scorer = load_predictor(model, "cpu")
    monkeypatch.setattr(filter_images.int8, "available", lambda: True)
    monkeypatch.setattr(filter_images.int8, "quantise", lambda *_: None)
    monkeypatch.setattr(filter_images.int8, "Int8Engine", lambda *_: Hasty(scorer))
    run(images, *THRESHOLDS, "--device", "cpu", model=model, out=tmp_path / "exact")
    exact = {path: row for path, row in read_scores(tmp_path / "exact").items() if not row["error"]}
    edge = exact[f"{images}/03.png"]["probability"]
    command = [images, "--threshold", edge, "--engine", "int8", "--device", "cpu"]
    run(*command, model=model, out=tmp_path / "fast")
    assert "int8 network used" in capsys.readouterr().err
    fast = read_scores(tmp_path / "fast")
    assert fast[f"{images}/03.png"]["probability"] == edge
    assert sum(fast[path]["probability"] != row["probability"] for path, row in exact.items()) > 10
    assert all((fast[path]["band"] == "reject") == (row["probability"] >= edge) for path, row in exact.items())
    run(*command, model=model, out=tmp_path / "fast")
    assert read_scores(tmp_path / "fast") == fast


def test_a_fast_network_that_disagrees_is_refused(images, model, tmp_path, monkeypatch, capsys):
    class Wrong:
        name = "wrong"

        def __init__(self, path, threads):
            pass

        def __call__(self, images):
            return np.zeros(len(images), np.float32)

    monkeypatch.setattr(filter_images.int8, "available", lambda: True)
    monkeypatch.setattr(filter_images.int8, "quantise", lambda *_: None)
    monkeypatch.setattr(filter_images.int8, "Int8Engine", Wrong)
    run(images, *THRESHOLDS, "--engine", "int8", "--device", "cpu", model=model, out=tmp_path / "a")
    assert "refused" in capsys.readouterr().err
    run(images, *THRESHOLDS, "--device", "cpu", model=model, out=tmp_path / "b")
    assert read_scores(tmp_path / "a") == read_scores(tmp_path / "b")

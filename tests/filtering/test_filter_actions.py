"""filter_images.py from the outside: sorted images, decisions and a way back."""

import csv
import json
import os
from pathlib import Path

import pytest

import filter_images
from tests.filtering.runs import THRESHOLDS, read_rows, read_scores, run, snapshot, write_image


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


def test_a_list_names_images_where_a_move_has_put_them(images, model, tmp_path):
    for action in ("move", "list"):
        run(images, "--threshold", "0", "--action", action, model=model, out=tmp_path / "out")
    listed = (tmp_path / "out" / "rejected.txt").read_text().splitlines()
    assert len(listed) == 20 and all(map(os.path.exists, listed))


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
    (tmp_path / "decisions.csv").unlink()
    assert run(*arguments, model=model, out=tmp_path / "out") == 2
    assert "decisions.csv: No such file or directory: export" in capsys.readouterr().err


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
    assert run("--undo", out=tmp_path / "out") == 0
    assert capsys.readouterr().out.startswith("put back 19 images")


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

"""filter_images.py from the outside: scores, bands and what is said of them."""

import json
from pathlib import Path

import pytest
import torch

from artifact_detection.system.files import write_atomic
from tests.filtering.runs import THRESHOLDS, read_rows, read_scores, run, snapshot


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
    assert f"scores: {out}/scores.csv" in text and f"review page: {out}/report.html\nnext: " in text
    assert "keep 8" in text.splitlines()[0] and text.splitlines()[0].endswith("unusable 2")


def test_without_a_gallery_no_page_of_an_earlier_run_is_left(images, model, tmp_path, capsys):
    out = tmp_path / "out"
    run(images, *THRESHOLDS, model=model, out=out)
    scores = (out / "scores.csv").read_bytes()
    capsys.readouterr()
    run(images, *THRESHOLDS, "--gallery", "0", model=model, out=out)
    assert set(snapshot(out)) == {"scores.csv", "summary.json"} and (out / "scores.csv").read_bytes() == scores
    text = capsys.readouterr().out
    assert "review page" not in text and "open the page" not in text


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
    out, command = decide_on_a_sample(images, model, tmp_path)
    rows = [row for row in read_scores(out).values() if not row["error"]]
    capsys.readouterr()
    assert run(*command, model=model, out=out) == 1
    text = capsys.readouterr().out
    assert "come from 20 decided images" in text and "20 of the 20 images drawn are decided" in text
    assert "for the images that the sample was drawn from" in text
    calibrated = read_scores(out)
    assert {row["band"] for row in calibrated.values()} >= {"keep", "reject"}
    assert any(row["probability"] != calibrated[row["path"]]["probability"] for row in rows)
    assert run(*command, model=model, out=out) == 1 and read_scores(out) == calibrated
    assert json.loads((out / "audit.json").read_text())["stated"]  # a later sample counts this one


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: text.replace(",keep,", ",reject,", 1), "not the one that audit.json describes; --audit draws"),
        (lambda text: text[: text.rindex("\n", 0, -1) + 1], "not the one that audit.json describes; --audit draws"),
        (lambda text: text.replace(",1.0,", ",0.9,", 1), "not the one that audit.json describes; --audit draws"),
        (lambda text: None, "not the one that audit.json describes; --audit draws"),
    ],
    ids=["by hand", "a row less", "a probability", "gone"],
)
def test_an_edited_sample_certifies_nothing(images, model, tmp_path, capsys, edit, said):
    out, command = decide_on_a_sample(images, model, tmp_path)
    text = edit((out / "audit.csv").read_text())
    (out / "audit.csv").unlink() if text is None else write_atomic(out / "audit.csv", text)
    capsys.readouterr()
    assert run(*command, "--action", "copy", model=model, out=out) == 1
    text = capsys.readouterr().out
    assert said in text and "at most" not in text and "keep 0, review 20, reject 0" in text


def decide_on_a_sample(images: Path, model: Path, folder: Path) -> tuple[Path, tuple]:
    """All images are drawn, and decided by their score; the output folder, and a command to calibrate on that."""
    out, decisions = folder / "out", folder / "decisions.csv"
    run(images, *THRESHOLDS, "--audit", "20", model=model, out=out)
    choices = (
        f"{row['path']},{row['sha256']},{'reject' if float(row['probability']) > 0.8 else 'keep'}"
        for row in read_rows(out / "audit.csv")
    )
    decisions.write_text("\n".join(["path,sha256,decision", *choices, ""]))
    return out, (images, "--calibrate", decisions, "--max-clean-loss", "0.5", "--max-artifacts-left", "0.4")


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


def test_summary_is_plain_json(images, model, tmp_path):
    run(images, *THRESHOLDS, model=model, out=tmp_path / "out")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert sum(summary["bands"].values()) == summary["images"] == 22
    assert summary["bands"]["error"] == len(summary["errors"]) == 2

"""Labels from a table instead of from file names."""

import hashlib
from pathlib import Path

import pytest

import organize_dataset
from tests.sources import draw, manifest, tree

pytestmark = pytest.mark.usefixtures("no_sync")


@pytest.fixture
def images(tmp_path) -> list[Path]:
    """Five images without a label in their names, outside of any split."""
    paths = [tmp_path / "pool" / f"face-{n}.png" for n in range(5)]
    for n, path in enumerate(paths):
        draw(path, seed=n)
    return paths


def decisions(path: Path, rows: list[tuple[object, str, str]]) -> Path:
    path.write_text("path,sha256,decision\n" + "".join(f"{','.join(map(str, row))}\n" for row in rows))
    return path


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def organize(folder: Path, *arguments: object) -> int:
    return organize_dataset.main([*map(str, arguments), "--output", str(folder / "dataset")])


def placed(folder: Path) -> dict[str, str]:
    """File name -> its folder below dataset/."""
    return {
        path.name: path.parent.relative_to(folder / "dataset").as_posix()
        for path in (folder / "dataset").rglob("*.png")
    }


def test_what_people_decided_becomes_a_training_set(tmp_path, images, capsys):
    rows = [(path, sha(path), "keep") for path in images[:3]] + [(images[3], sha(images[3]), "reject")]
    table = decisions(tmp_path / "decisions.csv", rows)
    for _ in range(2):  # the second run finds all in place
        assert organize(tmp_path, "--labels", table) == 0
    assert placed(tmp_path) == {
        **{f"face-{n}.png": "train/no_artifacts" for n in range(3)},
        "face-3.png": "train/artifacts",
    }
    assert organize(tmp_path, "--labels", table, "--undo") == 0
    assert placed(tmp_path) == {} and len(tree(tmp_path / "pool")) == 5


def test_nothing_that_does_not_fit_is_skipped_in_silence(tmp_path, images, capsys):
    rows = [
        (images[0], sha(images[0]), "keep"),
        (images[1], sha(images[1]), "reject"),
        (images[1], sha(images[1]), "keep"),
        (images[2], "0" * 64, "keep"),
        (images[3], sha(images[3]), "review"),
        (tmp_path / "gone.png", "0" * 64, "reject"),
    ]
    assert organize(tmp_path, "--labels", decisions(tmp_path / "d.csv", rows)) == 1
    assert placed(tmp_path) == {"face-0.png": "train/no_artifacts"}
    found = capsys.readouterr()
    assert f"{images[1]}: two labels in d.csv" in found.out
    assert f"{images[2]}: changed since it was judged in d.csv" in found.out
    assert f"{images[3]}: no label in d.csv" in found.out
    assert "no file for 1 rows" in found.err and str(tmp_path / "gone.png") in found.err
    assert {row["status"] for row in manifest(tmp_path)} == {"placed", "skipped"}


def test_a_table_of_names_beside_a_source(tmp_path, capsys):
    """Names start from the split, from the source, or stand alone; a file without a row is named."""
    source = tmp_path / "source"
    for n, name in enumerate(("a.png", "deep/b.png", "c.png", "d.png", "x/e.png", "y/e.png")):
        draw(source / "train" / name, seed=n)
    (tmp_path / "labels.csv").write_text("file;label\ndeep/b.png;FALSE\ntrain/a.png;FALSE\nc.png;TRUE\ne.png;FALSE\n")
    arguments = ("--labels", tmp_path / "labels.csv", "--source", source, "--splits", "train")
    assert organize(tmp_path, *arguments) == 1
    assert placed(tmp_path) == {
        "a.png": "train/no_artifacts",
        "b.png": "train/no_artifacts",
        "c.png": "train/artifacts",
    }
    text = capsys.readouterr().out
    assert "d.png: no row in labels.csv" in text
    assert text.count("e.png: one of several files that labels.csv calls so") == 2


def test_two_columns_that_differ_are_no_label(tmp_path, images, capsys):
    rows = [f"{images[0]},0,keep", f"{images[1]},0,reject", f"{images[2]},1,Reject", f"{images[3]},0,KEEP"]
    (tmp_path / "t.csv").write_text("path,label,decision\n" + "\n".join(rows))
    assert organize(tmp_path, "--labels", tmp_path / "t.csv") == 1
    assert placed(tmp_path).keys() == {"face-0.png", "face-2.png", "face-3.png"}
    assert f"{images[1]}: two labels in t.csv" in capsys.readouterr().out


def test_polarity_is_asked(tmp_path, images, capsys):
    rows = [(path, sha(path), "reject") for path in images[:3]] + [(images[3], sha(images[3]), "keep")]
    table = decisions(tmp_path / "decisions.csv", rows)
    assert organize(tmp_path, "--labels", table) == 2
    assert "3 of 4 images in train would be called artifacts. Pass --yes if it is meant" in capsys.readouterr().err
    assert organize(tmp_path, "--labels", table, "--yes") == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "one of path"),
        ("path,label\na.png,odd\nb.png,even\n", "which means artifacts"),
        ("path,label\n,0\n", "row 1 below the column names names no file"),
        ("", "empty"),
    ],
)
def test_a_table_that_says_no_labels_is_refused(tmp_path, text, message, capsys):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SystemExit) as stop:
        organize(tmp_path, "--labels", tmp_path / "t.csv")
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_where_no_file_can_be_used_nothing_is_in_place(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("path,label\ngone.png,0\n")
    assert organize(tmp_path, "--labels", tmp_path / "t.csv") == 2
    found = capsys.readouterr().out
    assert "no file can be used" in found and "in place" not in found


def test_the_way_out_of_inverted_words_leads_out(tmp_path, images, capsys):
    """TRUE means clean in this table: neither `0` nor `1` says so."""
    rows = [f"{image},{'FALSE' if number == 4 else 'TRUE'}\n" for number, image in enumerate(images)]
    (tmp_path / "t.csv").write_text("path,label\n" + "".join(rows))
    assert organize(tmp_path, "--labels", tmp_path / "t.csv") == 2
    assert "Pass --artifact-label LABEL" in capsys.readouterr().err
    assert organize(tmp_path, "--labels", tmp_path / "t.csv", "--artifact-label", "FALSE") == 0


def test_moved_files_are_not_missing(tmp_path, images):
    rows = [(path, sha(path), "keep") for path in images[:4]] + [(images[4], sha(images[4]), "reject")]
    table = decisions(tmp_path / "decisions.csv", rows)
    for _ in range(2):
        assert organize(tmp_path, "--labels", table, "--mode", "move") == 0
    assert len(placed(tmp_path)) == 5 and tree(tmp_path / "pool") == {}

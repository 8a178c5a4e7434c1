"""Predictions files: ours, and those of other systems with either polarity."""

import numpy as np
import pytest

from artifact_detection.evaluation import metrics
from artifact_detection.evaluation.metrics import summarize_table
from artifact_detection.evaluation.predictions import polarity_question, read_predictions

TARGETS = np.repeat([1, 0, 1, 0], [15, 3, 5, 177])  # the published table 15/3/5/177
PREDICTIONS = np.repeat([1, 0], [18, 182])


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def foreign_rows(zero_is_artifact: bool) -> str:
    """The table as another system writes it: the label only in the file name."""
    targets, predictions = (1 - TARGETS, 1 - PREDICTIONS) if zero_is_artifact else (TARGETS, PREDICTIONS)
    rows = [f"image_{i:05d}_{t}.png,{p}" for i, (t, p) in enumerate(zip(targets, predictions, strict=True))]
    return "\n".join(["filename,prediction", *rows])


@pytest.mark.parametrize("artifact_label", ["0", "1"])
def test_polarity_applies_to_label_and_prediction(tmp_path, artifact_label):
    table = read_predictions(write(tmp_path / "p.csv", foreign_rows(artifact_label == "0")), artifact_label)
    assert summarize_table(table).confusion.tolist() == [[177, 3], [5, 15]]
    assert polarity_question(table) == ""


def test_wrong_polarity_is_asked_about(tmp_path):
    table = read_predictions(write(tmp_path / "p.csv", foreign_rows(zero_is_artifact=True)), "1")
    assert polarity_question(table).startswith("90%")


@pytest.mark.parametrize(
    ("text", "labels", "predictions"),
    [
        pytest.param("path,label,probability,prediction\na_0.png,1,0.9,1\nb_1.png,0,0.2,0", [1, 0], [1, 0], id="ours"),
        pytest.param(
            "path,label,prediction\na,artifacts,no_artifacts\nb,no_artifacts,artifacts", [1, 0], [0, 1], id="names"
        ),
        pytest.param(
            "filename,probability\na_1.png,0.9\nb_0.png,0.2\nc.png,0.7", [1, 0, -1], [1, 0, 1], id="no verdict"
        ),
        pytest.param("path,label,prediction\na,1.0,0.0\nb,,1.0", [1, -1], [0, 1], id="numbers of a column with gaps"),
        pytest.param("Filename,Label,Prediction\na,1,1\nb,0,", [1, 0], [1, -1], id="capitals, a gap"),
        pytest.param("path,label,probability\na,clean,.1\nb,Artifact,.9", [0, 1], [0, 1], id="clean, artifact"),
        pytest.param("path,label,prediction\na,TRUE,no\nb,FALSE,yes", [1, 0], [0, 1], id="true, false, yes, no"),
        pytest.param("path,label,prediction\na,WAHR,ok\nb,FALSCH,bad", [1, 0], [0, 1], id="a German spreadsheet"),
        pytest.param("path,label,prediction\na,NaN,1.0\nb,no artifacts,", [-1, 0], [1, -1], id="no label, no verdict"),
        pytest.param("path,label,probability\na,1,\nb,0,.2", [1, 0], [-1, 0], id="empty probability"),
        pytest.param("path,label,prediction\na,1,1\nb,0,0\n,,\n\n", [1, 0], [1, 0], id="empty rows at the end"),
        pytest.param("path,label,prediction,,\na,1,1,,\nb,0", [1, 0], [1, -1], id="columns too many, cells too few"),
        pytest.param('sep=;\npath;label;probability\n"a;1";1;0,5\nb;0;1,5E-05', [1, 0], [1, 0], id="semicolons"),
        pytest.param(
            'path,label,probability\n"a\nb",1,1e-400\nc , ARTIFACT ,NaN', [1, 1], [0, -1], id="line break, spaces"
        ),
        pytest.param(",path,label,prediction\n0,a,y,n\n7,b,n,y", [1, 0], [0, 1], id="pandas' index"),
        pytest.param('\n\n"path";"label, by hand";label;prediction\na;;1;0', [1], [0], id="commas in a header"),
        pytest.param("path,label,prediction\na,#N/A,1\nb,FALSO,VERO", [-1, 0], [1, 1], id="an Italian spreadsheet"),
        pytest.param("path\tlabel\tprediction\na b\t1\t1\nc\t0\t\n", [1, 0], [1, -1], id="tabs"),
    ],
)
def test_read_predictions(tmp_path, text, labels, predictions):
    table = read_predictions(write(tmp_path / "p.csv", text))
    assert table["label"].tolist() == labels
    assert table["prediction"].tolist() == predictions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "is not a CSV file", id="empty file"),
        pytest.param("path,prediction\n", "no rows", id="only a header"),
        pytest.param("id,prediction\n1,1", "no column with the image's name", id="no name"),
        pytest.param("path,label\na,1", "neither a prediction nor a probability", id="no verdict"),
        pytest.param("path,prediction\na,0\nb,1\nc,2", "3 different values", id="three classes"),
        pytest.param("path,label,prediction\na,fine,0\nb,glitch,1", "--artifact-label", id="unknown words"),
        pytest.param("path,label,prediction\na,1,0\nb,-1,1", r"\(-1, 1\).*--artifact-label", id="unknown numbers"),
        pytest.param("Path,path,label,prediction\na,b,0,0", "column path twice", id="a column twice"),
        pytest.param("path|prediction\na|1", "'path.prediction'.*separated by", id="unknown separator"),
        pytest.param("path,prediction\na,b,1", "line 2 has a cell", id="a cell too many"),
        pytest.param("path,prediction,\na,1,0", "line 2 has a cell", id="a column without a name"),
        pytest.param("path,label,prediction\na,1,1\na,1,0", "listed twice", id="two verdicts on one image"),
        *(
            pytest.param(f"path;probability\na_1.png;{text}", r"a_1\.png is .*, not a number in \[0, 1\]", id=text)
            for text in ("high", "1.2", "90%", "inf", "-inf", "1e400", "0_1", "-1e-9", "\u0661", "1.234,5")
        ),
        pytest.param("path,prediction\na,1\n ,0", "row 2 .* names no file", id="no name"),
        pytest.param("path,prediction\na.png,1\nb.png,0\nTotal,1", "'Total'.* take it out", id="a sum"),
        pytest.param("path,prediction\na\0b,1", "NUL", id="NUL"),
        pytest.param("path,probability,prediction\na_1.png,.1,1\nb_0.png,.9,0", "lower where", id="P(clean)"),
    ],
)
def test_unusable_predictions_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_predictions(write(tmp_path / "p.csv", text))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path, encoding):
    (tmp_path / "p.csv").write_bytes("path\tlabel\tprediction\r\nä\t1\t0\r\n".encode(encoding))
    assert read_predictions(tmp_path / "p.csv")["path"].tolist() == ["ä"]


def test_the_artifact_label_settles_what_words_mean(tmp_path):
    path = write(tmp_path / "p.csv", "path,label,prediction\na,fine,fine\nb,Glitch,fine")
    assert read_predictions(path, "glitch")[["label", "prediction"]].to_numpy().tolist() == [[0, 0], [1, 0]]
    with pytest.raises(ValueError, match="--artifact-label"):
        read_predictions(path, "glich")


@pytest.mark.parametrize(("label", "expected"), [(None, [0, 1, -1]), ("0", [0, 1, -1]), ("bad", [0, 1, -1])])
def test_words_in_file_names_are_read(tmp_path, label, expected):
    path = write(tmp_path / "p.csv", "path,prediction\na-good.png,0\nb-bad.png,1\nc.png,0")
    assert read_predictions(path, label, r"-(?P<label>\w+)")["label"].tolist() == expected


def test_an_image_listed_twice_counts_once_and_is_named(tmp_path, capsys):
    path = write(tmp_path / "p.csv", "path,label,prediction\na,1,1\nx/b,0,0\n./a,1,1\nx\\b,0,0")
    assert metrics.main([str(path), "--out", str(tmp_path / "m.json")]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("2 images")
    assert err == "left out, listed before: a\nleft out, listed before: x/b\n"

"""Predictions files: ours, and those of other systems with either polarity."""

import numpy as np
import pytest

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
        pytest.param("path,probability\na_1.png,high", "probability", id="no number"),
        pytest.param("path,probability\na_1.png,1.2", r"\[0, 1\]", id="no probability"),
        pytest.param("path,probability,prediction\na_1.png,.1,1\nb_0.png,.9,0", "lower where", id="P(clean)"),
    ],
)
def test_unusable_predictions_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_predictions(write(tmp_path / "p.csv", text))

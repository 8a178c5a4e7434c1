"""What the evaluation notebook opens, and the sentences that it writes."""

import os

import numpy as np
import pandas as pd
import pytest

from artifact_detection.evaluation import findings, loading
from artifact_detection.evaluation.bands import choose_bands
from artifact_detection.evaluation.loading import Evaluation, EvaluationError, open_evaluation
from artifact_detection.evaluation.metrics import summarize
from artifact_detection.evaluation.thresholds import threshold_table


def table(labels, probabilities, predictions=None) -> pd.DataFrame:
    probabilities = np.asarray(probabilities, float)
    verdicts = (probabilities >= 0.5).astype(int) if predictions is None else predictions
    paths = [f"test/image_{i}.png" for i in range(len(labels))]
    return pd.DataFrame({"path": paths, "label": labels, "probability": probabilities, "prediction": verdicts})


RUN = Evaluation("a run", table([1, 1, 1, 0, 0, 0], [0.9, 0.6, 0.4, 0.7, 0.1, 0.45]), left_out=0)


@pytest.mark.parametrize(
    ("outcome", "rows"),
    [("true positives", [0, 1]), ("false negatives", [2]), ("false positives", [3]), ("true negatives", [4, 5])],
)
def test_outcomes_come_most_confident_first(outcome, rows):
    assert RUN.rows(outcome).tolist() == rows


def test_outcomes_without_probabilities_keep_their_order():
    run = Evaluation("", table([1, 0, 1], [np.nan] * 3, [1, 0, 1]), left_out=0)
    assert run.probabilities is None
    assert run.rows("true positives").tolist() == [0, 2]


def test_sample_is_of_one_class_and_reproducible():
    assert set(RUN.sample(0, 2)) <= {3, 4, 5}
    assert RUN.sample(0, 99).tolist() == [3, 4, 5]
    assert RUN.sample(0, 2).tolist() == RUN.sample(0, 2).tolist()


@pytest.mark.parametrize(
    ("names", "found"),
    [
        pytest.param(["test/a.png", "test/b.png"], True, id="where the table says"),
        pytest.param(["elsewhere/deep/a.png", "b.png"], True, id="anywhere below"),
        pytest.param(["test/a.png"], False, id="one is missing"),
        pytest.param(["x/a.png", "y/a.png", "b.png"], False, id="two of one name, none at its place"),
    ],
)
def test_images_are_found_or_not_used_at_all(tmp_path, names, found):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    predictions = table([1, 0], [0.9, 0.1]).assign(path=["test/a.png", "test/b.png"])
    run = Evaluation("", predictions, left_out=0, dataset=tmp_path)
    assert (run.files is not None) is found
    if found:
        assert [path.name for path in run.files] == ["a.png", "b.png"]


def test_calibration_can_be_taken_off_again():
    logits = np.array([-4.0, 0.0, 2.5])
    after = 1 / (1 + np.exp(-(logits - 1.2) / 1.7))
    assert loading.uncalibrated(after, 1.7, -1.2) == pytest.approx(1 / (1 + np.exp(-logits)))


def test_newest_run_first(tmp_path):
    for age, name in enumerate(("new", "old", "unfinished")):
        (tmp_path / name).mkdir()
        if name != "unfinished":
            (tmp_path / name / "test_predictions.csv").touch()
            os.utime(tmp_path / name / "test_predictions.csv", (100 - age, 100 - age))
    assert [path.name for path in loading.finished_runs(tmp_path)] == ["new", "old"]


def test_rows_without_label_are_counted(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("filename,prediction\na_0.png,0\nb.png,1\n")
    run = open_evaluation({"PREDICTIONS_CSV": str(path), "ARTIFACT_LABEL": "0"})
    assert (len(run.table), run.left_out) == (1, 1)
    assert run.targets.tolist() == run.predictions.tolist() == [1]


@pytest.mark.parametrize(
    ("verdicts", "threshold"), [((0, 0, 1), 0.9), ((0, 1, 1), 0.6), ((1, 0, 1), 0.5)], ids=["cut", "another", "no cut"]
)
def test_the_threshold_in_use_is_the_files_own(tmp_path, verdicts, threshold):
    rows = zip("abc", (0.2, 0.6, 0.9), verdicts, strict=True)
    text = "\n".join(f"{name},1,{probability},{verdict}" for name, probability, verdict in rows)
    (tmp_path / "p.csv").write_text(f"path,label,probability,prediction\n{text}\nd,0,.1,0")
    assert open_evaluation({"PREDICTIONS_CSV": str(tmp_path / "p.csv")}).threshold == threshold


def test_nothing_to_evaluate(tmp_path, monkeypatch):
    with pytest.raises(EvaluationError, match="no finished run"):
        open_evaluation({"RUN_DIR": str(tmp_path)})
    monkeypatch.setattr(loading, "finished_runs", list)
    with pytest.raises(EvaluationError, match="no finished run"):
        open_evaluation({})
    (tmp_path / "p.csv").write_text("filename,prediction\na.png,0\n")
    with pytest.raises(EvaluationError, match=r"p\.csv: no row has a label"):
        open_evaluation({"PREDICTIONS_CSV": str(tmp_path / "p.csv")})


def test_labels_that_look_inverted_are_asked_about():
    assert findings.opened(RUN).endswith("left out.")
    inverted = Evaluation("", table([1, 1, 1, 0], [0.9, 0.6, 0.4, 0.7]), left_out=0)
    assert findings.opened(inverted).endswith("75% of the images would be artifacts: is the artifact label right?")


def test_sentence_on_quality():
    summary = summarize(np.repeat([1, 0], [20, 180]), None, predictions=np.repeat([1, 0, 1, 0], [15, 5, 3, 177]))
    text = findings.quality(summary)
    assert "Of 20 artifacts 75.0 % (53.1 to 88.8 %) are found" in text
    assert "about 139 artifacts" in text
    assert "3 of 180 clean images would be lost and 5 of 20 artifacts would stay" in findings.errors(summary)


def test_sentence_on_quality_without_artifacts():
    assert "undefined: no image is labelled artifacts" in findings.quality(summarize([0, 0], [0.1, 0.2]))


def test_sentences_on_a_file_from_elsewhere_and_on_nothing_kept():
    summary, nothing_kept = (
        summarize(RUN.targets, RUN.probabilities),
        threshold_table(RUN.targets, RUN.probabilities, [0.0]),
    )
    assert "both fitted on validation" in findings.calibration(summary, summary, 1.5, 0.0)
    assert "nothing was fitted" in findings.calibration(summary, summary, 1.0, 0.0)
    assert "0 images are kept, 0 of them artifacts; 3 clean" in findings.threshold(nothing_kept.iloc[0])


def test_sentence_on_bands_counts_the_test_split():
    targets = np.repeat([1, 0], [100, 400])
    bands = choose_bands(targets, np.repeat([0.9, 0.1], [100, 400]))
    assert findings.bands_on_test(bands, RUN).startswith(
        "On the test split: 5 kept, 2 of them artifacts; 1 rejected, 0"
    )


@pytest.mark.parametrize(
    ("p", "words"),
    [pytest.param(0.001, "a difference is shown", id="bias"), pytest.param(0.4, "proves little", id="no bias")],
)
def test_sentence_on_subgroups(p, words):
    index = pd.MultiIndex.from_tuples([("recall", "brightness", "low")], names=("rate", "measure", "tertile"))
    text = findings.subgroups(pd.DataFrame({"n": [9], "p": [p]}, index=index))
    assert "recall by brightness" in text
    assert words in text

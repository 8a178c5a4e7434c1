"""Metrics against scikit-learn, published tables and known answers; intervals by simulation."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk

from artifact_detection.evaluation import metrics
from artifact_detection.evaluation.metrics import summarize
from artifact_detection.evaluation.resampling import WeightedMetrics, bootstrap, equal_mass_bins, stratified_counts
from artifact_detection.intervals import clopper_pearson, logit_interval, wilson
from tests.evaluation.test_predictions import foreign_rows, write


def expand(tp: int, fp: int, fn: int, tn: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions of a confusion table."""
    targets, predictions = [1] * tp + [0] * fp + [1] * fn + [0] * tn, [1] * tp + [1] * fp + [0] * fn + [0] * tn
    return np.array(targets), np.array(predictions)


def sample(positives: int = 20, negatives: int = 180, distance: float = 2.0, seed: int = 0):
    """Targets and calibrated probabilities of two normal classes `distance` standard deviations apart."""
    targets = np.repeat([1, 0], [positives, negatives])
    scores = np.random.default_rng(seed).normal(distance * targets)
    odds = distance * scores - distance**2 / 2 + np.log(positives / negatives)
    return targets, 1 / (1 + np.exp(-odds))


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        pytest.param(15, 20, 0.531, 0.888, id="15 of 20, as published"),
        pytest.param(14, 20, 0.481, 0.855, id="14 of 20, as published"),
        pytest.param(0, 20, 0.0, 0.161, id="none of 20"),
        pytest.param(20, 20, 0.839, 1.0, id="20 of 20"),
    ],
)
def test_wilson(k, n, low, high):
    assert wilson(k, n) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@pytest.mark.parametrize(("k", "n"), [(0, 7), (1, 9), (15, 20), (20, 20), (180, 200)])
def test_intervals_of_proportions_equal_scipy(interval, k, n):
    method = "wilson" if interval is wilson else "exact"
    expected = stats.binomtest(k, n).proportion_ci(0.9, method=method)
    assert interval(k, n, 0.9) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_intervals_of_nothing():
    assert np.isnan(wilson(0, 0)).all()
    assert clopper_pearson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("table", "recall", "precision", "f1"),
    [
        pytest.param((15, 3, 5, 177), 0.75, 0.833, 0.789, id="ResNet-18"),
        pytest.param((14, 4, 6, 168), 0.70, 0.778, 0.737, id="VGG-19, 192 images scored"),
        pytest.param((13, 1, 7, 179), 0.65, 0.929, 0.765, id="ResNet-18 and EfficientNet-B0"),
    ],
)
def test_published_tables(table, recall, precision, f1):
    tp, fp, fn, tn = table
    targets, predictions = expand(*table)
    summary = summarize(targets, None, predictions=predictions)
    values = [summary[name].value for name in ("recall", "precision", "f1")]
    assert values == pytest.approx([recall, precision, f1], abs=5e-4)
    assert summary.confusion.tolist() == [[tn, fp], [fn, tp]]
    assert summary.support == {"no_artifacts": tn + fp, "artifacts": tp + fn}
    assert summary["recall"].support == tp + fn
    assert summary["precision"].support == tp + fp


def test_point_values_equal_scikit_learn():
    targets, probabilities = sample()
    predicted = (probabilities >= 0.3).astype(int)
    expected = {
        "accuracy": sk.accuracy_score(targets, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(targets, predicted),
        "precision": sk.precision_score(targets, predicted),
        "recall": sk.recall_score(targets, predicted),
        "f1": sk.f1_score(targets, predicted),
        "precision_clean": sk.precision_score(targets, predicted, pos_label=0),
        "recall_clean": sk.recall_score(targets, predicted, pos_label=0),
        "f1_clean": sk.f1_score(targets, predicted, pos_label=0),
        "mcc": sk.matthews_corrcoef(targets, predicted),
        "average_precision": sk.average_precision_score(targets, probabilities),
        "roc_auc": sk.roc_auc_score(targets, probabilities),
        "brier": sk.brier_score_loss(targets, probabilities),
    }
    summary = summarize(targets, probabilities, 0.3)
    assert {name: summary[name].value for name in expected} == pytest.approx(expected)
    assert all(e.low < e.value < e.high for name, e in summary.metrics.items() if name != "ece")
    assert summary["ece"].low <= summary["ece"].value < summary["ece"].high


def test_calling_every_image_clean_is_no_success():
    """The trap of the field: micro F1 .945 for a model that finds nothing."""
    summary = summarize(np.repeat([0, 1], [180, 20]), np.full(200, 0.1))
    assert summary["accuracy"].value == 0.9
    assert (summary["recall"].value, summary["f1"].value, summary["balanced_accuracy"].value) == (0, 0, 0.5)


@pytest.mark.parametrize("statistic", ["average_precision", "roc_auc", "mcc", "brier", "recall", "precision", "f1"])
def test_resampled_metrics_equal_scikit_learn_with_weights(statistic):
    targets, probabilities = sample(8, 30)
    probabilities = probabilities.round(1)  # many ties
    predicted = (probabilities >= 0.3).astype(int)
    counts = next(stratified_counts(targets, 20, seed=1))
    reference, given = {
        "average_precision": (sk.average_precision_score, probabilities),
        "roc_auc": (sk.roc_auc_score, probabilities),
        "brier": (sk.brier_score_loss, probabilities),
        "mcc": (sk.matthews_corrcoef, predicted),
        "recall": (sk.recall_score, predicted),
        "precision": (sk.precision_score, predicted),
        "f1": (sk.f1_score, predicted),
    }[statistic]
    ours = getattr(WeightedMetrics(targets, predicted, probabilities), statistic)(counts)
    assert ours == pytest.approx([reference(targets, given, sample_weight=row) for row in counts])


def test_resamples_keep_the_classes_and_are_reproducible(monkeypatch):
    targets, _ = sample(5, 20)
    draws = np.concatenate(list(stratified_counts(targets, 50, seed=3)))
    assert draws.shape == (50, 25)
    assert (draws[:, targets == 1].sum(axis=1) == 5).all()
    assert (draws[:, targets == 0].sum(axis=1) == 20).all()
    assert (draws == np.concatenate(list(stratified_counts(targets, 50, seed=3)))).all()
    monkeypatch.setattr("artifact_detection.evaluation.resampling.CELLS_PER_CHUNK", 25 * 7)
    assert [len(block) for block in stratified_counts(targets, 50, seed=3)] == [7] * 7 + [1]


@pytest.mark.parametrize("statistic", ["average_precision", "roc_auc", "brier", "mcc"])
def test_bootstrap_intervals_cover(statistic):
    """The 95 % intervals hold the truth in at least 90 % of 100 samples of 40 artifacts and 200 clean images."""
    targets, probabilities = sample(40_000, 200_000, seed=99)
    everything = WeightedMetrics(targets, (probabilities >= 0.3).astype(int), probabilities)
    truth = getattr(everything, statistic)(np.ones((1, len(targets)))).item()
    hits = 0
    for seed in range(100):
        targets, probabilities = sample(40, 200, seed=seed)
        estimate = summarize(targets, probabilities, 0.3, replicates=200)[statistic]
        hits += estimate.low <= truth <= estimate.high
    assert hits / 100 >= 0.9


def test_ece_interval_reaches_down_to_a_perfect_calibration():
    """Calibrated scores have ECE 0; the plain value is above it in every finite sample."""
    estimates = [summarize(*sample(seed=seed), replicates=200)["ece"] for seed in range(30)]
    assert all(estimate.value > 0 for estimate in estimates)
    assert np.mean([estimate.low == 0 for estimate in estimates]) >= 0.9


def test_ece_interval_of_overconfident_scores_excludes_zero():
    targets, probabilities = sample(100, 900)
    odds = probabilities / (1 - probabilities)
    assert summarize(targets, odds**3 / (1 + odds**3))["ece"].low > 0.01


def test_ece_of_known_miscalibration():
    targets = np.tile([1, 0, 0, 0], 50)
    assert summarize(targets, np.full(200, 0.65)).metrics["ece"].value == pytest.approx(0.4)


def test_equal_mass_bins():
    bins = equal_mass_bins(np.linspace(0, 1, 200))
    assert (np.bincount(bins) == 20).all()
    assert len(set(equal_mass_bins(np.array([0.1] * 50 + [0.9])))) <= 2


def test_a_value_without_spread_has_no_interval():
    assert np.isnan(logit_interval(0.5, np.full(10, 0.5), 5)).all()
    constant = summarize([0] * 10 + [1] * 3, [0.3] * 13)["average_precision"]
    assert "no spread" in str(constant)  # but for what rounding leaves


@pytest.mark.parametrize(("m", "n"), [(2, 5), (5, 20), (9, 60), (20, 180)])
def test_perfect_separation_has_an_interval_that_holds(m, n):
    """Where the true ROC-AUC is the interval's lower end, a perfect sample is a rare accident."""
    targets = np.repeat([0, 1], [n, m])
    summary = summarize(targets, np.linspace(0, 1, m + n), replicates=50)
    low = summary["roc_auc"].low
    assert 0 < low == summary["average_precision"].low < summary["roc_auc"].high == 1
    separation = np.sqrt(2) * stats.norm.ppf(low)  # of two normal distributions with this ROC-AUC
    scores = np.random.default_rng(0).normal(size=(4000, m + n)) + separation * targets
    assert np.mean(scores[:, n:].min(axis=1) > scores[:, :n].max(axis=1)) < 0.05


@pytest.mark.parametrize(
    ("targets", "probabilities", "undefined", "reason"),
    [
        pytest.param([0, 0, 0], [0.1, 0.2, 0.9], "recall", "no image is labelled artifacts", id="no artifact"),
        pytest.param([0, 0, 0], [0.1, 0.2, 0.9], "roc_auc", "no image is labelled artifacts", id="ranking, one class"),
        pytest.param([1, 1], [0.1, 0.9], "average_precision", "no image is labelled no_artifacts", id="no clean image"),
        pytest.param([1, 1], [0.1, 0.9], "balanced_accuracy", "no image is labelled no_artifacts", id="half of it"),
        pytest.param([0, 1], [0.1, 0.2], "precision", "no image is predicted artifacts", id="nothing predicted"),
        pytest.param([0, 1], [0.1, 0.2], "mcc", "only one class is predicted", id="correlation with a constant"),
        pytest.param([0, 0], [0.1, 0.2], "f1", "no image is labelled or predicted artifacts", id="F1 of nothing"),
    ],
)
def test_undefined_is_nan_with_its_reason(targets, probabilities, undefined, reason):
    summary = summarize(targets, probabilities)
    assert np.isnan(summary[undefined].value)
    assert summary[undefined].reason == reason
    assert summary.as_dict()["metrics"][undefined]["value"] is None
    assert f"undefined: {reason}" in summary.table()
    json.dumps(summary.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("targets", "probabilities", "message"),
    [
        pytest.param([], [], "non-empty", id="empty"),
        pytest.param([0, 2], [0.1, 0.2], "0 and 1", id="a third class"),
        pytest.param([0, 1], [0.1], "2 targets but", id="lengths differ"),
        pytest.param([0, 1], [0.1, np.nan], r"\[0, 1\]", id="not a number"),
        pytest.param([0, 1], [0.1, 7.0], r"\[0, 1\]", id="logits"),
        pytest.param([0, 1], None, "neither", id="nothing to judge"),
    ],
)
def test_bad_input_is_refused(targets, probabilities, message):
    with pytest.raises(ValueError, match=message):
        summarize(targets, probabilities)


def test_bootstrap_statistics_share_their_resamples():
    targets, probabilities = sample(10, 40)
    weighted = WeightedMetrics(targets, (probabilities >= 0.3).astype(int), probabilities)
    draws = bootstrap(targets, {"a": weighted.roc_auc, "b": weighted.roc_auc}, 30, seed=0)
    assert (draws["a"] == draws["b"]).all()
    assert draws["a"].std() > 0


def test_command_prints_and_writes(tmp_path, capsys):
    source = write(tmp_path / "p.csv", foreign_rows(zero_is_artifact=True))
    out = tmp_path / "metrics.json"
    assert metrics.main([str(source), "--artifact-label", "0", "--out", str(out)]) == 0
    assert "0.750  (0.531 - 0.888)" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["confusion_matrix"] == [[177, 3], [5, 15]]
    assert written["metrics"]["roc_auc"] | {"support": 0} == {
        "value": None, "low": None, "high": None, "support": 0, "reason": "not every image has a probability"
    }  # fmt: skip


def test_command_replaces_nothing_of_the_user(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source, mine = write(tmp_path / "p.csv", foreign_rows(zero_is_artifact=False)), tmp_path / "metrics.json"
    mine.write_text("mine")
    assert metrics.main([str(source)]) == 0
    assert metrics.main([str(source), "--out", "metrics.json"]) == 2
    assert metrics.main([str(source), "--out", "p.csv"]) == 2
    assert mine.read_text() == "mine" and source.read_text() == foreign_rows(zero_is_artifact=False)


def test_command_recuts_at_a_threshold(tmp_path, capsys):
    rows = "path,label,probability,prediction\na,1,0.4,0\nb,0,0.2,0\n"
    source = write(tmp_path / "p.csv", rows)
    assert metrics.main([str(source), "--threshold", "0.3", "--out", str(tmp_path / "m.json")]) == 0
    assert json.loads((tmp_path / "m.json").read_text())["confusion_matrix"] == [[1, 0], [0, 1]]


def test_command_says_where_it_cut_a_file_without_predictions(tmp_path, capsys):
    for rows, said in (("path,label,probability\na,1,0.6\nb,0,0.4\n", "; threshold 0.5;"),
                       ("path,label,prediction\na,1,1\nb,0,0\n", "; predictions as given;")):  # fmt: skip
        assert metrics.main([str(write(tmp_path / "p.csv", rows)), "--out", str(tmp_path / "m.json")]) == 0
        assert said in capsys.readouterr().out


def test_command_names_rows_that_it_leaves_out(tmp_path, capsys):
    source = write(tmp_path / "p.csv", "path,prediction\na_1.png,1\nb_0.png,0\nunlabelled.png,1\n")
    assert metrics.main([str(source), "--out", str(tmp_path / "m.json")]) == 1
    captured = capsys.readouterr()
    assert "2 images" in captured.out
    assert "unlabelled.png" in captured.err


@pytest.mark.parametrize("text", ["path,prediction\nunlabelled.png,1\n", "nonsense"])
def test_command_without_anything_usable(tmp_path, capsys, text):
    source = write(tmp_path / "p.csv", text)
    assert metrics.main([str(source), "--out", str(tmp_path / "m.json")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "m.json").exists()


def test_command_without_a_file(tmp_path, capsys):
    assert metrics.main([str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err


def test_usable_rows_follow_the_source_of_the_verdict():
    columns = {"path": list("abc"), "label": [1, 0, -1], "probability": [0.5, np.nan, 0.5], "prediction": [-1, 0, 1]}
    table = pd.DataFrame(columns)
    assert metrics.usable_rows(table).tolist() == [False, True, False]
    assert metrics.usable_rows(table, 0.5).tolist() == [True, False, False]

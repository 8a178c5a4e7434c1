"""Paired comparison of two sets of predictions, and of subgroups."""

import numpy as np
import pandas as pd
import pytest

from artifact_detection.evaluation.comparison import compare, holm, match, mcnemar, subgroups, tertiles


def predictions(probabilities, labels) -> pd.DataFrame:
    paths = [f"image_{i}.png" for i in range(len(labels))]
    verdicts = (np.asarray(probabilities) >= 0.5).astype(int)
    return pd.DataFrame({"path": paths, "label": labels, "probability": probabilities, "prediction": verdicts})


LABELS = np.repeat([1, 0], [40, 160])
NOISE = np.random.default_rng(0).normal(size=200)
WEAK, STRONG = (1 / (1 + np.exp(-(distance * (LABELS - 0.5) + NOISE))) for distance in (1.0, 5.0))


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        pytest.param(5, 5, 1.0, id="even"),
        pytest.param(0, 0, 1.0, id="no image differs"),
        pytest.param(0, 6, 0.03125, id="six to nil"),
        pytest.param(1, 9, 0.0215, id="nine to one"),
    ],
)
def test_mcnemar(only_first, only_second, p):
    first = np.array([True] * only_first + [False] * only_second + [True] * 50)
    second = np.array([False] * only_first + [True] * only_second + [True] * 50)
    assert mcnemar(first, second) == (only_first, only_second, pytest.approx(p, abs=5e-5))


def test_compare_finds_a_real_difference():
    table = compare(predictions(WEAK, LABELS), predictions(STRONG, LABELS), replicates=300)
    assert table.index.tolist() == ["recall", "precision", "f1", "average_precision", "roc_auc", "brier"]
    assert (table["second"] - table["first"]).tolist() == pytest.approx(table["difference"].tolist())
    assert (table.loc["recall":"roc_auc", "low"] > 0).all()
    assert table.loc["brier", "high"] < 0


def test_compare_with_itself_differs_by_nothing_at_all():
    table = compare(predictions(WEAK, LABELS), predictions(WEAK, LABELS), replicates=50)
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)


def test_two_that_are_faultless_here_may_differ_elsewhere():
    labels = np.repeat([1, 0], [5, 45])
    table = compare(predictions(0.1 + 0.8 * labels, labels), predictions(0.2 + 0.6 * labels, labels), replicates=50)
    found = table.loc["recall":"roc_auc", ["difference", "low", "high"]].to_numpy()
    assert found == pytest.approx(np.tile([0, -0.522, 0.522], (5, 1)), abs=1e-3)  # 0 of 5


def test_rows_are_matched_by_path():
    first = predictions(STRONG, LABELS)
    table = compare(first, first.sample(frac=1, random_state=0), replicates=20)
    assert (table["difference"] == 0).all()


def test_without_probabilities_only_verdicts_are_compared():
    blind = predictions(WEAK, LABELS).assign(probability=np.nan)
    assert compare(blind, predictions(STRONG, LABELS), replicates=20).index.tolist() == ["recall", "precision", "f1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda table: table.assign(label=1 - table["label"]), "disagree about labels", id="other labels"),
        pytest.param(
            lambda table: table.assign(path="x" + table["path"]), "too few images in common", id="other images"
        ),
    ],
)
def test_what_cannot_be_compared(change, message):
    table = predictions(WEAK, LABELS)
    with pytest.raises(ValueError, match=message):
        match(table, change(table))


def test_tertiles():
    assert tertiles(pd.Series([5, 1, 9, 2, 6, 8])).tolist() == ["middle", "low", "high", "low", "middle", "high"]


def test_subgroups_show_a_planted_bias_and_only_that():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 600)
    looks = pd.DataFrame({"brightness": rng.random(600), "sharpness": rng.random(600)})
    found = labels.astype(bool) & ~((looks["brightness"] < 1 / 3) & (rng.random(600) < 0.5))
    table = subgroups(labels, found.astype(int).to_numpy(), looks).sort_index()
    assert table.loc[("recall", "brightness", "low"), "high"] < table.loc[("recall", "brightness", "high"), "low"]
    assert table.loc[("recall", "brightness"), "p"].iloc[0] < 1e-6
    assert (table.drop(index=("recall", "brightness"))["p"] > 0.05).all()
    assert table.loc["recall", "n"].groupby("measure").sum().tolist() == [labels.sum()] * 2


def test_holm():
    assert holm(pd.Series({"a": 0.04, "b": 0.01, "c": 0.03})).to_dict() == pytest.approx(
        {"a": 0.06, "b": 0.03, "c": 0.06}
    )

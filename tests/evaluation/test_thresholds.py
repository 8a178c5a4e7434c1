"""Temperature and thresholds: known answers, and what a target assures by simulation."""

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import norm

from artifact_detection.evaluation.thresholds import (
    ThresholdError,
    assured_threshold,
    choose_threshold,
    fit_platt,
    parse_target,
    threshold_table,
)
from tests.evaluation.simulation import draw, most

TARGETS = np.array([0, 0, 0, 1, 0, 1, 1])
PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])


@pytest.mark.parametrize("true_temperature, true_shift", [(0.5, 0.0), (1.0, -2.0), (3.0, 1.0)])
def test_temperature_and_shift_are_recovered(true_temperature, true_shift):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    targets = (rng.random(20_000) < 1 / (1 + np.exp(-logits))).astype(int)
    temperature, shift = fit_platt(targets, logits * true_temperature - true_shift)
    assert temperature == pytest.approx(true_temperature, rel=0.05)
    assert shift == pytest.approx(true_shift, abs=0.1)


def test_platt_undoes_the_shift_of_training_on_more_artifacts():
    """With 10 % artifacts in use and 50 % in training every logit is too high by log 9."""
    rng = np.random.default_rng(0)
    targets = (rng.random(40_000) < 0.1).astype(int)
    logits = rng.normal(4 * targets - 2, 2)  # the exact log odds of equally many of both
    temperature, shift = fit_platt(targets, 1.7 * logits)
    assert temperature == pytest.approx(1.7, rel=0.05)
    assert shift / temperature == pytest.approx(-np.log(9), rel=0.05)


@pytest.mark.parametrize(
    ("targets", "logits"),
    [
        pytest.param([0, 0, 1, 1], [-9, -8, 8, 9], id="separated without error"),
        pytest.param([0, 0, 0], [-9, -8, -7], id="one class"),
        pytest.param([0, 1, 0, 1], [5, -5, 5, -5], id="always wrong"),
    ],
)
def test_temperature_stays_finite(targets, logits):
    temperature, shift = fit_platt(np.array(targets), np.array(logits))
    assert 0.05 <= temperature <= 20 and np.isfinite(shift)


def test_temperature_does_not_trust_a_small_separated_set():
    assert fit_platt(np.array([0, 0, 1, 1]), np.array([-9.0, -8, 8, 9]))[0] > 2


@pytest.mark.parametrize(
    ("target", "threshold"),
    [
        pytest.param("f1", 0.35, id="f1: 3 found with 1 false alarm beats 2 with none"),
        pytest.param("recall=0.6", 0.55, id="recall: highest threshold that finds 2 of 3"),
        pytest.param("recall=1", 0.35, id="recall of all"),
        pytest.param("precision=1", 0.55, id="precision: lowest threshold without false alarm"),
        pytest.param("precision=0.75", 0.35, id="precision: 3 of 4"),
        pytest.param("precision=0.45", 0.15, id="precision: 3 of 6"),
        pytest.param("cost=5:1", 0.35, id="cost: a missed artifact is dear"),
        pytest.param("cost=1:5", 0.55, id="cost: a lost clean image is dear"),
    ],
)
def test_choose_threshold(target, threshold):
    assert choose_threshold(TARGETS, PROBABILITIES, target) == pytest.approx(threshold)


def test_cost_can_reject_nothing():
    targets, probabilities = np.array([1, 0, 0]), np.array([0.1, 0.5, 1.0])
    assert (probabilities < choose_threshold(targets, probabilities, "cost=1:9")).all()


def test_f1_threshold_is_the_best_of_all_cuts():
    targets, probabilities = draw(np.random.default_rng(3), 300, 0.2, 1.5)
    tables = threshold_table(targets, probabilities, np.unique(probabilities))
    f1 = 2 * tables["recall"] * tables["precision"] / (tables["recall"] + tables["precision"])
    chosen = threshold_table(targets, probabilities, [choose_threshold(targets, probabilities)]).iloc[0]
    assert 2 * chosen["recall"] * chosen["precision"] / (chosen["recall"] + chosen["precision"]) == f1.max()


@pytest.mark.parametrize("target", ["f2", "recall", "recall=0", "recall=1.1", "recall=x", "cost=5", "cost=0:1", "f1=1"])
def test_unknown_target(target):
    with pytest.raises(ValueError, match="unknown target"):
        parse_target(target)


@pytest.mark.parametrize(
    ("targets", "probabilities", "target", "message"),
    [
        pytest.param([0, 0], [0.1, 0.2], "f1", "all of one class", id="no artifact"),
        pytest.param([1, 1], [0.1, 0.2], "recall=0.9", "all of one class", id="no clean image"),
        pytest.param([1, 0], [0.1, 0.2], "precision=0.9", "best is 0.500", id="precision out of reach"),
    ],
)
def test_impossible_threshold(targets, probabilities, target, message):
    with pytest.raises(ThresholdError, match=message):
        choose_threshold(np.array(targets), np.array(probabilities), target)


def test_threshold_table():
    row = threshold_table(TARGETS, PROBABILITIES, [0.45]).iloc[0]
    assert row[["images_kept", "artifacts_left", "clean_lost"]].tolist() == [4, 1, 1]
    assert row[["recall", "precision", "residual"]].tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 4])
    assert row["recall_low"] < 2 / 3 < row["recall_high"]


@pytest.mark.parametrize(("target", "level", "distance"), [("recall=0.95", 0.95, 3.0), ("precision=0.9", 0.9, 4.0)])
def test_an_assured_target_is_reached_on_new_images(target, level, distance):
    """500 sets of 400: missed in at most 5 % of them, where the best threshold of the set misses every third time."""
    rng, missed = np.random.default_rng(4), np.zeros(2)
    for _ in range(500):
        targets, probabilities = draw(rng, 400, 0.3, distance)
        for n, choose in enumerate((assured_threshold, choose_threshold)):
            score = logit(choose(targets, probabilities, target))
            recall, alarms = norm.sf(score - distance), norm.sf(score)
            precision = 0.3 * recall / (0.3 * recall + 0.7 * alarms)
            missed[n] += (recall if target.startswith("recall") else precision) < level
    assert missed[0] <= most(0.05, 500)
    assert missed[1] > 165


@pytest.mark.parametrize(
    ("target", "message"),
    [("recall=0.95", "59 artifacts are needed, there are 40"), ("recall=1", "infinitely"), ("precision=1", "needed")],
)
def test_a_target_that_cannot_be_assured(target, message):
    targets = np.repeat([0, 1], [100, 40])
    with pytest.raises(ThresholdError, match=message):
        assured_threshold(targets, np.linspace(0, 1, 140), target)


def test_platt_weights_count_images():
    rng = np.random.default_rng(0)
    targets, logits = rng.integers(2, size=60), rng.normal(size=60)
    weights = rng.integers(1, 4, 60)
    twice = fit_platt(np.repeat(targets, weights), np.repeat(logits, weights))
    assert fit_platt(targets, logits, weights) == pytest.approx(twice, rel=0.1)

"""Temperature, thresholds and bands: known answers, and the guarantee of the bands by simulation."""

import numpy as np
import pytest
from scipy.stats import norm

from artifact_detection.evaluation.bands import Bands, choose_bands
from artifact_detection.evaluation.thresholds import (
    ThresholdError,
    choose_threshold,
    fit_platt,
    parse_target,
    threshold_table,
)

TARGETS = np.array([0, 0, 0, 1, 0, 1, 1])
PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])


def draw(rng, n: int, prevalence: float, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Targets and probabilities: sigmoid of a normal score, shifted by `distance` for artifacts."""
    targets = (rng.random(n) < prevalence).astype(int)
    return targets, 1 / (1 + np.exp(-rng.normal(distance * targets)))


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


def violations(n: int, prevalence: float, distance: float, draws: int) -> tuple[float, float, float, float]:
    """Shares of validation sets whose reject, keep band breaks its promise, and that have such a band at all."""
    rng, counts = np.random.default_rng(7), np.zeros(4)
    for _ in range(draws):
        bands = choose_bands(*draw(rng, n, prevalence, distance), clean_rejected=0.1, artifacts_kept=0.02)
        for i, (band, tail) in enumerate(((bands.reject, norm.sf), (bands.keep, norm.cdf))):
            if band.threshold is None:
                continue
            score = np.log(band.threshold / (1 - band.threshold))
            artifacts, clean = prevalence * tail(score - distance), (1 - prevalence) * tail(score)
            wrong = (clean if band is bands.reject else artifacts) / (artifacts + clean)
            counts[i] += wrong > band.limit
            counts[2 + i] += 1
    return tuple(counts / draws)


@pytest.mark.parametrize(
    ("n", "prevalence", "distance"),
    [pytest.param(1000, 0.2, 2.6, id="large"), pytest.param(360, 0.1, 3.6, id="36 artifacts")],
)
def test_bands_keep_their_promise(n, prevalence, distance):
    """2,000 draws: each band breaks its limit in at most 5 % of validation sets, and is not just never given."""
    reject_broken, keep_broken, rejects, keeps = violations(n, prevalence, distance, draws=2000)
    assert reject_broken <= 0.05
    assert keep_broken <= 0.05
    assert rejects > 0.4
    assert keeps > 0.8


def test_bands_do_not_certify_what_is_just_not_true():
    """Every image has the same 11 % chance of being clean, limit 10 %: at most 5 % of sets may get a band."""
    rng = np.random.default_rng(1)
    given = [
        choose_bands((rng.random(200) < 0.89).astype(int), rng.random(200), clean_rejected=0.1).reject.threshold
        for _ in range(2000)
    ]
    assert np.mean([threshold is not None for threshold in given]) <= 0.055


@pytest.mark.parametrize(
    ("positives", "reason"),
    [
        pytest.param(20, "not certifiable with 20 artifacts: 29 needed", id="the published test set"),
        pytest.param(0, "not certifiable with 0 artifacts: 29 needed", id="none at all"),
    ],
)
def test_too_few_artifacts_are_named(positives, reason):
    targets = np.repeat([1, 0], [positives, 180])
    bands = choose_bands(targets, np.linspace(1, 0, len(targets)))
    assert bands.reject.threshold is None
    assert reason in bands.reject.sentence()
    assert bands.keep.threshold is not None


def test_errors_at_the_top_are_named():
    targets = np.repeat([0, 1, 0], [10, 60, 330])
    bands = choose_bands(targets, np.linspace(1, 0, 400))
    assert bands.reject.threshold is None
    assert "too many errors" in bands.reject.sentence()


def test_bands_of_perfect_scores_do_not_overlap():
    targets = np.repeat([1, 0], [200, 800])
    bands = choose_bands(targets, np.linspace(1, 0, 1000), clean_rejected=0.3, artifacts_kept=0.1)
    assert bands.keep.threshold <= bands.reject.threshold
    assert (bands.keep.images, bands.reject.images) == (
        (np.linspace(1, 0, 1000) < bands.keep.threshold).sum(),
        (np.linspace(1, 0, 1000) >= bands.reject.threshold).sum(),
    )


def test_equal_probabilities_stay_on_one_side():
    targets = np.repeat([1, 0], [100, 400])
    probabilities = np.repeat([0.9, 0.1], [100, 400])
    bands = choose_bands(targets, probabilities)
    assert bands.decide(probabilities).tolist() == ["reject"] * 100 + ["keep"] * 400


def test_decide_and_plain_values():
    rng = np.random.default_rng(0)
    bands = choose_bands(*draw(rng, 2000, 0.2, 2.5))
    assert Bands.from_dict(bands.to_dict()) == bands
    decisions = bands.decide(
        np.array([0.0, (bands.keep.threshold + bands.reject.threshold) / 2, bands.reject.threshold])
    )
    assert decisions.tolist() == ["keep", "review", "reject"]


def test_without_any_band_everything_is_reviewed():
    bands = choose_bands(np.array([0, 1]), np.array([0.0, 1.0]))
    assert bands.decide(np.array([0.0, 1.0])).tolist() == ["review", "review"]

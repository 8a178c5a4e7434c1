"""Bands: known answers, and by simulation that their promises hold, where those of simpler ways do not."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from artifact_detection.evaluation.bands import REJECT, Band, Bands, choose_bands, transfer_bands
from artifact_detection.evaluation.label_shift import PrevalenceRange, Scores
from tests.evaluation.simulation import draw, most


def is_broken(band: Band, prevalence: float, distance: float) -> bool:
    """Whether a band's share of wrong images is above its limit, by the normal scores that `draw` draws."""
    if band.threshold is None:
        return False
    tail, score = (norm.sf if band.action == REJECT else norm.cdf), logit(band.threshold)
    artifacts, clean = prevalence * tail(score - distance), (1 - prevalence) * tail(score)
    return (clean if band.action == REJECT else artifacts) / (artifacts + clean) > band.limit


def simulate(choose: Callable[[], Bands], draws: int, prevalence: float, distance: float) -> np.ndarray:
    """Of so many bands how many break their promise, reject and keep, and how many are given: four counts."""
    counts = np.zeros(4, int)
    for _ in range(draws):
        chosen = choose()
        both = chosen.reject, chosen.keep
        counts[:2] += [is_broken(band, prevalence, distance) for band in both]
        counts[2:] += [band.threshold is not None for band in both]
    return counts


@pytest.mark.parametrize(
    ("n", "prevalence", "distance"),
    [pytest.param(1000, 0.2, 2.6, id="large"), pytest.param(360, 0.1, 3.6, id="36 artifacts")],
)
def test_bands_of_a_sample_keep_their_promise(n, prevalence, distance):
    """2,000 draws: each band breaks its limit in at most 5 % of samples, and is not just never given."""
    rng = np.random.default_rng(7)
    counts = simulate(lambda: choose_bands(*draw(rng, n, prevalence, distance)), 2000, prevalence, distance)
    assert (counts[:2] <= 100).all()
    assert (counts[2:] > [800, 1600]).all()


# ---- carried over to images with another share of artifacts

TRANSFERS = [  # validation images and their prevalence, the user's images and theirs, distance, known range
    pytest.param(400, 0.5, 2000, 0.05, 4.0, None, id="half to 5 %, estimated"),
    pytest.param(400, 0.5, 2000, 0.05, 4.0, (0.05, 0.05), id="half to 5 %, known"),
    pytest.param(1000, 0.2, 500, 0.5, 2.5, None, id="20 % to half, estimated"),
    pytest.param(1000, 0.2, 500, 0.5, 2.5, (0.5, 0.5), id="20 % to half, known"),
    pytest.param(2000, 0.2, 100, 0.2, 6.0, None, id="few images, a good model"),
]


@pytest.mark.parametrize(("n", "prevalence", "images", "share", "distance", "known"), TRANSFERS)
def test_promises_hold_at_another_prevalence(n, prevalence, images, share, distance, known):
    """400 draws: each band breaks its limit in at most 5 % of them, and one of the two is given in most."""
    rng, known = np.random.default_rng(0), known and PrevalenceRange(*known, "as stated")

    def choose() -> Bands:
        parts = (Scores(*draw(rng, n // 2, prevalence, distance)) for _ in range(2))
        return transfer_bands(*parts, known, draw(rng, images, share, distance)[1])

    counts = simulate(choose, 400, share, distance)
    assert (counts[:2] <= most(0.05, 400)).all()
    assert counts[2:].max() > 200


def test_a_sample_of_another_prevalence_certifies_nothing():
    """Why `transfer_bands`: certified on half artifacts, the bands of a user with 5 % are false in most draws."""
    rng = np.random.default_rng(1)
    counts = simulate(lambda: choose_bands(*draw(rng, 400, 0.5, 2.5)), 200, 0.05, 2.5)
    assert counts[0] > 150


def test_the_condition_stands_in_the_sentence():
    rng = np.random.default_rng(0)
    parts = [Scores(*draw(rng, 500, 0.3, 4.0)) for _ in range(2)]
    bands = transfer_bands(*parts, PrevalenceRange(0.2, 0.4, "as stated"), np.empty(0), clean_rejected=0.2)
    condition = "if images of a class score as in validation and at least 0.2 of all have artifacts (as stated)"
    assert condition in bands.reject.sentence()
    assert "at most 0.4 of all have artifacts" in bands.keep.sentence()
    impossible = transfer_bands(*parts, PrevalenceRange(0.0, 1.0, "as stated"), np.empty(0))
    assert impossible.keep.threshold is None and "1 is the best bound" in impossible.reject.sentence()


def test_without_certifying_images_nothing_is_certified():
    sample = Scores(*draw(np.random.default_rng(0), 500, 0.3, 4.0))
    bands = transfer_bands(sample, Scores(np.empty(0), np.empty(0)), None, sample.probabilities)
    assert bands.keep.threshold is None and "no part that chose nothing" in bands.reject.sentence()


# ---- certified on images that had a part in a choice, or that repeat each other


def best_epoch(rng, targets: np.ndarray, choosing: np.ndarray, epochs: int = 20) -> np.ndarray:
    """(n,) probabilities of the best of equally good epochs, by average precision on the rows `choosing`."""
    shared, own = rng.normal(size=len(targets)), rng.normal(size=(epochs, len(targets)))
    scores = 2.0 * targets + (shared + own) / np.sqrt(2)
    ranked = targets[choosing][np.argsort(-scores[:, choosing], axis=1)]  # (epochs, rows)
    precision = np.cumsum(ranked, axis=1) / np.arange(1, ranked.shape[1] + 1)
    return expit(scores[np.argmax((precision * ranked).sum(1))])


def certified_broken(draws: int, images: int, choosing: int, certifying: slice) -> np.ndarray:
    """`simulate` of bands of the best epoch on the first `choosing` images, certified on a part."""
    rng, rows = np.random.default_rng(2), np.arange(images)

    def choose() -> Bands:
        targets = (rng.random(images) < 0.5).astype(int)
        probabilities = best_epoch(rng, targets, rows < choosing)
        return choose_bands(targets[certifying], probabilities[certifying], artifacts_kept=0.1)

    return simulate(choose, draws, 0.5, 2.0)


def test_images_that_chose_nothing_certify():
    """400 draws, the best of 20 epochs by 200 images: certified on them the promise breaks, on 200 others it holds."""
    limit = most(0.05, 400)
    assert (certified_broken(400, 400, 200, slice(200, None))[:2] <= limit).all()
    assert (certified_broken(400, 200, 200, slice(None))[:2] > limit).any()


def test_one_image_of_each_group_of_near_duplicates_certifies():
    """Groups of four that score alike: all of them break the promise far too often, one of each group does not."""
    rng = np.random.default_rng(3)

    def choose(repeats: int) -> Bands:
        targets, probabilities = draw(rng, 400 // repeats, 0.5, 2.0)
        jitter = 1e-6 * rng.random(len(targets) * repeats)
        return choose_bands(np.repeat(targets, repeats), np.repeat(probabilities, repeats) * (1 - jitter))

    assert simulate(lambda: choose(1), 500, 0.5, 2.0)[0] <= most(0.05, 500)
    assert simulate(lambda: choose(4), 500, 0.5, 2.0)[0] > most(0.05, 500)


# ---- known answers


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


def test_decide():
    rng = np.random.default_rng(0)
    bands = choose_bands(*draw(rng, 2000, 0.2, 2.5))
    middle = (bands.keep.threshold + bands.reject.threshold) / 2
    decisions = bands.decide(np.array([0.0, middle, bands.reject.threshold]))
    assert decisions.tolist() == ["keep", "review", "reject"]


def test_without_any_band_everything_is_reviewed():
    bands = choose_bands(np.array([0, 1]), np.array([0.0, 1.0]))
    assert bands.decide(np.array([0.0, 1.0])).tolist() == ["review", "review"]

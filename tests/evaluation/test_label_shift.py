"""Prevalence and "are these other images?" by simulation."""

import numpy as np
import pytest

from artifact_detection.evaluation.label_shift import Scores, bound_prevalence, mixture_p_value
from tests.evaluation.simulation import draw, most


def alarms(n: int, prevalence: float, images: int, share: float, distance: float, shift: float, draws: int) -> int:
    rng, count = np.random.default_rng(0), 0
    for _ in range(draws):
        labelled = Scores(*draw(rng, n, prevalence, distance))
        count += mixture_p_value(labelled, draw(rng, images, share, distance, shift)[1]) <= 0.01
    return count


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_another_prevalence_is_no_other_kind_of_image(share):
    assert alarms(300, 0.3, 500, share, 3.0, shift=0.0, draws=60) <= most(0.015, 60)


@pytest.mark.parametrize(
    ("distance", "shift", "least"), [(2.5, 0.5, 36), (6.0, 0.5, 36), (4.0, 0.3, 26), (4.0, 2.0, 39)]
)
def test_shifted_clean_images_are_other_images(distance, shift, least):
    """By 0.3 to 2 standard deviations, however good the model."""
    assert alarms(400, 0.2, 1000, 0.05, distance, shift, draws=40) >= least


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5])
def test_bounds_of_the_prevalence_hold(share):
    """300 draws: each end fails in at most 3 * 0.01 of them, and the range is not just everything."""
    rng, failed, width = np.random.default_rng(1), np.zeros(2, int), []
    for _ in range(300):
        parts = (Scores(*draw(rng, 300, 0.4, 3.0)) for _ in range(2))
        found = bound_prevalence(*parts, draw(rng, 1000, share, 3.0)[1], 0.01)
        failed += [found.low > share, found.high < share]
        width.append(found.high - found.low)
    assert (failed <= most(0.03, 300)).all()
    assert np.median(width) < 0.3


def test_a_model_that_cannot_tell_bounds_nothing():
    rng = np.random.default_rng(0)
    parts = [Scores(np.repeat([0, 1], 50), rng.random(100)) for _ in range(2)]
    found = bound_prevalence(*parts, rng.random(1000), 0.01)
    assert (found.low, found.high) == (0, 1)

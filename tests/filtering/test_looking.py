"""What a person looks at first: uncertain, not alike, a share at random."""

import numpy as np

from artifact_detection.filtering.looking import RANDOM_EVERY, in_order_of_use, interleave


def test_uncertain_ones_first_that_are_not_alike():
    """Ten near-copies are the least certain; of twelve images to look at, one is such a copy."""
    rng = np.random.default_rng(0)
    probabilities = np.concatenate([np.full(10, 0.5), np.linspace(0.6, 0.9, 40)])
    scene = rng.integers(256, size=48)
    copies = np.clip(scene + rng.integers(-2, 3, (10, 48)), 0, 255)
    features = np.concatenate([copies, rng.integers(256, size=(40, 48))])
    order = in_order_of_use(probabilities, features, 0.5, 12, chance=False)
    assert len(set(order)) == 12 and order[0] < 10
    assert sum(row < 10 for row in order) == 1
    assert order[1:] == sorted(order[1:])  # the less certain, the earlier
    assert len(in_order_of_use(probabilities, features, 0.5, 100)) == 50  # all there are


def test_every_image_can_come_by_chance():
    probabilities, features = np.linspace(0.001, 0.999, 40), np.arange(80).reshape(40, 2)
    seen = [in_order_of_use(probabilities, features, 0.5, 12, seed=seed) for seed in range(200)]
    drawn = np.bincount(
        [order[place] for order in seen for place in range(RANDOM_EVERY - 1, 12, RANDOM_EVERY)], None, 40
    )
    assert drawn.min() >= 3 and drawn.max() <= 35  # 15 expected of each


def test_copies_without_any_difference_and_few_images():
    assert sorted(in_order_of_use(np.full(5, 0.5), np.zeros((5, 48), np.uint8), 0.5, 4, chance=False)) == [0, 1, 2, 3]
    assert in_order_of_use(np.array([]), np.zeros((0, 48)), 0.5, 4) == []


def test_interleave():
    assert interleave("abcdefg", "XY") == ["a", "b", "c", "X", "d", "e", "f", "Y", "g"]
    assert interleave("a", "XY") == ["a", "X", "Y"]

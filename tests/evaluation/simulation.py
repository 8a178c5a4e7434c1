"""Draws that simulations share, and how often a rare event may show in them."""

import numpy as np
from scipy.special import expit
from scipy.stats import binom


def draw(rng, n: int, prevalence: float, distance: float, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Targets and probabilities: sigmoid of a normal score; `distance` is added for artifacts, `shift` for clean."""
    targets = (rng.random(n) < prevalence).astype(int)
    return targets, expit(rng.normal(np.where(targets == 1, distance, shift)))


def most(rate: float, draws: int) -> int:
    """How often an event of this rate happens at the most in so many draws, in 999 of 1000 tests."""
    return int(binom.ppf(0.999, draws, rate))

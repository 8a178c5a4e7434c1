"""How many artifacts are left among the kept, and clean images among the rejected, corrected for prevalence.

The share of artifacts in a user's images is not that of validation. Under label shift (images of a class score alike
in both) the share pi follows from the share f of images at or above a threshold: f = pi * TPR + (1 - pi) * FPR, with
the rates of validation (adjusted count: Gart and Buck, Am. J. Epidemiol. 1966; BBSE: Lipton et al., ICML 2018). Then
of the images in a cell of scores the share w = pi * P(cell | artifact) / (pi * P(cell | artifact) + (1 - pi) * P(cell
| clean)) are artifacts. What a person found there is taken off; the rest lies in any part of the cell that was not
looked at with equal chance. Intervals: the same arithmetic on draws from the posteriors of the rates (Dirichlet,
Jeffreys' prior) and of the share; the numbers in the cells are then drawn as well, for they vary even where every rate
is known.

Where no mixture of the two classes explains the scores, the images are of another kind, and there is no estimate.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW
from artifact_detection.evaluation.label_shift import Scores, best_cut, cell_counts
from artifact_detection.filtering.policy import Policy
from artifact_detection.filtering.promises import OTHER_IMAGES, is_foreign
from artifact_detection.intervals import CONFIDENCE

DRAWS = 4_000
JEFFREYS = 0.5
METHOD = (
    "share of artifacts from the share of images above a threshold and validation's true and false positive rates "
    "(adjusted count), so it need not equal validation's; 95 % intervals from posteriors; what people "
    "decided is taken as true; assumes that images of a class score as in validation"
)


class NoEstimateError(Exception):
    """Validation cannot say how many artifacts there are; the message says why."""


@dataclass(frozen=True)
class CountEstimate:
    """The median of the draws, and the interval that holds 95 % of them."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: np.ndarray) -> "CountEstimate":
        tail = (1 - CONFIDENCE) / 2
        return cls(*map(float, np.quantile(draws, (0.5, tail, 1 - tail))))


@dataclass(frozen=True)
class Estimates:
    """prevalence: share of artifacts in these images; the others are numbers of images."""

    prevalence: CountEstimate
    artifacts_kept: CountEstimate
    clean_rejected: CountEstimate

    @classmethod
    def widest(cls, first: "Estimates", *others: "Estimates") -> "Estimates":
        """The first, with intervals that hold those of all."""
        found = {}
        for name, value in vars(first).items():
            ranges = [getattr(one, name) for one in (first, *others)]
            found[name] = replace(value, low=min(one.low for one in ranges), high=max(one.high for one in ranges))
        return cls(**found)


@dataclass(frozen=True)
class Outcome:
    """What became of the images: probabilities (n,), final bands (n,), and decided (n,) bool, whether by a person."""

    probabilities: np.ndarray
    bands: np.ndarray
    decided: np.ndarray


def estimate(labelled: Scores, policy: Policy, outcome: Outcome, cut: float | None = None) -> Estimates:
    """What is wrong with the kept and the rejected images of `outcome`. Raises NoEstimateError.

    It does if there are none, if no threshold surely finds artifacts more often than clean images, or if these images
    are not a mixture of the two classes. cut: the threshold, by default the best on `labelled`.
    """
    if len(outcome.probabilities) == 0:
        raise NoEstimateError("no image could be used")
    if is_foreign(labelled, outcome.probabilities):
        raise NoEstimateError(OTHER_IMAGES)
    cut = best_cut(labelled) if cut is None else cut
    edges = _edges(policy, outcome, cut)
    sets = labelled.artifacts, labelled.clean
    rng = np.random.default_rng(0)
    artifact, clean = (rng.dirichlet(cell_counts(scores, edges) + JEFFREYS, DRAWS) for scores in sets)  # (DRAWS, cells)
    above = np.searchsorted(edges, cut) + 1  # the first cell at or above the cut
    true_rate, false_rate = (draws[:, above:].sum(1) for draws in (artifact, clean))
    if np.mean(true_rate <= false_rate) > (1 - CONFIDENCE) / 2:
        raise NoEstimateError("in validation the model does not surely tell the classes apart")
    shares = _draw_shares(true_rate, false_rate, outcome.probabilities >= cut, rng)
    parts = ((share[:, None] * artifact[rows], (1 - share[:, None]) * clean[rows]) for rows, share in shares)
    found = Estimates.widest(*(_remaining(edges, outcome, *part, rng) for part in parts))
    # Where validation saw none there may be none (modified Jeffreys interval: Brown, Cai, DasGupta, 2001).
    unseen = {
        name: replace(getattr(found, name), low=0.0)
        for name, band, wrong in (("artifacts_kept", KEEP, sets[0]), ("clean_rejected", REJECT, sets[1]))
        if not cell_counts(wrong, edges)[cell_counts(outcome.probabilities[outcome.bands == band], edges) > 0].any()
    }
    return replace(found, **unseen)


def _draw_shares(
    true_rate: np.ndarray, false_rate: np.ndarray, above: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(DRAWS,) row numbers of the rates, and the share of artifacts with each, twice.

    First the share as it comes out, with all below 0 as 0: where next to nothing is above the cut, that is a certain 0.
    Then, if there is any, its posterior where any share is as likely beforehand, so that the share f of images at or
    above the cut lies evenly between the two rates: the part between them of a beta distribution. That is never 0.
    """
    counts, apart = (above.sum() + JEFFREYS, (~above).sum() + JEFFREYS), np.maximum(true_rate - false_rate, 1e-9)
    yield np.arange(DRAWS), np.clip((rng.beta(*counts, DRAWS) - false_rate) / apart, 0, 1)
    lowest, highest = special.betainc(*counts, false_rate), special.betainc(*counts, true_rate)
    weights = np.where(true_rate > false_rate, (highest - lowest) / apart, 0)
    if weights.sum():
        rows = rng.choice(DRAWS, DRAWS, p=weights / weights.sum())
        found = special.betaincinv(*counts, rng.uniform(lowest[rows], highest[rows]))
        yield rows, np.clip((found - false_rate[rows]) / apart[rows], 0, 1)


def _edges(policy: Policy, outcome: Outcome, cut: float) -> np.ndarray:
    """Where the cells of scores meet: at the cut, the edges of the bands, and the ends of what flips there."""
    p, automatic = outcome.probabilities, policy.bands.decide(outcome.probabilities)
    flipped = (outcome.bands == REVIEW) & ~outcome.decided
    lowest = p[flipped & (automatic == KEEP)].min(initial=1)
    highest = np.nextafter(p[flipped & (automatic == REJECT)].max(initial=0), 1)
    return np.unique([edge for edge in (cut, lowest, highest, *policy.edges()) if edge is not None])


def _remaining(
    edges: np.ndarray, outcome: Outcome, artifact: np.ndarray, clean: np.ndarray, rng: np.random.Generator
) -> Estimates:
    """artifact, clean: (DRAWS, cells), the shares of all images that are of this class and in that cell."""

    def count(band: str, decided: bool) -> np.ndarray:
        return cell_counts(outcome.probabilities[(outcome.bands == band) & (outcome.decided == decided)], edges)

    found, every = count(REJECT, True), cell_counts(outcome.probabilities, edges)
    open_ = every - found - count(KEEP, True)  # by what nobody has decided
    left = np.clip(rng.binomial(every, artifact / (artifact + clean)) - found, 0, open_)
    kept = rng.hypergeometric(left, open_ - left, count(KEEP, False)).sum(1)
    rejected = rng.hypergeometric(open_ - left, left, count(REJECT, False)).sum(1)
    prevalence = (left.sum(1) + found.sum()) / len(outcome.probabilities)
    return Estimates(CountEstimate.of(prevalence), CountEstimate.of(kept), CountEstimate.of(rejected))

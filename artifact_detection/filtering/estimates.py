"""How many artifacts are left among the kept, and clean images among the rejected, corrected for prevalence.

The share of artifacts in a user's images is not that of validation. Under label shift (images of a class score alike
in both) the share pi follows from the share f of images at or above the checkpoint's threshold: f = pi * TPR +
(1 - pi) * FPR, with the rates of validation (adjusted count: Gart and Buck, Am. J. Epidemiol. 1966; BBSE: Lipton et
al., ICML 2018). Then the kept hold pi * P(keep | artifact) artifacts of each image, the rejected (1 - pi) *
P(reject | clean) clean ones. Intervals: the same arithmetic on draws from the Dirichlet posteriors (Jeffreys' prior)
of the three tables of counts: artifacts and clean images of validation, and the user's images. The numbers in the
bands are then drawn as well, for they vary even where every rate is known.

Where f is surely beyond both rates, no mixture of the two classes explains it: the images are of another kind than
validation's, and there is no estimate.
"""

from dataclasses import dataclass

import numpy as np

from artifact_detection.evaluation.bands import KEEP, REJECT
from artifact_detection.filtering.policy import Policy, Validation
from artifact_detection.intervals import CONFIDENCE
from artifact_detection.labels import ARTIFACT

DRAWS = 4_000
JEFFREYS = 0.5
FOREIGN = 0.995  # of the draws beyond what validation can explain: the images are of another kind
KEPT, REJECTED, FOUND = [0, 1], [4, 5], [1, 3, 5]  # columns of `_count`
METHOD = (
    "share of artifacts from the share of images above the checkpoint's threshold and validation's true and false "
    "positive rates (adjusted count), so it need not equal validation's; 95 % intervals from Dirichlet posteriors; "
    "assumes that images of a class score as in validation"
)


class NoEstimateError(Exception):
    """Validation cannot say how many artifacts there are; the message says why."""


@dataclass(frozen=True)
class Estimate:
    """The median of the draws, and the interval that holds 95 % of them."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: np.ndarray) -> "Estimate":
        tail = (1 - CONFIDENCE) / 2
        return cls(*map(float, np.quantile(draws, (0.5, tail, 1 - tail))))


@dataclass(frozen=True)
class Estimates:
    """prevalence: share of artifacts in these images; the others are numbers of images."""

    prevalence: Estimate
    artifacts_kept: Estimate
    clean_rejected: Estimate


def estimate(validation: Validation, policy: Policy, threshold: float, probabilities: np.ndarray) -> Estimates:
    """What is wrong with the automatic verdicts on `probabilities` (n,). Raises NoEstimateError.

    It does if there are none, if the checkpoint's threshold does not surely find artifacts more often than clean
    images, or if these images are not a mixture of validation's two classes.
    """
    if len(probabilities) == 0:
        raise NoEstimateError("no image could be used")
    is_artifact = validation.targets == ARTIFACT
    rng = np.random.default_rng(0)
    artifact, clean, new = (
        rng.dirichlet(_count(policy, threshold, scores) + JEFFREYS, DRAWS)  # (DRAWS, 6)
        for scores in (validation.probabilities[is_artifact], validation.probabilities[~is_artifact], probabilities)
    )
    true_rate, false_rate, found = (draws[:, FOUND].sum(1) for draws in (artifact, clean, new))
    if np.mean(true_rate <= false_rate) > (1 - CONFIDENCE) / 2:
        raise NoEstimateError("in validation the model does not surely tell the classes apart")
    if max(np.mean(found > true_rate), np.mean(found < false_rate)) > FOREIGN:
        rates = [np.median(one) for one in (found, true_rate, false_rate)]
        raise NoEstimateError(
            "these images score unlike validation's, and none of its promises holds for them: {:.1%} are at or above "
            "the checkpoint's threshold, of validation {:.1%} of the artifacts and {:.1%} of the clean images. "
            "Train on images like these".format(*rates)
        )
    share = np.clip((found - false_rate) / np.maximum(true_rate - false_rate, 1e-9), 0, 1)
    artifacts = np.round(share * len(probabilities)).astype(int)
    in_kept = rng.binomial(artifacts, artifact[:, KEPT].sum(1))
    in_rejected = rng.binomial(len(probabilities) - artifacts, clean[:, REJECTED].sum(1))
    counts = _count(policy, threshold, probabilities)
    return Estimates(
        Estimate.of(share),
        Estimate.of(np.minimum(in_kept, counts[KEPT].sum())),
        Estimate.of(np.minimum(in_rejected, counts[REJECTED].sum())),
    )


def _count(policy: Policy, threshold: float, probabilities: np.ndarray) -> np.ndarray:
    """(6,) numbers of images by cell: kept, review, rejected; each below and above the threshold."""
    bands = policy.bands.decide(probabilities)
    band = np.select([bands == KEEP, bands == REJECT], [0, 2], 1)
    return np.bincount(2 * band + (np.asarray(probabilities) >= threshold), minlength=6)

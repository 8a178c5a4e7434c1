"""Keep / review / reject bands with a finite-sample guarantee."""

import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy import special

from artifact_detection.evaluation.metrics import check_binary, check_probabilities
from artifact_detection.intervals import CONFIDENCE
from artifact_detection.labels import ARTIFACT, CLEAN

REVIEW, KEEP, REJECT = "review", "keep", "reject"


FEWEST = 0.02  # share of the images that a band is first tried with, where the smallest certifiable number is less


STEP = 0.05  # how much larger each tried band is than the one before


@dataclass(frozen=True)
class Band:
    """One end of the scale that is decided without a person; threshold None: nothing can be certified.

    limit: the largest share of wrong decisions, certified with `confidence`. images, wrong: what validation
    shows.
    """

    action: str
    threshold: float | None
    images: int
    wrong: int
    limit: float
    confidence: float
    reason: str = ""

    def sentence(self) -> str:
        side, fault = ("rejected", "clean") if self.action == REJECT else ("kept", "an artifact")
        promise = f"of what is {side} automatically at most {self.limit:.3g} is {fault}"
        certain = f"with {self.confidence:.0%} confidence"
        if self.threshold is None:
            return f"{self.action}: {self.reason} (wanted: {promise}, {certain})"
        sign = ">=" if self.action == REJECT else "<"
        return (
            f"{self.action}: p {sign} {self.threshold:.4f}; {promise}, {certain} "
            f"({self.wrong} of {self.images} in validation)"
        )


@dataclass(frozen=True)
class Bands:
    """keep: p < keep.threshold; reject: p >= reject.threshold; review: everything else."""

    keep: Band
    reject: Band

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """(n,) array of "keep", "review", "reject"."""
        probabilities = np.asarray(probabilities)
        low = -math.inf if self.keep.threshold is None else self.keep.threshold
        high = math.inf if self.reject.threshold is None else self.reject.threshold
        return np.select([probabilities >= high, probabilities < low], [REJECT, KEEP], REVIEW)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Bands":
        return cls(Band(**values["keep"]), Band(**values["reject"]))


def choose_bands(
    targets: np.ndarray,
    probabilities: np.ndarray,
    *,
    clean_rejected: float = 0.1,
    artifacts_kept: float = 0.02,
    confidence: float = CONFIDENCE,
) -> Bands:
    """The widest bands with a finite-sample guarantee from validation targets and probabilities, both (n,).

    Of new images like these, at most a share `clean_rejected` of the rejected is clean, and at most
    `artifacts_kept` of the kept has artifacts; each holds with probability `confidence` over the validation
    set.

    Learn then test (Angelopoulos et al., arXiv 2110.01052) with fixed-sequence testing: bands of a given
    number of images, the strictest first, are tested with the exact binomial tail (Clopper-Pearson) until
    one fails. The numbers depend on n alone, and given the probability just outside, the images inside are
    a plain sample of the band, so each test is exact. "Like these" includes the share of artifacts: it must
    not differ from production.
    """
    targets = check_binary("targets", targets)
    probabilities = check_probabilities(probabilities, len(targets))
    keep = _widest(KEEP, -probabilities, targets == ARTIFACT, artifacts_kept, confidence)
    kept_below = -math.inf if keep.threshold is None else keep.threshold
    reject = _widest(REJECT, probabilities, targets == CLEAN, clean_rejected, confidence, floor=kept_below)
    return Bands(keep, reject)


def _widest(action, scores, wrong, limit, confidence, floor=-math.inf) -> Band:
    """The largest band of highest `scores` that is certified and has no image below `floor`."""
    needed = math.ceil(math.log(1 - confidence) / math.log(1 - limit))  # with no error at all
    right = int((~wrong).sum())
    if right < needed:
        what = "artifacts" if action == REJECT else "clean images"
        return Band(action, None, 0, 0, limit, confidence, f"not certifiable with {right} {what}: {needed} needed")
    order = np.argsort(-scores, kind="stable")
    ranked, errors = scores[order], np.append(0, np.cumsum(wrong[order]))
    sizes = [size for size in _certified(ranked, errors, needed, limit, 1 - confidence) if ranked[size - 1] >= floor]
    if not sizes:
        return Band(action, None, 0, 0, limit, confidence, f"not certified: too many errors among the first {needed}")
    edge = ranked[sizes[-1]]  # the first score outside, itself not in the band
    # Where two bands meet in a gap without images, the gap is left to the band that was there first.
    threshold = -edge if action == KEEP else max(np.nextafter(edge, math.inf), floor)
    return Band(action, float(threshold), sizes[-1], int(errors[sizes[-1]]), limit, confidence)


def _certified(ranked: np.ndarray, errors: np.ndarray, needed: int, limit: float, delta: float) -> list[int]:
    """Sizes of the bands that pass, strictest first. ranked: scores, falling; errors[k]: wrong ones of the first k."""
    passed, rank = [], max(needed, math.ceil(FEWEST * len(ranked)))
    while rank < len(ranked):
        size = int(np.searchsorted(-ranked, -ranked[rank]))  # equal scores share a side
        if size >= needed:
            if special.bdtr(errors[size], size, limit) > delta:
                break
            passed.append(size)
        rank += math.ceil(STEP * rank)
    return passed

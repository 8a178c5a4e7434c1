"""Keep / review / reject bands with a finite-sample guarantee.

`choose_bands` needs a random sample of the very images that the bands are for. `transfer_bands` carries a promise from
validation to images with another share of artifacts, as long as images of a class score alike in both.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from artifact_detection.evaluation.label_shift import ESTIMATED_FROM, PrevalenceRange, Scores, bound_prevalence
from artifact_detection.evaluation.metrics import check_binary, check_probabilities
from artifact_detection.intervals import CONFIDENCE, lower_bound, upper_bound
from artifact_detection.labels import ARTIFACT, CLEAN

REVIEW, KEEP, REJECT = "review", "keep", "reject"
FEWEST = 0.02  # share of the images that a band is first tried with, where the smallest certifiable number is less
STEP = 0.05  # how much larger each tried band is than the one before
NO_PART = "not certifiable: validation has no part that chose nothing, for want of distinct images of a class"


@dataclass(frozen=True)
class Band:
    """One end of the scale that is decided without a person; threshold None: nothing can be certified.

    limit: the largest share of wrong decisions, certified with CONFIDENCE on the `condition`. images, wrong: what
    the certifying images show.
    """

    action: str
    threshold: float | None
    images: int
    wrong: int
    limit: float
    reason: str = ""
    condition: str = "for images drawn like these"

    def sentence(self) -> str:
        side, fault = ("rejected", "clean") if self.action == REJECT else ("kept", "an artifact")
        promise = f"of what is {side} automatically at most {self.limit:.3g} is {fault}"
        certain = f"with {CONFIDENCE:.0%} confidence"
        if self.threshold is None:
            return f"{self.action}: {self.reason} (wanted: {promise}, {certain})"
        sign = ">=" if self.action == REJECT else "<"
        return (
            f"{self.action}: p {sign} {self.threshold:.4f}; {promise}, {certain}, {self.condition} "
            f"({self.wrong} of {self.images} there when it was certified)"
        )


@dataclass(frozen=True)
class Bands:
    """keep: p < keep.threshold; reject: p >= reject.threshold; review: everything else."""

    keep: Band
    reject: Band

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        probabilities = np.asarray(probabilities)
        low = -math.inf if self.keep.threshold is None else self.keep.threshold
        high = math.inf if self.reject.threshold is None else self.reject.threshold
        return np.select([probabilities >= high, probabilities < low], [REJECT, KEEP], REVIEW)


def choose_bands(
    targets: np.ndarray, probabilities: np.ndarray, *, clean_rejected: float = 0.1, artifacts_kept: float = 0.02
) -> Bands:
    """The widest bands with a finite-sample guarantee from a random sample's targets and probabilities, both (n,).

    Of new images drawn like these, at most a share `clean_rejected` of the rejected is clean, and at most
    `artifacts_kept` of the kept has artifacts; each holds with probability CONFIDENCE over the sample.

    Learn then test (Angelopoulos et al., arXiv 2110.01052) with fixed-sequence testing: bands of a given
    number of images, the strictest first, are tested with the exact binomial tail (Clopper-Pearson) until
    one fails. The numbers depend on n alone, and given the probability just outside, the images inside are
    a plain sample of the band, so each test is exact; for a sample without replacement from finitely many
    images it errs on the safe side (Uhlmann, Metrika 1966). "Like these" includes the share of artifacts.
    """
    if not len(targets):
        return _nothing(clean_rejected, artifacts_kept)
    targets = check_binary("targets", targets)
    sample = Scores(targets, check_probabilities(probabilities, len(targets)))
    return sample_bands(sample, sample, clean_rejected=clean_rejected, artifacts_kept=artifacts_kept)


def sample_bands(low: Scores, high: Scores, *, clean_rejected: float, artifacts_kept: float) -> Bands:
    """`choose_bands` from two random samples: of the images that may be kept, and of those that may be rejected."""
    keep = _widest(KEEP, -low.probabilities, low.targets == ARTIFACT, artifacts_kept)
    kept_below = -math.inf if keep.threshold is None else keep.threshold
    reject = _widest(REJECT, high.probabilities, high.targets == CLEAN, clean_rejected, floor=kept_below)
    return Bands(keep, reject)


def _widest(action, scores, wrong, limit, floor=-math.inf) -> Band:
    """The largest band of highest `scores` that is certified and has no image below `floor`."""
    needed = math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - limit))  # with no error at all
    right = int((~wrong).sum())
    if right < needed:
        what = "artifacts" if action == REJECT else "clean images"
        return _uncertified(action, limit, f"not certifiable with {right} {what}: {needed} needed")
    order = np.argsort(-scores, kind="stable")
    ranked, errors = scores[order], np.append(0, np.cumsum(wrong[order]))
    sizes = [size for size in _certified(ranked, errors, needed, limit) if ranked[size - 1] >= floor]
    if not sizes:
        return _uncertified(action, limit, f"not certified: too many errors among the first {needed}")
    edge = ranked[sizes[-1]]  # the first score outside, itself not in the band
    # Where two bands meet in a gap without images, the gap is left to the band that was there first.
    threshold = -edge if action == KEEP else max(np.nextafter(edge, math.inf), floor)
    return Band(action, float(threshold), sizes[-1], int(errors[sizes[-1]]), limit)


def _certified(ranked: np.ndarray, errors: np.ndarray, needed: int, limit: float) -> list[int]:
    """Sizes of the bands that pass, strictest first. ranked: scores, falling; errors[k]: wrong ones of the first k."""
    passed, rank = [], max(needed, math.ceil(FEWEST * len(ranked)))
    while rank < len(ranked):
        size = int(np.searchsorted(-ranked, -ranked[rank]))  # equal scores share a side
        if size >= needed:
            if special.bdtr(errors[size], size, limit) > 1 - CONFIDENCE:
                break
            passed.append(size)
        rank += math.ceil(STEP * rank)
    return passed


def transfer_bands(
    choosing: Scores, certifying: Scores, prevalence: PrevalenceRange | None, probabilities: np.ndarray, *,
    clean_rejected: float = 0.1, artifacts_kept: float = 0.02,
) -> Bands:  # fmt: skip
    """The widest bands for images with `probabilities` (n,), whose share of artifacts is not validation's.

    If images of a class score as the independent `certifying` ones do and the share of artifacts lies in the range,
    at most a share `clean_rejected` of the rejected is clean, and at most `artifacts_kept` of the kept has artifacts;
    each holds with probability CONFIDENCE over all that is random. prevalence None: bounded from `probabilities`.

    The share of clean images among the rejected is (1 - pi) FPR / ((1 - pi) FPR + pi TPR), largest at the least pi: it
    is bounded by the upper Clopper-Pearson bound of the FPR, the lower one of the TPR and the lower end of pi, joined
    by the union bound (class-wise, as the rates survive a change of pi: Podkopaev and Ramdas, arXiv 2103.03323); of
    the kept alike. Edges are tested in a fixed sequence from the one that is safest on `choosing` outwards until one
    fails (split fixed-sequence testing: Angelopoulos et al., arXiv 2110.01052), so that `certifying` chooses nothing.
    """
    delta = (1 - CONFIDENCE) / (2 if prevalence else 2 + ESTIMATED_FROM)
    if not all(len(one) for part in (choosing, certifying) for one in (part.clean, part.artifacts)):
        return _nothing(clean_rejected, artifacts_kept)
    ranges = [prevalence or bound_prevalence(choosing, part, probabilities, delta) for part in (choosing, certifying)]
    promise = _Transfer(choosing, certifying, *ranges, delta)
    keeps, rejects = promise.certified(KEEP, artifacts_kept), promise.certified(REJECT, clean_rejected)
    if len(keeps) and len(rejects) and keeps[-1] > rejects[-1]:  # they overlap: all that pass is certified at once
        keeps = keeps[keeps <= rejects[0]]
        rejects = rejects[rejects >= keeps[-1]] if len(keeps) else rejects
    return Bands(promise.band(KEEP, artifacts_kept, keeps), promise.band(REJECT, clean_rejected, rejects))


def _uncertified(action: str, limit: float, reason: str) -> Band:
    return Band(action, None, 0, 0, limit, reason)


def _nothing(clean_rejected: float, artifacts_kept: float) -> Bands:
    return Bands(_uncertified(KEEP, artifacts_kept, NO_PART), _uncertified(REJECT, clean_rejected, NO_PART))


@dataclass(frozen=True)
class _Transfer:
    """What a promise about images of another prevalence rests on. expected: the prevalence as `choosing` bounds it."""

    choosing: Scores
    certifying: Scores
    expected: PrevalenceRange
    prevalence: PrevalenceRange
    delta: float

    def bounds(self, action: str) -> tuple[np.ndarray, np.ndarray]:
        """Edges (k,) from the safest by `choosing` to ever wider ones, and the bounds (k,) of the wrong in each."""
        edges = np.unique(self.choosing.probabilities)
        edges = (edges[1:] + edges[:-1]) / 2  # between two images
        edges = edges if action == KEEP else edges[::-1]
        if len(edges):
            edges = edges[np.argmin(_wrong_share(action, edges, self.choosing, self.expected, self.delta)) :]
        return edges, _wrong_share(action, edges, self.certifying, self.prevalence, self.delta)

    def certified(self, action: str, limit: float) -> np.ndarray:
        """The edges that pass, the widest last."""
        edges, bounds = self.bounds(action)
        return edges[: np.argmax(np.append(bounds > limit, True))]

    def band(self, action: str, limit: float, certified: np.ndarray) -> Band:
        if not len(certified):
            return _uncertified(action, limit, self._why_not(action))
        (wrong,), (right,) = _inside(action, certified[-1:], self.certifying)
        inside = int(wrong + right), int(wrong)
        return Band(action, float(certified[-1]), *inside, limit, condition=self._condition(action))

    def _why_not(self, action: str) -> str:
        _, bounds = self.bounds(action)
        best = f"not certified: {bounds[0] if len(bounds) else 1:.3g} is the best bound"
        images = f"{len(self.certifying.clean)} clean images and {len(self.certifying.artifacts)} artifacts"
        return f"{best} from {images}, {self._condition(action)}"

    def _condition(self, action: str) -> str:
        share = self.prevalence
        end = f"at least {share.low:.2g}" if action == REJECT else f"at most {share.high:.2g}"
        return f"if images of a class score as in validation and {end} of all have artifacts ({share.source})"


def _inside(action: str, edges: np.ndarray, scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """How many images of the wrong and of the right class are in the band with each edge: two (k,)."""
    artifacts, clean = (np.searchsorted(one, edges) for one in (scores.artifacts, scores.clean))  # below the edges
    if action == KEEP:
        return artifacts, clean
    return len(scores.clean) - clean, len(scores.artifacts) - artifacts


def _wrong_share(
    action: str, edges: np.ndarray, scores: Scores, prevalence: PrevalenceRange, delta: float
) -> np.ndarray:
    """(k,) upper bounds of the share of the wrong class in the band with each edge, each true but for 2 * delta."""
    wrong, right = _inside(action, edges, scores)
    of_wrong, of_right = len(scores.clean), len(scores.artifacts)
    share = 1 - prevalence.low  # the largest that the wrong class may have among all images
    if action == KEEP:
        of_wrong, of_right, share = of_right, of_wrong, prevalence.high
    errors = share * upper_bound(wrong, of_wrong, delta)
    hits = (1 - share) * lower_bound(right, of_right, delta)
    return errors / np.maximum(errors + hits, 1e-12)

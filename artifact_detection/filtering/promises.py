"""What can be promised about a user's images: on validation's word, on that of a sample of them, or not at all."""

from dataclasses import replace

import numpy as np

from artifact_detection.detector.checkpoints import CERTIFIES, CHOOSES, Checkpoint, DefaultBands, Validation
from artifact_detection.evaluation.bands import Bands, transfer_bands
from artifact_detection.evaluation.label_shift import (
    FOREIGN,
    PrevalenceRange,
    Scores,
    bound_prevalence,
    mixture_p_value,
)
from artifact_detection.filtering.decisions import Decisions
from artifact_detection.filtering.policy import NO_BANDS, Policy, PolicyError, manual_bands

NO_SCORES = "the checkpoint holds no validation scores, so nothing can be promised: pass --threshold, or train again"
OTHER_IMAGES = (
    "these images score unlike any mixture of validation's clean images and artifacts: what was found there says "
    "nothing about them"
)
MOSTLY_ARTIFACTS = (
    "by their scores most of these images have artifacts, and clean images of another kind would score so, too: no "
    "promise holds unless you say what the share is (--prevalence)"
)
UNTESTED = (
    "whether these images score as in validation was tested, but clean images that score like artifacts, or the other "
    "way round, pass that test: a look at a random sample tells (--audit)"
)
ANY_SHARE = (0.0, 1.0)
WITHOUT_PROMISE = "pass --without-promise to apply the bands all the same"


def promised_policy(
    checkpoint: Checkpoint, probabilities: np.ndarray | None, *, clean_rejected: float, artifacts_kept: float,
    prevalence: tuple[float, float] | None = None, without_promise: bool = False, decisions: Decisions | None = None,
) -> Policy:  # fmt: skip
    """What the checkpoint's validation can promise about images with `probabilities` (n,), None if not known yet.

    Where it can promise nothing the bands are those of the checkpoint's model card, else there are none: all images go
    to review. The same where a promise does not hold for these images, unless `without_promise`. prevalence: the range
    of the share of artifacts that the user states. Raises PolicyError if the checkpoint holds no validation scores.
    """
    card, validation = checkpoint.default_bands, checkpoint.validation
    if validation is None and not card:
        raise PolicyError(NO_SCORES)
    if validation is None:
        return _card_policy(card, decisions or Decisions())
    share = _share(validation, prevalence, probabilities)
    parts = (Scores.of(validation, part) for part in (CHOOSES, CERTIFIES))
    bands = transfer_bands(*parts, share, probabilities, clean_rejected=clean_rejected, artifacts_kept=artifacts_kept)
    doubts = _doubts(validation, bands, probabilities, tuple(prevalence or ANY_SHARE))
    if card and (doubts or _is_empty(bands)):
        return _card_policy(card, decisions or Decisions(), doubts)
    if not doubts or _is_empty(bands):
        untested = () if share or _is_empty(bands) else (UNTESTED,)
        return Policy(bands, True, decisions or Decisions(), notes=doubts or untested)
    if without_promise:
        return Policy(bands, False, decisions or Decisions(), "applied without a promise (--without-promise)", doubts)
    return Policy(NO_BANDS, False, decisions or Decisions(), notes=(*doubts, WITHOUT_PROMISE))


def _share(
    validation: Validation, stated: tuple[float, float] | None, probabilities: np.ndarray | None
) -> PrevalenceRange | None:
    """The range of the share of artifacts that a promise is for; None: to be estimated from the scores."""
    if stated:
        return PrevalenceRange(*stated, "as stated")
    if validation.injected or probabilities is None:
        return PrevalenceRange(*[float(validation.targets.mean())] * 2, "as in validation")
    return None


def _doubts(
    validation: Validation, bands: Bands, probabilities: np.ndarray | None, within: tuple[float, float]
) -> tuple[str, ...]:
    """Why the bands' promises do not hold for images with these probabilities; empty if nothing speaks against it."""
    labelled = Scores.judging(validation)
    if probabilities is not None and is_foreign(labelled, probabilities, within):
        return (OTHER_IMAGES if within == ANY_SHARE else f"{OTHER_IMAGES} (with a share of artifacts as stated)",)
    if not validation.injected:
        is_doubtful = within == ANY_SHARE and probabilities is not None and is_majority(labelled, probabilities)
        return (MOSTLY_ARTIFACTS,) if is_doubtful else ()
    found = f"the detector was validated on injected artifacts, {validation.targets.mean():.0%} of its images"
    certified = [band for band in (bands.keep, bands.reject) if band.threshold is not None]
    promises = (replace(band, condition=f"for injected artifacts, {band.condition}").sentence() for band in certified)
    return (*promises, f"{found}: nothing is known about real ones")


def is_foreign(labelled: Scores, probabilities: np.ndarray, within: tuple[float, float] = ANY_SHARE) -> bool:
    """Whether images are surely of another kind: no mixture of the two classes with such a share scores like them."""
    both = len(labelled.clean) and len(labelled.artifacts) and len(probabilities)
    return bool(both) and mixture_p_value(labelled, probabilities, within) <= FOREIGN


def is_majority(labelled: Scores, probabilities: np.ndarray) -> bool:
    """Whether most images have artifacts by these scores.

    In a generated dataset that is nearly always something else: here, clean images that score like artifacts, which no
    mixture's shape can tell. Classes 2 to 3 standard deviations apart, clean images shifted by as much: a promise was
    false and stayed in up to 93 % of draws, and does so in none of 40 now.
    """
    both = len(labelled.clean) and len(labelled.artifacts) and len(probabilities)
    return bool(both) and bound_prevalence(labelled, labelled, probabilities, delta=0.5).low > 0.5  # 0.5: the estimate


def _is_empty(bands: Bands) -> bool:
    return bands.keep.threshold is None and bands.reject.threshold is None


def _card_policy(card: DefaultBands, decisions: Decisions, doubts: tuple[str, ...] = ()) -> Policy:
    source = f"bands from the model card ({card.source}): no promise about your images"
    return Policy(manual_bands([card.keep, card.reject]), False, decisions, source, doubts)

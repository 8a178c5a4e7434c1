"""Probabilities and bands from what a person decided on a random sample of the images themselves.

The sample is the audit's: audit.csv says with which probability each image was drawn. Where every image had the same
chance it certifies both bands (`choose_bands`). Where it was drawn by band, a new band is certified within the old one
that its part was drawn from, in which every image had the same chance; the other parts stay out of its certificate, as
no exact bound joins them (Wendell and Schmee, JASA 1996, have one for given strata, not for a choice of the edge).
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from artifact_detection.evaluation.bands import KEEP, REJECT, Bands, sample_bands
from artifact_detection.evaluation.label_shift import Scores
from artifact_detection.evaluation.thresholds import fit_platt
from artifact_detection.filtering.decisions import Decisions, Key, key_of
from artifact_detection.filtering.policy import NO_BANDS, Policy, PolicyError, logits_of
from artifact_detection.filtering.sample import EDITED, SAMPLE, AuditSample, digest_of
from artifact_detection.filtering.store import Record
from artifact_detection.intervals import CONFIDENCE
from artifact_detection.labels import ARTIFACT, CLEAN

LABELS = {KEEP: CLEAN, REJECT: ARTIFACT}
SAME_SCORE = 1e-3  # how far a score may have moved since the sample was drawn
NOTHING_DECIDED = (
    "--calibrate: no image of these was decided clean or an artifact (keep or reject, the file unchanged since): draw "
    "a sample with --audit, look at it on the review page and export decisions.csv"
)
LOOK_AT_MORE = (
    "nothing is decided automatically: look at a larger sample (--audit N without --calibrate, then --calibrate), "
    "allow more (--max-artifacts-left, --max-clean-loss), or pass --threshold in place of --calibrate"
)
CONDITION = "for the images that the sample was drawn from, before --decisions and --stability"
NO_SAMPLE = f"the decided images are no random sample of these, there is no {SAMPLE}: draw one with --audit"
OTHER_IMAGES = "images came, went or changed since the sample was drawn: draw another one with --audit"
AGAIN = (
    "this is sample {number} that was looked at here: one of the promises on all of them is wrong with a chance of up "
    "to {chance:.0%}"
)
OTHER_SCORES = "the sample was drawn by band, with scores that have changed since: draw another one with --audit"


def calibrated_policy(
    records: Iterable[Record], decided: dict[Key, str], sample: AuditSample | None, *,
    clean_rejected: float, artifacts_kept: float, decisions: Decisions | None = None,
) -> Policy:  # fmt: skip
    """Temperature and shift from all `decided` images of `records`, and the bands that the sample certifies.

    decisions: what is to overrule the bands. Raises PolicyError where no image of the records was decided.
    """
    known = {key_of(one): one.probability for one in records if one.probability is not None}
    temperature, shift, count = _fit(known, decided, sample)
    decisions = decisions or Decisions()
    policy = Policy(NO_BANDS, False, decisions, advice=LOOK_AT_MORE, temperature=temperature, shift=shift)
    fitted = f"temperature {temperature:.2f} and shift {shift:+.2f} of the logits come from {count} decided images"
    problem = _why_not(sample, known)
    if problem:
        return replace(policy, notes=(fitted, f"no promise: {problem}"))
    bands = _bands(sample, known, decided, policy, clean_rejected, artifacts_kept)
    done = sum(decided.get(row.key) in LABELS for row in sample.drawn)
    open_ = ", the others count as wrong" * (done < len(sample.drawn))
    counted = f"{done} of the {len(sample.drawn)} images drawn are decided{open_}"
    number = sample.earlier + 1
    chance = min(1, 2 * (1 - CONFIDENCE) * number)  # two bands a sample
    again = [AGAIN.format(number=number, chance=chance)] if number > 1 else []
    return replace(policy, bands=bands, certified=True, notes=(fitted, counted, *again))


def _fit(known: dict, decided: dict, sample: AuditSample | None) -> tuple[float, float, int]:
    """Temperature, shift, and the number of images that they rest on. An image that was drawn stands for as many as
    the inverse of its chance, one that a person picked for itself."""
    chance = {row.key: row.inclusion for row in sample.drawn} if sample else {}
    keys = [key for key, choice in decided.items() if key in known and choice in LABELS]
    if not keys:
        raise PolicyError(NOTHING_DECIDED)
    logits = logits_of(np.array([known[key] for key in keys]))
    weights = np.array([1 / chance.get(key, 1.0) for key in keys])
    return *fit_platt(np.array([LABELS[decided[key]] for key in keys]), logits, weights), len(keys)


def _why_not(sample: AuditSample | None, known: dict) -> str:
    """Why the sample certifies nothing; empty if it does."""
    if sample is None:
        return NO_SAMPLE
    if not sample.drawn:
        return EDITED
    if digest_of(known) != sample.everything:
        return OTHER_IMAGES
    moved = [abs(known[row.key] - row.probability) for row in sample.drawn if row.key in known]
    by_band = not _is_plain(sample, len(known))
    return OTHER_SCORES if by_band and max(moved, default=1) > SAME_SCORE else ""


def _is_plain(sample: AuditSample, images: int) -> bool:
    """Whether all images, not those of some bands alone, had the same chance of being drawn."""
    chances = np.array([row.inclusion for row in sample.drawn])
    return bool(np.allclose(chances, chances[0], rtol=1e-3) and abs(len(chances) / chances[0] - images) < 1)


def _bands(
    sample: AuditSample, known: dict, decided: dict, policy: Policy, clean_rejected: float, artifacts_kept: float
) -> Bands:
    """An image that is not decided, or is gone, counts as an artifact where it is kept, as clean where rejected."""
    now = np.array([known.get(row.key, row.probability) for row in sample.drawn])
    plain, probabilities = _is_plain(sample, len(known)), policy.calibrated(now)
    samples = []
    for action, if_unknown in ((KEEP, ARTIFACT), (REJECT, CLEAN)):
        targets = np.array([LABELS.get(decided.get(row.key), if_unknown) for row in sample.drawn])
        drawn = np.array([plain or row.band == action for row in sample.drawn])
        samples.append(Scores(targets[drawn], probabilities[drawn]))
    bands = sample_bands(*samples, clean_rejected=clean_rejected, artifacts_kept=artifacts_kept)
    return Bands(*(replace(band, condition=CONDITION) for band in (bands.keep, bands.reject)))

"""Probabilities and bands from what a person decided on a random sample of the images themselves.

The sample is the audit's: audit.csv says with which probability each image was drawn. Where every image had the same
chance it certifies both bands (`choose_bands`). Where it was drawn by band, a new band is certified within the old one
that its part was drawn from, in which every image had the same chance; the other parts stay out of its certificate, as
no exact bound joins them (Wendell and Schmee, JASA 1996, have one for given strata, not for a choice of the edge).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from artifact_detection.evaluation.bands import KEEP, REJECT, Bands, sample_bands
from artifact_detection.evaluation.label_shift import Scores
from artifact_detection.evaluation.thresholds import fit_platt
from artifact_detection.filtering.decisions import Decisions, key_of
from artifact_detection.filtering.policy import NO_BANDS, Policy, PolicyError, logits_of
from artifact_detection.filtering.sample import SAMPLE
from artifact_detection.filtering.store import Record
from artifact_detection.labels import ARTIFACT, CLEAN
from artifact_detection.system.tables import read_table

COLUMNS = ("path", "sha256", "band", "probability", "inclusion")
LABELS = {KEEP: CLEAN, REJECT: ARTIFACT}
SAME_SCORE = 1e-3  # how far a score may have moved since the sample was drawn
CONDITION = "for the images that the sample was drawn from, before --decisions and --stability"
NO_SAMPLE = f"the decided images are no random sample of these, there is no {SAMPLE}: draw one with --audit"
OTHER_SCORES = "the sample was drawn by band, with scores that have changed since: draw another one"


@dataclass(frozen=True)
class DecidedSample:
    """A random sample: path and sha256 of each image, and (n,) each: the band that it was drawn from, its probability
    of artifacts then, and the probability of having been drawn."""

    keys: list[tuple[str, str]]
    bands: np.ndarray
    probabilities: np.ndarray
    inclusion: np.ndarray


def read_sample(path: Path) -> DecidedSample | None:
    """What audit.csv says, None if there is none. Raises PolicyError if it is damaged."""
    if not path.exists():
        return None
    try:
        rows = list(read_table(path, COLUMNS))
        values = np.array([[float(row["probability"]), float(row["inclusion"])] for row in rows]).reshape(-1, 2)
    except ValueError as error:
        raise PolicyError(f"{path}: {error}") from error
    if not ((values[:, 1] > 0) & (values[:, 1] <= 1)).all():
        raise PolicyError(f"{path}: inclusion is a probability above 0")
    return DecidedSample(
        [(row["path"], row["sha256"]) for row in rows], np.array([row["band"] for row in rows]), *values.T
    )


def calibrated_policy(
    records: Iterable[Record],
    decided: dict[tuple[str, str], str],
    sample: DecidedSample | None,
    *,
    clean_rejected: float,
    artifacts_kept: float,
    decisions: Decisions | None = None,
) -> Policy:
    """Temperature and shift from all `decided` images of `records`, and the bands that the sample certifies.

    decisions: what is to overrule the bands. Raises PolicyError where no image of the records was decided.
    """
    known = {key_of(one): one.probability for one in records if one.probability is not None}
    temperature, shift, count = _fit(known, decided, sample)
    policy = Policy(NO_BANDS, False, decisions or Decisions(), temperature=temperature, shift=shift)
    fitted = f"temperature {temperature:.2f} and shift {shift:+.2f} of the logits come from {count} decided images"
    problem = _why_not(sample, known)
    if problem:
        return replace(policy, notes=(fitted, f"no promise: {problem}"))
    bands = _bands(sample, known, decided, policy, clean_rejected, artifacts_kept)
    done = sum(decided.get(key) in LABELS for key in sample.keys)
    counted = f"{done} of the {len(sample.keys)} images drawn are decided, the others count as wrong"
    return replace(policy, bands=bands, certified=True, notes=(fitted, counted))


def _fit(known: dict, decided: dict, sample: DecidedSample | None) -> tuple[float, float, int]:
    """Temperature, shift, and the number of images that they rest on. An image that was drawn stands for as many as
    the inverse of its chance, one that a person picked for itself."""
    chance = dict(zip(sample.keys, sample.inclusion, strict=True)) if sample else {}
    keys = [key for key, choice in decided.items() if key in known and choice in LABELS]
    if not keys:
        raise PolicyError("--calibrate: none of the decisions is about these images")
    logits = logits_of(np.array([known[key] for key in keys]))
    weights = np.array([1 / chance.get(key, 1.0) for key in keys])
    return *fit_platt(np.array([LABELS[decided[key]] for key in keys]), logits, weights), len(keys)


def _why_not(sample: DecidedSample | None, known: dict) -> str:
    """Why the sample certifies nothing; empty if it does."""
    if sample is None or not sample.keys:
        return NO_SAMPLE
    moved = [abs(known[key] - p) for key, p in zip(sample.keys, sample.probabilities, strict=True) if key in known]
    by_band = not _is_plain(sample, len(known))
    return OTHER_SCORES if by_band and max(moved, default=1) > SAME_SCORE else ""


def _is_plain(sample: DecidedSample, images: int) -> bool:
    """Whether all images, not those of some bands alone, had the same chance of being drawn."""
    chances = sample.inclusion
    return bool(np.allclose(chances, chances[0], rtol=1e-3) and abs(len(chances) / chances[0] - images) < 1)


def _bands(
    sample: DecidedSample, known: dict, decided: dict, policy: Policy, clean_rejected: float, artifacts_kept: float
) -> Bands:
    """An image that is not decided, or is gone, counts as an artifact where it is kept, as clean where rejected."""
    now = np.array([known.get(key, p) for key, p in zip(sample.keys, sample.probabilities, strict=True)])
    plain, probabilities = _is_plain(sample, len(known)), policy.calibrated(now)
    samples = []
    for action, if_unknown in ((KEEP, ARTIFACT), (REJECT, CLEAN)):
        targets = np.array([LABELS.get(decided.get(key), if_unknown) for key in sample.keys])
        drawn = np.full(len(targets), True) if plain else sample.bands == action
        samples.append(Scores(targets[drawn], probabilities[drawn]))
    bands = sample_bands(*samples, clean_rejected=clean_rejected, artifacts_kept=artifacts_kept)
    return Bands(*(replace(band, condition=CONDITION) for band in (bands.keep, bands.reject)))

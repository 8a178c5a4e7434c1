"""What a look at a random sample says about all images of a band, whatever detector and generator are.

The number of wrong images in a random sample of a band of N images is hypergeometric. The bound is the largest number
of wrong ones among the N under which so few would be seen with more than 5 % probability: exact, one-sided, for a
finite population (Wright, Exact Confidence Bounds when Sampling from Small Finite Universes, 1991). The samples of two
bands are independent, so both bounds hold together with .95 * .95.

Looking early costs nothing. The size is fixed when the sample is drawn, and whatever nobody has decided, or people
have decided differently, counts as wrong: so no bound on the way is smaller than the last one, and all of them hold
when the last one does. A further sample is another statement, which may be wrong too: then the sum of the chances to be
wrong is said.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW
from artifact_detection.filtering.decisions import Decisions
from artifact_detection.filtering.results import Judged
from artifact_detection.filtering.sample import AUDITED, EDITED, AuditSample, changed_bands
from artifact_detection.intervals import CONFIDENCE

WORDS = {KEEP: ("kept", "have artifacts"), REJECT: ("rejected", "are clean")}
WRONG = {KEEP: REJECT, REJECT: KEEP}  # what a person says of an image that does not belong into its band


def upper_bound(wrong: int, looked_at: int, images: int, confidence: float = CONFIDENCE) -> int:
    """How many of `images` are wrong at most, if `wrong` of `looked_at` of them, drawn at random, are."""
    rest = range(wrong, images - looked_at + wrong + 1)
    rare = 1 - confidence
    surprising = bisect_left(rest, True, key=lambda n: stats.hypergeom.cdf(wrong, images, n, looked_at) <= rare)
    return rest[surprising - 1]


def enough(share: float, rate: float, images: int) -> int | None:
    """About how many to look at for a bound of at most `share`, if `rate` of them are wrong; None if none suffices."""
    sizes = range(1, images + 1)
    place = bisect_left(sizes, True, key=lambda n: upper_bound(math.ceil(rate * n), n, images) <= share * images)
    return sizes[place] if place < len(sizes) else None


@dataclass(frozen=True)
class Bound:
    """What is known of one band. images: all of it; drawn, decided: of the sample; wrong: found among the decided.

    at_most: wrong images in the band, undecided ones of the sample counted as wrong; left: those of them that no
    decision has taken out. wanted: the share that is wanted at most; enough: how many it takes to look at for that.
    """

    band: str
    images: int
    drawn: int
    decided: int
    wrong: int
    at_most: int
    left: int
    wanted: float
    enough: int | None

    @property
    def is_certain(self) -> bool:
        return self.decided == self.images

    def sentence(self) -> str:
        side, fault = WORDS[self.band]
        if self.is_certain:
            return f"of the {self.images:,} {side} images {self.wrong:,} {fault}: all of them were looked at"
        share = math.ceil(1000 * self.at_most / self.images) / 1000
        found = f"{self.wrong} of {self.decided} looked at"
        open_ = self.drawn - self.decided
        if open_ == self.drawn:
            found = f"none of the {open_} looked at is decided for sure, so all count as wrong until they are decided"
        elif open_:
            found += f"; the other {open_} of the sample, undecided or unsure, count as wrong until they are decided"
        text = f"of the {self.images:,} {side} images at most {share:.1%} {fault}, with {CONFIDENCE:.0%} confidence"
        text += f": {found}"
        if self.left < self.at_most:
            text += f". After the decisions at most {self.left:,} of them are left"
        return text + ("" if self.at_most <= self.wanted * self.images or open_ else f". {self._more()}")

    def _more(self) -> str:
        wanted = f"{100 * self.wanted:.3g}%"
        if self.enough is None:
            return f"At most {wanted} cannot be shown: too many of those looked at are wrong"
        found = f"in which {self.wrong / self.decided:.1%} are wrong too" if self.wrong else "without a wrong one"
        return f"For at most {wanted} it takes a new sample of about {self.enough} (--audit {self.enough}) {found}"


@dataclass(frozen=True)
class AuditStatement:
    """bounds: a band each; joint: the confidence that all of them hold, those on earlier samples included."""

    bounds: list[Bound]
    joint: float
    number: int
    remarks: list[str]

    def lines(self) -> list[str]:
        lines = [one.sentence() for one in self.bounds]
        uncertain = sum(not one.is_certain for one in self.bounds)
        if self.number > 1 and self.bounds:
            lines.append(
                f"this is sample {self.number} that was looked at here: what was said on all of them holds together "
                f"with at least {math.floor(100 * self.joint)}% confidence"
            )
        elif uncertain > 1:
            lines.append(f"both together with {math.floor(100 * self.joint)}% confidence")
        if self.bounds:
            lines.append("kept and rejected are here what the detector alone keeps and rejects, before any decision")
        return lines + self.remarks


def audit(
    sample: AuditSample | None, groups: dict[str, list[Judged]], decisions: Decisions, wanted: dict[str, float]
) -> AuditStatement | None:
    """What the decided images of the sample say. groups: the images by the detector's verdict, as they are now.

    wanted: the share of wrong images that is wanted at most, by band. None: there is neither a sample nor a decision.
    """
    if sample is None:
        no_sample = "no bound from the decisions: they are no random sample, --audit N draws one"
        return AuditStatement([], 1.0, 0, [no_sample]) if decisions else None
    if not sample.drawn:
        return AuditStatement([], 1.0, 0, [f"no statement: {EDITED}"])
    changed, bounds, remarks = changed_bands(sample, groups), [], []
    for band in AUDITED:
        side, total = WORDS[band][0], len(groups[band])
        drawn = len(sample.of(band))
        if band in changed:
            remarks.append(
                f"no statement on the {side} images: since the sample was drawn, the bands or the images have changed; "
                f"--audit {sample.size} draws a new one"
            )
        elif any(row.key in decisions for row in sample.of(band)):
            bounds.append(_bound(sample, band, groups[band], decisions, wanted[band]))
        elif total:
            remarks.append(f"{drawn} of the {total:,} {side} images are drawn at random, none is decided yet")
    if not any(groups[band] for band in AUDITED) and REVIEW not in changed:
        drawn, total = sample.first(), len(groups[REVIEW])
        decided = sum(decisions.get(row.key) in WRONG for row in drawn)
        remarks.append(
            f"nothing is kept or rejected yet. Look at the {len(drawn)} of all {total:,} images that are drawn at "
            f"random ({decided} decided so far); --calibrate decisions.csv in place of --audit then says what can be"
        )
    number, each = sample.earlier + 1, CONFIDENCE ** sum(not one.is_certain for one in bounds)
    # Of the samples before, it is not known how many bands they spoke of: two at most.
    spent = sample.earlier * (1 - CONFIDENCE ** len(AUDITED))
    return AuditStatement(bounds, max(0.0, each - spent), number, remarks)


def _bound(sample: AuditSample, band: str, images: Sequence[Judged], decisions: Decisions, wanted: float) -> Bound:
    drawn = sample.of(band)
    said = [decisions.get(row.key) for row in drawn]
    decided, wrong = said.count(KEEP) + said.count(REJECT), said.count(WRONG[band])
    taken_out = sum(row.band == WRONG[band] for row in images)
    at_most = max(taken_out, upper_bound(wrong + len(drawn) - decided, len(drawn), len(images)))
    return Bound(
        band, len(images), len(drawn), decided, wrong, at_most, at_most - taken_out, wanted,
        enough(wanted, wrong / decided, len(images)) if decided else None,
    )  # fmt: skip

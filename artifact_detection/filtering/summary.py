"""What a run comes to: counts, what is probably wrong among them, and what could not be used."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from artifact_detection.detector.checkpoints import Checkpoint
from artifact_detection.detector.scoring import Scorer
from artifact_detection.evaluation.bands import KEEP, REJECT
from artifact_detection.evaluation.label_shift import Scores
from artifact_detection.filtering.acceptance import AuditStatement
from artifact_detection.filtering.decisions import BANDS
from artifact_detection.filtering.estimates import METHOD, CountEstimate, Estimates, NoEstimateError, Outcome, estimate
from artifact_detection.filtering.inputs import Inputs
from artifact_detection.filtering.policy import BY_A_PERSON, Policy
from artifact_detection.filtering.results import Judged
from artifact_detection.filtering.shift import Comparison, compare
from artifact_detection.system.files import write_atomic
from artifact_detection.system.paths import first_of, printable_path

SUMMARY = "summary.json"
INJECTED = "the detector was validated on injected artifacts only"
LOOK = "; look at a sample of your images (--audit)"
MOSTLY_REJECTED = (
    "more than half of the images are rejected: look at some before you believe it, for pictures of a kind that the "
    "detector was not taught, drawings say, can look like artifacts to it"
)
ASSUMED = "if images of a class score as in validation"
LISTED = 50  # problems named on the terminal; scores.csv names all


@dataclass(frozen=True)
class FilterSummary:
    """bands: images by band and "error"; promises: what each band guarantees; estimates: None with their reason.

    audit: what the random sample says; remarks: what is odd about the decisions, or about how many are rejected.
    """

    model: str
    engine: str
    images: int
    repeated: int
    others: dict[str, int]
    bands: dict[str, int]
    promises: list[str]
    estimates: Estimates | None
    method: str
    errors: list[str]
    not_placed: list[str]
    comparisons: list[Comparison]
    audit: AuditStatement | None = None
    remarks: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What matters, a line each; what people saw of these images before what validation says of other ones."""
        lines = [self._counts(), *(self.audit.lines() if self.audit else ()), *self.remarks]
        lines += [*self.promises, self._estimate()]
        if self.others:
            kinds = ", ".join(f"{suffix or 'no suffix'} {number}" for suffix, number in self.others.items())
            lines.append(f"not looked at, no images by their names: {kinds}")
        if self.repeated:
            lines.append(f"named more than once, counted once: {self.repeated}")
        return lines

    def text(self) -> str:
        """For the terminal: with the files that could not be used or placed."""
        lines = self.lines() + [f"warning: {one.sentence()}" for one in self.comparisons if one.differs]
        problems = first_of([*self.errors, *self.not_placed], LISTED, f", in {SUMMARY}")
        return "\n".join([*lines, *(f"  {problem}" for problem in problems)])

    def small_print(self) -> str:
        return self.method if self.estimates else ""

    def _counts(self) -> str:
        parts = [f"{name} {number:,}" for name, number in self.bands.items() if name != "error"]
        parts += [f"unusable {self.bands['error']:,}"] * bool(self.bands["error"])
        return f"{self.images:,} images: {', '.join(parts)}"

    def _estimate(self) -> str:
        if self.estimates is None:
            return f"no estimate of what is left: {self.method}"
        kept = f"{_text(self.estimates.artifacts_kept)} artifacts left among the kept"
        rejected = f"{_text(self.estimates.clean_rejected)} clean images among the rejected"
        return (
            f"estimated: {kept if self.bands[KEEP] else 'nothing is kept'}, "
            f"{rejected if self.bands[REJECT] else 'nothing is rejected'}; "
            f"{_text(self.estimates.prevalence, percent=True)} of all images have artifacts; {ASSUMED}"
        )


def _text(estimate: CountEstimate, percent: bool = False) -> str:
    form = "{:.1%}" if percent else "{:.0f}"
    value, low, high = (form.format(number) for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} (less than 1)" if high == "0" else f"{value} ({low} to {high})"


def summarize(
    judged: Sequence[Judged], found: Inputs, rules: Policy, scorer: Scorer, not_placed: Sequence[str] = (),
    audit: AuditStatement | None = None,
) -> FilterSummary:  # fmt: skip
    estimates, method = _estimate(judged, rules, scorer.checkpoint)
    is_calibrated = (rules.temperature, rules.shift) != (1, 0)
    if method == INJECTED and not (audit or is_calibrated):
        method += LOOK
    counts = Counter(row.band or "error" for row in judged)
    return FilterSummary(
        model=scorer.model_id,
        engine=scorer.engine.name,
        images=len(judged),
        repeated=found.repeated,
        others=dict(sorted(found.others.items())),
        bands={name: counts[name] for name in (*BANDS, "error")},
        promises=rules.sentences(),
        estimates=estimates,
        method=method,
        errors=[f"{printable_path(row.record.path)}: {row.record.error}" for row in judged if not row.band],
        not_placed=list(not_placed),
        comparisons=compare(judged),
        audit=audit,
        remarks=[*rules.decisions.remarks(row.record for row in judged), *_doubt(counts, rules)],
    )


def _doubt(counts: Counter, rules: Policy) -> list[str]:
    usable = counts.total() - counts["error"]
    return [MOSTLY_REJECTED] * (not rules.certified and 2 * counts[REJECT] > usable)


def _estimate(judged: Sequence[Judged], rules: Policy, checkpoint: Checkpoint) -> tuple[Estimates | None, str]:
    validation = checkpoint.validation
    if validation is None:
        return None, "the checkpoint holds no validation scores"
    if validation.injected:
        return None, INJECTED
    usable = [row for row in judged if row.band]
    probabilities = np.array([row.record.probability for row in usable])
    decided = np.array([row.verdict.reason == BY_A_PERSON for row in usable], dtype=bool)
    outcome = Outcome(probabilities, np.array([row.band for row in usable]), decided)
    try:
        labelled = Scores.judging(validation)
        if (rules.temperature, rules.shift) != (1, 0):
            labelled = Scores(labelled.targets, rules.calibrated(labelled.probabilities))
        estimates = estimate(labelled, rules, outcome)
    except NoEstimateError as error:
        return None, str(error)
    return estimates, METHOD


def write(folder: Path, summary: FilterSummary) -> None:
    write_atomic(folder / SUMMARY, json.dumps(asdict(summary), indent=2) + "\n")

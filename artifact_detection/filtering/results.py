"""What a run found out, row by row, and as scores.csv."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from artifact_detection.detector.regions import Region, from_text
from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW
from artifact_detection.filtering.inputs import Item
from artifact_detection.filtering.policy import Policy, Verdict
from artifact_detection.filtering.store import Record, Stores
from artifact_detection.system.paths import printable_path
from artifact_detection.system.tables import write_table

SCORES = "scores.csv"
NEED = {REVIEW: 0, REJECT: 1, KEEP: 2}
COLUMNS = ("path", "sha256", "probability", "band", "threshold", "model", "reason", "error", "family", "boxes")


@dataclass(frozen=True, slots=True)
class Judged:
    """One image: where it is, what scoring found, and the verdict (band is empty for an unusable file)."""

    item: Item
    record: Record
    verdict: Verdict

    @property
    def band(self) -> str:
        return self.verdict.band


def judge_all(items: list[Item], stores: Stores, policy: Policy) -> list[Judged]:
    """Every item in input order; one without a record of its present state is an error, never a gap."""
    records = policy.calibrate_all(stores.light(items))
    return [Judged(*row) for row in zip(items, records, policy.judge_all(records), strict=True)]


def need_of_a_look(row: Judged) -> tuple[int, float, str]:
    """Sorts usable images: review, reject, keep; in a band the highest probability first."""
    return NEED[row.band], -row.record.probability, row.record.path


def regions_of(row: Judged) -> list[Region]:
    """What speaks against an image, the surest first: nothing does against one that is kept."""
    return [] if row.band in ("", KEEP) else from_text(row.record.regions)


def write_scores(folder: Path, judged: Iterable[Judged], model: str) -> None:
    """scores.csv: a row per image in input order; the same results give the same bytes.

    boxes: JSON, a list of [left, top, right, bottom, score, family] in pixels of the original image, upright, the
    surest first; family: that of the first. Both are empty where there is nothing to show.
    """
    write_table(folder / SCORES, COLUMNS, (_row(row, model) for row in judged))


def _row(row: Judged, model: str) -> dict[str, str]:
    record, verdict, regions = row.record, row.verdict, regions_of(row)
    return {
        "path": printable_path(record.path),
        "sha256": record.sha256,
        "probability": "" if record.probability is None else f"{record.probability:.6f}",
        "band": verdict.band,
        "threshold": "" if verdict.threshold is None else f"{verdict.threshold:.6f}",
        "model": model,
        "reason": verdict.reason,
        "error": printable_path(record.error),
        "family": regions[0].family if regions else "",
        "boxes": json.dumps([[*one.box, one.score, one.family] for one in regions]) if regions else "",
    }

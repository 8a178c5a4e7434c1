"""A random sample of each band for people to look at: audit.csv, and audit.json with what it was drawn from.

The sample belongs to the images that the detector alone, without anybody's decisions, keeps, rejects or leaves for
review. It stays as it was drawn, however often the filter runs. Another size, or a band that holds other images by
now, takes a new one, from fresh random numbers: so it does not matter what was learnt from the one before.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW
from artifact_detection.filtering.decisions import BANDS, Decisions, Key, key_of
from artifact_detection.filtering.policy import Policy
from artifact_detection.filtering.results import Judged
from artifact_detection.system.files import sha256_file, write_atomic
from artifact_detection.system.tables import read_table, table_text, write_table

SAMPLE, RECORD = "audit.csv", "audit.json"
AUDITED = (KEEP, REJECT)  # the bands that nobody looks at otherwise
EDITED = f"{SAMPLE} is not the one that {RECORD} describes; --audit draws anew"


class SampleError(Exception):
    """audit.json cannot be read: the sample before is unknown."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One image of the sample. inclusion: its probability to be drawn; order: its place when people look."""

    path: str
    sha256: str
    band: str
    probability: float
    inclusion: float
    order: int

    @property
    def key(self) -> Key:
        return self.path, self.sha256


COLUMNS = tuple(one.name for one in fields(Drawn))


@dataclass(frozen=True)
class AuditSample:
    """size: images wanted of each band; edges: of the bands; population, digest: how many and which images, by band.

    everything: the digest of the images of all bands.

    earlier: samples before this one that a statement was made on; stated: whether one was made on this one.
    checksum: SHA-256 of audit.csv.
    """

    size: int
    seed: int
    model: str
    edges: tuple[float | None, float | None]
    population: dict[str, int]
    digest: dict[str, str]
    everything: str = ""
    earlier: int = 0
    stated: bool = False
    checksum: str = ""
    drawn: tuple[Drawn, ...] = field(default=(), compare=False)

    def of(self, *bands: str) -> list[Drawn]:
        return [row for row in self.drawn if row.band in bands]

    def first(self) -> list[Drawn]:
        """What people look at first: of what was kept or rejected or, where that is nothing, of all for review."""
        return self.of(*AUDITED) or self.of(REVIEW)


def by_band(judged: Sequence[Judged], policy: Policy) -> dict[str, list[Judged]]:
    """The usable images by the detector's own verdict, sorted by what names them."""
    alone = replace(policy, decisions=Decisions())
    groups = {band: [] for band in BANDS}
    for row in judged:
        if row.band:
            is_decided = key_of(row.record) in policy.decisions
            groups[alone.judge(row.record).band if is_decided else row.band].append(row)
    return {band: sorted(rows, key=lambda row: key_of(row.record)) for band, rows in groups.items()}


def changed_bands(sample: AuditSample, groups: dict[str, list[Judged]]) -> list[str]:
    """The bands that do not hold the images any more that the sample was drawn from."""
    return [band for band in BANDS if _digest(groups[band]) != sample.digest[band]]


def _digest(rows: Iterable[Judged]) -> str:
    return digest_of(key_of(row.record) for row in rows)


def digest_of(keys: Iterable[Key]) -> str:
    """SHA-256 of these images' names and contents, in whatever order they come."""
    return hashlib.sha256("\n".join(map(repr, sorted(keys))).encode()).hexdigest()


def draw(
    groups: dict[str, list[Judged]], size: int, policy: Policy, model: str, seed: int, earlier: int
) -> AuditSample:
    """Up to `size` images of each band, each set of them as likely as any other."""
    population, digest = ({band: of(groups[band]) for band in BANDS} for of in (len, _digest))
    chosen = {}
    for band in BANDS:
        # Not of the seed alone: bands of about one size would get about the same images, in another folder too, and a
        # detector that learnt from those would be judged by them.
        contents = sorted(row.record.sha256 for row in groups[band])  # the same wherever the images lie
        drawn_from = int(hashlib.sha256(" ".join([model, *contents]).encode()).hexdigest(), 16)
        order = np.random.default_rng([seed, drawn_from]).permutation(population[band])
        chosen[band] = [groups[band][n] for n in order[:size]]
    mixed = [(band, row) for band in AUDITED for row in chosen[band]]
    mixed = [mixed[n] for n in np.random.default_rng([seed, len(BANDS)]).permutation(len(mixed))]
    mixed += [(REVIEW, row) for row in chosen[REVIEW]]  # after those that the bounds wait for
    drawn = tuple(
        Drawn(*key_of(row.record), band, row.record.probability, len(chosen[band]) / len(groups[band]), place)
        for place, (band, row) in enumerate(mixed)
    )
    everything = _digest(row for band in BANDS for row in groups[band])
    return AuditSample(size, seed, model, policy.edges(), population, digest, everything, earlier, drawn=drawn)


def write_sample(folder: Path, sample: AuditSample) -> AuditSample:
    """Write both files; return the sample with its checksum."""
    rows = list(map(asdict, sample.drawn))
    sample = replace(sample, checksum=hashlib.sha256(table_text(COLUMNS, rows).encode()).hexdigest())
    write_record(folder, sample)  # first: what it describes can be drawn again, see `update`
    write_table(folder / SAMPLE, COLUMNS, rows)
    return sample


def write_record(folder: Path, sample: AuditSample) -> None:
    record = {name: value for name, value in asdict(sample).items() if name != "drawn"}
    write_atomic(folder / RECORD, json.dumps(record, indent=2) + "\n")


def read_sample(folder: Path) -> AuditSample | None:
    """The folder's sample, None if there is none; without images if audit.csv is not the one that was written.

    Raises SampleError if audit.json is damaged.
    """
    path, table = folder / RECORD, folder / SAMPLE
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        by_band = {name: {band: record[name][band] for band in BANDS} for name in ("population", "digest")}
        sample = AuditSample(**record | by_band | {"edges": tuple(record["edges"])})
    except (ValueError, TypeError, KeyError) as error:
        raise SampleError(f"{path} is damaged: delete it and {SAMPLE} to draw a new sample") from error
    if not table.exists() or sha256_file(table) != sample.checksum:
        return sample
    kinds = {"path": str, "sha256": str, "band": str, "probability": float, "inclusion": float, "order": int}
    rows = ({name: kind(row[name]) for name, kind in kinds.items()} for row in read_table(table, COLUMNS))
    return replace(sample, drawn=tuple(Drawn(**row) for row in rows))


def update(
    folder: Path, before: AuditSample | None, groups: dict[str, list[Judged]], size: int | None, policy: Policy,
    model: str,
) -> AuditSample | None:  # fmt: skip
    """The sample that holds from now on: the one before, or, if `size` asks for it, a new one."""
    holds = before is not None and before.size == size and not changed_bands(before, groups)
    if size is None or (holds and before.drawn):
        return before
    if holds:  # a kill came before its table was written: the same numbers draw it again
        again = draw(groups, size, policy, before.model, before.seed, before.earlier)
        return write_sample(folder, replace(again, stated=before.stated))
    seed = earlier = 0
    if before:  # what was seen of it may have been a reason to draw again, said or not; of a lost one nobody knows
        is_decided = any(row.key in policy.decisions for row in before.drawn)
        was_looked_at = before.stated or not before.drawn or is_decided
        seed, earlier = before.seed + 1, before.earlier + was_looked_at
    return write_sample(folder, draw(groups, size, policy, model, seed, earlier))

"""Which images a person looks at, one by one: the random sample, then those that teach the detector most.

Most informative: the least certain ones (uncertainty sampling, Lewis and Gale, SIGIR 1994), spread out so that no two
are much alike (clusters among the uncertain ones, the least certain of each: Zhdanov, arXiv 1901.05954). One in
RANDOM_EVERY is drawn at random instead: a detector is not only wrong where it is uncertain. None of this touches what
is said on the random sample: it was drawn before, and images that were chosen otherwise do not count there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from sklearn.cluster import KMeans

from artifact_detection.filtering.decisions import Decisions, key_of
from artifact_detection.filtering.results import Judged
from artifact_detection.filtering.sample import AuditSample, changed_bands

INFORMATIVE = 200  # images in the queue
CANDIDATES = 4  # times as many uncertain ones are spread out
RANDOM_EVERY = 4


@dataclass(frozen=True)
class Looking:
    """audit: the random sample in the order in which it is looked at; informative: what to look at next."""

    audit: list[Judged]
    informative: list[Judged]


def choose(
    judged: Sequence[Judged], groups: dict[str, list[Judged]], sample: AuditSample | None, decisions: Decisions,
    threshold: float,
) -> Looking:  # fmt: skip
    """What the review page shows one by one. A sample that does not hold any more is not looked at."""
    drawn = {} if sample is None else {row.key: row for row in sample.drawn}
    first = [] if sample is None else sample.first()
    stale = [] if sample is None else changed_bands(sample, groups)
    rows = {key_of(row.record): row for row in judged if row.band}
    audit = [rows[one.key] for one in first if one.band not in stale and one.key in rows]
    later = drawn.keys() - {one.key for one in first}
    sampled = [rows[key] for key in drawn if key in later and key in rows and key not in decisions]
    left = [row for key, row in rows.items() if key not in decisions and key not in drawn]
    probabilities = np.array([row.record.probability for row in left])
    layouts = np.array([np.frombuffer(row.record.layout, np.uint8) for row in left])
    chosen = in_order_of_use(probabilities, layouts, threshold, INFORMATIVE, chance=not sampled)
    return Looking(audit, interleave([left[n] for n in chosen], sampled[: INFORMATIVE // RANDOM_EVERY]))


def in_order_of_use(
    probabilities: np.ndarray, features: np.ndarray, threshold: float, count: int, chance: bool = True, seed: int = 0
) -> list[int]:
    """(n,) P(artifacts), (n, d) what makes images alike -> up to `count` row numbers, the first to look at first.

    Uncertain is what lies near `threshold` on the logit scale. chance: one in RANDOM_EVERY is drawn at random from all.
    """
    total = len(probabilities)
    count = min(count, total)
    size = count // RANDOM_EVERY if chance else 0
    drawn = np.random.default_rng(seed).permutation(total)[:size]
    others = np.setdiff1d(np.arange(total), drawn)
    edge, logits = (special.logit(np.clip(one, 1e-7, 1 - 1e-7)) for one in (threshold, probabilities))
    doubt = np.abs(logits - edge)[others]
    uncertain = others[np.argsort(doubt, kind="stable")][: CANDIDATES * count]
    return interleave(_spread(uncertain, features, count - size), drawn.tolist())


def _spread(ordered: np.ndarray, features: np.ndarray, count: int) -> list[int]:
    """The first of each of `count` clusters of `ordered` row numbers, in their order."""
    points = features[ordered].astype(np.float32)
    clusters = min(count, len(np.unique(points, axis=0)))
    if clusters < 2:
        return ordered[:count].tolist()
    groups = KMeans(clusters, n_init=1, random_state=0).fit_predict(points)
    _, first = np.unique(groups, return_index=True)
    rest = np.setdiff1d(np.arange(len(ordered)), first)[: count - len(first)]
    return [*ordered[np.sort(first)].tolist(), *ordered[rest].tolist()]


def interleave(main: Sequence, extra: Sequence) -> list:
    """`extra`'s elements at every RANDOM_EVERY-th place, as long as there are any."""
    main, extra, mixed = list(main), list(extra), []
    while main or extra:
        source = extra if extra and (not main or len(mixed) % RANDOM_EVERY == RANDOM_EVERY - 1) else main
        mixed.append(source.pop(0))
    return mixed

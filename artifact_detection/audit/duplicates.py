"""Near-duplicate images: a hash finds candidates without comparing all pairs, pixels decide.

1. Hash: the signs of the 128 lowest DCT frequencies of a 64x64 grey thumbnail (Zauner, "Implementation and
   benchmarking of perceptual image hash functions", 2010, with more bits, since portraits of one composition share
   the lowest ones).
2. Candidates: each image looks up the hashes of eleven slightly cropped views of itself, and their mirror images, in
   tables keyed by random bit samples (locality-sensitive hashing: Indyk and Motwani, STOC 1998).
3. Verdict: one thumbnail is aligned to the other (enhanced correlation coefficient: Evangelidis and Psarakis, TPAMI
   2008); they are near-duplicates if nearly half of the texture is the same. Edits of a part (a text, an injected
   artifact) therefore still link an image to its origin, and another face in the same pose does not.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import cv2
import numpy as np
import pandas as pd
from scipy.fft import dct

from artifact_detection.audit.store import THUMBNAIL, Measurements

MAX_DISTANCE = 32  # bits of 128 in which a candidate may differ
MIN_AGREEMENT = 0.45  # share of the texture that must agree; other portraits, real or drawn, stay below 0.38
BANDS = 24  # hash tables
BUCKET = 256  # at most so many members of one bucket are compared, so that thousands of copies stay cheap
_MAX_WARP = 0.15  # of the thumbnail's side: farther than any small crop
_NOISE = 2.0  # grey levels: local deviations below are noise, not texture
_LINK = ["first", "second", "kind", "distance", "agreement"]
_FREQUENCIES = 12
_BITS = 128
_CROPS = [(0.0, 0.5, 0.5), (0.03, 0.5, 0.5)] + [(0.06, y, x) for y in (0, 0.5, 1) for x in (0, 0.5, 1)]


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """(N, 64, 64) uint8 grey thumbnails -> (N, 2) uint64: 128 bits each, comparable by Hamming distance."""
    return _pack(_view_bits(thumbnails, *_CROPS[0]))


def duplicate_groups(measured: Measurements) -> np.ndarray:
    """(N,) int64 group ids: exact, near and mirrored duplicates share one; an unreadable file stands alone."""
    return group_ids(len(measured.table), duplicate_links(measured))


def duplicate_links(measured: Measurements) -> pd.DataFrame:
    """What links the rows of a table of measurements: exact duplicates first, then near ones.

    Columns as `near_duplicate_pairs`; kind is also "same file" (bytes) or "same pixels". Unreadable files are not
    linked. Rows of one group form a chain or a tree of links: n copies give n - 1 rows.
    """
    readable = measured.table[measured.table["error"] == ""]
    same_file = _chains(readable["sha256"], "same file")
    distinct = readable.drop(index=same_file["second"])
    same_pixels = _chains(distinct["pixels_sha256"], "same pixels")
    distinct = distinct.drop(index=same_pixels["second"]).index.to_numpy()
    near = near_duplicate_pairs(measured.thumbnails[distinct])
    near = near.assign(first=distinct[near["first"]], second=distinct[near["second"]])
    return pd.concat([same_file, same_pixels, near], ignore_index=True)


def _chains(keys: pd.Series, kind: str) -> pd.DataFrame:
    """A link from the first row to each other row of equal key."""
    first = keys.index.to_series().groupby(keys).transform("first")
    first = first[first != first.index]
    links = {"first": first.to_numpy(), "second": first.index.to_numpy(), "kind": kind, "distance": 0, "agreement": 1.0}
    return pd.DataFrame(links, columns=_LINK)


def near_duplicate_pairs(thumbnails: np.ndarray) -> pd.DataFrame:
    """The links between near-duplicates, closest first: columns first, second (rows), kind, distance, agreement.

    kind is "near" or "mirrored"; distance is in bits of 128; agreement in [0.45, 1] is the share of the texture that
    is the same. Links inside a group that is connected already are left out, so n copies give n - 1 rows. Images without
    any texture (one flat colour) are never linked.
    """
    candidates = _candidates(thumbnails)
    forest, links = _Forest(len(thumbnails)), []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = candidates.itertuples(index=False)
        while batch := list(islice(rows, 256)):
            unlinked = [row for row in batch if forest.root(row.first) != forest.root(row.second)]
            verdicts = pool.map(lambda row: _agreement(thumbnails, row), unlinked)
            for row, agreement in zip(unlinked, verdicts, strict=True):
                if agreement >= MIN_AGREEMENT and forest.join(row.first, row.second):
                    kind = "mirrored" if row.mirrored else "near"
                    links.append((row.first, row.second, kind, row.distance, agreement))
    return pd.DataFrame(links, columns=_LINK)


def group_ids(count: int, links: pd.DataFrame) -> np.ndarray:
    """Connected components of `count` rows, linked by the columns first and second: (count,) int64 ids from 0."""
    forest = _Forest(count)
    for first, second in zip(links["first"], links["second"], strict=True):
        forest.join(first, second)
    roots = np.array([forest.root(row) for row in range(count)], dtype=np.int64)
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


@dataclass
class _Forest:
    """Disjoint sets of row numbers; the root of a set is its smallest row."""

    count: int
    parent: list[int] = field(init=False)

    def __post_init__(self):
        self.parent = list(range(self.count))

    def root(self, row: int) -> int:
        while self.parent[row] != row:
            self.parent[row] = row = self.parent[self.parent[row]]
        return row

    def join(self, first: int, second: int) -> bool:
        """Join two sets; False if they were one already."""
        low, high = sorted((self.root(first), self.root(second)))
        self.parent[high] = low
        return low != high


def _crop_matrix(share: float, offset: float) -> np.ndarray:
    """(12, 64) float32: low DCT frequencies along one axis, after cropping `share` of it at `offset` in [0, 1]."""
    centres = (np.arange(THUMBNAIL) + 0.5) * (1 - share) + share * offset * THUMBNAIL - 0.5
    left = np.clip(np.floor(centres).astype(int), 0, THUMBNAIL - 2)
    fraction = np.clip(centres - left, 0, 1)
    crop = np.zeros((THUMBNAIL, THUMBNAIL))
    crop[np.arange(THUMBNAIL), left] = 1 - fraction
    crop[np.arange(THUMBNAIL), left + 1] += fraction
    return (dct(np.eye(THUMBNAIL), axis=0, norm="ortho")[:_FREQUENCIES] @ crop).astype(np.float32)


def _lowest_frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Vertical and horizontal frequency of each hash bit, lowest first, without the constant."""
    rows, columns = np.indices((_FREQUENCIES, _FREQUENCIES)).reshape(2, -1)
    order = np.lexsort((rows, rows + columns))[1 : _BITS + 1]
    return rows[order], columns[order]


_ROWS, _COLUMNS = _lowest_frequencies()


def _view_bits(thumbnails: np.ndarray, share: float, top: float, left: float) -> np.ndarray:
    """(N, 64, 64) uint8 -> (N, 128) bool: signs of the DCT of a cropped view."""
    vertical, horizontal = _crop_matrix(share, top), _crop_matrix(share, left)
    bits = np.empty((len(thumbnails), _BITS), dtype=bool)
    for start in range(0, len(thumbnails), 2048):  # 2,048 thumbnails are 32 MB as float32
        part = thumbnails[start : start + 2048].astype(np.float32)
        coefficients = vertical @ (part @ horizontal.T)  # (n, 12, 12)
        # Rounding leaves about 1e-3 of an exact zero; a real frequency of an 8-bit picture is far above.
        bits[start : start + 2048] = coefficients[:, _ROWS, _COLUMNS] > 0.05
    return bits


def _pack(bits: np.ndarray) -> np.ndarray:
    """(N, 128) bool -> (N, 2) uint64."""
    return np.packbits(bits, axis=1).view(np.uint64)


def _candidates(thumbnails: np.ndarray) -> pd.DataFrame:
    """Pairs of rows with a view closer than MAX_DISTANCE bits, nearest first: first, second, distance, view, mirrored.

    The view is of `first`: _CROPS[view] of it looks like `second`, mirrored or not.
    """
    tables = _Tables(_view_bits(thumbnails, *_CROPS[0]))
    found = [pd.DataFrame(columns=["first", "second", "distance", "view", "mirrored"], dtype=np.int64)]
    odd = _COLUMNS % 2 == 1  # mirroring left to right negates the odd horizontal frequencies
    for view, crop in enumerate(_CROPS):
        bits = _view_bits(thumbnails, *crop)
        for mirrored in (False, True):
            pairs = tables.lookup(bits ^ odd if mirrored else bits)
            found.append(pairs.assign(view=view, mirrored=mirrored))
    pairs = pd.concat(found, ignore_index=True).sort_values(["distance", "view", "mirrored"], kind="stable")
    low, high = np.sort(pairs[["first", "second"]].to_numpy(np.int64), axis=1).T
    return pairs[~pd.Series(low * len(thumbnails) + high, index=pairs.index).duplicated()]


class _Tables:
    """Hash tables over (N, 128) bool: two hashes that share all sampled bits of one table meet in a bucket."""

    def __init__(self, bits: np.ndarray):
        self.hashes = _pack(bits)
        width = max(1, round(np.log2(max(2, len(bits)))) - 3)  # about eight members a bucket
        rng = np.random.default_rng(0)
        self.samples = np.zeros((_BITS, BANDS), dtype=np.float32)
        for band in range(BANDS):
            self.samples[rng.choice(_BITS, width, replace=False), band] = 2.0 ** np.arange(width)
        keys = self._keys(bits)
        self.order = np.argsort(keys, axis=0, kind="stable")  # (N, BANDS)
        sizes = np.stack([np.bincount(column, minlength=2**width) for column in keys.T], axis=1)
        self.starts = np.cumsum(sizes, axis=0) - sizes
        self.sizes = np.minimum(sizes, BUCKET)

    def _keys(self, bits: np.ndarray) -> np.ndarray:
        return (bits.astype(np.float32) @ self.samples).astype(np.int64)

    def lookup(self, bits: np.ndarray) -> pd.DataFrame:
        """Rows of `bits` and the rows of the tables within MAX_DISTANCE: columns first, second, distance."""
        queries, keys = _pack(bits), self._keys(bits)
        parts = [np.empty((0, 3), dtype=np.int64)]
        for start in range(0, len(bits), 8192):  # bounds the memory at 8192 x BUCKET pairs
            for band in range(BANDS):
                parts.append(self._compare(queries, keys, slice(start, start + 8192), band))
        pairs = np.unique(np.concatenate(parts), axis=0)
        return pd.DataFrame(pairs, columns=["first", "second", "distance"])

    def _compare(self, queries: np.ndarray, keys: np.ndarray, rows: slice, band: int) -> np.ndarray:
        """(P, 3) int64 first, second, distance of one band's buckets."""
        buckets = keys[rows, band]
        sizes = self.sizes[buckets, band]
        first = np.repeat(np.arange(rows.start, rows.start + len(buckets)), sizes)
        within = np.arange(len(first)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        second = self.order[np.repeat(self.starts[buckets, band], sizes) + within, band]
        distance = np.bitwise_count(queries[first] ^ self.hashes[second]).sum(axis=1, dtype=np.int64)
        near = (distance <= MAX_DISTANCE) & (first != second)
        return np.stack([first[near], second[near], distance[near]], axis=1)


def _agreement(thumbnails: np.ndarray, pair) -> float:
    """Share of the texture, by weight, that two thumbnails have in common when aligned; 0 if they cannot be."""
    moving = _smooth(thumbnails[pair.first])
    fixed = _smooth(thumbnails[pair.second][:, ::-1] if pair.mirrored else thumbnails[pair.second])
    share, top, left = _CROPS[pair.view]
    guess = np.float32([[1 - share, 0, share * left * THUMBNAIL], [0, 1 - share, share * top * THUMBNAIL]])
    as_found = _agreement_under(guess, moving, fixed)
    if as_found >= MIN_AGREEMENT:
        return as_found
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-3)
    try:
        _, warp = cv2.findTransformECC(fixed, moving, guess, cv2.MOTION_AFFINE, criteria, None, 5)
    except cv2.error:  # flat, or nothing in common: the alignment did not converge
        return as_found
    is_small = np.abs(warp - np.eye(2, 3)).max(axis=0) <= (_MAX_WARP, _MAX_WARP, _MAX_WARP * THUMBNAIL)
    return max(as_found, _agreement_under(warp, moving, fixed)) if is_small.all() else as_found


def _smooth(thumbnail: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(np.ascontiguousarray(thumbnail, dtype=np.float32), (0, 0), 0.8)


def _agreement_under(warp: np.ndarray, moving: np.ndarray, fixed: np.ndarray) -> float:
    """Weighted share of pixels that are the same in both, after `warp` (2, 3) and one change of contrast and level.

    Same: the 7x7 neighbourhoods correlate above 0.95, and their means differ by less than 8 levels. The weight is the
    local deviation, 0 where that is noise.
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(moving, warp, fixed.shape, flags=flags)
    inside = cv2.warpAffine(np.ones_like(moving), warp, fixed.shape, flags=flags) > 0.99
    mean_a, mean_b = _local_mean(warped), _local_mean(fixed)
    var_a = _local_mean(warped * warped) - mean_a**2
    var_b = _local_mean(fixed * fixed) - mean_b**2
    covariance = _local_mean(warped * fixed) - mean_a * mean_b
    weight = np.sqrt(np.maximum(np.maximum(var_a, var_b), 0)) * inside
    weight[weight < _NOISE] = 0
    same = (covariance > 0.95 * np.sqrt(np.maximum(var_a * var_b, 1e-6))) & (weight > 0)
    if same.sum() < 50:
        return 0.0
    gain = fixed[same].std() / max(warped[same].std(), 1e-3)
    level = np.median(fixed[same] - gain * warped[same])
    same &= np.abs(mean_b - gain * mean_a - level) < 8
    return float((weight * same).sum() / weight.sum()) if 0.75 < gain < 1.33 else 0.0


def _local_mean(image: np.ndarray) -> np.ndarray:
    return cv2.boxFilter(image, -1, (7, 7), borderType=cv2.BORDER_REFLECT)

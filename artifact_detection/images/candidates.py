"""Which pairs of images could show the same picture? A hash answers without comparing all pairs.

Hash: the signs of the 128 lowest DCT frequencies of a 64x64 grey thumbnail (Zauner, "Implementation and benchmarking
of perceptual image hash functions", 2010, with more bits: portraits of one composition share the lowest ones).
Search: every image looks up the hashes of slightly cropped views of itself, and of its mirror image, in tables keyed
by random samples of the bits (locality-sensitive hashing: Indyk and Motwani, STOC 1998).
"""

import numpy as np
import pandas as pd
from scipy.fft import dct

from artifact_detection.images.measurements import THUMBNAIL

MAX_DISTANCE = 32  # bits of 128 in which the hashes of a candidate pair may differ
MIN_COSINE = 0.7  # between the frequencies themselves: a cheap look before pixels are compared
TABLES = 24  # hash tables for the whole image
VIEW_TABLES = 12  # … and for each cropped view: its neighbours among the views find a copy as well
BUCKET = 64  # members of a bucket that are compared at most, so that thousands of copies stay cheap
VIEWS = [(0.0, 0.5, 0.5), (0.03, 0.5, 0.5)] + [(0.06, top, left) for top in (0, 0.5, 1) for left in (0, 0.5, 1)]
"""(share cropped off each axis, position of the crop from top and left in [0, 1]); the first is the whole image."""
_MIRRORED_VIEWS = 2
_FREQUENCIES = 12
_BITS = 128
_COLUMNS = ["first", "second", "distance", "view", "mirrored"]


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """(N, 64, 64) uint8 grey thumbnails -> (N, 2) uint64: 128 bits each, comparable by Hamming distance."""
    return _pack(_signs(_spectra(thumbnails, VIEWS[0])))


def hash_distances(thumbnails: np.ndarray) -> np.ndarray:
    """(N, 64, 64) uint8 -> (N, N) int64: bits in which the hashes differ. All pairs: for a few thousand at most."""
    hashes = perceptual_hashes(thumbnails)
    return np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=-1, dtype=np.int64)


def find_candidates(thumbnails: np.ndarray) -> pd.DataFrame:
    """Pairs that could be near-duplicates, nearest first: first and second (rows), distance (bits), view, mirrored.

    VIEWS[view] of the first looks like the second, or like its mirror image. thumbnails: (N, 64, 64) uint8 grey.
    """
    hashes = _hashes_of_views(thumbnails)
    tables = _Tables(_unpack(hashes[0]))
    found = [pd.DataFrame(columns=_COLUMNS, dtype=np.int64)]
    for view, packed in enumerate(hashes):
        bits = _unpack(packed)
        bands = VIEW_TABLES if view else TABLES
        found.append(tables.lookup(bits, bands).assign(view=view, mirrored=0))
        if view < _MIRRORED_VIEWS:
            found.append(tables.lookup(bits ^ _IS_ODD, bands).assign(view=view, mirrored=1))
    nearest = pd.concat(found, ignore_index=True).sort_values(["distance", "view", "mirrored"], kind="stable")
    low, high = nearest[["first", "second"]].min(axis=1), nearest[["first", "second"]].max(axis=1)
    nearest = nearest[~(low * len(thumbnails) + high).duplicated()]
    return nearest[_cosines(thumbnails, nearest) >= MIN_COSINE]


def _axis_matrix(share: float, offset: float) -> np.ndarray:
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
    vertical, horizontal = np.indices((_FREQUENCIES, _FREQUENCIES)).reshape(2, -1)
    order = np.lexsort((vertical, vertical + horizontal))[1 : _BITS + 1]
    return vertical[order], horizontal[order]


_VERTICAL, _HORIZONTAL = _lowest_frequencies()
_IS_ODD = _HORIZONTAL % 2 == 1  # mirroring left to right negates these


def _spectra(thumbnails: np.ndarray, view: tuple[float, float, float]) -> np.ndarray:
    """(N, 64, 64) uint8 -> (N, 128) float32: DCT coefficients of a cropped view, lowest frequency first."""
    share, top, left = view
    down, across = _axis_matrix(share, top), _axis_matrix(share, left)
    spectra = np.empty((len(thumbnails), _BITS), dtype=np.float32)
    for start in range(0, len(thumbnails), 1024):  # small enough for the processor's cache
        part = thumbnails[start : start + 1024].astype(np.float32)
        narrow = (part.reshape(-1, THUMBNAIL) @ across.T).reshape(len(part), THUMBNAIL, _FREQUENCIES)
        spectra[start : start + 1024] = (down @ narrow)[:, _VERTICAL, _HORIZONTAL]
    return spectra


def _hashes_of_views(thumbnails: np.ndarray) -> np.ndarray:
    """(N, 64, 64) uint8 -> (views, N, 2) uint64: the hash of every view, all of them in two large products."""
    axes = sorted({(share, offset) for share, *offsets in VIEWS for offset in offsets})
    frequencies = np.concatenate([_axis_matrix(*axis) for axis in axes])  # (F, 64), 12 for each axis
    down = np.array([axes.index((share, top)) for share, top, _ in VIEWS])[:, None] * _FREQUENCIES + _VERTICAL
    across = np.array([axes.index((share, left)) for share, _, left in VIEWS])[:, None] * _FREQUENCIES + _HORIZONTAL
    places = across * len(frequencies) + down  # (views, 128), where each view has its frequencies
    hashes = np.empty((len(VIEWS), len(thumbnails), 2), dtype=np.uint64)
    for start in range(0, len(thumbnails), 256):  # small enough for the processor's cache
        part = thumbnails[start : start + 256].astype(np.float32)
        narrow = (part.reshape(-1, THUMBNAIL) @ frequencies.T).reshape(len(part), THUMBNAIL, -1)  # (P, 64, F)
        columns = np.ascontiguousarray(narrow.transpose(0, 2, 1)).reshape(-1, THUMBNAIL)  # (P * F, 64)
        spectra = (columns @ frequencies.T).reshape(len(part), -1)[:, places]  # (P, views, 128)
        hashes[:, start : start + 256] = _pack(_signs(spectra)).transpose(1, 0, 2)
    return hashes


def _signs(spectra: np.ndarray) -> np.ndarray:
    """(N, 128) bool. Rounding leaves about 1e-3 of an exact zero; what a real picture holds is far above."""
    return spectra > 0.05


def _pack(bits: np.ndarray) -> np.ndarray:
    """(..., 128) bool -> (..., 2) uint64."""
    return np.packbits(bits, axis=-1).view(np.uint64)


def _unpack(hashes: np.ndarray) -> np.ndarray:
    """(N, 2) uint64 -> (N, 128) bool."""
    return np.unpackbits(hashes.view(np.uint8), axis=1).view(bool)


def _cosines(thumbnails: np.ndarray, pairs: pd.DataFrame) -> np.ndarray:
    """(P,) float32: cosine between the spectra of each pair, under its view."""
    whole = _spectra(thumbnails, VIEWS[0])
    cosines = np.empty(len(pairs), dtype=np.float32)
    for view, rows in pairs.groupby("view").indices.items():
        part = pairs.iloc[rows]
        viewed, position = np.unique(part["first"], return_inverse=True)
        first = _spectra(thumbnails[viewed], VIEWS[view])[position]
        first = np.where(part["mirrored"].to_numpy(bool)[:, None] & _IS_ODD, -first, first)
        second = whole[part["second"]]
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        cosines[rows] = np.einsum("ij,ij->i", first, second) / np.maximum(norms, 1e-6)
    return cosines


class _Tables:
    """Hash tables over (N, 128) bool: two hashes that agree in all sampled bits of one table meet in a bucket."""

    def __init__(self, bits: np.ndarray):
        width = max(1, round(np.log2(max(2, len(bits)))) - 3)  # about eight members a bucket
        self.key_type = np.min_scalar_type(2**width - 1)
        rng = np.random.default_rng(0)
        self.samples = np.zeros((_BITS, TABLES), dtype=np.float32)
        for table in range(TABLES):
            self.samples[rng.choice(_BITS, width, replace=False), table] = 2.0 ** np.arange(width)
        keys, hashes = self._keys(bits), _pack(bits)
        self.rows = np.argsort(keys, axis=0, kind="stable").T.copy()  # (TABLES, N), bucket after bucket
        self.hashes = hashes[self.rows]  # (TABLES, N, 2) in the same order, so that a bucket is read in one go
        sizes = np.stack([np.bincount(column, minlength=2**width) for column in keys.T])
        self.starts = np.cumsum(sizes, axis=1) - sizes
        self.sizes = np.minimum(sizes, BUCKET)

    def _keys(self, bits: np.ndarray) -> np.ndarray:
        """(N, TABLES) bucket numbers, in few bits: numpy sorts 16 of them by radix."""
        return (bits.astype(np.float32) @ self.samples).astype(self.key_type)

    def lookup(self, bits: np.ndarray, tables: int) -> pd.DataFrame:
        """Rows of `bits` and rows of the tables within MAX_DISTANCE: columns first, second, distance."""
        queries, keys = _pack(bits), self._keys(bits)
        found = [np.empty((0, 3), dtype=np.int64)]
        for table in range(tables):
            order = np.argsort(keys[:, table], kind="stable")  # neighbours read the same bucket
            for start in range(0, len(order), 4096):  # bounds the memory at 4096 x BUCKET pairs
                rows = order[start : start + 4096]
                found.append(self._compare(queries[rows], rows, keys[rows, table], table))
        pairs = pd.DataFrame(np.concatenate(found), columns=["first", "second", "distance"])
        return pairs.drop_duplicates(["first", "second"])

    def _compare(self, queries: np.ndarray, rows: np.ndarray, buckets: np.ndarray, table: int) -> np.ndarray:
        """(P, 3) int64 first, second, distance: queries (Q, 2) uint64 of `rows` against the members of `buckets`."""
        sizes = self.sizes[table, buckets]
        query = np.repeat(np.arange(len(rows)), sizes)
        before = np.cumsum(sizes) - sizes  # pairs of the queries that come first
        member = np.arange(len(query)) + np.repeat(self.starts[table, buckets] - before, sizes)
        differing = np.bitwise_count(queries[query] ^ self.hashes[table, member])
        distance = differing[:, 0] + differing[:, 1]  # 128 at most: a byte holds it
        near = np.flatnonzero(distance <= MAX_DISTANCE)
        first, second = rows[query[near]], self.rows[table, member[near]]
        return np.stack([first, second, distance[near]], axis=1)[first != second]

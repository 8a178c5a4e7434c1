"""Near-duplicate images: candidates come from a hash, pixels decide.

Two pictures are near-duplicates if, after one thumbnail is aligned to the other (enhanced correlation coefficient:
Evangelidis and Psarakis, TPAMI 2008), two fifths of the texture is the same. Edits of a part (a text, an injected
artifact) therefore still link an image to its origin, and another face in the same pose does not.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from artifact_detection.images.candidates import VIEWS, find_candidates
from artifact_detection.images.measure import PIXELS
from artifact_detection.images.measurements import THUMBNAIL, Measurements
from artifact_detection.system.threads import cores

MIN_AGREEMENT = 0.4  # share of the texture that must be the same: an edit may cover the rest; others had < 0.31
MIN_ALIGNED = 0.6  # … after an alignment; pairs of other portraits, real or drawn, had less than 0.44
_MAX_WARP = 0.15  # of the thumbnail's side: farther than any small crop
_HOPELESS = 0.03  # agreement before alignment that no alignment lifts over the bar (1 % of real crops start below)
_NOISE = 2.0  # grey levels: local deviations below are noise, not texture
_STRONG = 16.0  # … and above count no more, so that neither outlines nor a bright text decide alone
_BLOCK = 256  # pairs whose pixels are compared at a time, on all cores
_LINK = ["first", "second", "kind", "distance", "agreement"]


def duplicate_groups(measured: Measurements) -> np.ndarray:
    """(N,) int64 group ids: exact, near and mirrored duplicates share one; an unreadable file stands alone."""
    return group_ids(len(measured.table), duplicate_links(measured))


def duplicate_links(measured: Measurements) -> pd.DataFrame:
    """What links the rows of a table of measurements: exact duplicates first, then near ones.

    Columns as `near_duplicate_pairs`; kind is also "same file" (bytes) or "same pixels". Unreadable files are not
    linked. Rows of one group form a chain or a tree of links: n copies give n - 1 rows.
    """
    readable = measured.table[measured.table["error"] == ""]
    same_file = _chains(readable, ["sha256"], "same file")
    distinct = readable.drop(index=same_file["second"])
    same_pixels = _chains(distinct, PIXELS, "same pixels")
    distinct = distinct.drop(index=same_pixels["second"]).index.to_numpy()
    near = near_duplicate_pairs(measured.thumbnails[distinct])
    near = near.assign(first=distinct[near["first"]], second=distinct[near["second"]])
    return pd.concat([same_file, same_pixels, near], ignore_index=True)


def _chains(table: pd.DataFrame, columns: list[str], kind: str) -> pd.DataFrame:
    """A link from the first row to each other row that is equal in these columns."""
    first = table.index.to_series().groupby([table[column] for column in columns]).transform("first")
    first = first[first != first.index]
    links = {"first": first.to_numpy(), "second": first.index.to_numpy(), "kind": kind, "distance": 0, "agreement": 1.0}
    return pd.DataFrame(links, columns=_LINK)


def near_duplicate_pairs(thumbnails: np.ndarray) -> pd.DataFrame:
    """The links between near-duplicates, closest first: columns first, second (rows), kind, distance, agreement.

    kind is "near" or "mirrored"; distance is in bits of 128; agreement in [0.4, 1] is the share of the texture that
    is the same. Links inside a group that is connected already are left out, so n copies give n - 1 rows. Images
    without any texture (one flat colour) are never linked.
    """
    groups, links, candidates = DisjointSet(range(len(thumbnails))), [], find_candidates(thumbnails)
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(candidates), _BLOCK):
            pairs = candidates.iloc[start : start + _BLOCK].itertuples(index=False)
            apart = [pair for pair in pairs if not groups.connected(pair.first, pair.second)]
            for pair, agreement in zip(apart, pool.map(partial(_agreement, thumbnails), apart), strict=True):
                if agreement and groups.merge(pair.first, pair.second):
                    kind = "mirrored" if pair.mirrored else "near"
                    links.append((pair.first, pair.second, kind, pair.distance, agreement))
    return pd.DataFrame(links, columns=_LINK)


def group_ids(count: int, links: pd.DataFrame) -> np.ndarray:
    """Connected components of `count` rows, linked by the columns first and second: (count,) int64 ids from 0."""
    ends = links["first"].to_numpy(int), links["second"].to_numpy(int)
    graph = coo_array((np.ones(len(links)), ends), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _agreement(thumbnails: np.ndarray, pair) -> float:
    """Share of the texture, by weight, that two thumbnails have in common; 0 if that is too little.

    MIN_AGREEMENT is enough where they lie on each other as they are or under the view that made them candidates. An
    alignment can fit outlines of different people, so what needs one needs MIN_ALIGNED.
    """
    moving = _smooth(thumbnails[pair.first])
    fixed = _smooth(thumbnails[pair.second][:, ::-1] if pair.mirrored else thumbnails[pair.second])
    guesses = [_crop(*VIEWS[view]) for view in {0, pair.view}]
    found, guess = max(((_agreement_under(guess, moving, fixed), guess) for guess in guesses), key=lambda pair: pair[0])
    if found >= MIN_AGREEMENT or found < _HOPELESS:
        return found if found >= MIN_AGREEMENT else 0.0
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-3)
    try:
        _, warp = cv2.findTransformECC(fixed, moving, guess, cv2.MOTION_AFFINE, criteria, None, 5)
    except cv2.error:  # nothing in common: the alignment did not converge
        return 0.0
    is_small = np.abs(warp - np.eye(2, 3)).max(axis=0) <= (_MAX_WARP, _MAX_WARP, _MAX_WARP * THUMBNAIL)
    aligned = _agreement_under(warp, moving, fixed) if is_small.all() else 0.0
    return aligned if aligned >= MIN_ALIGNED else 0.0


def _crop(share: float, top: float, left: float) -> np.ndarray:
    """(2, 3) float32: from the pixels of a cropped view to those of the whole thumbnail."""
    return np.float32([[1 - share, 0, share * left * THUMBNAIL], [0, 1 - share, share * top * THUMBNAIL]])


def _smooth(thumbnail: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(np.ascontiguousarray(thumbnail, dtype=np.float32), (0, 0), 0.8)


def _agreement_under(warp: np.ndarray, moving: np.ndarray, fixed: np.ndarray) -> float:
    """Weighted share of pixels that are the same in both, after `warp` (2, 3) and one change of contrast and level.

    Same: the 7x7 neighbourhoods correlate above 0.95, and their means differ by less than 8 levels. The weight is the
    local deviation between _NOISE and _STRONG.
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(moving, warp, fixed.shape, flags=flags)
    inside = cv2.warpAffine(np.ones_like(moving), warp, fixed.shape, flags=flags) > 0.99
    mean_a, mean_b = _local_mean(warped), _local_mean(fixed)
    var_a = _local_mean(warped * warped) - mean_a**2
    var_b = _local_mean(fixed * fixed) - mean_b**2
    covariance = _local_mean(warped * fixed) - mean_a * mean_b
    weight = np.sqrt(np.clip(np.maximum(var_a, var_b), 0, _STRONG**2)) * inside
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

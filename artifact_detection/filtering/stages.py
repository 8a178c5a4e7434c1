"""The stages that look at pixels: scores, re-encoded borderline images, heat maps. Each goes on where it stopped."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from heapq import nsmallest
from itertools import chain

import cv2
import numpy as np
import torch
from tqdm import tqdm

from artifact_detection.detector.heatmaps import heatmaps
from artifact_detection.detector.regions import coarse_map, find_regions, to_text
from artifact_detection.detector.scoring import Scorer, filled_up
from artifact_detection.filtering import int8
from artifact_detection.filtering.inputs import Item
from artifact_detection.filtering.policy import Policy
from artifact_detection.filtering.reading import Prepared, opened, prepare
from artifact_detection.filtering.results import Judged, need_of_a_look
from artifact_detection.filtering.store import COLUMNS, Record, Store, Stores
from artifact_detection.images.decoding import ImageError
from artifact_detection.images.reencoding import REENCODINGS
from artifact_detection.images.transforms import Preprocessing, evaluation_transform
from artifact_detection.system.processes import Crew
from artifact_detection.system.threads import in_order, prepared_batches

HEATMAP, OWN_MAP = 14, 28  # sides of a stored heat map: LayerCAM sees no finer, a dense head does
HEATMAP_BATCH = 4  # images: in float32, with gradients, they take much more memory than a score
SETTLED_BATCH = 4  # images: a batch is filled up, and there may be few
RETRIED = ("unreadable", "vanished", "changed")  # a permission or a mount may be back, and shows in no stamp
GENTLE = ("JPEG 85", "JPEG 60", "resize 0.5x", "resize 0.75x")  # what happens to files on their way


def pending_batches(items: Sequence[Item], stores: Stores, size: int) -> list[list[Item]]:
    """What is left to score, in batches: the items without a record, then the files that could not be read before."""
    new, again, errors = [], [], stores.errors()
    for item in items:
        error = errors.get((item.path, *item.stamp))
        if error is None:
            new.append(item)
        elif not item.problem and error.startswith(RETRIED):
            again.append(item)
    # Not mixed: what is left after a kill is then whole batches of the first run, and after them the second kind.
    return _batches(new, size) + _batches(again, size)


def _batches(items: Sequence[Item], size: int) -> list[list[Item]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def score_batches(scorer: Scorer, batches: Sequence[list[Item]], store: Store, thumbnails: bool, threads: int) -> None:
    """Score items and store their records, a batch at a time; reading, scoring and writing overlap."""
    ready = partial(prepare, preprocessing=scorer.preprocessing, thumbnail=thumbnails)
    read_ahead = prepared_batches(ready, batches, threads)
    parallel, total = scorer.engine.parallel, sum(map(len, batches))
    score = partial(_score_batch, scorer, own_maps=thumbnails)
    scored = in_order(score, read_ahead, parallel, parallel)
    with ThreadPoolExecutor(1) as writer, tqdm(total=total, desc="scoring", unit="img", disable=None) as bar:
        written = writer.submit(int)
        for records in scored:
            written.result()  # a full disk stops the run here, not at its end
            written = writer.submit(store.add, records)
            bar.update(len(records))
        written.result()


def _score_batch(scorer: Scorer, batch: list[Prepared], own_maps: bool) -> list[Record]:
    """Rows keep their place in the batch, whatever cannot be used: results do not depend on the neighbours' fate."""
    blank = torch.zeros((3, *scorer.preprocessing.shape), dtype=torch.uint8)
    images = [blank if one.image is None else one.image for one in batch]
    if scorer.has_regions:
        probabilities, maps = scorer.evidence_batch(images)
    else:
        probabilities, maps = scorer.score_batch(images), [None] * len(images)
    for one, probability, evidence in zip(batch, probabilities, maps, strict=True):
        if one.image is not None and np.isnan(probability):
            one.record.error = "no score: the network gives NaN"
        elif one.image is not None:
            one.record.probability = float(probability)
            if evidence is not None:
                _add_regions(one, evidence, scorer.preprocessing, own_maps)
    return [one.record for one in batch]


def _add_regions(one: Prepared, maps: np.ndarray, preprocessing: Preprocessing, heatmap: bool) -> None:
    """Put what the dense head's maps (1 + families, h, w) say of an image into its record."""
    record = one.record
    record.regions = to_text(find_regions(maps, preprocessing, one.view, record.width, record.height))
    if heatmap:
        record.heatmap = _as_bytes(coarse_map(maps, preprocessing, one.view, OWN_MAP))


def _as_bytes(heatmap: np.ndarray) -> bytes:
    return (255 * heatmap).round().astype(np.uint8).tobytes()


def near_an_edge(judged: Sequence[Judged], rules: Policy, margin: float) -> list[Item]:
    """The images whose verdict the fast network cannot give, those included that have been settled already."""
    usable = [row for row in judged if row.band]
    near = int8.is_near([row.record.probability for row in usable], rules.edges(), margin)
    return [row.item for row, close in zip(usable, near, strict=True) if close or row.record.exact]


def borderline(judged: Sequence[Judged], rules: Policy, margin: float) -> list[Item]:
    """The images whose probability alone is banded within `margin` of a threshold."""
    usable = [row for row in judged if row.band]
    near = rules.are_borderline([row.record.probability for row in usable], margin)
    return [row.item for row, close in zip(usable, near, strict=True) if close]


def most_doubtful(judged: Sequence[Judged], count: int) -> list[Item]:
    """What a person looks at first: review, then reject, then keep, each from the highest probability down."""
    usable = [row for row in judged if row.band]
    return [row.item for row in nsmallest(count, usable, key=need_of_a_look)]


def share(items: Sequence[Item], stores: Stores, crew: Crew) -> list[Item]:
    # by store, for only one process may write to each
    return [item for item in items if stores.owner(item) % crew.world == crew.rank]


def rescore_near_thresholds(scorer: Scorer, items: Sequence[Item], stores: Stores, threads: int) -> None:
    """Replace the probability of items by the exact network's, where that was not done yet."""
    exact = scorer.with_engine(scorer.exact, SETTLED_BATCH)

    def scores(images: list[torch.Tensor]) -> list[dict]:
        return [{"probability": probability, "exact": True} for probability in exact.score(images).tolist()]

    views = partial(_views, change=lambda pixels: [pixels], scorer=scorer)
    _complete(items, SETTLED_BATCH, lambda record: record.exact, stores, views, scores, "near a threshold", threads)


def _views(item: Item, change: Callable[[np.ndarray], Iterable[np.ndarray]], scorer: Scorer) -> list[torch.Tensor]:
    """What the network sees of an item's pixels after `change`; nothing if the item cannot be read any more."""
    with suppress(ImageError), opened(item) as image:  # it may have gone or changed since it was scored
        return [evaluation_transform(pixels, scorer.preprocessing) for pixels in change(image.pixels)]
    return []


def rescore(scorer: Scorer, items: Sequence[Item], stores: Stores, threads: int) -> None:
    """Store the lowest and the highest probability of items under re-encoding, where they are not known."""

    def reencode(pixels: np.ndarray) -> Iterator[np.ndarray]:
        return (REENCODINGS[name](pixels) for name in GENTLE)  # one after another: an image may be large

    def extremes(images: list[torch.Tensor]) -> list[dict]:
        probabilities = scorer.score(images).reshape(-1, len(GENTLE)).tolist()
        return [{"lowest": min(row), "highest": max(row)} for row in probabilities]

    size, views = max(1, scorer.batch // len(GENTLE)), partial(_views, change=reencode, scorer=scorer)
    _complete(items, size, lambda record: record.lowest is not None, stores, views, extremes, "re-encoding", threads)


def add_heatmaps(scorer: Scorer, items: Sequence[Item], stores: Stores, threads: int) -> None:
    preprocessing = scorer.preprocessing

    def view(item: Item) -> list[tuple[torch.Tensor, tuple]]:
        with suppress(ImageError), opened(item) as image:
            where = preprocessing.view(image.pixels)
            return [(evaluation_transform(image.pixels, preprocessing, where), where)]
        return []

    def coarse_maps(views: list[tuple[torch.Tensor, tuple]]) -> list[dict]:
        device = next(scorer.model.parameters()).device
        images, seen = zip(*views, strict=True)
        maps, _ = heatmaps(scorer.model, filled_up(images, HEATMAP_BATCH).to(device))
        whole = (preprocessing.on_image(one, where) for one, where in zip(maps, seen, strict=False))
        coarse = (cv2.resize(one, (HEATMAP, HEATMAP), interpolation=cv2.INTER_AREA) for one in whole)
        return [{"heatmap": _as_bytes(one)} for one in coarse]

    _complete(items, HEATMAP_BATCH, lambda record: record.heatmap, stores, view, coarse_maps, "heat maps", threads)


def _complete(
    items: Sequence[Item], size: int, has: Callable[[Record], object], stores: Stores, views: Callable[[Item], list],
    find_out: Callable[[list], list[dict]], description: str, threads: int,
) -> None:  # fmt: skip
    """Add what `find_out` says of the views of each item, `size` at a time, to its record, where it `has` that not."""
    # whole batches, as a run that was not interrupted makes them
    batches = [batch for batch in _batches(items, size) if not all(has(stores.find(item, COLUMNS)) for item in batch)]
    ready = prepared_batches(views, batches, threads)
    with tqdm(total=sum(map(len, batches)), desc=description, unit="img", disable=None) as bar:
        for batch, images in zip(batches, ready, strict=True):
            readable = [item for item, some in zip(batch, images, strict=True) if some]
            values = find_out(list(chain.from_iterable(images))) if readable else []
            for item, extra in zip(readable, values, strict=True):
                store = stores.stores[stores.owner(item)]
                store.add([replace(store.find(item.path, COLUMNS), **extra)])
            bar.update(len(batch))
    stores.commit()

"""What does the filter spend beside the network?

    python benchmarks/filter_overhead.py --count 1000000                 # on its tables
    python benchmarks/filter_overhead.py --images FACES       # and on PNG files of 1024x1024

Fills a store with `count` made-up records (thumbnails of 5 kB for every hundredth, none for the others) and measures
CPU seconds of one thread: which items are left to score, one reading and judging of all of them (a run does that one to
four times), the choice of those near a threshold, and storing records as a run does, in batches of 16. Images: median
CPU ms of one thread to read, hash, decode, measure, draw a thumbnail and shrink one to 224 px, in either interpolation,
and of imagecodecs' bare decoding, in turns.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import torch
from filter_parts import write_pngs
from project import shuffled

from artifact_detection.filtering import stages
from artifact_detection.filtering.inputs import Item
from artifact_detection.filtering.policy import Policy, manual_bands
from artifact_detection.filtering.reading import prepare
from artifact_detection.filtering.results import judge_all
from artifact_detection.filtering.store import LAYOUT, MEASURES, Record, Store, Stores, database
from artifact_detection.images.transforms import INTERPOLATIONS, Preprocessing
from artifact_detection.system.arguments import script_parser

BATCH, IMAGES = 16, 48


def records(items: list[Item]) -> Iterator[Record]:
    rng = np.random.default_rng(0)
    measures, layout = np.float32(rng.random(len(MEASURES))).tobytes(), bytes(LAYOUT * LAYOUT * 3)
    for number, (item, probability) in enumerate(zip(items, rng.beta(0.3, 0.6, len(items)).tolist(), strict=True)):
        picture = b"" if number % 100 else bytes(5_000)
        yield Record.of(item, sha256=f"{number:064x}", probability=probability, measures=measures, layout=layout,
                        thumbnail=picture)  # fmt: skip


def clocked(name: str, count: int, act):
    start = time.process_time()
    result = act()
    seconds = time.process_time() - start
    print(f"{name:<28} {seconds:8.2f} CPU s  {seconds / count * 1e6:8.1f} µs an item", flush=True)
    return result


def measure_images(folder: Path) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        items = write_pngs(shuffled(folder)[:IMAGES], Path(scratch))
        acts = {how: partial(prepare, preprocessing=Preprocessing(224, how), thumbnail=True) for how in INTERPOLATIONS}
        acts["bare decoding"] = lambda item: imagecodecs.png_decode(Path(item.file).read_bytes())
        times = {name: [] for name in acts}
        for item in items:
            for name, act in acts.items():
                start = time.thread_time()
                act(item)
                times[name].append(1e3 * (time.thread_time() - start))
    print({name: f"{statistics.median(values):.1f} ms" for name, values in times.items()}, f"{len(items)} images")


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--images", type=Path, help="folder of images, flat")
    options = parser.parse_args()
    if options.images:
        measure_images(options.images)
    count = options.count
    rules = Policy(manual_bands([0.3, 0.7]), False)
    items = [Item(f"/images/{n:07d}.png", f"/images/{n:07d}.png", f"{n:07d}.png", -1, 5_000, n) for n in range(count)]
    with tempfile.TemporaryDirectory() as scratch:
        folder, made = Path(scratch), list(records(items))
        with Store(database(folder, "bench", 0)) as store:
            batches = [made[start : start + BATCH] for start in range(0, min(count, 16_000), BATCH)]
            clocked("store 16,000 in batches", min(count, 16_000), lambda: [store.add(batch) for batch in batches])
            store.add(made[16_000:])
        with Stores(folder, "bench") as stores:
            left = clocked("what is left to score", count, lambda: stages.pending_batches(items, stores, BATCH))
            assert not left
            judged = clocked("read and judge all", count, lambda: judge_all(items, stores, rules))
            clocked("near an edge", count, lambda: stages.near_an_edge(judged, rules, 0.5))
            clocked("borderline", count, lambda: stages.borderline(judged, rules, 0.15))
            clocked("most doubtful", count, lambda: stages.most_doubtful(judged, 200))


if __name__ == "__main__":
    main()

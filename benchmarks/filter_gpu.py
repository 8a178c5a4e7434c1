"""Does the filter keep a GPU busy, and what bounds it?

    python benchmarks/filter_gpu.py --images FACES --csv benchmarks/results/filter_gpu.csv

Times, in turns, round after round, with random weights, on `count` images (64 files under many names):
bare     the network alone, in the hardware's best precision and channels_last, on a batch that lies on the device
decoded  batches put together, copied, scored and brought back, as the filter does it, from decoded images in memory
filter   all of it on PNG files of 1024x1024: read, hash, decode, measure, resize, score, draw thumbnails, write
loader   without the network: read, hash, decode and resize on all cores, the bound of whatever reads such files
Rates are medians over the rounds; ratios are medians of the rounds' ratios.
"""

import argparse
import os
import tempfile
from collections import deque
from functools import partial
from pathlib import Path

import torch
from filter_parts import load_item, measure, random_scorer, run_filter, run_threads, write_pngs
from project import shuffled

from artifact_detection.detector.device import autocast, pick_device, pick_precision
from artifact_detection.detector.scoring import Scorer, TorchEngine, filled_up, usual_batch
from artifact_detection.filtering.inputs import Inputs, Item
from artifact_detection.images.decoding import read_image
from artifact_detection.images.transforms import evaluation_transform
from artifact_detection.system.memory import keep_freed_memory
from artifact_detection.system.threads import in_order

DISTINCT = 64  # files


def write_many(sources: list[Path], folder: Path, count: int) -> list[Item]:
    """`count` names of a few PNG files."""
    folder.mkdir()
    files = [item.file for item in write_pngs(sources[:DISTINCT], folder)]
    for number in range(len(files), count):
        os.link(files[number % len(files)], folder / f"{number:05d}.png")
    return Inputs.scan([str(folder)], folder / "none").items


@torch.inference_mode()
def run_bare(engine: TorchEngine, images: torch.Tensor, calls: int) -> None:
    with autocast(engine.device, engine.dtype):
        for _ in range(calls):
            logits = engine.model(images)
    logits.float().cpu()  # waits for the last one


def run_decoded(scorer: Scorer, batches: list[list[torch.Tensor]]) -> None:
    parallel = scorer.engine.parallel
    deque(in_order(scorer.score_batch, batches, parallel, parallel), maxlen=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of images, flat")
    parser.add_argument("--arch", default="vgg19")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, help="(default: the filter's)")
    parser.add_argument("--count", type=int, default=4096, help="images a round, in whole batches")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv", type=Path, help="where the table goes")
    options = parser.parse_args()
    keep_freed_memory(large=False)  # as filter_images.py does
    device = pick_device(options.device)
    scorer = random_scorer(options.arch)
    engine = TorchEngine(scorer.model, device, pick_precision("auto", device))
    scorer = scorer.with_engine(engine, options.batch or usual_batch(device))
    calls = options.count // scorer.batch
    with tempfile.TemporaryDirectory() as name:
        items = write_many(shuffled(options.images), Path(name) / "png", calls * scorer.batch)
        images = [evaluation_transform(read_image(item.file), scorer.preprocessing) for item in items[:DISTINCT]]
        batches = [[images[(n + row) % len(images)] for row in range(scorer.batch)] for n in range(calls)]
        resident = filled_up(batches[0], scorer.batch).to(scorer.engine.device)
        contestants = {
            "bare": partial(run_bare, scorer.engine, resident, calls),
            "decoded": partial(run_decoded, scorer, batches),
            "filter": partial(run_filter, scorer, items, Path(name)),
            "loader": partial(run_threads, partial(load_item, preprocessing=scorer.preprocessing), items),
        }
        wall = measure(contestants, options.rounds).pivot(index="round", columns="contestant", values="wall")
    found = (len(items) / wall.median()).rename("images_per_s").to_frame()
    for other in ("bare", "loader"):
        found[f"rate / {other}"] = wall.rdiv(wall[other], axis=0).median()
    found = found.loc[list(contestants)].round(3)
    print(f"{options.arch}, {scorer.engine.name}, batches of {scorer.batch}, {os.cpu_count()} cores")
    print(found.to_string())
    if options.csv:
        found.to_csv(options.csv)


if __name__ == "__main__":
    main()

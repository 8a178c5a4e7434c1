"""How fast does the filter score, against a plain PyTorch loop and against decoding alone? Which engine is fastest?

    python benchmarks/filter_speed.py --images FACES --model best.pt --csv benchmarks/results/filter_speed.csv
    python benchmarks/filter_speed.py --images FACES --arch mobilenet_v3_small   # random weights: for speed only

Writes `count` of the images as PNG files of 1024x1024, with Pillow, as generators do, and times, in turns, round after
round:
plain         what one writes first: Pillow, torchvision's transforms, a DataLoader, the network in float32
channels_last the same with the network and its input in channels_last, which suits a CPU better
torch         the filter with PyTorch in the hardware's best precision
no regions    the same with such a network without a dense head, where the detector has one
openvino-int8, onnx fp32: the filter with these, if they are installed: pip install openvino nncf onnxruntime onnx
openvino-int8 settled: as the filter does it, PyTorch deciding on images near the threshold
no network    the filter with an engine that does nothing: read, hash, decode, measure, resize, draw thumbnails, write
antialiased   the same, for a network trained with `--interpolation antialias`; regions are not looked for
loader        read, hash, decode, resize to the network's size: what must be done before any network, in threads
decode        reading and decoding alone, in threads
OpenCV, torchvision, Pillow: the same with the decoders that others' loaders use
Rates are medians over the rounds; ratios are medians of the rounds' ratios, so that a busy machine hits both sides.
CPU times (all threads and processes) hardly depend on what else the machine does.
The int8 network is quantised on int8.CALIBRATION other images and its margin found on int8.CHECK more, as the filter
does it; all engines are compared with PyTorch in float32 on further ones, or on those of `--unseen`, which the detector
was not trained on: mean |P - P'|, and equal verdicts at the checkpoint's threshold. near: images of these that are
settled.
"""

import copy
import importlib.util
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import compress
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from audit_speed import DECODERS
from filter_parts import CPU, OnnxEngine, load_item, measure, random_scorer, run_filter, run_threads, write_pngs
from PIL import Image
from project import shuffled
from torchvision.transforms import v2

from artifact_detection.detector.dense_head import STRIDE
from artifact_detection.detector.scoring import Scorer, TorchEngine, load_predictor
from artifact_detection.filtering import int8
from artifact_detection.filtering.inputs import Item
from artifact_detection.images.decoding import decode_file, read_image
from artifact_detection.images.transforms import Preprocessing, evaluation_transform
from artifact_detection.labels import FAMILIES
from artifact_detection.system.arguments import script_parser
from artifact_detection.system.memory import keep_freed_memory

OTHERS = ("OpenCV", "torchvision", "Pillow")


class PlainImages(torch.utils.data.Dataset):
    """Files as a first script reads them."""

    def __init__(self, paths: list[str], preprocessing: Preprocessing):
        resize = v2.Resize((preprocessing.size, preprocessing.size), antialias=True)
        normalise = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(preprocessing.mean, preprocessing.std)]
        self.paths, self.transform = paths, v2.Compose([v2.PILToTensor(), resize, *normalise])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


@torch.inference_mode()
def run_plain(scorer: Scorer, items: list[Item], layout: torch.memory_format) -> None:
    dataset = PlainImages([item.file for item in items], scorer.preprocessing)
    loader = torch.utils.data.DataLoader(dataset, batch_size=scorer.batch, num_workers=os.cpu_count())
    network = torch.nn.Sequential(scorer.model.trunk, scorer.model.head).to(memory_format=layout)
    for images in loader:
        network(images.contiguous(memory_format=layout))


def read_with(decode: Callable[[bytes], object], item: Item) -> None:
    decode(Path(item.file).read_bytes())


class NoEngine:
    """The logit 0, and maps without a region, at once."""

    name, parallel = "no network", 1

    def __call__(self, images: torch.Tensor) -> np.ndarray:
        return np.zeros(len(images), np.float32)

    def evidence(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        height, width = (-(-side // STRIDE) for side in images.shape[2:])
        return self(images), np.full((len(images), 1 + len(FAMILIES), height, width), -9, np.float32)


def scorers(scorer: Scorer, images: list[torch.Tensor], folder: Path) -> dict[str, Scorer]:
    """Everything that is installed and can run the network; images (3, S, S) uint8 to quantise and compare on."""
    found = {scorer.engine.name: scorer}
    if scorer.has_regions:
        found["no regions"] = random_scorer(scorer.model.arch, scorer.preprocessing)
    if int8.available():
        check = min(int8.CHECK, len(images) // 2)
        int8.quantise(scorer, images[check:], folder / "int8.xml")
        engine = int8.Int8Engine(folder / "int8.xml", os.cpu_count())
        found[engine.name] = scorer.with_engine(engine)
        settled = found[f"{engine.name} settled"] = copy.copy(scorer)
        settled.engine = engine
        settled.margin = int8.compare(scorer, engine, images[:check]).margin([scorer.checkpoint.threshold])
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx") and not scorer.has_regions:
        engine = OnnxEngine(scorer, folder / "network.onnx")
        found[engine.name] = scorer.with_engine(engine)
    return found


def agreement(scorer: Scorer, images: list[torch.Tensor], reference: np.ndarray) -> dict[str, float]:
    """With the probabilities of a reference, on images (3, S, S) uint8; what is settled is the exact engine's."""
    found, threshold = scorer.score(images), scorer.checkpoint.threshold
    near = int8.is_near(found, [threshold], scorer.margin)
    found[near] = scorer.with_engine(scorer.exact).score(compress(images, near))
    same = (found >= threshold) == (reference >= threshold)
    differences = np.abs(found - reference)
    return {"agreement": same.mean(), "difference": differences.mean(), "near": near.mean(), "margin": scorer.margin}


def table(seconds: pd.DataFrame, agreements: dict[str, dict[str, float]], count: int) -> pd.DataFrame:
    """A row a contestant: rate, CPU time an image, ratios of both, and how it agrees with float32."""
    wall, cpu = (seconds.pivot(index="round", columns="contestant", values=kind) for kind in ("wall", "cpu"))
    found = pd.DataFrame({"images_per_s": count / wall.median(), "cpu_ms": 1000 * cpu.median() / count})
    for other in ("plain", "channels_last", "no network", "loader", "decode", *OTHERS):
        found[f"rate / {other}"] = wall.rdiv(wall[other], axis=0).median()
    for other in ("plain", "channels_last", "no network", "loader"):
        found[f"{other} cpu / cpu"] = cpu.rdiv(cpu[other], axis=0).median()
    found = found.join(pd.DataFrame(agreements).T)
    return found.loc[seconds["contestant"].unique()].round(4)


def main() -> None:
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--images", type=Path, required=True, help="folder of images, flat")
    add("--model", help="checkpoint; without it a random --arch, for speed only")
    add("--arch", default="vgg19")
    add("--count", type=int, default=64, help="images scored")
    add("--calibration", type=int, default=int8.CALIBRATION + int8.CHECK, help="other images")
    add("--unseen", type=Path, help="folder of images, flat, to compare the engines on")
    add("--comparison", type=int, default=400, help="images to compare the engines on")
    add("--rounds", type=int, default=5)
    add("--csv", type=Path, help="where the table goes")
    arguments = parser.parse_args()
    keep_freed_memory(large=False)  # as filter_images.py does
    sources = shuffled(arguments.images)
    scorer = load_predictor(arguments.model, "cpu") if arguments.model else random_scorer(arguments.arch)
    spent = arguments.count + arguments.calibration
    unseen = shuffled(arguments.unseen) if arguments.unseen else sources[spent:]
    to_calibrate, to_compare = (
        [evaluation_transform(read_image(source), scorer.preprocessing) for source in some]
        for some in (sources[arguments.count : spent], unseen[: arguments.comparison])
    )
    with tempfile.TemporaryDirectory() as name:
        (pngs := (folder := Path(name)) / "png").mkdir()
        items = write_pngs(sources[: arguments.count], pngs)
        fast = scorers(scorer, to_calibrate, folder)
        reference = scorer.with_engine(TorchEngine(scorer.model, CPU, torch.float32)).score(to_compare)
        comparable = {name: one for name, one in fast.items() if to_compare and name != "no regions"}
        agreements = {name: agreement(one, to_compare, reference) for name, one in comparable.items()}
        contestants = {
            "plain": partial(run_plain, scorer, items, torch.contiguous_format),
            "channels_last": partial(run_plain, scorer, items, torch.channels_last),
        }
        antialiased = random_scorer(scorer.model.arch, replace(scorer.preprocessing, interpolation="antialias"))
        idle = {NoEngine.name: scorer, "antialiased": antialiased}
        for name, one in (fast | {name: one.with_engine(NoEngine()) for name, one in idle.items()}).items():
            contestants[name] = partial(run_filter, one, items, folder)
        contestants["loader"] = partial(run_threads, partial(load_item, preprocessing=scorer.preprocessing), items)
        contestants["decode"] = partial(run_threads, lambda item: decode_file(item.file), items)
        for name in OTHERS:
            contestants[name] = partial(run_threads, partial(read_with, DECODERS[name]), items)
        found = table(measure(contestants, arguments.rounds), agreements, len(items))
    print(found.to_string())
    if arguments.csv:
        found.to_csv(arguments.csv)


if __name__ == "__main__":
    main()

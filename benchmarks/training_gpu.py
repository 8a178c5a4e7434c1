"""How near is training on a GPU to its bare steps, and how near are those to the card's matrix rate?

    python benchmarks/training_gpu.py --images FACES --csv benchmarks/results/training_gpu.csv

VGG-19 from random weights at 224 px, in the hardware's best precision and channels_last. For each recipe and batch
size, in turns, round after round, after one that warms up, fills the caches and finds the faces:
plain  a hand-written loop over the same layers with a fused Adam, on images that lie on the device
bare   the project's step, on a batch that lies on the device
epoch  the same steps with everything before them, as model_training.py trains
Recipes: "heavy" augments images that lie on the device; "injection" has workers paint an artifact into every other
image, and a dense head; "compiled" is "heavy" with --compile.

Shares are medians over the rounds. TFLOP/s: operations that PyTorch's counter finds in a step, over the step's time;
matmul: a product of two bfloat16 matrices of 8192 x 8192 on the same card.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from filter_parts import measure
from project import shuffled
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from artifact_detection.detector.device import autocast, device_name, pick_device
from artifact_detection.detector.weights import build_model
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import CLASSES, CLEAN
from artifact_detection.system.arguments import script_parser
from artifact_detection.system.processes import ALONE
from artifact_detection.training import data
from artifact_detection.training.building import build_trainer
from artifact_detection.training.config import TrainConfig
from artifact_detection.training.trainer import OPTIMIZERS, Trainer

SIDE = 8192  # of the matrices
RECIPES = {"heavy": {}, "injection": {"inject": 0.5}, "compiled": {"compile": True}}


def waited(act: Callable[[], object], device: torch.device) -> None:
    act()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_rate(device: torch.device, rounds: int) -> float:
    """TFLOP/s."""
    a, b = (torch.randn(SIDE, SIDE, device=device, dtype=torch.bfloat16) for _ in range(2))
    wall = measure({"product": lambda: waited(lambda: [a @ b for _ in range(10)], device)}, rounds)["wall"]
    return 10 * 2 * SIDE**3 / wall.median() / 1e12


def write_dataset(sources: list[Path], folder: Path, count: int) -> None:
    """`count` names of a few clean training images."""
    place = folder / "train" / CLASSES[CLEAN]
    place.mkdir(parents=True)
    for number in range(count):
        source = sources[number % len(sources)]
        os.link(source, place / f"{number:05d}{source.suffix}")


def plain_loop(trainer: Trainer, images: torch.Tensor, targets: torch.Tensor, steps: int) -> Callable[[], None]:
    """What anybody would write; it trains the layers of the trainer's network."""
    model = nn.Sequential(trainer.model.trunk, trainer.model.head)
    pixels = (images.float() / 255).contiguous(memory_format=torch.channels_last)
    optimizer = OPTIMIZERS["adam"](model.parameters(), lr=5e-5)
    loss_function = nn.BCEWithLogitsLoss()

    def run() -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with autocast(trainer.device, trainer.dtype):
                loss = loss_function(model(pixels), targets)
            loss.backward()
            optimizer.step()

    return run


def operations(trainer: Trainer, batch: tuple[torch.Tensor, ...]) -> int:
    """Of a step forwards and backwards."""
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        trainer.step(*batch)
    return counter.get_total_flops()


def contestants(trainer: Trainer, batch: tuple[torch.Tensor, ...]) -> dict[str, Callable[[], None]]:
    steps, numbers = len(trainer.loader), iter(range(10**6))
    acts = {
        "bare": lambda: [trainer.step(*batch) for _ in range(steps)],
        "epoch": lambda: trainer.run_epoch(next(numbers)),
    }
    if not trainer.model.has_regions:
        acts["plain"] = plain_loop(trainer, *batch, steps)
    return {name: partial(waited, act, trainer.device) for name, act in acts.items()}


def train(recipe: str, batch_size: int, dataset: Path, options) -> pd.DataFrame:
    """A row a contestant."""
    preprocessing = Preprocessing(options.size)
    settings = {"dataset": str(dataset), "batch_size": batch_size, "device": options.device, "oversampling": "none"}
    config = TrainConfig(arch=options.arch, weights="none", image_size=options.size, **settings, **RECIPES[recipe])
    images = data.load_images(dataset, "train", preprocessing, dataset)
    images = data.unfitted(images, preprocessing, dataset) if config.inject else images
    model = build_model(config.arch, "none", preprocessing, config.with_regions)
    trainer = build_trainer(config, model, images, ALONE)
    batch = tuple(part.to(trainer.device) for part in next(iter(trainer.loader)))
    count = trainer.loader.batch_sampler.total
    work = operations(trainer, batch) / len(batch[0])
    wall = measure(contestants(trainer, batch), options.rounds)
    wall = wall.pivot(index="round", columns="contestant", values="wall")
    found = (count / wall.median()).rename("images_per_s").to_frame()
    found["share_of_bare"] = (1 / wall).div(1 / wall["bare"], axis=0).median()
    found["tflops"] = found["images_per_s"] * work / 1e12
    return found.reset_index().assign(recipe=recipe, batch=batch_size)


def main() -> None:
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--images", type=Path, required=True, help="folder of images, flat")
    add("--arch", default="vgg19")
    add("--size", type=int, default=224, help="pixels")
    add("--device", default="auto")
    add("--batch", type=int, nargs="+", default=[32, 128])
    add("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    add("--count", type=int, default=4096, help="images an epoch")
    add("--rounds", type=int, default=5)
    add("--csv", type=Path, help="where the table goes")
    options = parser.parse_args()
    device = pick_device(options.device)
    ceiling = matmul_rate(device, options.rounds)
    print(f"{device_name(device)}, PyTorch {torch.__version__}, {os.cpu_count()} cores; matmul: {ceiling:.0f} TFLOP/s")
    tables = []
    with tempfile.TemporaryDirectory(dir=options.images.parent) as folder:
        dataset = Path(folder)
        write_dataset(shuffled(options.images), dataset, options.count)
        for recipe in options.recipes:
            for batch_size in options.batch:
                tables.append(train(recipe, batch_size, dataset, options))
                found = pd.concat(tables)[["recipe", "batch", "contestant", "images_per_s", "share_of_bare", "tflops"]]
                found["share_of_matmul"] = found["tflops"] / ceiling
                print(found.tail(len(tables[-1])).to_string(index=False, float_format="%.3f"), flush=True)
                if options.csv:
                    found.to_csv(options.csv, index=False, float_format="%.3f")


if __name__ == "__main__":
    main()

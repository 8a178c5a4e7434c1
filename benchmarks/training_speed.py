"""How close is training to the bare network, and how fast are the same network and images elsewhere?

    python benchmarks/training_speed.py --images FACES --peers TENSORFLOW/bin/python
    python benchmarks/training_speed.py --images FACES --device cuda --only ours program

Writes images as PNG files of 1024x1024 and trains VGG-19 at 224 px, from random weights, in batches of 32, in turns,
round after round:
bare         the steps alone, on batches that lie in memory: the bound for anything that reads images
first epoch  decoding into an empty cache, then an epoch of the loader's heavily augmented batches
epoch        each later epoch
program      an epoch of model_training.py as it is run: validation, checkpoints and history included; compared with
             bare steps and bare forward passes of as many images
fp32         a later epoch without mixed precision, to tell what that alone gives
torchvision  ImageFolder, DataLoader and the usual transforms in fp32; decodes in every epoch
keras        keras_training.py: tf.data, fp32; decodes in every epoch. `--peers` is a Python with tensorflow-cpu

A step before the clock starts warms everything up. Ratios are medians of the rounds' ratios, so that a busy machine
hits both sides. Memory is the peak (RSS) of the training process and of its largest loader process together. Results:
results/training_speed.csv.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import torch
from project import ROOT, SIDE, write_lines
from torch import nn
from torchvision import datasets
from torchvision import transforms as T

from artifact_detection.detector.device import pick_device, pick_precision
from artifact_detection.detector.scoring import TorchEngine
from artifact_detection.detector.weights import build_model
from artifact_detection.images.decoding import read_image
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import CLASSES
from artifact_detection.system.arguments import script_parser
from artifact_detection.system.memory import keep_freed_memory
from artifact_detection.system.threads import cores
from artifact_detection.training import data, pool, sampling
from artifact_detection.training.losses import FocalLoss
from artifact_detection.training.trainer import OPTIMIZERS, Trainer

SIZE, BATCH = 224, 32
EPOCHS = 3  # of the whole program
BOTH = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN


def clock(name: str, act) -> None:
    """Seconds until the device has done what it was told, too."""
    start = time.perf_counter()
    act()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    print(name, time.perf_counter() - start, flush=True)


def print_memory(*whose: int) -> None:
    """Once every loader process has ended."""
    print("gib", sum(resource.getrusage(who).ru_maxrss for who in whose) / 2**20)


def make_trainer(precision: str, device: str):
    torch.manual_seed(0)
    model = build_model("vgg19", "none", Preprocessing(SIZE)).to(pick_device(device))
    optimizer = OPTIMIZERS["adam"](model.parameters(), lr=5e-5)
    dtype = pick_precision(precision, pick_device(device))
    trainer = Trainer(model, None, FocalLoss(2.0, 0.5), optimizer, lambda step: 1.0, seed=0, dtype=dtype)
    trainer.step(torch.randint(256, (BATCH, 3, SIZE, SIZE), dtype=torch.uint8), torch.ones(BATCH))
    return trainer


def run_ours(dataset: Path, rounds: int, device: str, precision: str = "auto") -> None:
    """bare steps, bare forward passes and later epochs in turns, after a first epoch."""
    keep_freed_memory()  # as model_training.py does
    start = time.perf_counter()
    preprocessing = Preprocessing(SIZE)
    images = data.load_images(dataset, "train", preprocessing, dataset.parent / f"cache-{os.getpid()}")
    batches = sampling.EpochBatches(images.labels, BATCH, "none", seed=0)
    on = pick_device(device)
    if pool.fits(images, "heavy", on):  # as model_training.py does
        loader = pool.PooledBatches(images, batches, "heavy", on)
    else:
        samples = sampling.TrainingImages(images, "heavy", preprocessing)
        loader = sampling.training_loader(samples, batches, sampling.pick_workers(-1, cores()), pin=on.type == "cuda")
    decoding = time.perf_counter() - start
    trainer = make_trainer(precision, device)
    trainer.loader = loader

    start = time.perf_counter()
    trainer.run_epoch(0)
    print("first", decoding + time.perf_counter() - start)
    batches = [tuple(part.to(on) for part in batch) for batch in loader]
    pixels, engine = [images for images, _ in batches], TorchEngine(trainer.model, on, trainer.dtype)
    for epoch in range(1, rounds + 1):
        clock("bare", lambda: [trainer.step(*batch) for batch in batches])
        clock("forward", lambda: [engine(images) for images in pixels])
        clock("epoch", lambda number=epoch: trainer.run_epoch(number))
    trainer.loader = None
    print_memory(*BOTH)


def run_program(dataset: Path, _: int, device: str) -> None:
    """Seconds between the lines that model_training.py prints after its epochs."""
    scratch = dataset.parent / f"program-{os.getpid()}"
    flags = {"dataset": dataset, "runs": scratch, "cache": scratch, "weights": "none", "oversampling": "none"}
    flags["device"] = device
    command = [sys.executable, str(ROOT / "model_training.py"), "--epochs", str(EPOCHS)]
    command += [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    times, images = [], {}
    for line in process.stdout:
        if line.startswith(("training", "validation")):
            images[line.split()[0]] = int(line.split()[1])
        if line.startswith("epoch"):
            times.append(time.perf_counter())
    if process.wait():
        raise SystemExit("model_training.py failed")
    print("program", statistics.median(after - before for before, after in pairwise(times)))
    print("trained", images["training"])
    print("validated", images["validation"])
    print_memory(resource.RUSAGE_CHILDREN)


def run_torchvision(dataset: Path, rounds: int, device: str) -> None:
    changes = [T.Resize((SIZE, SIZE)), T.RandomHorizontalFlip(), T.RandomAffine(20, (0.1, 0.1), (0.85, 1.15), 8)]
    changes += [T.ColorJitter(0.3, 0.3, 0.2, 0.02), T.ToTensor(), T.Normalize((0.485, 0.456, 0.406), (0.229,) * 3)]
    images = datasets.ImageFolder(dataset / "train", T.Compose(changes))
    loader = torch.utils.data.DataLoader(images, BATCH, shuffle=True, num_workers=os.cpu_count())
    network = make_trainer("fp32", device).model  # the same layers; normalisation is the transforms' here
    model, loss_function = nn.Sequential(network.trunk, network.head), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-5)

    def epoch() -> None:
        for pictures, labels in loader:
            optimizer.zero_grad()
            loss_function(model(pictures.to(device)), labels.float().to(device)).backward()
            optimizer.step()

    for _ in range(rounds):
        clock("epoch", epoch)
    print_memory(*BOTH)


CONTESTANTS = {
    "ours": run_ours,
    "program": run_program,
    "fp32": partial(run_ours, precision="fp32"),
    "torchvision": run_torchvision,
}


def measure(command: list[str]) -> dict[str, list[float]]:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found = {}
    for name, value in (line.split() for line in done.stdout.splitlines()):
        found.setdefault(name, []).append(float(value))
    print(Path(command[1]).name, *command[-2:], {k: [round(v, 2) for v in vs] for k, vs in found.items()}, flush=True)
    return found


def write_dataset(sources: list[Path], folder: Path) -> None:
    """dataset/{train,test}/{no_artifacts,artifacts}/, a quarter artifacts, eight images more for test."""
    for number, source in enumerate(sources):
        place = folder / ("test" if number < 8 else "train") / CLASSES[int(number % 4 == 0)]
        place.mkdir(parents=True, exist_ok=True)
        image = cv2.resize(read_image(source), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(place / f"{source.stem}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def ratios(seconds: list[float], bound: list[float]) -> float:
    """Median of the rounds' ratios; a single value is compared with every round."""
    seconds = seconds * len(bound) if len(seconds) == 1 else seconds
    return statistics.median(a / b for a, b in zip(seconds, bound, strict=True))


def table(found: dict[str, dict[str, list[float]]], count: int) -> list[str]:
    """CSV lines; a contestant's seconds are divided by those of bare steps in bf16 of as many images."""
    ours = found["ours"]
    step, forward = (statistics.median(ours[name]) / count for name in ("bare", "forward"))
    rows = [("bare", count / statistics.median(ours["bare"]), 1.0, ours["gib"][0])]
    for name, key in (("first epoch", "first"), ("epoch", "epoch")):
        rows.append((name, count / statistics.median(ours[key]), ratios(ours[key], ours["bare"]), ours["gib"][0]))
    for name, part in found.items():
        seconds = statistics.median(part["program" if name == "program" else "epoch"])
        trained, validated = (part.get(key, [default])[0] for key, default in (("trained", count), ("validated", 0)))
        ratio = seconds / (trained * step + validated * forward)
        rows.append((name, trained / seconds, ratio, part["gib"][0]))
    header = "contestant,images_per_second,seconds_relative_to_bare,peak_gib"
    return [header, *(f"{name},{rate:.2f},{ratio:.3f},{gib:.1f}" for name, rate, ratio, gib in rows if name != "ours")]


def main() -> None:
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--images", type=Path, help="folder of images, flat")
    add("--peers", help="a Python with tensorflow-cpu")
    add("--count", type=int, default=96, help="training images")
    add("--rounds", type=int, default=3, help="of bare steps and later epochs, in turns")
    add("--only", nargs="+", choices=[*CONTESTANTS, "keras"], default=[*CONTESTANTS, "keras"])
    add("--device", default="cpu", help="of all but keras (default: %(default)s)")
    add("--work", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        CONTESTANTS[options.work](options.images, options.rounds, options.device)
        return
    sources = sorted(options.images.iterdir())[: options.count + 8]
    with tempfile.TemporaryDirectory() as scratch:
        dataset = Path(scratch) / "dataset"
        write_dataset(sources, dataset)
        found = {}
        for name in options.only:
            rounds = str(options.rounds if name == "ours" else 1)  # the others are slow
            work = [__file__, "--images", str(dataset), "--work", name, "--rounds", rounds]
            work += ["--device", options.device]
            keras = [str(Path(__file__).with_name("keras_training.py")), str(dataset / "train"), str(SIZE), str(BATCH)]
            if name != "keras":
                found[name] = measure([sys.executable, *work])
            elif options.peers:
                found[name] = measure([options.peers, *keras, rounds])
    write_lines("training_speed", table(found, options.count))


if __name__ == "__main__":
    main()

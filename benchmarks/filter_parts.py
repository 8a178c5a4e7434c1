"""What the filter's benchmarks measure, and how: images, a random network, the filter's work, the clock."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from PIL import Image
from project import SIDE

from artifact_detection.detector.checkpoints import Checkpoint
from artifact_detection.detector.device import pick_precision
from artifact_detection.detector.scoring import Scorer, TorchEngine
from artifact_detection.detector.weights import build_model
from artifact_detection.filtering import stages
from artifact_detection.filtering.inputs import Inputs, Item
from artifact_detection.filtering.policy import Policy, manual_bands
from artifact_detection.filtering.results import judge_all
from artifact_detection.filtering.store import Store, Stores, database
from artifact_detection.images.decoding import decode_file, read_image
from artifact_detection.images.transforms import Preprocessing, evaluation_transform

CPU = torch.device("cpu")


def write_pngs(sources: list[Path], folder: Path) -> list[Item]:
    for number, source in enumerate(sources):
        image = cv2.resize(read_image(source), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        Image.fromarray(image).save(folder / f"{number:05d}.png")
    return Inputs.scan([str(folder)], folder / "none").items


def run_filter(scorer: Scorer, items: list[Item], folder: Path) -> None:
    batches = [items[n : n + scorer.batch] for n in range(0, len(items), scorer.batch)]
    with Store(database(folder, "records", 0)) as store:
        stages.score_batches(scorer, batches, store, True, os.cpu_count())
    if scorer.margin:
        rules = Policy(manual_bands([scorer.checkpoint.threshold]), False)
        with Stores(folder, "records") as stores:
            near = stages.near_an_edge(judge_all(items, stores, rules), rules, scorer.margin)
            stages.rescore_near_thresholds(scorer, near, stores, os.cpu_count())


def run_threads(act: Callable[[Item], object], items: list[Item]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        deque(pool.map(act, items), maxlen=0)


def load_item(item: Item, preprocessing: Preprocessing) -> None:
    image = decode_file(item.file)
    hashlib.sha256(image.data).digest()
    evaluation_transform(image.pixels, preprocessing)


class OnnxEngine:
    name, parallel = "onnx fp32", os.cpu_count()  # calls at a time, one thread each

    def __init__(self, scorer: Scorer, path: Path):
        size = scorer.preprocessing.size
        example = torch.zeros((scorer.batch, 3, size, size), dtype=torch.uint8)
        torch.onnx.export(scorer.model.float(), (example,), path, input_names=["images"], dynamo=False)
        self.session = self.open(path)

    @staticmethod
    def open(path: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, images: torch.Tensor) -> np.ndarray:
        return self.session.run(None, {"images": images.numpy()})[0]


def random_scorer(arch: str, preprocessing: Preprocessing | None = None) -> Scorer:
    """A network with random weights, in the best precision: for speed only."""
    torch.manual_seed(0)
    model = build_model(arch, "none", preprocessing).eval()
    return Scorer(model, Checkpoint(), arch, TorchEngine(model, CPU, pick_precision("auto", CPU)))


def measure(contestants: dict[str, Callable[[], None]], rounds: int) -> pd.DataFrame:
    """Wall and CPU seconds (of child processes too), in turns: columns contestant, round, wall, cpu."""
    rows = []
    for number in range(rounds + 1):
        for name, act in contestants.items():
            start, cpu = time.perf_counter(), sum(os.times()[:4])
            act()
            if number:  # the first round warms up
                rows.append((name, number, time.perf_counter() - start, sum(os.times()[:4]) - cpu))
    return pd.DataFrame(rows, columns=["contestant", "round", "wall", "cpu"])

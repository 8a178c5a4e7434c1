"""Which engine runs the bare network fastest on one core? Chooses the filter's; agreement is in filter_speed.py.

    python benchmarks/filter_engines.py

CPU ms an image, batches of 8 at 224 px, one thread, random weights and images; medians over the rounds, in turns.
Results: results/filter_engines.csv. Needs pip install openvino nncf onnx onnxruntime.
"""

import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filter_parts import CPU, OnnxEngine, measure
from project import RESULTS

from artifact_detection.detector.checkpoints import Checkpoint
from artifact_detection.detector.models import Detector
from artifact_detection.detector.scoring import Engine, Scorer, TorchEngine
from artifact_detection.detector.weights import build_model
from artifact_detection.filtering import int8

ARCHS, ROUNDS = ("vgg19", "mobilenet_v3_small"), 5
BATCH = 8
SECONDS = 1.0  # of calls in a row: the clock of CPU time ticks a hundred times a second


def onnx_int8(scorer: Scorer, images: torch.Tensor, folder: Path) -> Engine:
    """ONNX Runtime's static quantisation: QDQ, a scale for each output channel."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        batches = iter([{"images": images.numpy()}])

        def get_next(self) -> dict | None:
            return next(self.batches, None)

    engine = OnnxEngine(scorer, folder / "float.onnx")
    quantization.quantize_static(folder / "float.onnx", folder / "int8.onnx", Reader(), per_channel=True)
    engine.session = engine.open(folder / "int8.onnx")
    return engine


def default_layout(model: Detector) -> Callable:
    """The network as a first script calls it, on normalised images."""
    network = torch.nn.Sequential(copy.deepcopy(model.trunk), copy.deepcopy(model.head))
    return torch.inference_mode()(lambda images: network(images.float() / 255))


def engines(arch: str, images: torch.Tensor, folder: Path) -> dict[str, Callable]:
    torch.manual_seed(0)
    model = build_model(arch, "none").eval()
    float32 = TorchEngine(copy.deepcopy(model), CPU, torch.float32)
    scorer = Scorer(model, Checkpoint(), arch, float32, BATCH)
    int8.quantise(scorer, list(images), folder / "int8.xml")
    return {
        "PyTorch float32, default layout": default_layout(model),
        "PyTorch float32, channels_last": float32,
        "PyTorch bfloat16, channels_last": TorchEngine(copy.deepcopy(model), CPU, torch.bfloat16),
        "ONNX Runtime float32": OnnxEngine(scorer, folder / "network.onnx"),
        "ONNX Runtime int8 (static QDQ)": onnx_int8(scorer, images, folder),
        "OpenVINO int8 (NNCF)": int8.Int8Engine(folder / "int8.xml", 1),
    }


def repeated(engine: Callable, images: torch.Tensor) -> tuple[Callable[[], None], int]:
    """Calls in a row that take about SECONDS, and how many these are."""
    engine(images)  # warms up
    start = time.perf_counter()
    engine(images)
    calls = 1 + int(SECONDS / (time.perf_counter() - start))

    def act() -> None:
        for _ in range(calls):
            engine(images)

    return act, calls


def main() -> None:
    torch.set_num_threads(1)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (BATCH, 3, 224, 224), dtype=np.uint8))
    found = {}
    for arch in ARCHS:
        with tempfile.TemporaryDirectory() as folder:
            several = {name: repeated(engine, images) for name, engine in engines(arch, images, Path(folder)).items()}
            seconds = measure({name: act for name, (act, _) in several.items()}, ROUNDS)
        calls = pd.Series({name: count for name, (_, count) in several.items()})
        cpu = seconds.groupby("contestant", sort=False)["cpu"].median() / calls / BATCH
        found[f"{arch}_cpu_ms"] = (1000 * cpu).round(2)
    table = pd.DataFrame(found).rename_axis("engine")
    table.to_csv(RESULTS / "filter_engines.csv")
    print(table.to_string())


if __name__ == "__main__":
    main()

"""Which engine runs the bare network fastest on one core? Chooses the filter's; agreement is in filter_speed.py.

    python benchmarks/filter_engines.py --csv benchmarks/results/filter_engines.csv

CPU ms an image, batches of 8 at 224 px, one thread, random weights and images; medians over the rounds, in turns. Needs
pip install openvino nncf onnx onnxruntime.
"""

import argparse
import copy
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from artifact_detection import int8
from artifact_detection.models import build_model, make_checkpoint
from artifact_detection.scoring import Engine, Scorer, TorchEngine
from benchmarks.filter_speed import CPU, OnnxEngine, measure

BATCH, CALLS = 8, 3


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


def engines(arch: str, images: torch.Tensor, folder: Path) -> dict[str, Callable]:
    torch.manual_seed(0)
    model = build_model(arch, "none").eval()
    float32 = TorchEngine(copy.deepcopy(model), CPU, torch.float32)
    scorer = Scorer(model, make_checkpoint(model), arch, float32, BATCH)
    int8.quantise(scorer, list(images), folder / "int8.xml")
    return {
        "PyTorch float32, default layout": torch.inference_mode()(copy.deepcopy(model)),
        "PyTorch float32, channels_last": float32,
        "PyTorch bfloat16, channels_last": TorchEngine(copy.deepcopy(model), CPU, torch.bfloat16),
        "ONNX Runtime float32": OnnxEngine(scorer, folder / "network.onnx"),
        "ONNX Runtime int8 (static QDQ)": onnx_int8(scorer, images, folder),
        "OpenVINO int8 (NNCF)": int8.Int8Engine(folder / "int8.xml", 1),
    }


def repeat(engine: Callable, images: torch.Tensor) -> None:
    for _ in range(CALLS):
        engine(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", default=["vgg19", "mobilenet_v3_small"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv", type=Path, help="where the table goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (BATCH, 3, 224, 224), dtype=np.uint8))
    found = {}
    for arch in options.arch:
        with tempfile.TemporaryDirectory() as folder:
            contestants = {
                name: partial(repeat, engine, images) for name, engine in engines(arch, images, Path(folder)).items()
            }
            cpu = measure(contestants, options.rounds).groupby("contestant", sort=False)["cpu"].median()
        found[f"{arch}_cpu_ms"] = (1000 * cpu / (BATCH * CALLS)).round(2)
    table = pd.DataFrame(found).rename_axis("engine")
    print(table.to_string())
    if options.csv:
        table.to_csv(options.csv)


if __name__ == "__main__":
    main()

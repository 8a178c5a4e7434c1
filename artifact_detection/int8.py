"""The network in 8-bit integers on a CPU, with OpenVINO and NNCF (optional: pip install openvino nncf).

Quantised on the user's own images, compared with the original on others of them, and refused where it disagrees
(post-training quantisation: Krishnamoorthi, arXiv 1806.08342; NNCF: Kozlov et al., arXiv 2002.08679).
"""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import torch

from artifact_detection.files import write_atomic
from artifact_detection.scoring import Scorer

CALIBRATION, CHECK = 256, 200  # images to quantise on, and others to compare on
FEW = 4  # images at a time to quantise on: every layer's output is kept
MOST_PARALLEL = 4  # batches at a time: each takes memory of its own
MAX_DIFFERENCE = 0.01  # mean difference of the probabilities
MIN_AGREEMENT = 0.995  # share of the images on the same side of the checkpoint's threshold


@dataclass(frozen=True)
class Agreement:
    """How the fast network compares with the original on `images` images."""

    images: int
    difference: float  # mean of |P - P'|
    agreement: float  # share of equal verdicts at the checkpoint's threshold

    @property
    def accepted(self) -> bool:
        return self.images > 0 and self.difference <= MAX_DIFFERENCE and self.agreement >= MIN_AGREEMENT

    def sentence(self) -> str:
        verdict = "used" if self.accepted else "refused"
        return (
            f"int8 network {verdict}: {self.agreement:.1%} equal verdicts, mean difference of P {self.difference:.4f} "
            f"on {self.images} of these images"
        )


class Int8Engine:
    """A quantised network that `quantise` wrote, for batches of the size that it was written for.

    Several batches at a time, each on its share of the cores: what a batch waits for, another one uses.
    """

    name = "openvino-int8"

    def __init__(self, path: Path, threads: int):
        import openvino

        self.parallel, self.requests = min(threads, MOST_PARALLEL), SimpleQueue()
        settings = {"NUM_STREAMS": str(self.parallel), "INFERENCE_NUM_THREADS": str(threads)}
        network = openvino.Core().compile_model(str(path), "CPU", settings)
        for _ in range(self.parallel):
            self.requests.put(network.create_infer_request())

    def __call__(self, images: torch.Tensor) -> np.ndarray:
        request = self.requests.get()
        try:
            return np.array(request.infer([images.numpy()])[0]).reshape(-1)  # a copy: OpenVINO reuses its memory
        finally:
            self.requests.put(request)


def available() -> bool:
    return all(importlib.util.find_spec(name) for name in ("openvino", "nncf"))


def quantise(scorer: Scorer, images: Sequence[torch.Tensor], path: Path) -> None:
    """Write the network of a CPU scorer in int8, calibrated on images (3, S, S) uint8, as `path` (.xml) and .bin."""
    import nncf
    import openvino

    shape = (-1, *images[0].shape)
    network = openvino.convert_model(scorer.model.float(), example_input=images[0][None], input=[shape])
    some = [torch.stack(images[n : n + FEW]).numpy() for n in range(0, len(images), FEW)]
    network = nncf.quantize(network, nncf.Dataset(some), subset_size=len(some))
    network.reshape([scorer.batch, *images[0].shape])  # a fixed size is faster
    openvino.save_model(network, path, compress_to_fp16=False)


def compare(scorer: Scorer, engine: Int8Engine, images: Sequence[torch.Tensor]) -> Agreement:
    """The engine against the scorer's own on images (3, S, S) uint8."""
    fast = Scorer(scorer.model, scorer.checkpoint, scorer.model_id, engine, scorer.batch)
    ours, theirs = scorer.score(images), fast.score(images)
    threshold = scorer.checkpoint["threshold"]
    same = (ours >= threshold) == (theirs >= threshold)
    return Agreement(len(images), float(np.abs(ours - theirs).mean()), float(same.mean()))


def read_agreement(path: Path) -> Agreement | None:
    """What `write_agreement` wrote, None if the network was not compared yet."""
    return Agreement(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def write_agreement(path: Path, agreement: Agreement) -> None:
    write_atomic(path, json.dumps(asdict(agreement)))

"""The network in 8-bit integers on a CPU, with OpenVINO and NNCF (optional: pip install openvino nncf).

Quantised on the user's own images and compared with the original on others of them, which shows how far the two differ:
images too near an edge of a band for that are left to the original, and a network that differs too much is refused.
(Post-training quantisation: Krishnamoorthi, arXiv 1806.08342; NNCF: Kozlov et al., arXiv 2002.08679.)
"""

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import torch
from scipy import special

from artifact_detection.detector.models import Detector
from artifact_detection.detector.scoring import Scorer

CALIBRATION, CHECK = 256, 200  # images to quantise on, and others to compare on
FEW = 4  # images at a time to quantise on: every layer's output is kept
MOST_PARALLEL = 4  # batches at a time: each takes memory of its own
MAX_DIFFERENCE = 0.015  # mean difference of the probabilities; what verdicts need, the margin sees to
LEAST_COMPARED = 100  # fewer images do not tell how many lie near an edge
MAX_FLIPPED = 0.002  # expected share of the images whose verdict differs although they are outside the margin
LEAST = 1e-4  # smaller probabilities are not told apart
MAX_NEAR = 0.4  # share of the images near an edge: with more, the original network alone is as fast


@dataclass(frozen=True)
class Agreement:
    """Probabilities (N,) of the same images by the original network and by the fast one."""

    exact: list[float]
    fast: list[float]

    @property
    def difference(self) -> float:
        return float(np.abs(np.subtract(self.exact, self.fast)).mean())

    def margin(self, edges: Sequence[float | None]) -> float:
        """The least distance from an edge, in logits, from which on the fast network may decide; None is no edge.

        Its verdict on an image can be wrong where it errs by as much as the image is away from an edge. How much it
        errs is taken from the half of the images nearest to an edge: on extreme ones, far away, it errs more. With
        fewer images than LEAST_COMPARED it is at least the largest of these errors.
        """
        distances = _distances(self.fast, edges)
        order = np.argsort(distances)
        errors = np.abs(_logits(self.exact) - _logits(self.fast))[order[: -(-len(order) // 2)]]
        distances = distances[order]
        wrong = np.mean(errors >= distances[:, None], axis=1)  # (N,) how often
        left = np.append(wrong[::-1].cumsum()[::-1], 0.0) / len(wrong)  # if only the k nearest are settled
        settled = int(np.argmax(left <= MAX_FLIPPED))
        least = errors.max(initial=0.0) if len(wrong) < LEAST_COMPARED else 0.0
        return float(max(least, distances[settled - 1])) if settled else float(least)

    def share_near(self, edges: Sequence[float | None]) -> float:
        return float(is_near(self.fast, edges, self.margin(edges)).mean())

    def accepted(self, edges: Sequence[float | None]) -> bool:
        return bool(self.exact) and self.difference <= MAX_DIFFERENCE and self.share_near(edges) <= MAX_NEAR

    def sentence(self, edges: Sequence[float | None]) -> str:
        if not self.exact:
            return "int8 network refused: no image to compare it on"
        return (
            f"int8 network {'used' if self.accepted(edges) else 'refused'}: mean difference of P {self.difference:.4f} "
            f"on {len(self.exact)} of these images; {self.share_near(edges):.1%} lie so near a threshold that the "
            f"original network has to decide"
        )


def is_near(probabilities: Sequence[float], edges: Sequence[float | None], margin: float) -> np.ndarray:
    """(N,) bool: which probabilities lie within `margin`, in logits, of an edge; None is no edge."""
    return _distances(probabilities, edges) <= margin


def _distances(probabilities: Sequence[float], edges: Sequence[float | None]) -> np.ndarray:
    """(N,) from the nearest edge, in logits: there the error is alike for all images that are not extreme."""
    known = _logits([edge for edge in edges if edge is not None])
    return np.abs(_logits(probabilities)[:, None] - known).min(axis=1, initial=np.inf)


def _logits(probabilities: Sequence[float]) -> np.ndarray:
    """Of probabilities that are rounded: finite, and without the noise of the last digits."""
    return special.logit(np.clip(probabilities, LEAST, 1 - LEAST))


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
        return self.evidence(images)[0]

    def evidence(self, images: torch.Tensor) -> tuple[np.ndarray, ...]:
        request = self.requests.get()
        try:
            outputs = request.infer([images.numpy()])
            logits, *maps = (np.array(outputs[n]) for n in range(len(outputs)))  # copies: OpenVINO reuses its memory
            return logits.reshape(-1), *maps
        finally:
            self.requests.put(request)


class _Evidence(torch.nn.Module):
    def __init__(self, model: Detector):
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.model.evidence(images)


def available() -> bool:
    return all(importlib.util.find_spec(name) for name in ("openvino", "nncf"))


def quantise(scorer: Scorer, images: Sequence[torch.Tensor], path: Path) -> None:
    """Write the network of a CPU scorer in int8, calibrated on images (3, S, S) uint8, as `path` (.xml) and .bin."""
    import nncf
    import openvino

    shape = (-1, *images[0].shape)
    model = _Evidence(scorer.model) if scorer.has_regions else scorer.model
    with warnings.catch_warnings():  # of how OpenVINO traces a network; no user can do anything about it
        warnings.simplefilter("ignore")
        network = openvino.convert_model(model.float(), example_input=images[0][None], input=[shape])
    some = [torch.stack(images[n : n + FEW]).numpy() for n in range(0, len(images), FEW)]
    # The slow correction of each layer's mean error takes ten seconds more for a network of 90 layers, and leaves less.
    network = nncf.quantize(network, nncf.Dataset(some), subset_size=len(some), fast_bias_correction=False)
    network.reshape([scorer.batch, *images[0].shape])  # a fixed size is faster
    openvino.save_model(network, path, compress_to_fp16=False)


def compare(scorer: Scorer, engine: Int8Engine, images: Sequence[torch.Tensor]) -> Agreement:
    """The engine against the scorer's own on images (3, S, S) uint8."""
    return Agreement(scorer.score(images).tolist(), scorer.with_engine(engine).score(images).tolist())

"""Scoring, the same for training, evaluation and the filter.

    scorer = load_predictor("runs/demo/best.pt")
    probabilities = scorer.probabilities(images)  # (N,) of images (H, W, 3) uint8

A batch always has the same number of rows, the last one filled up with zeros: an image then gets the same
probability, bit for bit, whether a run was interrupted or not and however many processes shared it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from scipy.special import expit

from artifact_detection.detector.checkpoints import Checkpoint, load_checkpoint, probabilities
from artifact_detection.detector.device import autocast, copied, pick_device, pick_precision
from artifact_detection.detector.folding import folded
from artifact_detection.detector.models import Detector
from artifact_detection.images.transforms import Preprocessing, evaluation_transform
from artifact_detection.system.paths import ROOT

SHIPPED = ROOT / "pretrained" / "detector.pt"  # works on any images of faces, see the model card beside it
BATCH, GPU_BATCH = 16, 64


class Engine(Protocol):
    """Something that runs the network: (B, 3, S, S) uint8 -> (B,) float32 logits.

    name: says how. parallel: how many calls at a time, each from a thread of its own, keep the machine busy.
    evidence: the same logits and the maps of a dense head, (B, 1 + families, h, w) float32 logits.
    """

    name: str
    parallel: int

    def __call__(self, images: torch.Tensor) -> np.ndarray: ...

    def evidence(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]: ...


class TorchEngine:
    """PyTorch on a copy of the network, channels_last, in the hardware's best precision.

    On CUDA several batches at a time: while one is computed, others are put together and copied.
    """

    def __init__(self, model: Detector, device: torch.device, dtype: torch.dtype):
        self.dtype, self.parallel = dtype, 4 if device.type == "cuda" else 1
        self.model = folded(model.to(device, memory_format=torch.channels_last).eval())
        self.device = next(model.parameters()).device  # with its number: "cuda" alone is another one in each thread
        self.name = f"torch-{device.type}-{str(dtype).removeprefix('torch.')}"

    def __call__(self, images: torch.Tensor) -> np.ndarray:
        return self._run(images, with_maps=False)[0]

    def evidence(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        return self._run(images, with_maps=True)

    @torch.inference_mode()
    def _run(self, images: torch.Tensor, with_maps: bool) -> tuple[np.ndarray, ...]:
        if self.device.type == "cuda":
            images = images.pin_memory()
        with autocast(self.device, self.dtype):
            images = copied(images, self.device)
            found = self.model.evidence(images) if with_maps else (self.model(images),)
        return tuple(part.float().cpu().numpy() for part in found)


class Scorer:
    """A checkpoint, ready to score.

    engine may be replaced by a faster one; margin: how near a threshold, in logits, the `exact` one has to decide.
    """

    def __init__(self, model: Detector, checkpoint: Checkpoint, model_id: str, engine: Engine, batch: int = BATCH):
        self.model, self.checkpoint, self.model_id = model, checkpoint, model_id
        self.engine, self.batch = engine, batch
        self.exact, self.margin = engine, 0.0

    def with_engine(self, engine: Engine, batch: int | None = None) -> "Scorer":
        return Scorer(self.model, self.checkpoint, self.model_id, engine, batch or self.batch)

    @property
    def has_regions(self) -> bool:
        return getattr(self.model, "has_regions", False)

    @property
    def preprocessing(self) -> Preprocessing:
        return self.model.preprocessing

    def score_batch(self, images: Sequence[torch.Tensor]) -> np.ndarray:
        """Probabilities (n,) of n <= `batch` preprocessed images (3, S, S) uint8."""
        return self._probabilities(self.engine(filled_up(images, self.batch))[: len(images)])

    def evidence_batch(self, images: Sequence[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """What `score_batch` gives, and the maps (n, 1 + families, h, w) of probabilities from the same run."""
        logits, maps = self.engine.evidence(filled_up(images, self.batch))
        return self._probabilities(logits[: len(images)]), expit(maps[: len(images)])

    def _probabilities(self, logits: np.ndarray) -> np.ndarray:
        return probabilities(logits, self.checkpoint.temperature)

    def score(self, images: Iterable[torch.Tensor]) -> np.ndarray:
        """Probabilities (N,) of any number of preprocessed images."""
        return self._probabilities(run_all(self.engine, images, self.batch))

    def probabilities(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """P(artifacts), (N,) float64, of images (H, W, 3) uint8 RGB of any size."""
        return self.score(evaluation_transform(image, self.preprocessing) for image in images)


def run_all(engine: Engine, images: Iterable[torch.Tensor], batch: int) -> np.ndarray:
    """Logits (N,) float32 of any number of preprocessed images (3, S, S) uint8, `batch` at a time."""
    images, logits = iter(images), [np.empty(0, np.float32)]
    while part := list(islice(images, batch)):
        logits.append(engine(filled_up(part, batch))[: len(part)])
    return np.concatenate(logits)


def filled_up(images: Sequence[torch.Tensor], batch: int) -> torch.Tensor:
    """(batch, 3, S, S) uint8: the images, and zeros for the rest."""
    filled = torch.zeros((batch, *images[0].shape), dtype=torch.uint8)
    torch.stack(list(images), out=filled[: len(images)])
    return filled


def load_predictor(path: str | Path, device: str = "auto", precision: str = "auto", batch: int | None = None) -> Scorer:
    """The scorer of a checkpoint. Runs no code from the file; raises CheckpointError for a file it cannot trust.

    batch: images at a time; None is `usual_batch`.
    """
    model, checkpoint = load_checkpoint(path)
    chosen = pick_device(device)
    engine = TorchEngine(model, chosen, pick_precision(precision, chosen))
    return Scorer(model, checkpoint, model_id(path, model.arch), engine, batch or usual_batch(chosen))


def usual_batch(device: torch.device) -> int:
    """Images at a time that keep a device busy."""
    return BATCH if device.type == "cpu" else GPU_BATCH


def model_id(path: str | Path, arch: str) -> str:
    """Names a checkpoint by its bytes: the architecture and the first 12 hex digits of the SHA-256."""
    with open(path, "rb") as handle:
        return f"{arch}-{hashlib.file_digest(handle, 'sha256').hexdigest()[:12]}"

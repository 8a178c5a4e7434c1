"""Fast scoring of many images: decoding, the network and writing overlap, and memory stays flat.

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
from torch import nn
from tqdm import tqdm

from artifact_detection.detector.device import autocast, copied, of_any_length, pick_device, pick_precision
from artifact_detection.detector.models import DIGITS, Detector, load_checkpoint, probabilities
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
    """PyTorch as it comes, channels_last, in the hardware's best precision.

    On CUDA several batches at a time: while one is computed, others are put together and copied.
    """

    def __init__(self, model: Detector, device: torch.device, dtype: torch.dtype):
        self.dtype, self.parallel = dtype, 4 if device.type == "cuda" else 1
        self.model = model.to(device, memory_format=torch.channels_last).eval()
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

    def __init__(self, model: Detector, checkpoint: dict, model_id: str, engine: Engine, batch: int = BATCH):
        self.model, self.checkpoint, self.model_id = model, checkpoint, model_id
        self.engine, self.batch = engine, batch
        self.exact, self.margin = engine, 0.0

    def with_engine(self, engine: Engine, batch: int | None = None) -> "Scorer":
        return Scorer(self.model, self.checkpoint, self.model_id, engine, batch or self.batch)

    @property
    def has_regions(self) -> bool:
        """Whether the network has a dense head, for `evidence_batch`."""
        return getattr(self.model, "has_regions", False)

    @property
    def preprocessing(self) -> Preprocessing:
        return self.model.preprocessing

    def score_batch(self, images: Sequence[torch.Tensor]) -> np.ndarray:
        """Probabilities (n,) of n <= `batch` preprocessed images (3, S, S) uint8, rounded to DIGITS."""
        return self._probabilities(self.engine(self.fill_up(images))[: len(images)])

    def evidence_batch(self, images: Sequence[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """What `score_batch` gives, and the maps (n, 1 + families, h, w) of probabilities from the same run."""
        logits, maps = self.engine.evidence(self.fill_up(images))
        return self._probabilities(logits[: len(images)]), expit(maps[: len(images)])

    def _probabilities(self, logits: np.ndarray) -> np.ndarray:
        return probabilities(logits, self.checkpoint["temperature"]).round(DIGITS)

    def fill_up(self, images: Sequence[torch.Tensor], rows: int | None = None) -> torch.Tensor:
        """(rows or batch, 3, *shape) uint8: the images, and zeros for the rest."""
        batch = torch.zeros((rows or self.batch, 3, *self.preprocessing.shape), dtype=torch.uint8)
        torch.stack(list(images), out=batch[: len(images)])
        return batch

    def score(self, images: Iterable[torch.Tensor]) -> np.ndarray:
        """Probabilities (N,) of any number of preprocessed images."""
        images, scores = iter(images), [np.empty(0)]
        while part := list(islice(images, self.batch)):
            scores.append(self.score_batch(part))
        return np.concatenate(scores)

    def probabilities(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """P(artifacts), (N,) float64, of images (H, W, 3) uint8 RGB of any size."""
        return self.score(evaluation_transform(image, self.preprocessing) for image in images)


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


@torch.inference_mode()
def predict(
    model: nn.Module,
    batches: Iterable[torch.Tensor],
    *,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    description: str | None = None,
) -> np.ndarray:
    """Logits, (N,) float32, of batches of (B, 3, S, S) uint8, in order; a probability is sigmoid(logit / T)."""
    device = device or next(model.parameters()).device
    model.eval()
    logits = []
    for images in tqdm(batches, description, unit="batch", leave=False, disable=None if description else True):
        with autocast(device, dtype):
            logits.append(model(of_any_length(copied(images, device), model)).float().cpu())
    return torch.cat(logits).numpy() if logits else np.empty(0, np.float32)

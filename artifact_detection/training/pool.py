"""The whole data set on the GPU: a batch is taken and augmented there, without workers or copies."""

from collections.abc import Iterator

import numpy as np
import torch

from artifact_detection.detector.device import copied
from artifact_detection.images.augmentation import DRAWS, PRESETS, apply_torch, draw
from artifact_detection.training.data import ImageSet
from artifact_detection.training.sampling import EpochBatches, Sample

SHARE = 0.3  # of the free memory of the GPU that images may take
PART = 256  # images uploaded at a time


def fits(images: ImageSet, preset: str, device: torch.device) -> bool:
    """Whether `PooledBatches` can do without workers: on a CUDA device with memory for images that are decoded and
    fitted already, and with a preset that matrices can do."""
    if device.type != "cuda" or preset not in PRESETS or not hasattr(images.pixels, "nbytes"):
        return False
    size = len(images) * (images.pixels.nbytes // len(images.pixels))
    return size <= SHARE * torch.cuda.mem_get_info(device)[0]


class PooledBatches:
    """Batches ((B, 3, *shape) uint8, (B,) float32) on the device, in place of `sampling.training_loader`.

    The same samples; their augmentation is drawn from the same seeds as that of `TrainingImages` with regions.
    """

    def __init__(self, images: ImageSet, batches: EpochBatches, preset: str, device: torch.device):
        self.batch_sampler, self.preset, self.device = batches, preset, device
        rows = images.table["row"].to_numpy()
        height, width = images[0].shape[:2]
        self.pool = torch.empty((len(rows), 3, height, width), dtype=torch.uint8, device=device)
        for start in range(0, len(rows), PART):
            part = np.stack([images.pixels[row] for row in rows[start : start + PART]])  # (PART, H, W, 3)
            self.pool[start : start + PART] = torch.from_numpy(part).to(device).permute(0, 3, 1, 2)
        self.labels = torch.tensor(images.labels, dtype=torch.float32, device=device)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for samples in self.batch_sampler:
            rows = self._sent(np.array([sample.row for sample in samples]))
            yield self._augmented(self.pool[rows], samples), self.labels[rows]

    def _augmented(self, images: torch.Tensor, samples: list[Sample]) -> torch.Tensor:
        """Each view with an augmentation of its own."""
        rngs = [np.random.default_rng((sample.seed, 3)) for sample in samples]
        views = images.split(images.shape[2], 3)
        return torch.cat([apply_torch(view.contiguous(), *self._drawn(rngs)) for view in views], 3)

    def _drawn(self, rngs: list[np.random.Generator]) -> tuple[torch.Tensor, ...]:
        """inverse (B, 2, 3), colour (B, 3, 3) and contrast (B,), float32, on the device."""
        drawn = draw(self.preset, np.stack([rng.random(DRAWS) for rng in rngs]))
        return tuple(self._sent(part.astype(np.float32)) for part in drawn)

    def _sent(self, values: np.ndarray) -> torch.Tensor:
        """On the device. From pinned memory: else the host would wait there until the GPU has done the step before."""
        tensor = torch.from_numpy(values)
        return copied(tensor.pin_memory() if self.device.type == "cuda" else tensor, self.device)

"""Batches that are augmented on the device: from a data set that lies there, or from images that workers painted."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from artifact_detection.detector.dense_head import STRIDE
from artifact_detection.detector.device import copied
from artifact_detection.images.augmentation import DRAWS, PRESETS, Augmentation, apply_torch, draw, warp_torch
from artifact_detection.labels import FAMILIES
from artifact_detection.training.data import ImageSet
from artifact_detection.training.sampling import UNKNOWN, EpochBatches

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
            rows = sent(np.array([sample.row for sample in samples]), self.device)
            images = self.pool[rows]
            drawn = draw_views(self.preset, [sample.seed for sample in samples], images)
            yield augmented(images, drawn), self.labels[rows]


class PaintedBatches:
    """Batches ((B, 3, *shape) uint8, (B,) float32, (B, families, h, w) float32) on the device.

    loader: of a `TrainingImages` that leaves the warping to others. The augmentation is drawn from the same seeds.
    """

    def __init__(self, loader: DataLoader, preset: str, device: torch.device):
        self.loader, self.preset, self.device = loader, preset, device
        self.batch_sampler = loader.batch_sampler

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        for images, targets, painted, seeds in self.loader:
            images, painted = copied(images, self.device), copied(painted, self.device)
            drawn = draw_views(self.preset, seeds.tolist(), images)
            masks = [warp_torch(mask, view.inverse) for mask, view in zip(views_of(painted), drawn, strict=True)]
            shares = cell_shares(torch.cat(masks, 2))
            known = painted[:, :1, :1, None] != UNKNOWN
            yield augmented(images, drawn), targets, shares.where(known, -1)


def views_of(batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The squares that stand side by side in (..., H, W)."""
    return batch.split(batch.shape[-2], -1)


def draw_views(preset: str, seeds: Sequence[int], images: torch.Tensor) -> list[Augmentation]:
    """For each view of (B, 3, H, W) what is done to it, as float32 tensors on the device of the images."""
    rngs = [np.random.default_rng((seed, 3)) for seed in seeds]
    drawn = (draw(preset, np.stack([rng.random(DRAWS) for rng in rngs])) for _ in views_of(images))
    return [Augmentation(*(sent(part.astype(np.float32), images.device) for part in view)) for view in drawn]


def augmented(images: torch.Tensor, drawn: Sequence[Augmentation]) -> torch.Tensor:
    views = zip(views_of(images), drawn, strict=True)
    return torch.cat([apply_torch(view.contiguous(), *augmentation) for view, augmentation in views], 3)


def cell_shares(painted: torch.Tensor) -> torch.Tensor:
    """`sampling.cell_shares` of (B, H, W) uint8: (B, families, H / 8, W / 8) float32."""
    size = [-(-side // STRIDE) for side in painted.shape[1:]]
    planes = torch.stack([painted == 1 + number for number in range(len(FAMILIES))], 1)
    return F.adaptive_avg_pool2d(planes.float(), size)


def sent(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """On the device. From pinned memory: else the host would wait there until the GPU has done the step before."""
    tensor = torch.from_numpy(values)
    return copied(tensor.pin_memory() if device.type == "cuda" else tensor, device)

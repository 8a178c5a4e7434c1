"""Heat maps: where in the image the network sees an artifact.

A network with a dense head says so itself. For any other, LayerCAM (Jiang et al., IEEE TIP 2021) weighs each channel by
the positive part of the gradient at each place, which is made for maps before the last. The last map of a classifier
has 7x7 cells at 224 px, and 2x2 at 64: too coarse to point at an artifact, so the deepest map of at least 12x12 is
used. Given the same layer the maps are those of pytorch-grad-cam 1.5.7 up to its min-max scaling, without its backward
pass through the layers before.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from artifact_detection.detector.models import Detector
from artifact_detection.images.transforms import evaluation_transform

CELLS = 12  # rows and columns that a map needs: a coarser one cannot point at an eye
BATCH = 16


def heatmaps(model: Detector, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Heat maps (B, H, W) float32 in [0, 1] and logits (B,) of images (B, 3, H, W) uint8.

    With a dense head: its own map, P(artifact) at each place. Without: 1 is the place that speaks most for an artifact
    in that image, and a map of zeros means that no place does. Leaves the model in evaluation mode.
    """
    if getattr(model, "has_regions", False):
        return _own_maps(model.eval(), images)
    activations, logits = _forward(model.eval(), images)
    gradients = torch.autograd.grad(logits.sum(), activations)[0]  # (B, C, h, w)
    maps = F.relu((F.relu(gradients) * activations).sum(1, keepdim=True)).detach()  # (B, 1, h, w)
    maps = F.interpolate(maps, images.shape[-2:], mode="bilinear")[:, 0]  # (B, H, W)
    maps = maps / maps.amax((1, 2), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
    return maps.cpu().numpy(), logits.detach().cpu().numpy()


@torch.no_grad()
def _own_maps(model: Detector, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    logits, maps = model.evidence(images)
    maps = F.interpolate(maps[:, :1].float().sigmoid(), images.shape[-2:], mode="bilinear")[:, 0]  # (B, H, W)
    return maps.cpu().numpy(), logits.float().cpu().numpy()


def _forward(model: Detector, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The map that is explained, (B, C, h, w), as a leaf, and the logits (B,) that are computed from it."""
    kept = []

    def cut(_layer: nn.Module, _inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        torch.set_grad_enabled(True)  # from here on, so that nothing before is recorded; undone where no_grad ends
        kept.append(output.detach().requires_grad_())
        return kept[0]

    with torch.no_grad(), _hooked([_explained_layer(model, images[:1])], cut):
        logits = model(images)
    return kept[0], logits


@torch.no_grad()
def _explained_layer(model: Detector, image: torch.Tensor) -> nn.Module:
    """The trunk's last layer whose map has at least CELLS rows and columns; the first layer if none has."""
    layers, sizes = list(model.trunk.children()), []
    with _hooked(layers, lambda _layer, _inputs, output: sizes.append(min(output.shape[-2:]))):
        model(image)
    return layers[max((i for i, size in enumerate(sizes) if size >= CELLS), default=0)]


@contextmanager
def _hooked(layers: Sequence[nn.Module], hook: Callable) -> Iterator[None]:
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def explain(model: Detector, images: Sequence[np.ndarray]) -> np.ndarray:
    """Heat maps (N, S, S) float32 in [0, 1] of whole images (H, W, 3) uint8 of any size, S the preprocessing's size."""
    device, maps = next(model.parameters()).device, []
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        views = [model.preprocessing.view(image) for image in part]
        fit = partial(evaluation_transform, preprocessing=model.preprocessing)
        batch = torch.stack([fit(image, view=view) for image, view in zip(part, views, strict=True)])
        found = heatmaps(model, batch.to(device))[0]
        maps += [model.preprocessing.on_image(one, view) for one, view in zip(found, views, strict=True)]
    size = model.preprocessing.size
    return np.stack(maps) if maps else np.empty((0, size, size), np.float32)

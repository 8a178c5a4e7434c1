"""Networks that look for artifacts, and what their images have to be like."""

from collections import OrderedDict

import torch
import torchvision
from torch import nn

from artifact_detection.detector import lite
from artifact_detection.detector.dense_head import DenseHead, find_levels
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import FAMILIES

ARCHS = (
    "vgg16", "vgg19", "vgg19_bn", "resnet18", "resnet34", "resnet50", "efficientnet_b0", "efficientnet_b2",
    "efficientnet_v2_s", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "convnext_tiny", *lite.PACKAGES,
)  # fmt: skip
FREEZE = ("none", "early", "backbone")


class Detector(nn.Module):
    """P(artifact) for face images: normalisation -> convolutional trunk -> global average pooling -> head -> logit.

    forward: (B, 3, H, W) uint8 -> (B,) float logits; sigmoid(logit) is P(artifacts).
    features: (B, 3, H, W) uint8 -> (B, C, h, w), the last convolutional map; head: that map -> logits.
    evidence, with regions: (B, 3, H, W) uint8 -> logits (B,) and maps (B, 1 + families, H / 8, W / 8), logits too:
    channel 0 says where an artifact is, the others where one of each of FAMILIES is.
    """

    def __init__(self, arch: str, trunk: nn.Module, preprocessing: Preprocessing, regions: bool = False):
        super().__init__()
        self.arch, self.preprocessing, self.frozen = arch, preprocessing, []
        self.register_buffer("mean", 255 * torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)
        self.trunk = trunk
        self.levels, channels = find_levels(trunk)
        self.head = lite.head(channels[-1]) if arch in lite.PACKAGES else _head(channels[-1])
        self.dense = DenseHead(channels, 1 + len(FAMILIES)) if regions else None

    @property
    def has_regions(self) -> bool:
        return self.dense is not None

    def freeze(self, what: str) -> None:
        """Keep weights and batch-norm statistics as they are: of the whole trunk ("backbone"), of all but its last
        block ("early"), or of nothing ("none"). The head always learns."""
        parts = list(self.trunk.children())
        self.frozen = {"none": [], "early": parts[: _last_block(parts)], "backbone": parts}[what]
        for part in self.frozen:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "Detector":
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def shift_logits(self, by: float) -> None:
        with torch.no_grad():
            self.head[-2].bias += by

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        return ((images.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.trunk(self._normalised(images))

    def _maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The trunk's last maps at strides 8, 16 and 32."""
        x, maps = self._normalised(images), []
        for number, part in enumerate(self.trunk):
            x = part(x)
            if number in self.levels:
                maps.append(x)
        return maps

    def forward(self, images: torch.Tensor, with_maps: bool = False) -> torch.Tensor | tuple[torch.Tensor, ...]:
        if not self.has_regions:
            return self.head(self.features(images))
        levels = self._maps(images)
        maps = self.dense(levels)
        logits = self.head(levels[-1]) + self.dense.votes(maps)
        return (logits, maps) if with_maps else logits

    def evidence(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits and the maps; raises ValueError where the detector has no dense head."""
        if not self.has_regions:
            raise ValueError(f"this {self.arch} has no dense head, so it gives no maps")
        return self(images, with_maps=True)


def _head(channels: int) -> nn.Sequential:
    """The original project's head: pooling -> 1024 -> 512 -> 1 with batch norm and dropout."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(channels, 1024), nn.BatchNorm1d(1024), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(1024, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(512, 1), nn.Flatten(0),
    )  # fmt: skip


def _last_block(parts: list[nn.Module]) -> int:
    """Where the last block of a trunk's parts begins: after a VGG's last but one pooling, else the last fourth."""
    pools = [index for index, part in enumerate(parts) if isinstance(part, nn.MaxPool2d)]
    if len(pools) > 1:
        return pools[-2] + 1
    sizes = [sum(weight.numel() for weight in part.parameters()) for part in parts]
    return max(index for index in range(len(sizes)) if sum(sizes[index:]) >= sum(sizes) / 4)


def default_preprocessing(arch: str, size: int = 224, crop: str = "full") -> Preprocessing:
    """What a network's ImageNet weights expect."""
    values = {"mean": lite.MEAN, "std": lite.STD} if arch in lite.PACKAGES else {}
    return Preprocessing(size, crop=crop, **values)


def empty_model(arch: str, preprocessing: Preprocessing, regions: bool) -> Detector:
    """A detector for a checkpoint's values. VGG's classifier, which no detector has, would take 0.5 GB meanwhile."""
    with torch.device("meta"):
        network = classifier(arch)
    trunk = trunk_of(network).to_empty(device="cpu")
    return Detector(arch, trunk, preprocessing, regions).to(memory_format=torch.channels_last)


def classifier(arch: str) -> nn.Module:
    if arch not in ARCHS:
        raise ValueError(f"unknown arch {arch!r}: choose from {', '.join(ARCHS)}")
    return lite.network(arch) if arch in lite.PACKAGES else torchvision.models.get_model(arch, weights=None)


def trunk_of(network: nn.Module) -> nn.Module:
    """The convolutional part of a classifier: a sequence of parts."""
    if hasattr(network, "conv_stem"):
        return lite.trunk(network)
    if hasattr(network, "features"):
        return network.features
    children = OrderedDict(network.named_children())  # ResNet: everything before pooling and fc
    return nn.Sequential(OrderedDict((k, v) for k, v in children.items() if k not in ("avgpool", "fc")))

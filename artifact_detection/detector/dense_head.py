"""The dense head: where in an image the evidence is, and of which family, beside the image's own logit.

Maps of the trunk at strides 8, 16 and 32 -> 1x1 convolutions -> their sum at stride 8 -> logits per cell (Lin et al.,
"Feature Pyramid Networks", arXiv 1612.03144). The image's logit also sees the mean of each map's top cells, but sends
no gradient back through them: the masks alone teach the maps, the labels alone the image's logit (as in Rolih et al.,
"SuperSimpleNet", arXiv 2408.03143, and Božič et al., "Mixed supervision", arXiv 2104.06064).
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
STRIDE = STRIDES[0]  # of the maps that come out
WIDTH = 64
DROPOUT = 0.1  # share of the channels
TOP = 0.01  # share of the cells that speak for the whole image
RARE = -3.0  # logit of a cell before anything is learned: few cells show an artifact


class DenseHead(nn.Module):
    """(B, C_i, H / s_i, W / s_i) for each of STRIDES -> logits (B, outputs, h, w) at stride 8."""

    def __init__(self, channels: Sequence[int], outputs: int):
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(count, WIDTH, 1, bias=False) for count in channels)
        self.mix = nn.Sequential(
            nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Dropout2d(DROPOUT),
        )  # fmt: skip
        self.cells = nn.Conv2d(WIDTH, outputs, 1)
        self.vote = nn.Linear(outputs, 1, bias=False)
        nn.init.constant_(self.cells.bias, RARE)
        nn.init.zeros_(self.vote.weight)

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        size = levels[0].shape[-2:]
        maps = [lateral(level) for lateral, level in zip(self.laterals, levels, strict=True)]
        joined = sum((F.interpolate(level, size, mode="bilinear") for level in maps[1:]), maps[0])  # (B, WIDTH, h, w)
        return self.cells(self.mix(joined))

    def votes(self, maps: torch.Tensor) -> torch.Tensor:
        """What the maps (B, outputs, h, w) add to the images' logits, (B,)."""
        return self.vote(top_mean(maps.detach().float()))[:, 0]


def top_mean(maps: torch.Tensor) -> torch.Tensor:
    """(B, K, h, w) -> (B, K): the mean of each map's highest cells."""
    cells = maps.flatten(2)
    return cells.topk(max(1, round(TOP * int(cells.shape[2]))), dim=2).values.mean(2)


def find_levels(trunk: nn.Sequential) -> tuple[list[int], list[int]]:
    """Which of a trunk's parts give the last map at each of STRIDES, and how many channels those have."""
    side, levels = 64, {}
    was_training = trunk.training
    with torch.no_grad():
        x = torch.zeros(1, 3, side, side)
        for number, part in enumerate(trunk.eval()):
            x = part(x)
            levels[side // x.shape[-1]] = number, x.shape[1]
    trunk.train(was_training)
    parts, channels = zip(*(levels[stride] for stride in STRIDES), strict=True)
    return list(parts), list(channels)

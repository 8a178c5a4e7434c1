"""Loss functions on logits."""

import torch
from torch import nn
from torch.nn import functional as F


class FocalLoss(nn.Module):
    """Binary focal loss, averaged over the batch: -alpha_t (1 - p_t)^gamma log(p_t).

    Source: Lin et al., "Focal Loss for Dense Object Detection" (arXiv 1708.02002), eq. 5; the same numbers as
    torchvision.ops.sigmoid_focal_loss. With gamma = 0 and alpha = None it is binary cross-entropy.

    gamma >= 0: how strongly examples that are already right are played down.
    alpha in [0, 1]: weight of the class "artifacts" (1 - alpha for "no_artifacts"), or None for no weights.
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = None):
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """logits, targets: (B,) float, targets 0 or 1 -> scalar."""
        towards = logits * (2 * targets - 1)  # (B,) p_t = sigmoid(towards)
        # Through logarithms: a power of 1 - p_t, which rounds to 0, has an infinite slope there if gamma < 1.
        loss = -torch.exp(self.gamma * F.logsigmoid(-towards)) * F.logsigmoid(towards)
        if self.alpha is not None:
            loss = loss * (self.alpha * targets + (1 - self.alpha) * (1 - targets))
        return loss.mean()


CROSS_ENTROPY_WEIGHT, DICE_WEIGHT = 2.0, 0.5  # beside the image's own loss
FULL = 0.5  # share of a cell from which on it counts as covered


def region_loss(maps: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """How far maps (B, 1 + families, h, w), logits, are from the shares (B, families, h, w) that artifacts cover.

    Cross-entropy of every cell, and Dice (Milletari et al., arXiv 1606.04797) of the first map where there is an
    artifact: few cells show one, and Dice does not count the others. Images whose shares are -1 count as 0.
    """
    if shares.shape[-2:] != maps.shape[-2:]:
        shares = F.adaptive_avg_pool2d(shares, maps.shape[-2:])
    known = (shares[:, 0, 0, 0] >= 0).to(maps.dtype)  # (B,)
    targets = torch.cat([shares.sum(1, keepdim=True), shares], 1).div(FULL).clamp(0, 1)
    cells = F.binary_cross_entropy_with_logits(maps, targets, reduction="none").mean((2, 3))  # (B, 1 + families)
    cross_entropy = cells[:, 0] + cells[:, 1:].mean(1)
    found, wanted = maps[:, 0].sigmoid(), targets[:, 0]
    overlap = (2 * (found * wanted).sum((1, 2)) + 1) / (found.sum((1, 2)) + wanted.sum((1, 2)) + 1)
    dice = (1 - overlap) * wanted.flatten(1).any(1)
    return ((CROSS_ENTROPY_WEIGHT * cross_entropy + DICE_WEIGHT * dice) * known).mean()

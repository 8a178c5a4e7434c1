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
        if gamma < 0 or (alpha is not None and not 0 <= alpha <= 1):
            raise ValueError(f"gamma must be >= 0 and alpha in [0, 1], not {gamma} and {alpha}")
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """logits, targets: (B,) float, targets 0 or 1 -> scalar."""
        cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")  # (B,) = -log p_t
        loss = (1 - torch.exp(-cross_entropy)) ** self.gamma * cross_entropy
        if self.alpha is not None:
            loss = loss * (self.alpha * targets + (1 - self.alpha) * (1 - targets))
        return loss.mean()

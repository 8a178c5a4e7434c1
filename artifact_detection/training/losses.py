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
    smoothing in [0, 1]: each label counts as the other class with half this weight (Szegedy et al., arXiv 1512.00567).
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = None, smoothing: float = 0.0):
        super().__init__()
        if gamma < 0 or not all(0 <= share <= 1 for share in (alpha or 0, smoothing)):
            raise ValueError(f"gamma >= 0, alpha and smoothing in [0, 1], not {gamma}, {alpha}, {smoothing}")
        self.gamma, self.alpha, self.smoothing = gamma, alpha, smoothing

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """logits, targets: (B,) float, targets 0 or 1 -> scalar."""
        loss = (1 - self.smoothing / 2) * self._focal(logits, targets)
        return loss + self.smoothing / 2 * self._focal(logits, 1 - targets) if self.smoothing else loss

    def _focal(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")  # (B,) = -log p_t
        loss = (1 - torch.exp(-cross_entropy)) ** self.gamma * cross_entropy
        if self.alpha is not None:
            loss = loss * (self.alpha * targets + (1 - self.alpha) * (1 - targets))
        return loss.mean()

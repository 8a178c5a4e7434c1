import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss

from artifact_detection.training.losses import FocalLoss

LOGITS = torch.tensor([-8.0, -1.0, -0.1, 0.0, 0.3, 2.0, 9.0, -3.0])
TARGETS = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
def test_equals_torchvision(gamma, alpha):
    expected = sigmoid_focal_loss(LOGITS, TARGETS, alpha=alpha, gamma=gamma, reduction="mean")
    torch.testing.assert_close(FocalLoss(gamma, alpha)(LOGITS, TARGETS), expected)


def test_without_gamma_and_alpha_is_cross_entropy():
    torch.testing.assert_close(
        FocalLoss(gamma=0, alpha=None)(LOGITS, TARGETS), binary_cross_entropy_with_logits(LOGITS, TARGETS)
    )


def test_smoothing_is_cross_entropy_with_smoothed_targets():
    smoothed = binary_cross_entropy_with_logits(LOGITS, TARGETS * 0.8 + 0.1)
    torch.testing.assert_close(FocalLoss(gamma=0, smoothing=0.2)(LOGITS, TARGETS), smoothed)


def test_gradient_is_finite_at_extreme_logits():
    logits = torch.tensor([-200.0, 200.0], requires_grad=True)
    FocalLoss(2.0)(logits, torch.tensor([1.0, 1.0])).backward()
    assert torch.isfinite(logits.grad).all() and logits.grad[0] < 0


@pytest.mark.parametrize("gamma, alpha", [(-1, None), (2, 1.5)])
def test_refuses_nonsense(gamma, alpha):
    with pytest.raises(ValueError, match="gamma"):
        FocalLoss(gamma, alpha)

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss

from artifact_detection.training.losses import FocalLoss, region_loss

LOGITS = torch.tensor([-8.0, -1.0, -0.1, 0.0, 0.3, 2.0, 9.0, -3.0])
TARGETS = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
def test_equals_torchvision(gamma, alpha):
    expected = sigmoid_focal_loss(LOGITS, TARGETS, alpha=alpha, gamma=gamma, reduction="mean")
    torch.testing.assert_close(FocalLoss(gamma, alpha)(LOGITS, TARGETS), expected)


def test_without_gamma_and_alpha_is_cross_entropy():
    torch.testing.assert_close(
        FocalLoss(gamma=0, alpha=None)(LOGITS, TARGETS), binary_cross_entropy_with_logits(LOGITS, TARGETS)
    )


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 2.0])
def test_gradient_is_finite_at_extreme_logits(gamma):
    logits = torch.tensor([-200.0, 20.0, 200.0], requires_grad=True)
    FocalLoss(gamma)(logits, torch.tensor([1.0, 1.0, 1.0])).backward()
    assert torch.isfinite(logits.grad).all() and logits.grad[0] < 0


def covered(*cells: tuple[int, int, int], images: int = 1) -> torch.Tensor:
    """Shares (B, 4, 8, 8): the given (family, row, column) of every image covered."""
    shares = torch.zeros(images, 4, 8, 8)
    for family, row, column in cells:
        shares[:, family, row, column] = 1.0
    return shares


def maps_of(shares: torch.Tensor, sure: float = 20.0) -> torch.Tensor:
    """The logits of a network that knows the shares."""
    return sure * (2 * torch.cat([shares.sum(1, keepdim=True), shares], 1) - 1)


def test_region_loss_is_nothing_for_the_truth_and_grows_with_what_is_wrong():
    shares = covered((2, 3, 3), (2, 3, 4))
    wrong = [region_loss(maps_of(covered(*cells)), shares).item()
             for cells in ([(2, 3, 3), (2, 3, 4)], [(1, 3, 3), (1, 3, 4)], [(2, 6, 6), (2, 6, 7)])]  # fmt: skip
    assert wrong[0] == pytest.approx(0, abs=1e-6) and wrong[0] < wrong[1] < wrong[2]


def test_region_loss_leaves_out_what_nobody_knows():
    maps = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    shares = torch.cat([covered((0, 1, 1)), torch.full((1, 4, 8, 8), -1.0)])
    loss = region_loss(maps, shares)
    loss.backward()
    assert loss.item() == pytest.approx(region_loss(maps[:1], shares[:1]).item() / 2)
    assert maps.grad[0].any() and not maps.grad[1].any()


def test_region_loss_fits_maps_of_another_size():
    assert region_loss(torch.zeros(1, 5, 7, 7), covered((0, 1, 1))).isfinite()

import pytest
import torch
from torch import nn

from artifact_detection.detector.folding import folded
from artifact_detection.detector.weights import build_model
from artifact_detection.images.transforms import Preprocessing

IMAGES = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "arch", ["vgg19", "vgg19_bn", "resnet18", "resnet50", "efficientnet_b0", "efficientnet_v2_s", "mobilenet_v2",
             "mobilenet_v3_small", "convnext_tiny", "efficientnet_lite0"],
)  # fmt: skip
@torch.inference_mode()
def test_a_folded_network_is_the_same_function_and_its_trunk_has_no_batch_norm(arch):
    torch.manual_seed(0)
    model = build_model(arch, "none", Preprocessing(64), True)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):  # as after a training
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    small = folded(model.eval())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in small.trunk.modules())
    for got, expected in zip(small.evidence(IMAGES), model.evidence(IMAGES), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())

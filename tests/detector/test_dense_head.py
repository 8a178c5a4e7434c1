"""The dense head: what it gives, who teaches it, and that a checkpoint carries it."""

import pytest
import torch

from artifact_detection.detector.checkpoints import CheckpointError, load_checkpoint, make_checkpoint
from artifact_detection.detector.dense_head import top_mean
from artifact_detection.detector.weights import build_model
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import FAMILIES

IMAGES = torch.randint(256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
ARCHS = ["vgg19", "resnet18", "mobilenet_v3_small", "convnext_tiny", "efficientnet_lite0"]


@pytest.mark.parametrize("arch", ARCHS)
def test_evidence_is_the_logit_and_a_map_a_family_at_stride_8(arch):
    model = build_model(arch, "none", regions=True).eval()
    logits, maps = model.evidence(IMAGES)
    assert maps.shape == (2, 1 + len(FAMILIES), 8, 12) and torch.equal(logits, model(IMAGES))
    (logits.sum() + maps.sum()).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_the_label_alone_teaches_no_map():
    model = build_model("resnet18", "none", regions=True)
    model(IMAGES).sum().backward()
    taught = {name for name, weight in model.dense.named_parameters() if weight.grad is not None}
    assert taught == {"vote.weight"}


def test_the_top_cells_speak_for_the_image():
    maps = torch.zeros(1, 1, 20, 20)
    maps[0, 0, 3, 5:9] = torch.tensor([4.0, 3.0, 2.0, 1.0])  # 1 % of the cells
    assert top_mean(maps).tolist() == [[2.5]]
    model = build_model("resnet18", "none", regions=True).eval()
    before = model(IMAGES)
    with torch.no_grad():
        model.dense.vote.weight.fill_(1)
    logits, maps = model.evidence(IMAGES)
    torch.testing.assert_close(logits, before + top_mean(maps).sum(1))


@pytest.mark.parametrize("regions", [True, False])
@pytest.mark.parametrize("half", [True, False])
def test_a_checkpoint_carries_the_dense_head(tmp_path, regions, half):
    model = build_model("efficientnet_lite0", "none", Preprocessing(64), regions).eval()
    checkpoint = make_checkpoint(model)
    if half:
        checkpoint["model"] = {k: v.half() if v.is_floating_point() else v for k, v in checkpoint["model"].items()}
    torch.save(checkpoint, tmp_path / "best.pt")
    again, _ = load_checkpoint(tmp_path / "best.pt")
    assert again.has_regions == regions and next(again.parameters()).dtype == torch.float32
    torch.testing.assert_close(again(IMAGES), model(IMAGES), atol=2e-2 if half else 0, rtol=0)


def test_a_checkpoint_of_before_and_one_with_other_families(tmp_path):
    checkpoint = make_checkpoint(build_model("resnet18", "none").eval())
    del checkpoint["regions"]
    torch.save(checkpoint, tmp_path / "old.pt")
    model, _ = load_checkpoint(tmp_path / "old.pt")
    assert not model.has_regions
    with pytest.raises(ValueError, match="no dense head"):
        model.evidence(IMAGES)
    torch.save(checkpoint | {"regions": ["overlay", "ghosts"]}, tmp_path / "new.pt")
    with pytest.raises(CheckpointError, match="ghosts"):
        load_checkpoint(tmp_path / "new.pt")


def test_training_with_regions_goes_on_from_a_checkpoint_without(tmp_path):
    model = build_model("resnet18", "none").eval()
    torch.save(make_checkpoint(model), tmp_path / "best.pt")
    taught = build_model("resnet18", str(tmp_path / "best.pt"), regions=True).eval()
    torch.testing.assert_close(taught(IMAGES), model(IMAGES))
